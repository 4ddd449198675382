package desk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

// keptCase is a case as it is, locked together with its delivery.
type keptCase struct {
	delivery.Case
	changedBy, changedByID string
}

// ChangeCase changes what people keep about a failure. It returns *delivery.CaseConflictError when somebody was faster.
func (s *Desk) ChangeCase(ctx context.Context, c delivery.CaseChange) (delivery.Delivery, error) {
	if !delivery.IsUUID(c.ID) {
		return delivery.Delivery{}, delivery.ErrNotFound
	}
	c, err := c.Checked()
	if err != nil {
		return delivery.Delivery{}, err
	}
	return s.changed(ctx, c.ID, c.Token, func(tx *gorm.DB) error { return changeCase(tx, c) })
}

func changeCase(tx *gorm.DB, c delivery.CaseChange) error {
	of, err := lockFailure(tx, c.ID)
	if err != nil {
		return err
	}
	was, err := readCase(tx, c.ID)
	if err != nil {
		return err
	}
	if c.Version >= 0 && c.Version != was.Version {
		return &delivery.CaseConflictError{Case: was.Case, By: was.changedBy, ByID: was.changedByID}
	}
	given, err := was.assigned(tx, c.Assignee)
	if err != nil {
		return err
	}
	is, members := was.changedTo(c, given)
	if len(members) == 0 {
		return nil
	}
	if _, ok := members["acknowledged"]; ok {
		if err := acknowledge(tx, c); err != nil {
			return err
		}
	}
	if err := writeCase(tx, c, is); err != nil {
		return err
	}
	members["integration"], members["version"] = of.Integration, was.Version+1
	return audit.Record(tx,
		delivery.AuditEntry{Actor: c.Actor, Action: "case.change", SubjectType: "delivery", Subject: c.ID, Reason: c.Reason,
			Details: audit.Details(members)})
}

// lockFailure is lockSubject for what has a record: there is nothing to keep about the others.
func lockFailure(tx *gorm.DB, id string) (subject, error) {
	of, err := lockSubject(tx, id, delivery.PermitTriage)
	if err == nil && of.Version == 0 {
		err = delivery.Mistake("no_failure", "")
	}
	return of, err
}

func readCase(tx *gorm.DB, id string) (keptCase, error) {
	c, err := pg.ReadOne(tx, func(c *keptCase) []any {
		return []any{&c.AcknowledgedAt, &c.AcknowledgedBy, &c.AcknowledgedID, &c.Version, &c.Assignee, &c.AssigneeID, pg.JSON{To: &c.Tags}, &c.Ticket,
			&c.changedBy, &c.changedByID}
	}, `SELECT r.acknowledged_at, `+pg.Called("k.acknowledged_by")+`, coalesce(k.acknowledged_by, ''), coalesce(c.version, 0),
			`+pg.Called("c.assignee")+`, coalesce(c.assignee, ''), to_json(c.tags), coalesce(c.ticket, ''), `+pg.Called("c.changed_by")+`, coalesce(c.changed_by, '')
		FROM redrive.deliveries r LEFT JOIN redrive.cases c ON c.delivery_id = r.id
			LEFT JOIN redrive.cases k ON k.delivery_id = r.id AND r.acknowledged_at IS NOT NULL WHERE r.id = ?`, id)
	if err != nil {
		return c, fmt.Errorf("reading a case: %w", err)
	}
	return c, nil
}

// changedTo returns the case after a change, and what of it is new, for the audit; what was before stands beside it.
func (k keptCase) changedTo(c delivery.CaseChange, given *assignee) (is delivery.Case, members map[string]any) {
	is, members, was := k.Case, map[string]any{}, map[string]any{}
	if c.Acknowledge != nil && *c.Acknowledge != (k.AcknowledgedAt != nil) {
		members["acknowledged"] = *c.Acknowledge
		is.AcknowledgedID = ""
		if *c.Acknowledge {
			is.AcknowledgedID = c.Actor
		}
	}
	text := func(name string, wanted *string, kept *string) {
		if wanted != nil && *wanted != *kept {
			members[name], was[name] = wanted, *kept // a pointer: empty text is news too
			*kept = *wanted
		}
	}
	if given != nil && given.ID != k.AssigneeID {
		members["assignee"], was["assignee"] = &given.Name, k.Assignee
		members["assignee_id"] = given.ID
		is.Assignee, is.AssigneeID = given.Name, given.ID
	}
	text("ticket", c.Ticket, &is.Ticket)
	if c.Tags != nil && !slices.Equal(*c.Tags, k.Tags) {
		members["tags"], was["tags"] = *c.Tags, append([]string{}, k.Tags...)
		is.Tags = *c.Tags
	}
	if len(was) > 0 {
		members["was"] = was
	}
	return is, members
}

// assignee is a person who is given a case; the zero value is nobody.
type assignee struct{ ID, Name string }

// assigned returns whom a change gives the case, by id or by the name of now; nil when that does not change.
func (k keptCase) assigned(tx *gorm.DB, wanted *string) (*assignee, error) {
	switch {
	case wanted == nil || *wanted == k.Assignee:
		return nil, nil
	case *wanted == "":
		return &assignee{}, nil
	}
	found, err := pg.ScanOne[assignee](tx, "SELECT id::text, name FROM redrive.operators WHERE ? IN (id::text, name) AND disabled_at IS NULL", *wanted)
	if errors.Is(err, delivery.ErrNotFound) {
		return nil, delivery.Mistake("unknown_operator", "assignee", "name", *wanted)
	}
	return &found, err
}

// acknowledge is a part of the change of a case, which is written and audited as one.
func acknowledge(tx *gorm.DB, c delivery.CaseChange) error {
	a := delivery.ActionUnacknowledge
	if *c.Acknowledge {
		a = delivery.ActionAcknowledge
	}
	d := decision{Transition: a.Row(), actor: c.Actor}
	failure, err := permittedOne(tx, c.ID, 0, d)
	if err != nil {
		return err
	}
	return move(tx, []lockedDelivery{failure}, d)
}

func writeCase(tx *gorm.DB, c delivery.CaseChange, is delivery.Case) error {
	tags := append([]string{}, is.Tags...)
	err := tx.Exec(`INSERT INTO redrive.cases AS c (delivery_id, acknowledged_by, assignee, tags, ticket, changed_by)
		VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (delivery_id) DO UPDATE SET version = c.version + 1, acknowledged_by = excluded.acknowledged_by, assignee = excluded.assignee,
			tags = excluded.tags, ticket = excluded.ticket, changed_by = excluded.changed_by, changed_at = clock_timestamp()`,
		c.ID, pg.Optional(is.AcknowledgedID), pg.Optional(is.AssigneeID), &tags, pg.Optional(is.Ticket), c.Actor).Error
	if err != nil {
		return fmt.Errorf("writing a case: %w", err)
	}
	return nil
}

// AddNote writes a note about a failure, once for each token.
func (s *Desk) AddNote(ctx context.Context, id, author, text, token string) (delivery.Delivery, error) {
	if !delivery.IsUUID(id) {
		return delivery.Delivery{}, delivery.ErrNotFound
	}
	text = strings.TrimSpace(text)
	if n := utf8.RuneCountInString(text); n == 0 || n > delivery.MaxNote {
		return delivery.Delivery{}, delivery.Mistake("bad_note", "text", "max", delivery.MaxNote, "count", n)
	}
	return s.changed(ctx, id, token, func(tx *gorm.DB) error { return addNote(tx, id, author, text) })
}

func addNote(tx *gorm.DB, id, author, text string) error {
	of, err := lockFailure(tx, id)
	if err != nil {
		return err
	}
	name, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("naming a note: %w", err)
	}
	err = tx.Exec("INSERT INTO redrive.notes (id, delivery_id, author, text) VALUES (?, ?, ?, ?)",
		name.String(), id, author, text).Error
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(text))
	return audit.Record(tx, delivery.AuditEntry{
		Actor:       author,
		Action:      "case.note",
		SubjectType: "delivery",
		Subject:     id,
		Details: audit.Details(map[string]any{"integration": of.Integration, "note": name.String(),
			"sha256": hex.EncodeToString(sum[:])}),
	})
}

func notes(tx *gorm.DB, id string) ([]delivery.Note, error) {
	list, err := pg.Scan[delivery.Note](tx,
		"SELECT id::text, at, "+pg.Called("author")+" AS author, author AS author_id, text FROM redrive.notes WHERE delivery_id = ? ORDER BY at, id", id)
	if err != nil {
		return nil, fmt.Errorf("reading notes: %w", err)
	}
	return list, nil
}
