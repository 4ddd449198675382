package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"redrive/delivery"
)

// Approvals are the commands about what another person approves.
type Approvals struct {
	List     ListApprovals `cmd:"" help:"List requests, the newest first."`
	Show     ShowApproval  `cmd:"" help:"Show one request, with what it is about."`
	Approve  Approve       `cmd:"" help:"Approve a request of somebody else: it is carried out at once."`
	Reject   Reject        `cmd:"" help:"Say no to a request of somebody else."`
	Withdraw Unask         `cmd:"" help:"Take a request of your own back."`
}

// approval is what the commands show of a request.
type approval struct {
	ID, State, Kind, Action, Target, Actor, Reason, Hash string
	Rules, Integrations                                  []string
	Items                                                int
	CreatedAt                                            *time.Time `json:"created_at"`
	ExpiresAt                                            *time.Time `json:"expires_at"`
	DecidedAt                                            *time.Time `json:"decided_at"`
	DecidedBy                                            string     `json:"decided_by"`
	Comment, Result                                      string
	VoidBecause                                          string `json:"void_because"`
	Parameters                                           json.RawMessage
}

// Asked says that nothing was done yet: another person was asked to approve it. It is what was wanted, and no failure.
type Asked struct {
	Raw []byte // the server's answer
	is  approval
}

// Error says what happens next.
func (a *Asked) Error() string {
	return Text("Nothing was done yet: another person is asked to approve it, until %s. See redrive approvals show %s", moment(a.is.ExpiresAt), visible(a.is.ID))
}

func moment(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

// askedBy reads whether an answer says that another person was asked; nil where it does not.
func askedBy(answer *http.Response, raw []byte) error {
	var said struct{ Approval *approval }
	if answer.StatusCode != http.StatusAccepted || json.Unmarshal(raw, &said) != nil || said.Approval == nil {
		return nil
	}
	return &Asked{Raw: raw, is: *said.Approval}
}

// ListApprovals lists requests.
type ListApprovals struct {
	Server
	Output
	State []string `help:"open, approved, rejected, withdrawn, void or expired."`
	Limit int      `help:"At most so many."                                      default:"20"`
}

// Run lists.
func (c *ListApprovals) Run(ctx context.Context, t *Terminal) error {
	now := time.Now()
	return c.list(ctx, t, c.Output, listing{path: "/approvals", query: url.Values{"state": c.State}, limit: c.Limit, none: Text("There is no such request."),
		head:  []string{"ID", "STATE", "ACTION", "ITEMS", "INTEGRATIONS", "WHO", "ASKED", "REASON"},
		least: []int{0, 0, 0, 0, 12, 6, 7, 12},
		row: func(item json.RawMessage) (string, []string, error) {
			var a approval
			err := decode(item, &a)
			return a.ID, []string{a.ID, a.State, a.Action, fmt.Sprint(a.Items), strings.Join(a.Integrations, ","), a.Actor, ago(a.CreatedAt, now), a.Reason}, err
		}})
}

// OneApproval names a request.
type OneApproval struct {
	Server
	Output
	ID string `arg:"" help:"Id of the request."`
}

func (c OneApproval) path() (string, error) {
	if !delivery.IsUUID(c.ID) {
		return "", misused("%q is not the id of a request, a UUID", c.ID)
	}
	return "/approvals/" + url.PathEscape(c.ID), nil
}

// ShowApproval shows one request.
type ShowApproval struct{ OneApproval }

// Run shows.
func (c *ShowApproval) Run(ctx context.Context, t *Terminal) error {
	path, err := c.path()
	if err != nil {
		return err
	}
	var a approval
	raw, err := c.get(ctx, path, nil, &a)
	if err != nil {
		return err
	}
	c.approval(t, raw, a)
	return nil
}

// approval shows how a request stands.
func (o Output) approval(t *Terminal, raw []byte, a approval) {
	switch o.Output {
	case "json":
		t.json(raw)
		return
	case "ids":
		fmt.Fprintln(t.Out, visible(a.ID))
		return
	}
	row, now := t.fact, time.Now()
	row("Request", a.ID)
	row("State", a.State)
	row("Action", a.Action+" ("+a.Kind+")")
	row("About", a.Target)
	row("Items", fmt.Sprint(a.Items))
	row("Integrations", strings.Join(a.Integrations, ", "))
	row("Asked", ago(a.CreatedAt, now)+" by "+a.Actor)
	row("Because of", strings.Join(a.Rules, ", "))
	row("Reason", a.Reason)
	if string(a.Parameters) != "null" {
		row("Parameters", string(a.Parameters))
	}
	row("Open until", moment(a.ExpiresAt))
	row("Void", a.VoidBecause)
	row("Decided", strings.TrimSpace(ago(a.DecidedAt, now)+" "+a.DecidedBy))
	row("Comment", a.Comment)
	row("Result", a.Result)
}

// sayTo approves, rejects or withdraws.
func (c OneApproval) sayTo(ctx context.Context, t *Terminal, step, comment string) error {
	path, err := c.path()
	if err != nil {
		return err
	}
	var a approval
	raw, err := c.postOnce(ctx, path+"/"+step, map[string]any{"comment": comment}, &a)
	if err != nil {
		return err
	}
	c.approval(t, raw, a)
	return nil
}

// Approve approves a request.
type Approve struct {
	OneApproval
	Comment string `help:"What the audit keeps beside it."`
}

// Run approves.
func (c *Approve) Run(ctx context.Context, t *Terminal) error {
	return c.sayTo(ctx, t, "approve", c.Comment)
}

// Reject says no to a request.
type Reject struct {
	OneApproval
	Comment string `help:"Why; whoever asked reads it." required:""`
}

// Run rejects.
func (c *Reject) Run(ctx context.Context, t *Terminal) error {
	return c.sayTo(ctx, t, "reject", c.Comment)
}

// Unask takes a request back.
type Unask struct{ OneApproval }

// Run withdraws.
func (c *Unask) Run(ctx context.Context, t *Terminal) error {
	return c.sayTo(ctx, t, "withdraw", "")
}
