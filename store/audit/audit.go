package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// actorMember is the member of the details that keeps the id of who acted: hashed with them, as the name of that time is beside it.
const actorMember = "actor_id"

const recordSQL = `INSERT INTO redrive.audit (actor, action, subject_type, subject, reason, details)
	VALUES (` + pg.CalledSQL + `, ?, ?, ?, ?, ?::jsonb || jsonb_strip_nulls(jsonb_build_object('` + actorMember + `', ?::text)))`

// Record appends one entry of an actor to the audit chain; the database gives it number, time and hash. Kept are the actor's name of now
// and, if it is a person or a token, the id.
func Record(tx *gorm.DB, e delivery.AuditEntry) error {
	_, err := Recorded(tx, e)
	return err
}

// Recorded is Record for whoever needs the entry's number.
func Recorded(tx *gorm.DB, e delivery.AuditEntry) (seq int64, err error) {
	details := "{}"
	if len(e.Details) > 0 {
		details = string(e.Details)
	}
	seq, err = pg.ReadOne(tx, pg.Single[int64], recordSQL+" RETURNING seq", e.Actor, e.Actor, e.Action, e.SubjectType, e.Subject, e.Reason, details,
		actorID(e.Actor))
	if err != nil {
		return 0, fmt.Errorf("recording %s in the audit: %w", e.Action, err)
	}
	return seq, nil
}

// actorID is the id of a person or token; the words for others are none.
func actorID(actor string) *string {
	if !delivery.IsUUID(actor) {
		return nil
	}
	return &actor
}

// Details makes the JSON object of an audit entry, without empty members.
func Details(members map[string]any) json.RawMessage {
	for name, value := range members {
		if value == nil || value == "" {
			delete(members, name)
		}
	}
	if len(members) == 0 {
		return json.RawMessage("{}")
	}
	raw, _ := json.Marshal(members) // strings, numbers and times only
	return raw
}

// UntilText is a time among the details.
func UntilText(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

// Record appends an entry that belongs to no other change: a sign-in, a payload looked at. Whoever is handed out a message must have what
// that needs for one of its integrations still.
func (s *Trail) Record(ctx context.Context, e delivery.AuditEntry) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		if err := mayTake(tx, e); err != nil {
			return err
		}
		return Record(tx, e)
	})
}

func mayTake(tx *gorm.DB, e delivery.AuditEntry) error {
	r, acts := delivery.RightOf(tx.Statement.Context)
	scope := r.Rights.Scope(r.Need...)
	if !acts || scope.All || e.SubjectType != SubjectMessage {
		return nil
	}
	names, err := pg.Read(tx, pg.Single[string], "SELECT integration FROM redrive.all_deliveries WHERE message_id = ?", e.Subject)
	if err != nil || slices.ContainsFunc(names, scope.Has) {
		return err
	}
	return delivery.ErrNotFound
}

// AuditColumns are read by AuditPointers, in this order.
const AuditColumns = "seq, at, actor, action, subject_type, subject, reason, details::text, coalesce(details ->> '" + actorMember + "', ''), prev_hash, hash"

// AuditPointers keeps the details as the text that was hashed.
func AuditPointers(e *delivery.AuditEntry) []any {
	return []any{
		&e.Seq,
		&e.At,
		&e.Actor,
		&e.Action,
		&e.SubjectType,
		&e.Subject,
		&e.Reason,
		(*[]byte)(&e.Details),
		&e.ActorID,
		&e.PrevHash,
		&e.Hash,
	}
}

// AuditHead returns the newest entry, the zero entry for an empty chain. Whoever may not see it gets its place and its hashes.
func (s *Trail) AuditHead(ctx context.Context) (delivery.AuditEntry, error) {
	e, err := pg.ReadOne(s.Gorm.WithContext(ctx), AuditPointers,
		"SELECT "+AuditColumns+" FROM redrive.audit ORDER BY seq DESC LIMIT 1")
	if errors.Is(err, delivery.ErrNotFound) {
		return e, nil
	}
	if err != nil {
		return e, fmt.Errorf("reading the audit's head: %w", err)
	}
	seen, err := s.Entry(ctx, e.Seq)
	if errors.Is(err, delivery.ErrNotFound) {
		return delivery.AuditEntry{Seq: e.Seq, At: e.At, PrevHash: e.PrevHash, Hash: e.Hash, Details: []byte("{}")}, nil
	}
	return seen, err
}

// Entry returns the entry of a number as far as the reader sees it: delivery.ErrNotFound where there is none, or they do not.
func (s *Trail) Entry(ctx context.Context, seq int64) (delivery.AuditEntry, error) {
	seen, err := s.Audit(ctx, delivery.AuditFilter{Limit: 1, After: strconv.FormatInt(seq+1, 10)})
	if err == nil && (len(seen.Items) == 0 || seen.Items[0].Seq != seq) {
		err = delivery.ErrNotFound
	}
	if err != nil {
		return delivery.AuditEntry{}, err
	}
	return seen.Items[0], nil
}
