package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// IgnoreRules are the commands about rules that ignore new dead letters as they come.
type IgnoreRules struct {
	List    ListIgnoreRules   `cmd:"" help:"List ignore rules, the last made first: what they swallow, until when, and how many they have."`
	Preview PreviewIgnoreRule `cmd:"" help:"What a rule would have swallowed in the last 30 days."`
	Add     AddIgnoreRule     `cmd:"" help:"Make a rule: what comes like these is ignored from now on."`
	End     EndIgnoreRule     `cmd:"" help:"End a rule: what it swallowed comes back."`
}

// ignoreRule is what the commands show of a rule.
type ignoreRule struct {
	ID, Integration, Reason string
	Filter                  json.RawMessage
	Until                   string
	Count                   int
	Grows                   float64
	ForGood                 bool    `json:"for_good"`
	EndedBecause            *string `json:"ended_because"`
	Swallowed               int
}

func (r ignoreRule) end() string {
	switch {
	case r.EndedBecause != nil:
		return "ended"
	case r.Until != "":
		return r.Until
	case r.Count > 0:
		return fmt.Sprintf("count %d", r.Count)
	case r.Grows > 0:
		return fmt.Sprintf("grows %g", r.Grows)
	}
	return "for good"
}

// ListIgnoreRules lists rules.
type ListIgnoreRules struct {
	Server
	Output
}

// Run lists.
func (c *ListIgnoreRules) Run(ctx context.Context, t *Terminal) error {
	return c.list(ctx, t, c.Output, listing{path: "/ignore-rules", whole: true, none: "There is no ignore rule.",
		head:  []string{"ID", "INTEGRATION", "FILTER", "END", "SWALLOWED", "REASON"},
		least: []int{0, 8, 12, 0, 0, 10},
		row: func(item json.RawMessage) (string, []string, error) {
			var r ignoreRule
			err := decode(item, &r)
			return r.ID, []string{r.ID, r.Integration, string(r.Filter), r.end(), fmt.Sprint(r.Swallowed), r.Reason}, err
		}})
}

// ruleOf is what a rule is about.
type ruleOf struct {
	Server
	Integration string   `arg:"" help:"Name of the integration."`
	Condition   []string `arg:"" optional:"" help:"A search as the console's search bar takes it: class:timeout type:order.paid. Empty: everything that finally fails."`
}

func (c ruleOf) body() map[string]any {
	body := map[string]any{"integration": c.Integration}
	if search := strings.Join(c.Condition, " "); search != "" {
		body["filter"] = map[string]string{"search": search}
	}
	return body
}

// PreviewIgnoreRule looks before a rule is made.
type PreviewIgnoreRule struct {
	ruleOf
	Output string `enum:"text,json" default:"text" short:"o" help:"text or json."`
}

// Run looks.
func (c *PreviewIgnoreRule) Run(ctx context.Context, t *Terminal) error {
	var p struct{ Looked, Swallowed, Retried int }
	raw, err := c.post(ctx, "/ignore-rules/preview", c.body(), &p)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		t.json(raw)
		return nil
	}
	fmt.Fprintln(t.Out, Text("%d of %d would have been swallowed; %d of these were sent again by somebody, and delivered", p.Swallowed, p.Looked, p.Retried))
	return nil
}

// AddIgnoreRule makes a rule.
type AddIgnoreRule struct {
	ruleOf
	ends
	Reason   string `help:"Why; the audit keeps it." required:""`
	Category string `help:"${categories} or a word of your own." required:""`
	Output   string `enum:"text,json" default:"text" short:"o" help:"text or json."`
}

// Run makes it.
func (c *AddIgnoreRule) Run(ctx context.Context, t *Terminal) error {
	body := c.body()
	body["reason"], body["category"] = c.Reason, c.Category
	if err := c.into(body); err != nil {
		return err
	}
	var r ignoreRule
	raw, err := c.postOnce(ctx, "/ignore-rules", body, &r)
	if err != nil {
		return err
	}
	return r.print(t, raw, c.Output)
}

// EndIgnoreRule ends a rule.
type EndIgnoreRule struct {
	Server
	ID     string `arg:"" help:"Number of the rule."`
	Reason string `help:"Why; the audit keeps it."`
	Output string `enum:"text,json" default:"text" short:"o" help:"text or json."`
}

// Run ends it.
func (c *EndIgnoreRule) Run(ctx context.Context, t *Terminal) error {
	var r ignoreRule
	raw, err := c.post(ctx, "/ignore-rules/"+url.PathEscape(c.ID)+"/end", map[string]any{"reason": c.Reason}, &r)
	if err != nil {
		return err
	}
	return r.print(t, raw, c.Output)
}

func (r ignoreRule) print(t *Terminal, raw []byte, as string) error {
	if as == "json" {
		t.json(raw)
		return nil
	}
	fmt.Fprintln(t.Out, Text("rule %s: %s, %d swallowed", r.ID, r.end(), r.Swallowed))
	return nil
}
