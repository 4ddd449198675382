package desk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/approve"
	"redrive/store/audit"
	"redrive/store/pg"
)

// SteerOperation pauses, resumes or cancels an operation, or changes its pace. What asks for nothing new changes nothing.
func (s *Desk) SteerOperation(ctx context.Context, step delivery.Steer) (o delivery.Operation, err error) {
	if err := checkSteer(step); err != nil {
		return o, err
	}
	err = approve.Transact(ctx, s.DB, func(tx *gorm.DB) error {
		if err := steer(tx, step); err != nil {
			return err
		}
		o, err = operation(tx, step.ID)
		return err
	})
	return o, err
}

func checkSteer(step delivery.Steer) error {
	asked := 0
	for _, set := range []bool{step.Pause, step.Resume, step.Cancel, step.Pace != nil} {
		if set {
			asked++
		}
	}
	switch {
	case !delivery.IsUUID(step.ID):
		return delivery.ErrNotFound
	case asked != 1:
		return delivery.Mistake("bad_step", "")
	case step.Pace != nil:
		return step.Pace.Check()
	case step.Canary != nil:
		return delivery.Pace{Canary: *step.Canary}.Check()
	}
	return nil
}

// lockedOperation is what a step finds, locked.
type lockedOperation struct {
	Action  delivery.Action
	State   delivery.OperationState
	Version int
	Note    delivery.Phrase
	Pace    delivery.Pace `gorm:"embedded"`
}

func steer(tx *gorm.DB, step delivery.Steer) error {
	found, err := pg.ScanOne[lockedOperation](tx, "SELECT o.action, o.state, o.version, o.note, "+paceColumns+
		" FROM redrive.operations o WHERE o.id = ? FOR NO KEY UPDATE", step.ID)
	if err != nil {
		return err
	}
	if err := maySteer(tx, step.ID, found.needs(step)...); err != nil {
		return err
	}
	if err := found.permit(step); err != nil {
		return faster(tx, err)
	}
	if err := found.askToSteer(tx, step); err != nil {
		return err
	}
	switch {
	case step.Pause:
		return changeState(tx, step, delivery.OperationPaused, "pause", [2]string{delivery.NotePaused, delivery.NotePausedWhy}, nil)
	case step.Resume:
		return found.resume(tx, step)
	case step.Cancel:
		err := changeState(tx, step, delivery.OperationCancelled,
			"cancel", [2]string{delivery.NoteCancelled, delivery.NoteCancelledWhy}, nil)
		if err != nil {
			return err
		}
		return finish(tx, step.ID)
	}
	return found.changePace(tx, step)
}

// needs are the permissions of a step: to do without a canary takes one more.
func (s lockedOperation) needs(step delivery.Steer) []delivery.Permission {
	if step.Canary != nil && *step.Canary == 0 || step.Pace != nil && step.Pace.Canary == 0 && s.Pace.Canary > 0 {
		return []delivery.Permission{delivery.PermitBulk, delivery.PermitSkipCanary}
	}
	return []delivery.Permission{delivery.PermitBulk}
}

// maySteer refuses whoever lacks a permission for one of the integrations of an operation; of one of which nothing is shown there is
// nothing.
func maySteer(tx *gorm.DB, id string, needs ...delivery.Permission) error {
	if pg.Scope(tx, needs...).All {
		return nil
	}
	names, err := pg.Read(tx, pg.Single[string], "SELECT integration FROM redrive.operation_parts WHERE operation_id = ? ORDER BY integration", id)
	if err != nil {
		return err
	}
	seen := pg.Seen(tx)
	if !slices.ContainsFunc(names, seen.Has) {
		return delivery.ErrNotFound
	}
	for _, name := range names {
		if !seen.Has(name) { // its name is not told
			r, _ := delivery.RightOf(tx.Statement.Context)
			return &delivery.RightError{Right: r, Missing: delivery.PermitBulk}
		}
		if err := pg.MayFor(tx, name, needs...); err != nil {
			return err
		}
	}
	return nil
}

// noteOf says who stopped an operation, and why: keys are the phrases without and with a reason.
func noteOf(tx *gorm.DB, keys [2]string, step delivery.Steer) (delivery.Phrase, error) {
	if keys[0] == "" {
		return delivery.Phrase{}, nil
	}
	name, err := pg.ReadOne(tx, pg.Single[string], "SELECT "+pg.CalledSQL, step.Actor, step.Actor)
	if step.Reason == "" {
		return delivery.Say(keys[0], "actor", name), err
	}
	return delivery.Say(keys[1], "actor", name, "reason", step.Reason), err
}

// permit compares version and state.
func (s lockedOperation) permit(step delivery.Steer) error {
	conflict := func(why delivery.Phrase) error {
		return &delivery.OperationConflictError{ID: step.ID, State: s.State, Version: s.Version, Why: why}
	}
	switch {
	case s.State == delivery.OperationFinished || s.State == delivery.OperationCancelled:
		return conflict(delivery.Say("operation.already", "state", s.State))
	case step.Version != 0 && step.Version != s.Version:
		return conflict(delivery.Say("operation.changed"))
	case step.Pause && s.State == delivery.OperationPaused:
		return conflict(delivery.Say("operation.already", "state", s.State))
	case step.Resume && s.State == delivery.OperationRunning:
		return conflict(delivery.Say("operation.already", "state", s.State))
	case !s.Action.Row().Queues && (step.Pace != nil && *step.Pace != (delivery.Pace{}) || step.Canary != nil):
		return delivery.Mistake("bad_pace.retries", "rate_per_second")
	}
	return nil
}

// faster adds to a conflict who made the present state: the outcome that ended the operation, else the last step, which is in the audit.
func faster(tx *gorm.DB, err error) error {
	var c *delivery.OperationConflictError
	if !errors.As(err, &c) {
		return err
	}
	if c.State == delivery.OperationFinished {
		c.Actor, c.Action = delivery.ActorEngine, "finish"
		c.At, err = pg.ReadOne(tx, pg.Single[time.Time], "SELECT finished_at FROM redrive.operations WHERE id = ?", c.ID)
	} else {
		err = tx.Raw(`SELECT actor, substr(action, length('operation.') + 1) AS action, at
			FROM redrive.audit WHERE subject_type = 'operation' AND subject = ? ORDER BY seq DESC LIMIT 1`, c.ID).Row().Scan(&c.Actor, &c.Action, &c.At)
	}
	if err != nil {
		return fmt.Errorf("reading who was faster: %w", err)
	}
	return c
}

func changeState(tx *gorm.DB, step delivery.Steer, to delivery.OperationState, what string, keys [2]string, members map[string]any) error {
	note, err := noteOf(tx, keys, step)
	if err == nil {
		err = tx.Exec(`UPDATE redrive.operations
			SET state = ?, version = version + 1, note = ?, changed_at = clock_timestamp() WHERE id = ?`,
			string(to), note, step.ID).Error
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return recordStep(tx, what, step, members)
}

func recordStep(tx *gorm.DB, what string, step delivery.Steer, members map[string]any) error {
	all := map[string]any{"approval": approve.Member(tx)}
	maps.Copy(all, members)
	return audit.Record(tx, operationEntry(what, step.Actor, step.ID, step.Reason, all))
}

// changePace lets a ramp that is changed begin anew.
func (s lockedOperation) changePace(tx *gorm.DB, step delivery.Steer) error {
	p := *step.Pace
	if p == s.Pace {
		return nil
	}
	if p.Rate != s.Pace.Rate || p.RampTo != s.Pace.RampTo || p.RampOver != s.Pace.RampOver {
		err := tx.Exec(`UPDATE redrive.operation_parts SET ramp_at = clock_timestamp(), tick_at = clock_timestamp()
			WHERE operation_id = ? AND ramp_at IS NOT NULL`, step.ID).Error
		if err != nil {
			return err
		}
	}
	if err := tx.Exec(`UPDATE redrive.operations
		SET rate = nullif(CAST(@rate AS float8), 0), rate_end = nullif(CAST(@rate_end AS float8), 0),
			ramp_ms = nullif(CAST(@ramp_ms AS bigint), 0), canary = nullif(CAST(@canary AS int), 0), stop_above = nullif(CAST(@stop_above AS float8), 0),
			version = version + 1, changed_at = clock_timestamp() WHERE id = @id`,
		paceArgs(p, map[string]any{"id": step.ID})).Error; err != nil {
		return fmt.Errorf("changing the pace: %w", err)
	}
	return recordStep(tx, "pace", step, map[string]any{"from": paceMembers(s.Pace), "to": paceMembers(p)})
}
