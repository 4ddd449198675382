package client

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"redrive/delivery"
)

// act is what all actions have in common.
type act struct {
	Server
	Output
	Selection
	Reason string `help:"Why; the audit keeps it."`
	DryRun bool   `help:"Only say what would be selected."`
	Yes    bool   `help:"Do not ask before acting on more than one." short:"y"`
	Watch  bool   `help:"Follow the operation to its end."`
}

// Retry tries again.
type Retry struct {
	act
	Canary    int           `help:"So many of each integration go first; the others wait for their confirmed outcomes."`
	Rate      float64       `help:"So many a second, for each integration; 0: as fast as it goes."`
	RampTo    float64       `help:"Rate to which it grows."`
	RampOver  time.Duration `help:"Within this time, such as 10m."`
	StopAbove float64       `help:"Ratio of failed outcomes, such as 0.2, above which it pauses itself."`
}

// Ignore decides not to deliver.
type Ignore struct {
	act
	Category string `help:"${categories} or a word of your own."`
	ends
}

// ends are when something that is ignored comes back: one of the four.
type ends struct {
	Until   string  `help:"Open it again then: a time such as 2026-01-31T09:30:00Z, or a duration such as 48h." xor:"end"`
	Count   int     `help:"Open it again when so many more have come into its group." xor:"end"`
	Grows   float64 `help:"Open it again when so many times as many come in a day." xor:"end"`
	ForGood bool    `help:"Never open it again by itself; takes a permission of its own." xor:"end"`
}

// into puts the end that was given into the body of a request.
func (e ends) into(body map[string]any) error {
	if e.Until != "" {
		at, err := instant(e.Until, time.Now())
		if err != nil {
			return err
		}
		body["until"] = at
	}
	if e.Count != 0 {
		body["count"] = e.Count
	}
	if e.Grows != 0 {
		body["grows"] = e.Grows
	}
	if e.ForGood {
		body["for_good"] = true
	}
	return nil
}

// Resolve notes that something was settled by other means.
type Resolve struct {
	act
	Evidence string `help:"Link or text that proves it."`
}

// Reopen takes a decision back.
type Reopen struct {
	act
}

// Withdraw takes a retry back.
type Withdraw struct {
	Server
	Output
	ID     string `arg:"" help:"Id of the failure."`
	Reason string `help:"Why; the audit keeps it."`
}

// Run retries.
func (c *Retry) Run(ctx context.Context, t *Terminal) error {
	pace := map[string]any{}
	for name, value := range map[string]float64{"canary": float64(c.Canary), "rate_per_second": c.Rate, "ramp_to": c.RampTo, "ramp_seconds": c.RampOver.Seconds(),
		"stop_above_failure_ratio": c.StopAbove} {
		if value != 0 {
			pace[name] = value
		}
	}
	return c.run(ctx, t, "retry", nil, pace)
}

// Run ignores.
func (c *Ignore) Run(ctx context.Context, t *Terminal) error {
	body := map[string]any{"category": c.Category}
	if err := c.into(body); err != nil {
		return err
	}
	return c.run(ctx, t, "ignore", body, nil)
}

// instant is a time, or a duration from now.
func instant(text string, now time.Time) (string, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(d).UTC().Format(time.RFC3339), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return "", misused("--until: %q is neither a time such as 2026-01-31T09:30:00Z nor a duration such as 48h", text)
	}
	return at.UTC().Format(time.RFC3339), nil
}

// Run resolves.
func (c *Resolve) Run(ctx context.Context, t *Terminal) error {
	return c.run(ctx, t, "resolve", map[string]any{"evidence": c.Evidence}, nil)
}

// Run reopens.
func (c *Reopen) Run(ctx context.Context, t *Terminal) error {
	return c.run(ctx, t, "reopen", nil, nil)
}

// Run withdraws.
func (c *Withdraw) Run(ctx context.Context, t *Terminal) error {
	if !delivery.IsUUID(c.ID) {
		return misused("%q is not the id of a failure, a UUID", c.ID)
	}
	return act{Server: c.Server, Output: c.Output}.one(ctx, t, c.ID, string(delivery.ActionWithdraw), map[string]any{"reason": c.Reason})
}

// dryRun is what an operation would select.
type dryRun struct {
	Eligible, Unsure       int
	Excluded, Integrations map[string]int
}

// run acts on one failure by itself, on more by an operation, after saying on how many.
func (a act) run(ctx context.Context, t *Terminal, action string, body, pace map[string]any) error {
	ids, search, err := a.ids()
	switch {
	case err != nil:
		return err
	case len(a.What) == 0:
		return misused("say on what: ids, or a search such as integration:seller-push class:timeout")
	case a.Reason == "" && !a.DryRun && delivery.Action(action).Row().Missing(nil) == delivery.FieldReason:
		return misused("--reason: say why, the audit keeps it")
	}
	request := map[string]any{"action": action, "reason": a.Reason}
	for _, more := range []map[string]any{body, pace} {
		for name, value := range more {
			if value != "" {
				request[name] = value
			}
		}
	}
	if len(ids) == 1 && !a.DryRun && len(pace) == 0 && !a.Watch {
		delete(request, "action")
		return a.one(ctx, t, ids[0], action, request)
	}
	if request["ids"] = ids; len(ids) == 0 {
		delete(request, "ids")
		request["filter"] = map[string]string{"search": search}
	}
	return a.many(ctx, t, request)
}

func (a act) one(ctx context.Context, t *Terminal, id, action string, request map[string]any) error {
	var f failure
	raw, err := a.post(ctx, "/failures/"+url.PathEscape(id)+"/"+action, request, &f)
	if err != nil {
		return err
	}
	a.print(t, raw, f)
	return nil
}

// print shows what became of a failure.
func (o Output) print(t *Terminal, raw []byte, f failure) {
	switch o.Output {
	case "json":
		t.json(raw)
	case "ids":
		fmt.Fprintln(t.Out, visible(f.ID))
	default:
		fmt.Fprintln(t.Out, Text("%s: %s (version %d)", visible(f.ID), visible(f.state()), f.Version))
	}
}

func (a act) many(ctx context.Context, t *Terminal, request map[string]any) error {
	var dry dryRun
	request["dry_run"] = true
	raw, err := a.post(ctx, "/operations", request, &dry)
	if err != nil {
		return err
	}
	if a.DryRun && a.Output.Output == "json" {
		t.json(raw)
		return nil
	}
	to := t.Err // what is said before acting is no answer
	if a.DryRun {
		to = t.Out
	}
	fmt.Fprint(to, dry)
	if a.DryRun || dry.Eligible == 0 {
		return nil
	}
	if dry.Eligible > 1 && !a.Yes {
		err := t.confirm(ctx, Text("%s %s? [y/N] ", capital(fmt.Sprint(request["action"])),
			plural(dry.Eligible, "failure", "failures")))
		if err != nil {
			return err
		}
	}
	delete(request, "dry_run")
	return a.start(ctx, t, request)
}

func (t *Terminal) confirm(ctx context.Context, question string) error {
	if !t.Asks {
		return misused("there is more than one, and nobody to ask: give --yes to act on all of them")
	}
	answer, err := t.ask(ctx, question)
	if err != nil {
		return err
	}
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return said("nothing was done")
	}
	return nil
}

func (a act) start(ctx context.Context, t *Terminal, request map[string]any) error {
	var o operation
	raw, err := a.post(ctx, "/operations", request, &o)
	if err != nil {
		return err
	}
	if a.Watch {
		return a.watch(ctx, t, o.ID, a.Output)
	}
	switch a.Output.Output {
	case "json":
		t.json(raw)
	case "ids":
		fmt.Fprintln(t.Out, visible(o.ID))
	default:
		fmt.Fprintln(t.Out, Text("Operation %s: %s of %s. Follow it: redrive operations watch %s",
			visible(o.ID), o.Action, plural(o.Selected, "failure", "failures"), visible(o.ID)))
	}
	return nil
}

// String says what would be selected.
func (d dryRun) String() string {
	var b strings.Builder
	b.WriteString(Text("%s would be selected", plural(d.Eligible, "failure", "failures")))
	if len(d.Integrations) > 0 {
		b.WriteString(": " + numbers(d.Integrations))
	}
	b.WriteString(".\n")
	if d.Unsure > 0 {
		b.WriteString(Text("Of %s the outcome is unknown: the receiver may have had the effect already.",
			plural(d.Unsure, "failure", "failures")) + "\n")
	}
	if len(d.Excluded) > 0 {
		b.WriteString(Text("Not selected: %s.", numbers(d.Excluded)) + "\n")
	}
	return b.String()
}

// numbers lists names with their numbers, the largest first.
func numbers(n map[string]int) string {
	names := slices.SortedFunc(maps.Keys(n), func(a, b string) int {
		if n[a] != n[b] {
			return n[b] - n[a]
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", visible(name), n[name])
	}
	return strings.Join(names, ", ")
}

func capital(word string) string { return strings.ToUpper(word[:1]) + word[1:] }
