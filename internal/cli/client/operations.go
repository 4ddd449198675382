package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"time"

	"redrive/delivery"
)

// Operations are the commands about bulk actions.
type Operations struct {
	List   ListOperations `cmd:"" help:"List operations, the newest first."`
	Show   ShowOperation  `cmd:"" help:"Show one operation."`
	Items  Items          `cmd:"" help:"List what became of each failure of an operation."`
	Pause  Pause          `cmd:"" help:"Release nothing more; what was released still gets its outcome."`
	Resume Resume         `cmd:"" help:"Go on, with a new canary."`
	Cancel Cancel         `cmd:"" help:"End it; what was not acted on stays as it was."`
	Watch  Watch          `cmd:"" help:"Follow an operation to its end."`
}

// operation is what the commands show of an operation.
type operation struct {
	ID, Action, State, Actor, Reason, Note                     string
	Version                                                    int
	Selected, Succeeded, Failed, Skipped, Cancelled, Remaining int
	Released, Failing                                          int
	Excluded                                                   map[string]int
	Filter                                                     json.RawMessage
	Pace                                                       map[string]float64
	Wave                                                       *struct {
		Number, Size, Failed int
		Ratio                float64
	}
	CreatedAt  *time.Time `json:"created_at"`
	FinishedAt *time.Time `json:"finished_at"`
	Parts      []part
}

type part struct {
	Integration, Phase, Held                                         string
	Selected, Waiting, Released, Failing, Succeeded, Failed, Skipped int
	Rate                                                             float64 `json:"rate_per_second"`
}

// ListOperations lists operations.
type ListOperations struct {
	Server
	Output
	State []string `help:"running, paused, cancelled or finished."`
	Actor string   `help:"Who started it."`
	Limit int      `help:"At most so many."                        default:"20"`
}

// Run lists.
func (c *ListOperations) Run(ctx context.Context, t *Terminal) error {
	q := url.Values{"state": c.State}
	if c.Actor != "" {
		q.Set("actor", c.Actor)
	}
	now := time.Now()
	return c.list(ctx, t, c.Output, listing{path: "/operations", query: q, limit: c.Limit, none: "There is no such operation.",
		head:  []string{"ID", "ACTION", "STATE", "SELECTED", "DONE", "FAILED", "LEFT", "WHO", "STARTED", "REASON"},
		least: []int{0, 0, 0, 0, 0, 0, 0, 6, 7, 12},
		row: func(item json.RawMessage) (string, []string, error) {
			var o operation
			err := decode(item, &o)
			return o.ID, []string{
				o.ID,
				o.Action,
				o.State,
				fmt.Sprint(o.Selected),
				fmt.Sprint(o.Succeeded),
				fmt.Sprint(o.Failed),
				fmt.Sprint(o.Remaining),
				o.Actor,
				ago(o.CreatedAt, now),
				o.Reason,
			}, err
		}})
}

// One names an operation.
type One struct {
	Server
	ID string `arg:"" help:"Id of the operation."`
}

func (c One) path() (string, error) {
	if !delivery.IsUUID(c.ID) {
		return "", misused("%q is not the id of an operation, a UUID", c.ID)
	}
	return "/operations/" + url.PathEscape(c.ID), nil
}

// ShowOperation shows one operation.
type ShowOperation struct {
	One
	Output
}

// Run shows.
func (c *ShowOperation) Run(ctx context.Context, t *Terminal) error {
	path, err := c.path()
	if err != nil {
		return err
	}
	var o operation
	raw, err := c.get(ctx, path, nil, &o)
	if err != nil {
		return err
	}
	c.Output.operation(t, raw, o)
	return nil
}

// operation shows how an operation stands.
func (o Output) operation(t *Terminal, raw []byte, is operation) {
	switch o.Output {
	case "json":
		t.json(raw)
	case "ids":
		fmt.Fprintln(t.Out, visible(is.ID))
	default:
		is.print(t, time.Now())
	}
}

func (o operation) print(t *Terminal, now time.Time) {
	row := t.fact
	row("Operation", o.ID)
	row("Action", Text("%s of %s", spoken(o.Action), plural(o.Selected, "failure", "failures")))
	row("State", Text("%s (version %d)", spoken(o.State), o.Version))
	row("Note", o.Note)
	row("Started", Text("%s by %s", ago(o.CreatedAt, now), o.Actor))
	row("Reason", o.Reason)
	if string(o.Filter) != "null" {
		row("Filter", string(o.Filter))
	}
	row("Outcomes", o.numbers())
	if w := o.Wave; w != nil {
		row("Wave", Text("%d, of %d: %d failed (%.0f%%)", w.Number, w.Size, w.Failed, 100*w.Ratio))
	}
	row("Not selected", numbers(o.Excluded))
	row("Finished", ago(o.FinishedAt, now))
	if len(o.Parts) == 0 {
		return
	}
	fmt.Fprintln(t.Out)
	x := &table{
		head:  []string{"INTEGRATION", "PHASE", "SELECTED", "WAITING", "RELEASED", "DONE", "FAILED", "SKIPPED", "RATE", "HELD"},
		least: []int{10, 0, 0, 0, 0, 0, 0, 0, 0, 10},
	}
	for _, p := range o.Parts {
		rate := ""
		if p.Rate > 0 {
			rate = fmt.Sprintf("%g/s", p.Rate)
		}
		x.add(p.Integration, p.Phase, fmt.Sprint(p.Selected), fmt.Sprint(p.Waiting), fmt.Sprint(p.Released),
			fmt.Sprint(p.Succeeded), fmt.Sprint(p.Failed), fmt.Sprint(p.Skipped), rate, p.Held)
	}
	t.table(x)
}

// numbers say how far it is; they add up to what was selected.
func (o operation) numbers() string {
	text := Text("%d of %d succeeded, %d failed, %d skipped", o.Succeeded, o.Selected, o.Failed, o.Skipped)
	if o.Cancelled > 0 {
		text += Text(", %d cancelled", o.Cancelled)
	}
	if o.Remaining > 0 {
		text += Text(", %d remain", o.Remaining)
	}
	if o.Released > 0 {
		if o.Failing > 0 {
			return text + Text(" (%d without an outcome yet, %d of them failing)", o.Released, o.Failing)
		}
		text += Text(" (%d without an outcome yet)", o.Released)
	}
	return text
}

// Items lists the items of an operation.
type Items struct {
	One
	Output
	Outcome     string `help:"waiting, released, succeeded, failed, skipped or cancelled."`
	Integration string `help:"Only those of this integration."`
	Limit       int    `help:"At most so many."                                            default:"100"`
}

// Run lists.
func (c *Items) Run(ctx context.Context, t *Terminal) error {
	path, err := c.path()
	if err != nil {
		return err
	}
	q := url.Values{}
	for name, value := range map[string]string{"outcome": c.Outcome, "integration": c.Integration} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return c.list(ctx, t, c.Output, listing{path: path + "/items", query: q, limit: c.Limit, none: "There is no such item.",
		head:  []string{"NO", "FAILURE", "INTEGRATION", "OUTCOME", "REASON"},
		least: []int{0, 0, 10, 0, 12},
		row: func(item json.RawMessage) (string, []string, error) {
			var i struct {
				N                            int
				DeliveryID                   string `json:"delivery_id"`
				Integration, Outcome, Reason string
			}
			err := decode(item, &i)
			return i.DeliveryID, []string{fmt.Sprint(i.N), i.DeliveryID, i.Integration, i.Outcome, i.Reason}, err
		}})
}

// steer is what pausing, resuming and cancelling have in common.
type steer struct {
	One
	Output
	Reason string `help:"Why; the audit keeps it."`
}

func (c steer) run(ctx context.Context, t *Terminal, step string, more map[string]any) error {
	path, err := c.path()
	if err != nil {
		return err
	}
	var o operation
	body := map[string]any{"reason": c.Reason}
	maps.Copy(body, more)
	raw, err := c.post(ctx, path+"/"+step, body, &o)
	if err != nil {
		return err
	}
	if c.Output.Output == "table" {
		fmt.Fprintln(t.Out, Text("Operation %s is %s: %s.", visible(o.ID), spoken(o.State), o.numbers()))
		return nil
	}
	c.Output.operation(t, raw, o)
	return nil
}

// Pause pauses an operation.
type Pause struct {
	steer
}

// Resume resumes an operation.
type Resume struct {
	steer
	Canary *int `help:"So many of each integration go first; without it as many as before; 0: none, all at once."`
}

// Cancel ends an operation.
type Cancel struct {
	steer
}

// Run pauses.
func (c *Pause) Run(ctx context.Context, t *Terminal) error { return c.run(ctx, t, "pause", nil) }

// Run resumes.
func (c *Resume) Run(ctx context.Context, t *Terminal) error {
	more := map[string]any{}
	if c.Canary != nil {
		more["canary"] = *c.Canary
	}
	return c.run(ctx, t, "resume", more)
}

// Run cancels.
func (c *Cancel) Run(ctx context.Context, t *Terminal) error { return c.run(ctx, t, "cancel", nil) }

// Watch follows an operation.
type Watch struct {
	One
	Output
}

// Run follows.
func (c *Watch) Run(ctx context.Context, t *Terminal) error {
	if _, err := c.path(); err != nil {
		return err
	}
	return c.watch(ctx, t, c.ID, c.Output)
}

const (
	watchEvery = time.Second
	sayEvery   = 10 * time.Second // where lines cannot be written over
	patience   = time.Minute      // without an answer
)

// watch follows an operation to its end, or until it is paused. What failed in it fails the command.
func (s Server) watch(ctx context.Context, t *Terminal, id string, output Output) error {
	p := progress{t: t, quiet: output.Output != "table"}
	answered := time.Now()
	for {
		var o operation
		raw, err := s.get(ctx, "/operations/"+url.PathEscape(id), nil, &o)
		switch {
		case errors.Is(err, errInterrupted):
			p.end()
			return said("no longer watching; the operation goes on. To end it: redrive operations cancel %s "+
				"--reason …", visible(id))
		case err == nil:
			answered = time.Now()
			p.say(spoken(o.State) + ": " + o.numbers())
			if o.State == "paused" || o.Remaining == 0 {
				p.end()
				if p.quiet {
					output.operation(t, raw, o)
				}
				return o.verdict()
			}
		case errors.As(err, new(UsageError)) || time.Since(answered) > patience:
			p.end()
			return err
		}
		select {
		case <-time.After(watchEvery):
		case <-ctx.Done():
		}
	}
}

func (o operation) verdict() error {
	id := visible(o.ID)
	switch {
	case o.State == "paused":
		return said("operation %s is paused (%s): redrive operations resume %s, or cancel", id, visible(o.Note), id)
	case o.Failed > 0:
		return said("%s failed: redrive operations items %s --outcome failed", plural(o.Failed, "failure", "failures"), id)
	case o.Cancelled > 0:
		return said("operation %s was cancelled", id)
	}
	return nil
}

// progress is one line that is written over, or a line now and then where that cannot be.
type progress struct {
	t           *Terminal
	quiet       bool
	line, shown string
	at          time.Time
}

func (p *progress) say(line string) {
	if p.line = line; p.quiet || line == p.shown || !p.t.Moves && time.Since(p.at) < sayEvery {
		return
	}
	p.write()
}

func (p *progress) write() {
	if p.t.Moves {
		fmt.Fprint(p.t.Out, "\r\x1b[K"+shortened(p.line, max(p.t.Width-1, 20)))
	} else {
		fmt.Fprintln(p.t.Out, p.line)
	}
	p.shown, p.at = p.line, time.Now()
}

// end leaves the last line on the screen.
func (p *progress) end() {
	switch {
	case p.quiet || p.line == "":
		return
	case p.line != p.shown:
		p.write()
	}
	if p.t.Moves {
		fmt.Fprintln(p.t.Out)
	}
}
