package desk

import (
	"context"
	"fmt"
	"strings"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/queue"
)

// Act does one action of one person on one delivery and audits it in the same transaction. It returns the new record, or
// *delivery.ConflictError when somebody or something was faster. A form that was carried out changes nothing any more.
func (s *Desk) Act(ctx context.Context, a delivery.ActionRequest) (d delivery.Delivery, err error) {
	if err := checkAction(a); err != nil {
		return d, err
	}
	return s.changed(ctx, a.ID, a.Token, func(tx *gorm.DB) error {
		a := a
		if err := s.end(tx, a.Action, &a.End); err != nil {
			return err
		}
		return act(tx, a)
	})
}

func act(tx *gorm.DB, a delivery.ActionRequest) error {
	d := decision{Transition: a.Action.Row(), actor: a.Actor, reason: a.Reason, category: a.Category,
		evidence: a.Evidence, End: a.End}
	if d.Withdraws {
		return withdraw(tx, a, d)
	}
	one, err := permittedOne(tx, a.ID, a.Version, d)
	if err != nil {
		return err
	}
	a.Version = one.version
	if err := askFor(tx, one, d, delivery.ApprovalAct, a.Token, a); err != nil {
		return err
	}
	return carryOut(tx, []lockedDelivery{one}, d)
}

// withdraw begins with the queue, as whoever claims does: one of them is second, and finds nothing.
func withdraw(tx *gorm.DB, a delivery.ActionRequest, d decision) error {
	taken, err := queue.Withdraw(tx, a.ID)
	if err != nil {
		return err
	}
	if !taken {
		return whyRefused(tx, oneTarget(a.ID, a.Version), d)
	}
	one, err := permittedOne(tx, a.ID, a.Version, d)
	if err != nil {
		return err
	}
	if err := tx.Exec(withdrawnSQL, delivery.ReasonWithdrawn, a.ID).Error; err != nil {
		return fmt.Errorf("withdrawing from an operation: %w", err)
	}
	return carryOut(tx, []lockedDelivery{one}, d)
}

// withdrawnSQL tells the operation that asked for the retry: the item failed, and its wave is judged without it.
const withdrawnSQL = `
WITH gone AS (
    UPDATE redrive.operation_items i SET outcome = 'failed', reason = ?, failing = false FROM redrive.deliveries r, redrive.operation_items b
    WHERE r.id = ? AND i.operation_id = r.operation_id AND i.n = r.operation_item AND i.outcome IS NULL AND b.operation_id = i.operation_id AND b.n = i.n
    RETURNING i.operation_id, r.integration, i.wave, b.failing
)
INSERT INTO redrive.operation_deltas (operation_id, integration, wave, succeeded, failed, failing, withdrawn)
SELECT operation_id, integration, wave, 0, 1, -failing::int, 1 FROM gone`

// claimToken reports whether this is the first time that the form with this token is carried out; an empty token is always fresh.
// It comes first in the transaction that carries it out: whoever sends the same form meanwhile waits here for the end of that.
func claimToken(tx *gorm.DB, token string) (fresh bool, err error) {
	if token == "" {
		return true, nil
	}
	if !delivery.IsUUID(token) {
		return false, delivery.Mistake("bad_token", "token")
	}
	claimed := tx.Exec("INSERT INTO redrive.form_tokens (token) VALUES (?) ON CONFLICT DO NOTHING", token)
	if claimed.Error != nil {
		return false, fmt.Errorf("claiming the form's token: %w", claimed.Error)
	}
	return claimed.RowsAffected == 1, nil
}

// checkAction refuses what no state of the delivery would allow.
func checkAction(a delivery.ActionRequest) error {
	if !delivery.IsUUID(a.ID) {
		return delivery.ErrNotFound
	}
	if err := checkReason(a.Action, a.Reason, a.Category); err != nil {
		return err
	}
	return checkEnd(a.Action, a.End)
}

// ForgetFormTokens forgets the forms that nobody has open any more.
func (s *Desk) ForgetFormTokens(ctx context.Context) error {
	err := s.Gorm.WithContext(ctx).Exec(`DELETE FROM redrive.form_tokens WHERE token IN (
		SELECT token FROM redrive.form_tokens WHERE at < statement_timestamp() - interval '7 days' LIMIT 50000)`).Error
	if err != nil {
		return fmt.Errorf("forgetting forms: %w", err)
	}
	return nil
}

// checkReason holds for one delivery as for many.
func checkReason(a delivery.Action, reason, category string) error {
	switch missing := a.Row().Missing(map[string]string{delivery.FieldReason: strings.TrimSpace(reason), delivery.FieldCategory: category}); missing {
	case "":
		return nil
	case delivery.FieldReason:
		return delivery.Mistake("reason_required", missing)
	case delivery.FieldCategory:
		return delivery.Mistake("category_required", missing, "categories", delivery.IgnoreCategories)
	default:
		return delivery.Mistake(missing+"_required", missing)
	}
}
