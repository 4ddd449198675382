package seed

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"time"

	"redrive/delivery"
	"redrive/delivery/past"
	"redrive/store/audit"
)

// tables is a history as rows.
type tables struct {
	hash       string
	tokens     int64
	operators  []operatorRow
	views      []viewRow
	messages   []messageRow
	deliveries []deliveryRow
	details    []detailsRow
	attempts   []attemptRow
	queue      []queueRow
	edits      []editRow
	cases      []caseRow
	notes      []noteRow
	moves      []moveRow
	operations []operationRow
	parts      []partRow
	items      []itemRow
	groups     map[string]*groupRow
	hours      map[hourKey]*hourRow
	retried    map[string]retriedRow
	remedies   map[remedyKey]*settlementRow
	entries    []delivery.AuditEntry
}

// beforeAll is the number of a transaction that every snapshot shows.
const beforeAll = "3"

func (t *tables) message(m delivery.Message) {
	headers := m.Headers
	if headers == nil {
		headers = map[string]string{}
	}
	t.messages = append(t.messages, messageRow{ID: m.ID, Xid: beforeAll, Kind: m.Kind, Integration: optional(m.Integration), Type: m.Type,
		Key: optional(m.Key), Headers: headers, Payload: m.Payload, Idempotency: optional(m.IdempotencyKey), ExpiresAt: m.ExpiresAt, CreatedAt: m.CreatedAt, Sender: m.Sender})
}

func (t *tables) hour(integration string, at time.Time) *hourRow {
	k := hourKey{integration, at.UTC().Truncate(time.Hour)}
	if t.hours[k] == nil {
		t.hours[k] = &hourRow{Integration: integration, Hour: k.hour}
	}
	return t.hours[k]
}

func (t *tables) token() *int64 {
	t.tokens--
	token := t.tokens
	return &token
}

func (t *tables) delivered(d past.Delivered) {
	t.message(d.Message)
	t.hour(d.Integration, d.At).Delivered++
	took, status, started := d.Took.Milliseconds(), 200, d.At.Add(-d.Took)
	t.deliveries = append(t.deliveries, deliveryRow{ID: d.ID, Message: d.Message.ID, Integration: d.Integration, State: delivery.StateDelivered,
		Version: 1, Attempts: 1, CreatedAt: d.Message.CreatedAt, ChangedAt: d.At, SettledAt: &d.At, Token: t.token(), StartedAt: &started,
		Duration: &took, Status: &status})
}

func (t *tables) failure(f *past.Failure) {
	t.message(f.Message)
	t.tries(f)
	t.record(f)
	t.kept(f)
	for _, m := range f.Moves {
		t.moves = append(t.moves, moveRow{f.GroupID, m.At, m.Dead, m.Acknowledged, m.Pending, m.Ignored, m.Resolved, m.Delivered, m.Failed, m.Died, m.Came})
	}
	for _, d := range f.Decisions {
		t.decision(f, d)
	}
}

func (t *tables) tries(f *past.Failure) {
	name := f.Integration.Name
	for _, a := range f.Tries {
		ended := a.StartedAt.Add(a.Duration)
		t.attempts = append(t.attempts, attemptRow{Delivery: f.ID, Token: *t.token(), Number: a.Number, StartedAt: a.StartedAt,
			Duration: a.Duration.Milliseconds(), Outcome: a.Outcome, Class: a.ErrorClass, Error: a.Error, Status: optional(a.HTTPStatus),
			Response: a.Response, At: ended, Exchange: a.Exchange})
		t.hour(name, ended).Failed++
		g := t.groups[f.GroupID]
		if g == nil {
			g = &groupRow{ID: f.GroupID, Integration: name, Class: a.ErrorClass, Message: f.GroupText, FirstSeen: ended, LastSeen: ended,
				Types: []string{f.Message.Type}}
			t.groups[f.GroupID] = g
		}
		if ended.Before(g.FirstSeen) {
			g.FirstSeen = ended
		}
		if ended.After(g.LastSeen) {
			g.LastSeen = ended
		}
	}
	if f.State == delivery.StateDelivered {
		t.hour(name, f.ChangedAt).Delivered++
	}
}

// record is what lists read.
func (t *tables) record(f *past.Failure) {
	last := f.Tries[len(f.Tries)-1]
	first := f.Tries[0]
	failed := first.StartedAt.Add(first.Duration)
	r := deliveryRow{ID: f.ID, Message: f.Message.ID, Integration: f.Integration.Name, State: f.State, Version: f.Version, Attempts: f.Attempts,
		Class: &last.ErrorClass, Group: &f.GroupID, CreatedAt: f.Message.CreatedAt, FailedAt: &failed, ChangedAt: f.ChangedAt,
		StartedAt: &last.StartedAt, AcknowledgedAt: f.Case.AcknowledgedAt, Key: optional(f.Message.Key), Type: &f.Message.Type,
		ExpiresAt: f.Message.ExpiresAt}
	token := t.tokens
	r.Token = &token
	switch {
	case f.State == delivery.StateDead:
		r.DeadAt = &f.ChangedAt
	case f.State.Settled():
		r.SettledAt = &f.ChangedAt
	}
	if f.State == delivery.StateDelivered {
		took := f.Delivery.Duration.Milliseconds()
		r.StartedAt, r.Duration, r.Status, r.Token = &f.Delivery.StartedAt, &took, optional(f.Delivery.HTTPStatus), t.token()
	}
	if f.Operation != nil {
		r.Operation, r.Item = &f.Operation.ID, optional(f.Item)
	}
	d := detailsRow{Delivery: f.ID, Error: last.Error}
	for i := range f.Decisions {
		decided := f.Decisions[i]
		actor := by(decided.By)
		r.Actor = &actor
		if decided.Operation == nil {
			d.Actor, d.Action, d.ActedAt, d.Reason = &actor, &decided.Action, &decided.At, &decided.Reason
			d.Category, d.Until, d.Evidence = optional(decided.Category), decided.Until, optional(decided.Evidence)
		}
	}
	if n := len(f.Edits); n > 0 {
		r.Edit = &f.Edits[n-1].Number
	}
	if f.State == delivery.StatePending {
		t.queue = append(t.queue, queueRow{ID: f.ID, Message: f.Message.ID, Integration: f.Integration.Name, DueAt: f.DueAt, Attempts: f.Attempts,
			RoundStart: f.Round, Edit: r.Edit})
	}
	t.deliveries, t.details = append(t.deliveries, r), append(t.details, d)
}

// kept is what people keep about a failure, each with its entry in the audit.
func (t *tables) kept(f *past.Failure) {
	for _, e := range f.Edits {
		headers := e.Headers
		if headers == nil {
			headers = map[string]string{}
		}
		t.edits = append(t.edits, editRow{f.ID, e.Number, e.Payload, headers, e.ActorID, e.Reason, e.AfterAttempt, e.CreatedAt, false})
	}
	for _, n := range f.Notes {
		t.notes = append(t.notes, noteRow{n.ID, f.ID, n.At, n.AuthorID, n.Text})
		sum := sha256.Sum256([]byte(n.Text))
		t.entry(n.AuthorID, n.At, "case.note", "delivery", f.ID, "",
			map[string]any{"integration": f.Integration.Name, "note": n.ID, "sha256": hex.EncodeToString(sum[:])})
	}
	for i, k := range f.Kept {
		members := map[string]any{"integration": f.Integration.Name, "version": i + 1}
		maps.Copy(members, k.Members)
		t.entry(by(k.By), k.At, "case.change", "delivery", f.ID, "", members)
	}
	if n := len(f.Kept); n > 0 {
		tags := append([]string{}, f.Case.Tags...)
		t.cases = append(t.cases, caseRow{f.ID, n, optional(f.Case.AcknowledgedID), optional(f.Case.AssigneeID), tags, optional(f.Case.Ticket),
			by(f.Kept[n-1].By), f.Kept[n-1].At})
	}
}

// decision is the entry of what somebody decided, and what it is for the group. What the policy of an integration decides is an outcome.
func (t *tables) decision(f *past.Failure, d past.Decision) {
	if d.By.ID == "" {
		return
	}
	members := map[string]any{"integration": f.Integration.Name, "from": string(d.Was), "to": string(d.Action.Row().To), "version": d.Version,
		"category": d.Category, "evidence": d.Evidence, "until": audit.UntilText(d.Until)}
	if d.Operation != nil {
		members["operation"] = d.Operation.ID
	}
	if d.Action.Row().Queues && (delivery.Delivery{State: d.Was, ErrorClass: d.Class}).MayHaveHadEffect() {
		members["outcome_unknown"] = d.Class
	}
	if d.Edited != nil {
		members["number"] = d.Edited.Number
		for which, payload := range map[string][]byte{"old": d.Before, "new": d.Edited.Payload} {
			sum := sha256.Sum256(payload)
			members[which+"_sha256"] = hex.EncodeToString(sum[:])
		}
	}
	t.entry(d.By.ID, d.At, "delivery."+string(d.Action), "delivery", f.ID, d.Reason, members)
	t.remedy(f, d)
}

func (t *tables) remedy(f *past.Failure, d past.Decision) {
	row := d.Action.Row()
	if !row.Queues && !row.To.Settled() {
		return
	}
	k := remedyKey{f.GroupID, f.ID, d.Action}
	if d.Operation != nil {
		k.id = d.Operation.ID
	}
	s := t.remedies[k]
	if s == nil {
		s = &settlementRow{Group: k.group, ID: k.id, Action: k.action, Operation: d.Operation != nil}
		t.remedies[k] = s
	}
	if s.Operation || s.Deliveries == 0 {
		s.Deliveries++
	}
	s.Actor, s.Reason, s.Category, s.Evidence, s.At = d.By.ID, d.Reason, optional(d.Category), optional(d.Evidence), d.At
	s.Ticket = optional(f.Case.Ticket)
}

func (t *tables) entry(actor string, at time.Time, action, kind, subject, reason string, members map[string]any) {
	t.entries = append(t.entries, delivery.AuditEntry{Actor: actor, At: at, Action: action, SubjectType: kind, Subject: subject, Reason: reason,
		Details: audit.Details(members)})
}

func (t *tables) operation(o *past.Operation) {
	filter := json.RawMessage(`{"groups":["` + o.Group + `"],"states":["dead"]}`)
	row := operationRow{ID: o.ID, Action: delivery.ActionRetry, State: delivery.OperationFinished, Version: 1, Actor: o.By.ID, Reason: o.Reason,
		Filter: filter, Canary: optional(o.Pace.Canary), StopAbove: optional(o.Pace.StopAbove), Selected: len(o.Items), CreatedAt: o.Begun,
		ChangedAt: o.ChangedAt, FinishedAt: o.FinishedAt}
	phase := delivery.PhaseDone
	t.entry(o.By.ID, o.Begun, "operation.start", audit.SubjectOperation, o.ID, o.Reason, map[string]any{"action": "retry", "selected": len(o.Items),
		"integrations": map[string]int{o.Integration: len(o.Items)}, "filter": filter, "pace": map[string]any{delivery.PaceCanary: o.Pace.Canary}})
	retried := retriedRow{Group: o.Group, Operation: o.ID, Selected: len(o.Items)}
	if o.FinishedAt == nil {
		row.State, row.Version, phase = delivery.OperationPaused, 2, delivery.PhaseCanary
		note := json.RawMessage(*o.Note.JSON())
		row.Note = &note
		t.entry(delivery.ActorPolicy, o.ChangedAt, "operation.pause", audit.SubjectOperation, o.ID, "", map[string]any{"why": o.Note})
	} else {
		retried.Succeeded, retried.Failed = &o.Succeeded, &o.Failed
	}
	t.operations, t.retried[o.Group] = append(t.operations, row), retried
	t.parts = append(t.parts, partRow{Operation: o.ID, Integration: o.Integration, First: 1, Last: len(o.Items), Cursor: o.Sent, Phase: phase,
		Allowance: 1, Succeeded: o.Succeeded, Failed: o.Failed, Wave: o.Wave, Size: o.Size, Sent: o.Good + o.Bad, Good: o.Good, Bad: o.Bad})
	for i, f := range o.Items {
		item := itemRow{Operation: o.ID, N: i + 1, Delivery: f.ID, Version: o.Versions[i], Wave: 1, Group: o.Group}
		if i < o.Sent {
			item.Wave = o.Waves[i]
			outcome := "succeeded"
			if o.Outcomes[i] != delivery.StateDelivered {
				outcome, item.Reason = "failed", &f.Tries[len(f.Tries)-1].ErrorClass
			}
			item.Outcome = &outcome
		}
		t.items = append(t.items, item)
	}
}
