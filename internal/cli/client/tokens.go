package client

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"redrive/delivery"
)

// Tokens are the commands about API tokens. They need the permission administer.
type Tokens struct {
	List   ListTokens  `cmd:"" help:"List API tokens, the newest first: what they may do, until when, and when they were used last."`
	Create CreateToken `cmd:"" help:"Make a token of a robot and print its secret, this once. People make theirs on the page of their account."`
	Rotate RotateToken `cmd:"" help:"Make a new secret of a token and print it, this once; the one before still works for a while."`
	Revoke RevokeToken `cmd:"" help:"End a token at once, with all its secrets."`
}

// token is what the commands show of a token.
type token struct {
	ID, Name, State string
	Person          *struct{ Name string }
	Role            *string
	Grants          []struct {
		Role                      *string
		Permissions, Integrations []string
		Labels                    map[string]string
	}
	Secrets []tokenSecret
	Secret  string
}

type tokenSecret struct {
	ExpiresAt *time.Time `json:"expires_at"`
	Expired   bool
	UsedAt    *time.Time `json:"used_at"`
	UsedFrom  string     `json:"used_from"`
}

func (s tokenSecret) ends() string {
	if s.ExpiresAt == nil {
		return "never"
	}
	return s.ExpiresAt.UTC().Format(time.RFC3339)
}

// may says in one line what a token was given.
func (t token) may() string {
	var parts []string
	if t.Role != nil {
		parts = append(parts, *t.Role)
	}
	for _, g := range t.Grants {
		what, scope := g.Permissions, slices.Clone(g.Integrations)
		if g.Role != nil {
			what = append([]string{*g.Role}, what...)
		}
		for _, key := range slices.Sorted(maps.Keys(g.Labels)) {
			scope = append(scope, key+"="+g.Labels[key])
		}
		text := strings.Join(what, ", ")
		if len(scope) > 0 {
			text += " for " + strings.Join(scope, ", ")
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// ends says until when each valid secret lets in, the newest first.
func (t token) ends() string {
	var ends []string
	for _, s := range t.Secrets {
		if !s.Expired {
			ends = append(ends, s.ends())
		}
	}
	return strings.Join(ends, ", ")
}

// used says when and from where each secret that is valid was used last, the newest secret first.
func (t token) used(now time.Time) string {
	var uses []string
	for _, s := range t.Secrets {
		switch {
		case s.Expired:
		case s.UsedAt == nil:
			uses = append(uses, Text("never"))
		default:
			uses = append(uses, Text("%s from %s", ago(s.UsedAt, now), s.UsedFrom))
		}
	}
	return strings.Join(uses, ", ")
}

// ListTokens lists tokens.
type ListTokens struct {
	Server
	Output
}

// Run lists.
func (c *ListTokens) Run(ctx context.Context, t *Terminal) error {
	now := time.Now()
	return c.list(ctx, t, c.Output, listing{path: "/tokens", whole: true, none: "There is no token.",
		head:  []string{"ID", "NAME", "OF", "STATE", "MAY", "EXPIRES", "USED"},
		least: []int{0, 8, 6, 0, 12, 0, 10},
		row: func(item json.RawMessage) (string, []string, error) {
			var is token
			err := decode(item, &is)
			of := Text("robot")
			if is.Person != nil {
				of = is.Person.Name
			}
			return is.ID, []string{is.ID, is.Name, of, is.State, is.may(), is.ends(), is.used(now)}, err
		}})
}

// CreateToken makes a token.
type CreateToken struct {
	Server
	Output      OutputOfSecret    `enum:"secret,json" default:"secret" short:"o" help:"secret: the secret alone; json: what the API answers."`
	Name        string            `arg:"" help:"What uses it."`
	Role        string            `help:"viewer, on-call, operator, reviewer, auditor or admin."`
	Permission  []string          `help:"Single permissions, beside those of the role."`
	Integration []string          `help:"Only for these integrations."`
	Label       map[string]string `help:"Only for integrations with all of these labels: team=shop."`
	Lifetime    time.Duration     `help:"How long the secret is valid, in whole hours such as 720h; what the server is set to when left out."`
}

// OutputOfSecret is how a new secret is printed.
type OutputOfSecret string

// Run makes it.
func (c *CreateToken) Run(ctx context.Context, t *Terminal) error {
	hours, err := wholeHours("--lifetime", c.Lifetime)
	if err != nil {
		return err
	}
	in := map[string]any{"name": c.Name, "lifetime_hours": hours}
	if len(c.Permission)+len(c.Integration)+len(c.Label) == 0 {
		in["role"] = c.Role
	} else {
		in["grants"] = []map[string]any{{"role": c.Role, "permissions": c.Permission, "integrations": c.Integration, "labels": c.Label}}
	}
	return c.secret(ctx, t, c.Output, "/tokens", in)
}

func wholeHours(flag string, d time.Duration) (int, error) {
	if d < 0 || d%time.Hour != 0 {
		return 0, misused("%s: whole hours such as 720h", flag)
	}
	return int(d / time.Hour), nil
}

// secret asks once for something with a secret, and prints that to where programs read.
func (s Server) secret(ctx context.Context, t *Terminal, as OutputOfSecret, path string, in any) error {
	var made token
	raw, err := s.postOnce(ctx, path, in, &made)
	if err == nil && len(made.Secrets) == 0 {
		err = said("the server's answer has no secret")
	}
	if err != nil {
		return err
	}
	if as == "json" {
		t.json(raw)
		return nil
	}
	fmt.Fprintln(t.Out, visible(made.Secret))
	fmt.Fprintln(t.Err, Text("Token %s (%s) expires %s. This is its secret, which is not shown again.", visible(made.Name), visible(made.ID), made.Secrets[0].ends()))
	return nil
}

// OneToken names a token.
type OneToken struct {
	Server
	ID string `arg:"" help:"Id of the token."`
}

func (c OneToken) path(step string) (string, error) {
	if !delivery.IsUUID(c.ID) {
		return "", misused("%q is not the id of a token, a UUID", c.ID)
	}
	return "/tokens/" + url.PathEscape(c.ID) + "/" + step, nil
}

// RotateToken makes a new secret.
type RotateToken struct {
	OneToken
	Output   OutputOfSecret `enum:"secret,json" default:"secret" short:"o" help:"secret: the secret alone; json: what the API answers."`
	Overlap  time.Duration  `default:"24h" help:"How long the secret before still works, in whole hours; 0s ends it at once."`
	Lifetime time.Duration  `help:"How long the new one is valid, in whole hours such as 720h; what the server is set to when left out."`
}

// Run makes it.
func (c *RotateToken) Run(ctx context.Context, t *Terminal) error {
	path, err := c.path("rotate")
	if err != nil {
		return err
	}
	lifetime, err := wholeHours("--lifetime", c.Lifetime)
	if err != nil {
		return err
	}
	overlap, err := wholeHours("--overlap", c.Overlap)
	if err != nil {
		return err
	}
	return c.secret(ctx, t, c.Output, path, map[string]int{"lifetime_hours": lifetime, "overlap_hours": overlap})
}

// RevokeToken ends a token.
type RevokeToken struct{ OneToken }

// Run ends it.
func (c *RevokeToken) Run(ctx context.Context, t *Terminal) error {
	path, err := c.path("revoke")
	if err != nil {
		return err
	}
	var is token
	if _, err := c.post(ctx, path, nil, &is); err != nil {
		return err
	}
	fmt.Fprintln(t.Out, Text("Token %s (%s) is revoked.", visible(is.Name), visible(is.ID)))
	return nil
}
