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

const (
	sessionRoleSQL = "SELECT o.role" + SignedInSQL + " AND s.id = ? AND o.id = ?"
	tokenRoleSQL   = "SELECT t.role FROM redrive.api_tokens t WHERE t.id = ? AND t.revoked_at IS NULL"
)

// What keeps a right from ending before the transaction does: who takes it away waits for that.
const (
	holdSession = " FOR SHARE OF o FOR KEY SHARE OF s"
	holdToken   = " FOR SHARE OF t"
)

// mayStill refuses whoever acts by ctx, if the right that the request was let in with ended meanwhile. Without a right in ctx the program
// acts by itself.
func mayStill(tx *gorm.DB, ctx context.Context, hold bool) error {
	r, acts := delivery.RightOf(ctx)
	if !acts {
		return nil
	}
	query, locks, args := sessionRoleSQL, holdSession, []any{r.Session, r.Actor}
	if r.Session == "" {
		query, locks, args = tokenRoleSQL, holdToken, []any{r.Actor}
	}
	if hold {
		query += locks
	}
	own, err := ReadOne(tx, Single[delivery.Role], query, args...)
	switch {
	case errors.Is(err, delivery.ErrNotFound):
		return &delivery.RightError{Right: r}
	case err != nil:
		return fmt.Errorf("looking who acts: %w", err)
	case !own.Allows(r.Need):
		return &delivery.RightError{Right: r, Own: own}
	}
	return nil
}
