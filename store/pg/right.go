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

// LetsInSQL is the condition under which a secret s of a token t lets in; the person o of the token, if it is one's, is another condition.
const LetsInSQL = "t.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp())"

var (
	personRightsSQL  = "SELECT o.role, " + GrantsOf("operator_id", "o.id") + ", ''"
	sessionRightsSQL = personRightsSQL + SignedInSQL + " AND s.id = ? AND o.id = ?"
	ownerRightsSQL   = personRightsSQL + " FROM redrive.operators o WHERE o.id = ? AND o.disabled_at IS NULL"
	tokenRightsSQL   = "SELECT t.role, " + GrantsOf("token_id", "t.id") + `, coalesce(t.operator_id::text, '')
		FROM redrive.api_tokens t JOIN redrive.token_secrets s ON s.token_id = t.id WHERE t.id = ? AND ? IN ('', s.id::text) AND ` + LetsInSQL
)

// held is what somebody was given.
type held struct {
	role   delivery.Role
	grants delivery.Grants
	owner  string // of a token: the id of the person whose it is; empty for others
}

func (h *held) pointers() []any { return []any{&h.role, &h.grants, &h.owner} }

func (h *held) rights() delivery.Rights { return delivery.RightsOf(h.role, h.grants) }

// What keeps a right from ending before the transaction does: who takes it away waits for that. Of a token and its person the token comes
// first, here as where both are changed.
const (
	holdSession = " FOR SHARE OF o FOR KEY SHARE OF s"
	holdOwner   = " FOR SHARE OF o"
	holdToken   = " FOR SHARE OF t, s"
)

// RightsNow is what the person or token with an id may do now, which is held until the transaction's end; none where they ended.
func RightsNow(tx *gorm.DB, actor string) (delivery.Rights, error) {
	own, err := ReadOne(tx, (*held).pointers, ownerRightsSQL+holdOwner, actor)
	rights := own.rights()
	if errors.Is(err, delivery.ErrNotFound) {
		rights, err = tokenRights(tx, true, actor, "")
	}
	switch {
	case errors.Is(err, delivery.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("looking what somebody may do: %w", err)
	}
	return rights, nil
}

// tokenRights is what a token may do whose secret lets in, by any of its secrets where none is named; of a person's what both may.
func tokenRights(tx *gorm.DB, hold bool, token, secret string) (delivery.Rights, error) {
	own, err := ReadOne(tx, (*held).pointers, locked(tokenRightsSQL, holdToken, hold), token, secret)
	if err != nil || own.owner == "" {
		return own.rights(), err
	}
	owner, err := ReadOne(tx, (*held).pointers, locked(ownerRightsSQL, holdOwner, hold), own.owner)
	return own.rights().And(owner.rights()), err
}

func locked(query, lock string, hold bool) string {
	if hold {
		return query + lock
	}
	return query
}

// mayStill refuses whoever acts by ctx, if the right that the request was let in with ended meanwhile, and returns a transaction that knows
// what they may do now. Without a right in ctx the program acts by itself.
func mayStill(tx *gorm.DB, ctx context.Context, hold bool) (*gorm.DB, error) {
	r, acts := delivery.RightOf(ctx)
	if !acts {
		return tx, nil
	}
	rights, err := rightsOf(tx, r, hold)
	switch {
	case errors.Is(err, delivery.ErrNotFound):
		return tx, &delivery.RightError{Right: r}
	case err != nil:
		return tx, fmt.Errorf("looking who acts: %w", err)
	}
	r.Rights = rights
	if missing := r.Rights.Missing(r.Need...); missing != "" {
		return tx, &delivery.RightError{Right: r, Missing: missing}
	}
	return tx.WithContext(delivery.WithRight(ctx, r)), nil
}

func rightsOf(tx *gorm.DB, r delivery.Right, hold bool) (delivery.Rights, error) {
	if r.Session == "" {
		return tokenRights(tx, hold, r.Actor, r.Secret)
	}
	own, err := ReadOne(tx, (*held).pointers, locked(sessionRightsSQL, holdSession, hold), r.Session, r.Actor)
	return own.rights(), err
}
