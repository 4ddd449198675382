package approve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

// Request is what is about to be done, and on what.
type Request struct {
	Kind   delivery.ApprovalKind
	Action string
	Target string // id of the failure or operation, or name of the integration
	Actor  string
	Reason string
	Token  string // of the form: the same again is the same request
	Body   any    // the parameters
	Deeds  []delivery.Deed
	Items  string         // a query of rows (id, version, integration), one for each failure; empty: it is about none
	Args   map[string]any // of Items
}

// integrations that the deeds are about, sorted.
func (r Request) integrations() []string {
	names := map[string]bool{}
	for _, d := range r.Deeds {
		names[d.Integration] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// Transact is pg's, where work may end by asking: what Ask kept is committed, and its *delivery.AskedError returned.
func Transact(ctx context.Context, db *pg.DB, work func(tx *gorm.DB) error) error {
	var asked *delivery.AskedError
	err := db.Transact(ctx, func(tx *gorm.DB) error {
		asked = nil
		err := work(tx)
		if errors.As(err, &asked) {
			return nil
		}
		return err
	})
	if err == nil && asked != nil {
		return asked
	}
	return err
}

// Wanted reports whether any integration has rules: without one nobody needs to look at what is about to be done.
func Wanted(tx *gorm.DB) (bool, error) {
	if _, ok := Of(tx); ok {
		return false, nil
	}
	return pg.ReadOne(tx, pg.Single[bool], "SELECT EXISTS (SELECT FROM redrive.integrations WHERE four_eyes <> '{}')")
}

// Ask is the one check of whether something needs a second person. It returns nil where it does not, and where one has approved it; else it
// keeps the request and returns a *delivery.AskedError. It comes before anything is changed, in the transaction that would act.
func Ask(tx *gorm.DB, r Request) error {
	if _, ok := Of(tx); ok {
		return nil
	}
	of, rules, err := needed(tx, r.Deeds)
	if err != nil || len(rules) == 0 {
		return err
	}
	a, err := keep(tx, r, rules, openFor(of))
	if err != nil {
		return fmt.Errorf("asking for approval: %w", err)
	}
	return &delivery.AskedError{Approval: a}
}

// Needed reports whether Ask would ask.
func Needed(tx *gorm.DB, deeds []delivery.Deed) (bool, error) {
	if _, ok := Of(tx); ok {
		return false, nil
	}
	_, rules, err := needed(tx, deeds)
	return len(rules) > 0, err
}

func needed(tx *gorm.DB, deeds []delivery.Deed) (map[string]delivery.FourEyes, []delivery.Rule, error) {
	of, err := rulesOf(tx, Request{Deeds: deeds}.integrations())
	return of, delivery.RulesOf(of, deeds), err
}

// Known returns the *delivery.AskedError of a form that asked before, nil of any other.
func Known(tx *gorm.DB, token string) error {
	a, err := one(tx, "q.token = ?", token)
	switch {
	case errors.Is(err, delivery.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return &delivery.AskedError{Approval: a}
}

func rulesOf(tx *gorm.DB, names []string) (map[string]delivery.FourEyes, error) {
	type row struct {
		Name     string
		FourEyes delivery.FourEyes
	}
	of := map[string]delivery.FourEyes{}
	columns := func(r *row) []any { return []any{&r.Name, &r.FourEyes} }
	rows, err := pg.Read(tx, columns, "SELECT name, four_eyes FROM redrive.integrations WHERE name = ANY(?) AND four_eyes <> '{}'", &names)
	for _, r := range rows {
		of[r.Name] = r.FourEyes
	}
	if err != nil {
		return nil, fmt.Errorf("reading what needs approval: %w", err)
	}
	return of, nil
}

// openFor is how long a request is open: as the strictest of its integrations says.
func openFor(of map[string]delivery.FourEyes) time.Duration {
	open := delivery.StandardApproval
	for n, name := range slices.Sorted(maps.Keys(of)) {
		if own := of[name].Open(); n == 0 || own < open {
			open = own
		}
	}
	return open
}

const keepSQL = `INSERT INTO redrive.approvals (id, kind, action, target, actor, person, reason, rules, integrations, token, request, bound, hash, expires_at)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', clock_timestamp() + ?::bigint * interval '1 millisecond')`

// keep writes a request down, with the hash of all that it holds for.
func keep(tx *gorm.DB, r Request, rules []delivery.Rule, open time.Duration) (a delivery.Approval, err error) {
	id, err := uuid.NewV7()
	if err != nil {
		return a, err
	}
	body, err := json.Marshal(r.Body)
	if err != nil {
		return a, err
	}
	person, err := PersonOf(tx, r.Actor)
	if err != nil {
		return a, err
	}
	why, names := make([]string, len(rules)), r.integrations()
	for n, rule := range rules {
		why[n] = string(rule)
	}
	err = tx.Exec(keepSQL, id.String(), string(r.Kind), r.Action, r.Target, r.Actor, pg.Optional(person), r.Reason, &why, &names,
		pg.Optional(r.Token), body, open.Milliseconds()).Error
	if err != nil {
		return a, err
	}
	if err := keepItems(tx, id.String(), r); err != nil {
		return a, err
	}
	if a, err = one(tx, "q.id = ?", id.String()); err != nil {
		return a, err
	}
	return bind(tx, a)
}

func keepItems(tx *gorm.DB, id string, r Request) error {
	if r.Items == "" {
		return nil
	}
	args := map[string]any{"approval": id}
	maps.Copy(args, r.Args)
	return tx.Exec(`INSERT INTO redrive.approval_items (approval_id, n, delivery_id, version, integration)
		SELECT CAST(@approval AS uuid), row_number() OVER (ORDER BY x.id), x.id, x.version, x.integration FROM (`+r.Items+`) x`, args).Error
}

// bind hashes what a request holds for and tells the audit.
func bind(tx *gorm.DB, a delivery.Approval) (delivery.Approval, error) {
	b, err := boundNow(tx, a, asAsked, holdSettings)
	if err != nil {
		return a, err
	}
	a.Hash, a.Count = b.Hash(), b.Count
	err = tx.Exec("UPDATE redrive.approvals SET bound = ?, hash = ?, items = ? WHERE id = ?", b.Bytes(), a.Hash, a.Count, a.ID).Error
	if err != nil {
		return a, err
	}
	return a, audit.Record(tx, entry(a, "ask", a.ActorID, a.Reason, map[string]any{"expires_at": a.ExpiresAt.UTC(), "rules": a.Rules}))
}

// entry is what the audit is told of a request.
func entry(a delivery.Approval, step, actor, reason string, members map[string]any) delivery.AuditEntry {
	all := map[string]any{"hash": a.Hash, "kind": a.Kind, "action": a.Action, "target": a.Target, "integrations": a.Integrations, "items": a.Count}
	if len(a.Integrations) == 1 {
		all["integration"] = a.Integrations[0]
	}
	maps.Copy(all, members)
	return delivery.AuditEntry{Actor: actor, Action: "approval." + step, SubjectType: "approval", Subject: a.ID, Reason: reason,
		Details: audit.Details(all)}
}

// PersonOf is the id of the person whose an actor is: themselves, or who has the token; empty for a robot and for the program.
func PersonOf(tx *gorm.DB, actor string) (string, error) {
	if !delivery.IsUUID(actor) {
		return "", nil
	}
	return pg.ReadOne(tx, pg.Single[string], `SELECT coalesce((SELECT o.id::text FROM redrive.operators o WHERE o.id = ?),
		(SELECT t.operator_id::text FROM redrive.api_tokens t WHERE t.id = ?), '')`, actor, actor)
}
