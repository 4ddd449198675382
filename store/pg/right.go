package pg

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
)

// SignedInSQL is a session s with its person o, as long as both hold.
const SignedInSQL = ` FROM redrive.sessions s JOIN redrive.operators o ON o.id = s.operator_id AND o.generation = s.generation
	WHERE s.expiry > clock_timestamp() AND o.disabled_at IS NULL`

// GrantsOf is the expression of the grants that the column of grants names by the id, each with the names of the integrations that it is for
// now. The labels of an integration that left the file are those that it had.
func GrantsOf(column, id string) string {
	return `(SELECT jsonb_agg(jsonb_build_object('id', g.id, 'role', g.role, 'permissions', g.permissions, 'integrations', g.integrations,
		'labels', g.labels, 'provided', g.provided, 'within', CASE WHEN g.integrations <> '{}' OR g.labels <> '{}' THEN ARRAY(SELECT i.name FROM redrive.integrations i
			WHERE i.name = ANY(g.integrations) OR g.labels <> '{}' AND i.labels @> g.labels) END) ORDER BY g.created_at, g.id)
		FROM redrive.grants g WHERE g.` + column + " = " + id + ")"
}

var (
	sessionRightsSQL = "SELECT o.role, " + GrantsOf("operator_id", "o.id") + SignedInSQL + " AND s.id = ? AND o.id = ?"
	tokenRightsSQL   = "SELECT t.role, " + GrantsOf("token_id", "t.id") + " FROM redrive.api_tokens t WHERE t.id = ? AND t.revoked_at IS NULL"
)

// held is what somebody was given.
type held struct {
	role   delivery.Role
	grants delivery.Grants
}

func (h *held) pointers() []any { return []any{&h.role, &h.grants} }

// What keeps a right from ending before the transaction does: who takes it away waits for that.
const (
	holdSession = " FOR SHARE OF o FOR KEY SHARE OF s"
	holdToken   = " FOR SHARE OF t"
)

// RightsNow is what the person or token with an id may do now, which is held until the transaction's end; none where they ended.
func RightsNow(tx *gorm.DB, actor string) (delivery.Rights, error) {
	own, err := ReadOne(tx, (*held).pointers, "SELECT o.role, "+GrantsOf("operator_id", "o.id")+
		" FROM redrive.operators o WHERE o.id = ? AND o.disabled_at IS NULL FOR SHARE OF o", actor)
	if errors.Is(err, delivery.ErrNotFound) {
		own, err = ReadOne(tx, (*held).pointers, tokenRightsSQL+holdToken, actor)
	}
	switch {
	case errors.Is(err, delivery.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("looking what somebody may do: %w", err)
	}
	return delivery.RightsOf(own.role, own.grants), nil
}

// mayStill refuses whoever acts by ctx, if the right that the request was let in with ended meanwhile, and returns a transaction that knows
// what they may do now. Without a right in ctx the program acts by itself.
func mayStill(tx *gorm.DB, ctx context.Context, hold bool) (*gorm.DB, error) {
	r, acts := delivery.RightOf(ctx)
	if !acts {
		return tx, nil
	}
	query, locks, args := sessionRightsSQL, holdSession, []any{r.Session, r.Actor}
	if r.Session == "" {
		query, locks, args = tokenRightsSQL, holdToken, []any{r.Actor}
	}
	if hold {
		query += locks
	}
	own, err := ReadOne(tx, (*held).pointers, query, args...)
	switch {
	case errors.Is(err, delivery.ErrNotFound):
		return tx, &delivery.RightError{Right: r}
	case err != nil:
		return tx, fmt.Errorf("looking who acts: %w", err)
	}
	r.Rights = delivery.RightsOf(own.role, own.grants)
	if missing := r.Rights.Missing(r.Need...); missing != "" {
		return tx, &delivery.RightError{Right: r, Missing: missing}
	}
	return tx.WithContext(delivery.WithRight(ctx, r)), nil
}
