package desk

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/ignore"
	"redrive/store/pg"
)

// SetIgnoreDays says after how many days what is ignored comes back where nobody says when.
func (s *Desk) SetIgnoreDays(days int) { s.ignoreDays = days }

// SetReopening bounds what one transaction reopens. Tests do, so that few failures take several.
func (s *Desk) SetReopening(most int) { s.reopenedAtOnce = most }

// reopenedAtOnce is what one transaction reopens at most.
const reopenedAtOnce = 500

// end puts the usual end where an ignore has none, by the clock of the database, which also says that a time is over.
func (s *Desk) end(tx *gorm.DB, a delivery.Action, e *delivery.End) error {
	if a != delivery.ActionIgnore || e.OnCounters() || e.ForGood {
		return nil
	}
	now, err := pg.ReadOne(tx, pg.Single[time.Time], "SELECT clock_timestamp()")
	if err != nil {
		return err
	}
	*e = e.OrUsual(now, s.ignoreDays)
	return nil
}

// checkEnd holds for one delivery as for many.
func checkEnd(a delivery.Action, e delivery.End) error {
	if a != delivery.ActionIgnore && (e.OnCounters() || e.ForGood) {
		return delivery.Mistake("invalid_end.action", delivery.FieldUntil, "action", a)
	}
	return e.Check()
}

// endMembers are an end as the audit keeps it.
func endMembers(e delivery.End) map[string]any {
	members := map[string]any{"until": audit.UntilText(e.Until)}
	if e.Count > 0 {
		members[delivery.FieldCount] = e.Count
	}
	if e.Grows > 0 {
		members[delivery.FieldGrows] = e.Grows
	}
	if e.ForGood {
		members[delivery.FieldForGood] = true
	}
	return members
}

// Those that are ignored and due to be reopened: one that somebody is at is left for the next time. Both walk an index, as far as the limit goes.
const (
	dueByTimeSQL = `given AS MATERIALIZED (
    SELECT 0 AS n, r.id, r.version FROM redrive.failure_details f JOIN redrive.deliveries r ON r.id = f.delivery_id AND r.state = 'ignored'
    WHERE f.until <= clock_timestamp() ORDER BY f.until LIMIT CAST(@limit AS int) FOR UPDATE OF r SKIP LOCKED
)`
	dueByEndSQL = `given AS MATERIALIZED (
    SELECT 0 AS n, r.id, r.version FROM redrive.failure_details f JOIN redrive.deliveries r ON r.id = f.delivery_id AND r.state = 'ignored'
    WHERE f.%s = CAST(@over AS bigint) ORDER BY f.delivery_id LIMIT CAST(@limit AS int) FOR UPDATE OF r SKIP LOCKED
)`
)

// ReopenDue moves ignored deliveries whose end has come back to dead, of each kind of end a few hundred in a transaction of their own, and returns
// how many: none means that nothing is due. Rules whose end has come are ended.
func (s *Desk) ReopenDue(ctx context.Context) (n int, err error) {
	for _, step := range []func(tx *gorm.DB) (int, error){ignore.EndDue, s.reopenByTime, s.reopenByEnd} {
		done := 0
		err := s.Transact(ctx, func(tx *gorm.DB) error {
			done, err = step(tx)
			return err
		})
		if err != nil {
			return n, fmt.Errorf("reopening ignored deliveries: %w", err)
		}
		n += done
	}
	return n, nil
}

func (s *Desk) reopenByTime(tx *gorm.DB) (int, error) {
	return s.reopen(tx, dueByTimeSQL, map[string]any{}, delivery.End{}.Over())
}

// reopenByEnd reopens a part of what an end or a rule ignored, and notes when that was the last.
func (s *Desk) reopenByEnd(tx *gorm.DB) (int, error) {
	over, found, err := ignore.One(tx)
	if err != nil || !found {
		return 0, err
	}
	n, err := s.reopen(tx, fmt.Sprintf(dueByEndSQL, over.Column), map[string]any{"over": over.ID}, over.Why)
	if err != nil {
		return 0, err
	}
	return n, over.Done(tx)
}

func (s *Desk) reopen(tx *gorm.DB, due string, args map[string]any, why delivery.Phrase) (int, error) {
	args["limit"] = s.reopenedAtOnce
	reopened, err := decide(tx, targets{due, args}, decision{
		Transition: delivery.ActionReopen.Row(),
		actor:      delivery.ActorPolicy,
		because:    why,
		members:    map[string]any{"why": why},
	})
	return len(reopened), err
}
