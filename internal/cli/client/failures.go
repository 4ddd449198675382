package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"redrive/delivery"
)

// Failures are the commands about failures.
type Failures struct {
	List     List     `cmd:"" help:"List failures; dead letters unless you say otherwise."`
	Show     Show     `cmd:"" help:"Show everything about one failure."`
	Count    Count    `cmd:"" help:"Count failures."`
	Groups   Groups   `cmd:"" help:"Group failures by what they have in common."`
	Retry    Retry    `cmd:"" help:"Try again: the same bytes with the same idempotency key."`
	Ignore   Ignore   `cmd:"" help:"Decide not to deliver."`
	Resolve  Resolve  `cmd:"" help:"Note that it was settled by other means."`
	Reopen   Reopen   `cmd:"" help:"Take ignoring or resolving back."`
	Withdraw Withdraw `cmd:"" help:"Take a retry back that no worker has begun."`
	Edit     Edit     `cmd:"" help:"Change the payload in your editor, then retry."`
	Redirect Redirect `cmd:"" help:"Retry by another integration."`
}

// Output is how a command answers.
type Output struct {
	Output string `name:"output" short:"o" default:"table" enum:"table,json,ids" help:"table, json (what the API answers) or ids."`
}

// Selection is on what a command works.
type Selection struct {
	What []string `arg:"" optional:"" name:"search" help:"Ids, or a search as the console's search bar takes it: integration:seller-push class:timeout."`
}

// ids returns the ids that were given, or the search that was.
func (s Selection) ids() (ids []string, search string, err error) {
	for _, word := range s.What {
		if delivery.IsUUID(word) {
			ids = append(ids, strings.ToLower(word))
		}
	}
	if len(ids) > 0 && len(ids) < len(s.What) {
		return nil, "", misused("give ids or a search, not both")
	}
	return ids, strings.Join(s.What, " "), nil
}

func (s Selection) query() (url.Values, error) {
	ids, search, err := s.ids()
	q := url.Values{}
	switch {
	case err != nil:
		return nil, err
	case len(ids) > 0:
		q["id"], q["state"] = ids, anyState()
	case search != "":
		q.Set("search", search)
	}
	return q, nil
}

// anyState is every state: whoever names an id means it whatever its state.
func anyState() (all []string) {
	for _, s := range delivery.States {
		all = append(all, string(s))
	}
	return all
}

// failure is what the commands show of a delivery.
type failure struct {
	ID, Integration, State, Error, Key, Type string
	Version                                  int
	Edit                                     int
	AttemptCount                             int        `json:"attempt_count"`
	ErrorClass                               string     `json:"error_class"`
	MessageID                                string     `json:"message_id"`
	FailedAt                                 *time.Time `json:"failed_at"`
	LastAttemptAt                            *time.Time `json:"last_attempt_at"`
	NextAttemptAt                            *time.Time `json:"next_attempt_at"`
	DeadAt                                   *time.Time `json:"dead_at"`
	SettledAt                                *time.Time `json:"settled_at"`
	RetryRequestedAt                         *time.Time `json:"retry_requested_at"`
	OperationID                              string     `json:"operation_id"`
	Settlement                               *struct{ Actor, Reason, Category, Evidence string }
	Case                                     struct {
		AcknowledgedBy   string `json:"acknowledged_by"`
		Assignee, Ticket string
		Tags             []string
	}
}

// changed is when its state last changed.
func (f failure) changed() (last *time.Time) {
	for _, at := range []*time.Time{f.FailedAt, f.LastAttemptAt, f.DeadAt, f.SettledAt, f.RetryRequestedAt} {
		if at != nil && (last == nil || at.After(*last)) {
			last = at
		}
	}
	return last
}

func (f failure) state() string {
	if f.State == "pending" && f.RetryRequestedAt != nil {
		return "retry requested"
	}
	return f.State
}

// List lists failures.
type List struct {
	Server
	Output
	Selection
	Limit int    `default:"50"     help:"At most so many."`
	Sort  string `default:"newest" help:"newest or oldest change first." enum:"newest,oldest"`
}

// Run lists.
func (c *List) Run(ctx context.Context, t *Terminal) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	if c.Sort != "newest" {
		q.Set("sort", c.Sort)
	}
	now := time.Now()
	return c.list(ctx, t, c.Output, listing{path: "/failures", query: q, limit: c.Limit, none: "Nothing fits.",
		head:  []string{"ID", "STATE", "INTEGRATION", "CLASS", "TRIES", "KEY", "CHANGED", "ERROR"},
		least: []int{0, 0, 10, 8, 0, 6, 7, 12},
		row: func(item json.RawMessage) (string, []string, error) {
			var f failure
			err := decode(item, &f)
			return f.ID, []string{
				f.ID,
				f.state(),
				f.Integration,
				f.ErrorClass,
				fmt.Sprint(f.AttemptCount),
				f.Key,
				ago(f.changed(), now),
				f.Error,
			}, err
		}})
}

// Count counts failures.
type Count struct {
	Server
	Selection
	Output string `name:"output" short:"o" default:"table" enum:"table,json" help:"table or json."`
}

// Run counts.
func (c *Count) Run(ctx context.Context, t *Terminal) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	var n struct {
		Count  int
		Capped bool
	}
	raw, err := c.get(ctx, "/failures/count", q, &n)
	switch {
	case err != nil:
		return err
	case c.Output == "json":
		t.json(raw)
	case n.Capped:
		fmt.Fprintln(t.Out, Text("more than %d", n.Count))
	default:
		fmt.Fprintln(t.Out, n.Count)
	}
	return nil
}

// Groups lists failure groups.
type Groups struct {
	Server
	Output
	Text        []string `arg:"" optional:"" help:"Part of the error text."`
	By          []string `                   help:"Keys: integration, method, destination, error_class, message; without any, the fingerprint."`
	State       []string `                   help:"States that count; dead unless you say otherwise."`
	Status      []string `                   help:"new, known, regressed or settled."`
	Integration []string `                   help:"Only of these integrations."`
	Class       []string `                   help:"Only of these error classes."`
	Sort        string   `                   help:"growth (since yesterday), count, latest (last seen first) or newest."                         default:"count" enum:"growth,count,latest,newest"`
	Limit       int      `                   help:"At most so many."                                                                            default:"50"`
}

// Run lists.
func (c *Groups) Run(ctx context.Context, t *Terminal) error {
	q := url.Values{
		"by":          c.By,
		"state":       c.State,
		"status":      c.Status,
		"integration": c.Integration,
		"error_class": c.Class,
		"sort":        {c.Sort},
	}
	if len(c.Text) > 0 {
		q.Set("q", strings.Join(c.Text, " "))
	}
	now := time.Now()
	return c.list(ctx, t, c.Output, listing{path: "/groups", query: q, limit: c.Limit, none: "There is no such group.",
		head:  []string{"COUNT", "STATUS", "INTEGRATION", "CLASS", "METHOD", "TO", "LAST SEEN", "ID", "MESSAGE"},
		least: []int{0, 0, 10, 8, 0, 0, 7, 0, 16},
		row: func(item json.RawMessage) (string, []string, error) {
			var g struct {
				ID, Integration, Method, Destination, Message, Status string
				ErrorClass                                            string `json:"error_class"`
				Count                                                 int
				LastSeen                                              *time.Time `json:"last_seen"`
			}
			err := decode(item, &g)
			return g.ID, []string{
				fmt.Sprint(g.Count),
				g.Status,
				g.Integration,
				g.ErrorClass,
				g.Method,
				g.Destination,
				ago(g.LastSeen, now),
				g.ID,
				g.Message,
			}, err
		}})
}

// Show shows one failure.
type Show struct {
	Server
	ID     string `arg:"" help:"Id of the failure."`
	Output string `       help:"table or json (what the API answers)." name:"output" short:"o" default:"table" enum:"table,json"`
}

// content is a payload as the API shows it.
type content struct {
	Headers       map[string]string
	Payload       json.RawMessage
	PayloadBase64 *string `json:"payload_base64"`
	PayloadNull   bool    `json:"payload_null"`
	ShownBase64   *string `json:"shown_base64"`
	Masked        bool
	Size          int
	Dropped       bool
	Omitted       bool
}

// bytes are the exact payload, nil where there is none, or what is shown of it; ok is false when nothing is.
func (c content) bytes() (payload []byte, ok bool) {
	if c.PayloadNull {
		return nil, true
	}
	encoded := c.PayloadBase64
	if encoded == nil {
		encoded = c.ShownBase64
	}
	if encoded == nil {
		return nil, false
	}
	payload, err := base64.StdEncoding.DecodeString(*encoded)
	return payload, err == nil
}

// detail is everything about one failure.
type detail struct {
	failure
	Message  content
	Attempts []struct {
		Number     int
		StartedAt  *time.Time `json:"started_at"`
		DurationMS int        `json:"duration_ms"`
		Outcome    string
		ErrorClass string `json:"error_class"`
		Error      string
		Response   string
		Edit       int
	}
	Edits []struct {
		content
		Number        int
		Actor, Reason string
		CreatedAt     *time.Time `json:"created_at"`
	}
	Notes []struct {
		At           *time.Time
		Author, Text string
	}
	History []struct {
		At                    *time.Time
		Actor, Action, Reason string
	}
}

// sent is what the latest version sends.
func (d detail) sent() content {
	if n := len(d.Edits); n > 0 {
		return d.Edits[n-1].content
	}
	return d.Message
}

// Run shows.
func (c *Show) Run(ctx context.Context, t *Terminal) error {
	d, raw, err := c.detail(ctx, c.ID)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		t.json(raw)
		return nil
	}
	d.print(t, time.Now())
	return nil
}

func (s Server) detail(ctx context.Context, id string) (d detail, raw []byte, err error) {
	if !delivery.IsUUID(id) {
		return d, nil, misused("%q is not the id of a failure, a UUID", id)
	}
	raw, err = s.get(ctx, "/deliveries/"+url.PathEscape(id), nil, &d)
	return d, raw, err
}

func (d detail) print(t *Terminal, now time.Time) {
	row := t.fact
	row("Failure", d.ID)
	row("State", Text("%s since %s (version %d)", d.state(), ago(d.changed(), now), d.Version))
	row("Integration", d.Integration)
	row("Message", strings.TrimSpace(d.MessageID+" "+d.Type))
	row("Key", d.Key)
	row("Error", strings.TrimSpace(d.ErrorClass+" "+d.Error))
	row("Next attempt", ago(d.NextAttemptAt, now))
	if s := d.Settlement; s != nil {
		row("Decided", strings.Join(strings.Fields(s.Actor+": "+s.Category+" "+s.Reason+" "+s.Evidence), " "))
	}
	row("Operation", d.OperationID)
	row("Acknowledged", d.Case.AcknowledgedBy)
	row("Assignee", d.Case.Assignee)
	row("Tags", strings.Join(d.Case.Tags, ", "))
	row("Ticket", d.Case.Ticket)
	d.printAttempts(t, now)
	d.printSent(t)
	d.printHistory(t, now)
}

func (d detail) printAttempts(t *Terminal, now time.Time) {
	t.part("Attempts")
	x := &table{
		head:  []string{"NO", "WHEN", "TOOK", "OUTCOME", "CLASS", "VERSION", "ERROR", "RESPONSE"},
		least: []int{0, 7, 0, 0, 8, 0, 12, 8},
	}
	for _, a := range d.Attempts {
		x.add(fmt.Sprint(a.Number), ago(a.StartedAt, now), fmt.Sprintf("%dms", a.DurationMS), a.Outcome, a.ErrorClass,
			fmt.Sprint(a.Edit), a.Error, a.Response)
	}
	t.table(x)
}

// shownPayload bounds what a terminal gets of a payload.
const shownPayload = 16 << 10

func (d detail) printSent(t *Terminal) {
	sent := d.sent()
	size := plural(sent.Size, "byte", "bytes")
	if sent.PayloadNull {
		size = "null"
	}
	if sent.Masked {
		size = Text("%s, with hidden values", size)
	}
	t.part("Payload, version %d (%s)", max(d.Edit, 1), size)
	payload, ok := sent.bytes()
	switch {
	case sent.Dropped:
		t.instead("not kept any more")
	case sent.PayloadNull:
		t.instead("none, which is not the same as an empty one")
	case !ok:
		t.instead("hidden")
	case !utf8.Valid(payload):
		t.instead("not text; -o json has it in base64")
	default:
		text, rest := string(payload), ""
		if len(text) > shownPayload {
			text, rest = strings.ToValidUTF8(text[:shownPayload], ""), "\n  … "+Text("-o json has the rest")
		}
		fmt.Fprintln(t.Out, lines(text, "  ")+rest)
	}
}

// part begins a part of what is shown.
func (t *Terminal) part(text string, args ...any) { fmt.Fprintln(t.Out, "\n"+Text(text, args...)) }

// instead says why no payload stands here.
func (t *Terminal) instead(text string) { fmt.Fprintln(t.Out, "  "+Text(text)) }

func (d detail) printHistory(t *Terminal, now time.Time) {
	for _, n := range d.Notes {
		t.part("Note of %s, %s", visible(n.Author), ago(n.At, now))
		fmt.Fprintln(t.Out, lines(n.Text, "  "))
	}
	if len(d.History) == 0 {
		return
	}
	t.part("History")
	x := &table{head: []string{"WHEN", "WHO", "WHAT", "WHY"}, least: []int{7, 0, 0, 12}}
	for _, h := range d.History {
		x.add(ago(h.At, now), h.Actor, h.Action, h.Reason)
	}
	t.table(x)
}
