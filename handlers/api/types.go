package api

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"maps"
	"strconv"
	"time"

	"redrive/delivery"
	"redrive/handlers/web"
)

// DeliveryJSON is a delivery in lists and as the answer to an action.
type DeliveryJSON struct {
	ID               string          `json:"id"`
	MessageID        string          `json:"message_id"`
	Integration      string          `json:"integration"`
	Method           delivery.Method `json:"method"`
	State            delivery.State  `json:"state"`
	Version          int             `json:"version"`
	AttemptCount     int             `json:"attempt_count"`
	ErrorClass       string          `json:"error_class"`
	Error            string          `json:"error"`
	Group            string          `json:"group"`
	Type             string          `json:"type"`
	Key              string          `json:"key"`
	CreatedAt        *time.Time      `json:"created_at"`
	FailedAt         *time.Time      `json:"failed_at"`
	LastAttemptAt    *time.Time      `json:"last_attempt_at"`
	NextAttemptAt    *time.Time      `json:"next_attempt_at"`
	DeadAt           *time.Time      `json:"dead_at"`
	SettledAt        *time.Time      `json:"settled_at"`
	RetryRequestedAt *time.Time      `json:"retry_requested_at"`
	Settlement       *settlementJSON `json:"settlement"`
	Ignore           *ignoreJSON     `json:"ignore"`           // null: it is not ignored
	ReopenedBecause  *string         `json:"reopened_because"` // of a dead letter whose ignore ended
	Edit             int             `json:"edit"`
	OperationID      *string         `json:"operation_id"`
	Case             web.CaseJSON    `json:"case"`
}

// CountJSON is how many failures there are, at least when capped.
type CountJSON struct {
	Count  int  `json:"count"`
	Capped bool `json:"capped"`
}

type settlementJSON struct {
	Actor    string     `json:"actor"`
	ActorID  string     `json:"actor_id"`
	Reason   string     `json:"reason"`
	Category string     `json:"category"`
	Until    *time.Time `json:"until"`
	Evidence string     `json:"evidence"`
}

// ignoreJSON is why something is ignored, and which one of the four ends it has.
type ignoreJSON struct {
	Reason   string `json:"reason"`
	Category string `json:"category"`
	By       string `json:"by"`
	Rule     string `json:"rule,omitempty"` // that swallowed it
	endJSON
}

// endJSON is when something ignored comes back.
type endJSON struct {
	Until   *time.Time `json:"until,omitempty"`
	Count   int        `json:"count,omitempty"`
	Grows   float64    `json:"grows,omitempty"`
	ForGood bool       `json:"for_good,omitempty"`
}

func endJSONOf(e delivery.End) endJSON {
	return endJSON{Until: web.Utc(e.Until), Count: e.Count, Grows: e.Grows, ForGood: e.ForGood}
}

func ignoreJSONOf(d delivery.Delivery) *ignoreJSON {
	if d.State != delivery.StateIgnored {
		return nil
	}
	x := d.Settlement
	return &ignoreJSON{Reason: x.Reason, Category: x.Category, By: x.Actor, Rule: x.RuleID, endJSON: endJSONOf(x.End)}
}

// said is a phrase in English; null for one that says nothing.
func said(p delivery.Phrase) *string {
	if p.IsZero() {
		return nil
	}
	text := web.English(p)
	return &text
}

func (s *API) deliveryJSON(d delivery.Delivery) DeliveryJSON {
	out := DeliveryJSON{
		Ignore:           ignoreJSONOf(d),
		ReopenedBecause:  said(d.ReopenedBecause),
		ID:               d.ID,
		MessageID:        d.MessageID,
		Integration:      d.Integration,
		Method:           s.methodOf(d.Integration),
		State:            d.State,
		Version:          d.Version,
		AttemptCount:     d.Attempts,
		ErrorClass:       d.ErrorClass,
		Error:            d.Error,
		Group:            d.GroupID,
		Type:             d.Type,
		Key:              d.Key,
		CreatedAt:        web.Utc(&d.CreatedAt),
		FailedAt:         web.Utc(d.FailedAt),
		LastAttemptAt:    web.Utc(d.LastAttemptAt),
		NextAttemptAt:    web.Utc(d.NextAttemptAt),
		DeadAt:           web.Utc(d.DeadAt),
		SettledAt:        web.Utc(d.SettledAt),
		RetryRequestedAt: web.Utc(d.RetryRequestedAt),
		Edit:             max(d.Edit, 1),
		OperationID:      known(d.OperationID),
		Case:             web.CaseJSONOf(d.Case),
	}
	if x := d.Settlement; x.Actor != "" {
		out.Settlement = &settlementJSON{
			Actor:    x.Actor,
			ActorID:  x.ActorID,
			Reason:   x.Reason,
			Category: x.Category,
			Until:    web.Utc(x.Until),
			Evidence: x.Evidence,
		}
	}
	return out
}

// methodOf is empty for an integration that left the file.
func (s *API) methodOf(integration string) delivery.Method {
	for _, i := range s.Config.Integrations {
		if i.Name == integration {
			return i.Method
		}
	}
	return ""
}

type attemptJSON struct {
	Number     int              `json:"number"`
	StartedAt  *time.Time       `json:"started_at"`
	DurationMS int64            `json:"duration_ms"`
	Outcome    delivery.Outcome `json:"outcome"`
	Late       delivery.Outcome `json:"late,omitempty"` // what a late outcome would have been
	ErrorClass string           `json:"error_class"`
	Error      string           `json:"error"`
	HTTPStatus *int             `json:"http_status"`
	Response   string           `json:"response"` // excerpt as text
	Edit       int              `json:"edit"`     // number of the version that it sent

	Exchange *delivery.Exchange `json:"exchange,omitempty"` // how it was made, where that is kept
}

// DetailJSON is everything about one delivery.
type DetailJSON struct {
	DeliveryJSON
	Attempts   []attemptJSON `json:"attempts"`
	Message    messageJSON   `json:"message"`
	History    []AuditJSON   `json:"history"`
	GroupCount int           `json:"group_count"`
	Lane       laneJSON      `json:"lane"`
	Edits      []editJSON    `json:"edits"` // oldest first; empty while it was never edited
	Notes      []NoteJSON    `json:"notes"`
	NotCarried []lossJSON    `json:"not_carried"`
}

// lossJSON is something that the destination does not get as it is.
type lossJSON struct {
	What delivery.LossKind `json:"what"`
	Name string            `json:"name,omitempty"`
}

// laneJSON is where a delivery stands in the order of its key.
type laneJSON struct {
	Behind  *string       `json:"behind"`
	Waiting int           `json:"waiting"`
	Blocked []blockedJSON `json:"blocked"`
}

type blockedJSON struct {
	ID        string     `json:"id"`
	Type      string     `json:"type"`
	CreatedAt *time.Time `json:"created_at"`
}

func laneJSONOf(l delivery.Lane) laneJSON {
	out := laneJSON{Waiting: l.Waiting, Blocked: make([]blockedJSON, 0, len(l.Blocked))}
	if l.BehindID != "" {
		out.Behind = &l.BehindID
	}
	for _, d := range l.Blocked {
		out.Blocked = append(out.Blocked, blockedJSON{ID: d.ID, Type: d.Type, CreatedAt: web.Utc(&d.CreatedAt)})
	}
	return out
}

func (s *API) detailJSON(d delivery.Detail) DetailJSON {
	view, versions := s.RevealAll(d)
	out := DetailJSON{
		DeliveryJSON: s.deliveryJSON(d.Delivery),
		Message:      messageJSONOf(d.Message, view),
		GroupCount:   d.GroupCount,
		Lane:         laneJSONOf(d.Lane),
		Attempts:     make([]attemptJSON, 0, len(d.Timeline)),
		History:      make([]AuditJSON, 0, len(d.History)),
		Edits:        make([]editJSON, 0, len(d.Edits)),
		Notes:        make([]NoteJSON, 0, len(d.Notes)),
	}
	out.Method, out.Error = d.Method, view.Hide.Error(d.ErrorClass, d.Error)
	out.NotCarried = []lossJSON{}
	for _, l := range s.Losses(d.Sent(), d.Integration) {
		out.NotCarried = append(out.NotCarried, lossJSON(l))
	}
	for _, a := range d.Timeline {
		out.Attempts = append(out.Attempts, attemptJSONOf(a, view))
	}
	for _, e := range d.History {
		out.History = append(out.History, auditJSONOf(e))
	}
	for i, e := range d.Edits {
		out.Edits = append(out.Edits, editJSONOf(e, versions[i]))
	}
	for _, n := range d.Notes {
		out.Notes = append(out.Notes, noteJSONOf(n))
	}
	return out
}

func attemptJSONOf(a delivery.Attempt, view web.PayloadView) attemptJSON {
	out := attemptJSON{
		Number:     a.Number,
		StartedAt:  web.Utc(&a.StartedAt),
		DurationMS: a.Duration.Milliseconds(),
		Outcome:    a.Outcome,
		Late:       a.Late,
		Edit:       max(a.Edit, 1),
		ErrorClass: a.ErrorClass,
		Error:      view.Hide.Error(a.ErrorClass, a.Error),
		Response:   view.Response(a.Response),
		Exchange:   view.Hide.Exchange(a.Exchange),
	}
	if a.HTTPStatus != 0 {
		out.HTTPStatus = &a.HTTPStatus
	}
	return out
}

// messageJSON is a message as people may see it. Exactly one of payload_base64 (nothing is hidden), payload_null and masked is
// there; payload is there when the bytes are JSON.
type messageJSON struct {
	ID             string            `json:"id"`
	Kind           delivery.Kind     `json:"kind"`
	Integration    string            `json:"integration,omitempty"`
	Type           string            `json:"type"`
	Key            string            `json:"key"`
	Headers        map[string]string `json:"headers"`
	HeaderList     []delivery.Field  `json:"header_list,omitempty"`
	Payload        json.RawMessage   `json:"payload,omitempty"`
	PayloadNull    bool              `json:"payload_null,omitempty"`
	PayloadBase64  *string           `json:"payload_base64,omitempty"`
	ShownBase64    *string           `json:"shown_base64,omitempty"` // masked: the bytes with what is hidden replaced
	Masked         bool              `json:"masked"`
	Size           int               `json:"size"`
	SHA256         string            `json:"sha256,omitempty"`
	IdempotencyKey string            `json:"idempotency_key"`
	Sender         string            `json:"sender,omitempty"`
	SenderID       string            `json:"sender_id,omitempty"`
	CreatedAt      *time.Time        `json:"created_at"`
	DeliverAfter   *time.Time        `json:"deliver_after"`
	ExpiresAt      *time.Time        `json:"expires_at"`
	Origin         *delivery.Origin  `json:"origin,omitempty"`
	Dropped        bool              `json:"dropped,omitempty"`
	Missing        *missingJSON      `json:"original_missing,omitempty"`
}

// MessageWithDeliveries is a message and where it went.
type MessageWithDeliveries struct {
	messageJSON
	Deliveries []DeliveryJSON `json:"deliveries"`
}

func messageJSONOf(m delivery.Message, view web.PayloadView) messageJSON {
	out := messageJSON{
		ID:             m.ID,
		Kind:           m.Kind,
		Integration:    m.Integration,
		Type:           m.Type,
		Key:            m.Key,
		Headers:        view.Headers,
		Masked:         view.Masked,
		Size:           view.Size(len(m.Payload)),
		SHA256:         view.SHA256,
		IdempotencyKey: m.IdempotencyKey,
		Sender:         m.SenderName,
		SenderID:       m.Sender,
		CreatedAt:      web.Utc(&m.CreatedAt),
		DeliverAfter:   web.Utc(m.DeliverAfter),
		ExpiresAt:      web.Utc(m.ExpiresAt),
		Origin:         shownOrigin(m.Origin, view),
		HeaderList:     view.Listed(),
		PayloadNull:    view.Null,
		Missing:        missingOf(m.Origin),
		Dropped:        m.Dropped,
	}
	if m.Dropped {
		out.SHA256 = ""
		return out
	}
	if view.IsJSON {
		out.Payload = view.Shown
	}
	out.PayloadBase64, out.ShownBase64 = view.Encoded()
	return out
}

// missingJSON is what a dead letter lacks of the record that died.
type missingJSON struct {
	What string `json:"what"` // headers or record
	Why  string `json:"why"`
}

func missingOf(o *delivery.Origin) *missingJSON {
	if o == nil || o.Dead == nil || o.Dead.Missing == nil {
		return nil
	}
	what := "headers"
	if o.Dead.Missing.Record {
		what = "record"
	}
	return &missingJSON{What: what, Why: web.English(o.Dead.Missing.Why)}
}

// shownOrigin leaves out what masks do not reach: raw headers, and the foreign error's text, which the delivery shows masked.
func shownOrigin(o *delivery.Origin, view web.PayloadView) *delivery.Origin {
	if o == nil {
		return nil
	}
	shown := *o
	shown.Raw, shown.At = nil, shown.At.UTC()
	shown.Headers, shown.Properties = nil, nil // the former are the message's header_list
	for _, f := range view.Props {
		f.Shown = ""
		shown.Properties = append(shown.Properties, f)
	}
	if o.Dead != nil {
		dead := *o.Dead
		dead.Error, dead.At, dead.Missing = "", dead.At.UTC(), nil // what is missing the message says
		shown.Dead = &dead
	}
	return &shown
}

// AuditJSON is one entry of the audit.
type AuditJSON struct {
	ID          string          `json:"id"`
	Seq         int64           `json:"seq"`
	At          *time.Time      `json:"at"`
	Actor       string          `json:"actor"`
	ActorID     *string         `json:"actor_id"`
	Action      string          `json:"action"`
	SubjectType string          `json:"subject_type"`
	Subject     string          `json:"subject"`
	Reason      string          `json:"reason"`
	Details     json.RawMessage `json:"details"`
	PrevHash    string          `json:"prev_hash"`
	Hash        string          `json:"hash"`
}

func auditJSONOf(e delivery.AuditEntry) AuditJSON {
	details := e.Details
	if len(details) == 0 {
		details = json.RawMessage("{}")
	}
	return AuditJSON{
		ID:          strconv.FormatInt(e.Seq, 10),
		Seq:         e.Seq,
		At:          web.Utc(&e.At),
		Actor:       e.Actor,
		ActorID:     known(e.ActorID),
		Action:      e.Action,
		SubjectType: e.SubjectType,
		Subject:     e.Subject,
		Reason:      cmp.Or(e.Reason, web.English(e.Why())),
		Details:     details,
		PrevHash:    hex.EncodeToString(e.PrevHash),
		Hash:        hex.EncodeToString(e.Hash),
	}
}

// IntegrationJSON is an integration with its health.
type IntegrationJSON struct {
	Name                 string                `json:"name"`
	Description          string                `json:"description"`
	Labels               map[string]string     `json:"labels"`
	Runbook              string                `json:"runbook,omitempty"`
	Method               delivery.Method       `json:"method"`
	Subscribe            []string              `json:"subscribe"`
	Destination          string                `json:"destination"`
	Address              string                `json:"address"`
	Status               string                `json:"status"`
	Paused               *pauseJSON            `json:"paused"`
	Breaker              delivery.BreakerState `json:"breaker"`
	BreakerUntil         *time.Time            `json:"breaker_until"`
	Backlog              int                   `json:"backlog"`
	Pending              int                   `json:"pending"`
	Sending              int                   `json:"sending"`
	Dead                 int                   `json:"dead"`
	Ignored              int                   `json:"ignored"`
	OldestPendingAt      *time.Time            `json:"oldest_pending_at"`
	OldestPendingSeconds float64               `json:"oldest_pending_seconds"`
	Delivered24h         int                   `json:"delivered_24h"`
	Failed24h            int                   `json:"failed_24h"`
	NewGroups            int                   `json:"new_groups"`
	Hours                []hourJSON            `json:"hours"`
	Health               []partJSON            `json:"health"`
	Gaps                 *gapsJSON             `json:"gaps,omitempty"`
	ReusedKeys           *reusedKeysJSON       `json:"reused_keys,omitempty"`
	Facts                []factJSON            `json:"facts"`
	TableGaps            []gapJSON             `json:"table_gaps,omitempty"`
}

// gapJSON is what is missing of a captured table.
type gapJSON struct {
	Table     string     `json:"table"`
	From      string     `json:"from"`
	To        *string    `json:"to"`
	Reason    string     `json:"reason"`
	FoundAt   *time.Time `json:"found_at"`
	Requested bool       `json:"requested"`
	Refused   string     `json:"refused,omitempty"`
}

func tableGapsJSON(gaps []delivery.CaptureGap) (list []gapJSON) {
	for _, g := range gaps {
		shown := gapJSON{
			Table:     g.Table,
			From:      g.From.String(),
			Reason:    web.English(g.Why),
			FoundAt:   web.Utc(&g.FoundAt),
			Requested: g.Asked,
			Refused:   web.English(g.Note),
		}
		if g.To != nil {
			to := g.To.String()
			shown.To = &to
		}
		list = append(list, shown)
	}
	return list
}

// partJSON is how one part of the integration stands.
type partJSON struct {
	Part        delivery.Part       `json:"part"`
	Status      delivery.PartStatus `json:"status"`
	Since       *time.Time          `json:"since"`
	LastSuccess *time.Time          `json:"last_success"`
	LastError   string              `json:"last_error,omitempty"`
	LastErrorAt *time.Time          `json:"last_error_at"`
}

// gapsJSON are the times and places where messages may have been lost at the source.
type gapsJSON struct {
	Count   int64           `json:"count"`
	Records int64           `json:"records"`
	From    *time.Time      `json:"from"` // of the last
	To      *time.Time      `json:"to"`
	Reason  string          `json:"reason"`
	At      *time.Time      `json:"at"`
	Latest  []sourceGapJSON `json:"latest"`
}

// sourceGapJSON is a gap, or a notice that nothing is lost by.
type sourceGapJSON struct {
	Partition  *int32     `json:"partition"`
	FromOffset *int64     `json:"from_offset"`
	ToOffset   *int64     `json:"to_offset"`
	Records    *int64     `json:"records"`
	Reason     string     `json:"reason"`
	Notice     bool       `json:"notice,omitempty"`
	At         *time.Time `json:"at"`
}

func gapsJSONOf(g delivery.SourceGaps) *gapsJSON {
	if len(g.Latest) == 0 {
		return nil
	}
	shown := gapsJSON{Count: g.Count, Records: g.Records, From: web.Utc(g.Last.From), To: web.Utc(g.Last.To), Latest: []sourceGapJSON{}}
	if g.Count > 0 {
		shown.Reason, shown.At = web.English(g.Last.Phrase()), web.Utc(&g.Last.NotedAt)
	}
	for _, gap := range g.Latest {
		shown.Latest = append(shown.Latest, sourceGapJSON{Partition: gap.Partition, FromOffset: gap.FromOffset, ToOffset: gap.ToOffset,
			Records: gap.Records, Reason: web.English(gap.Phrase()), Notice: gap.Notice, At: web.Utc(&gap.NotedAt)})
	}
	return &shown
}

// reusedKeysJSON is messages that were not taken in, as their keys had been used for others.
type reusedKeysJSON struct {
	Count     int               `json:"count"`
	At        *time.Time        `json:"at"` // of the last, as what follows
	Sender    string            `json:"sender"`
	Differs   delivery.KeyReuse `json:"differs"`
	MessageID string            `json:"message_id"`
}

func reusedKeysJSONOf(r delivery.ReusedKeys) *reusedKeysJSON {
	if r.Count == 0 {
		return nil
	}
	return &reusedKeysJSON{Count: r.Count, At: web.Utc(&r.LastAt), Sender: r.Sender, Differs: r.Differs, MessageID: r.MessageID}
}

// factJSON is one figure of the method.
type factJSON struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
	Limit *int64 `json:"limit"`
	Text  string `json:"text,omitempty"`
	Alarm bool   `json:"alarm,omitempty"`
}

type pauseJSON struct {
	At     *time.Time `json:"at"`
	By     string     `json:"by"`
	ByID   string     `json:"by_id"`
	Until  *time.Time `json:"until"`
	Reason string     `json:"reason"`
}

type hourJSON struct {
	Start     *time.Time `json:"start"`
	Delivered int        `json:"delivered"`
	Failed    int        `json:"failed"`
}

func (s *API) integrationJSON(now time.Time) func(delivery.IntegrationHealth) IntegrationJSON {
	return func(h delivery.IntegrationHealth) IntegrationJSON {
		out := IntegrationJSON{
			Name:                 h.Name,
			Description:          h.Description,
			Labels:               labelsOf(h),
			Runbook:              h.Runbook,
			Method:               h.Method,
			Subscribe:            s.subscriptions(h.Name),
			Destination:          h.Destination,
			Address:              h.Address,
			Status:               statusOf(h),
			Breaker:              h.Breaker,
			BreakerUntil:         web.Utc(h.BreakerUntil),
			Backlog:              h.Pending + h.Sending,
			Pending:              h.Pending,
			Sending:              h.Sending,
			Dead:                 h.Dead,
			Ignored:              h.Ignored,
			OldestPendingAt:      web.Utc(h.OldestPending),
			OldestPendingSeconds: web.Age(h.OldestPending, now).Seconds(),
			Delivered24h:         h.Delivered24h,
			Failed24h:            h.Failed24h,
			NewGroups:            h.NewGroups,
			Hours:                make([]hourJSON, 0, len(h.Hours)),
			Facts:                []factJSON{},
			Health:               []partJSON{},
			Gaps:                 gapsJSONOf(h.Gaps),
			ReusedKeys:           reusedKeysJSONOf(h.ReusedKeys),
			TableGaps:            tableGapsJSON(h.TableGaps),
		}
		for _, p := range h.Parts {
			out.Health = append(out.Health,
				partJSON{Part: p.Part, Status: p.Status, Since: web.Utc(&p.Since), LastSuccess: web.Utc(p.LastSuccess),
					LastError: web.English(p.LastError), LastErrorAt: web.Utc(p.LastErrorAt)},
			)
		}
		for _, f := range s.Facts(h.Name) {
			shown := factJSON{Name: f.Name, Value: f.Value, Text: web.English(f.Says), Alarm: f.Alarm}
			if f.Limit > 0 {
				shown.Limit = &f.Limit
			}
			out.Facts = append(out.Facts, shown)
		}
		if h.PausedAt != nil {
			reason := cmp.Or(h.PauseReason, web.English(h.PauseSays))
			out.Paused = &pauseJSON{At: web.Utc(h.PausedAt), By: h.PausedBy, ByID: h.PausedByID, Until: web.Utc(h.PausedUntil), Reason: reason}
		}
		for _, hour := range h.Hours {
			out.Hours = append(out.Hours, hourJSON{Start: web.Utc(&hour.Start), Delivered: hour.Delivered, Failed: hour.Failed})
		}
		return out
	}
}

// labelsOf is never null.
func labelsOf(h delivery.IntegrationHealth) map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, h.Labels)
	return labels
}

func (s *API) subscriptions(integration string) []string {
	for _, i := range s.Config.Integrations {
		if i.Name == integration && i.Subscribe != nil {
			return i.Subscribe
		}
	}
	return []string{}
}

// statusOf is one word for people and dashboards: the gravest of what holds.
func statusOf(h delivery.IntegrationHealth) string {
	switch {
	case h.PausedAt != nil:
		return "paused"
	case h.Breaker == delivery.BreakerOpen:
		return "breaker_open"
	case h.Breaker == delivery.BreakerHalfOpen || h.Dead > 0 || h.Alarm || len(delivery.Degraded(h.Parts)) > 0:
		return "degraded"
	}
	return "ok"
}

// AcceptedJSON is the answer to whoever sent a message.
type AcceptedJSON struct {
	ID         string            `json:"id"`
	Duplicate  bool              `json:"duplicate"`
	Differs    delivery.KeyReuse `json:"differs,omitempty"`
	Deliveries []refJSON         `json:"deliveries"`
}

type refJSON struct {
	ID          string         `json:"id"`
	Integration string         `json:"integration"`
	State       delivery.State `json:"state"`
}

func acceptedJSONOf(a delivery.Accepted) AcceptedJSON {
	out := AcceptedJSON{ID: a.ID, Duplicate: a.Duplicate, Differs: a.Differs, Deliveries: make([]refJSON, 0, len(a.Deliveries))}
	for _, d := range a.Deliveries {
		out.Deliveries = append(out.Deliveries, refJSON(d))
	}
	return out
}
