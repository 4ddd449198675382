package desk

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

// OpenOperations returns the operations that have something to do: items to act on, or outcomes to count. acting says whether one of
// them may act by itself when its time comes.
func (s *Desk) OpenOperations(ctx context.Context) (ids []string, acting bool, err error) {
	type row struct {
		ID     string
		Acting bool
	}
	rows, err := pg.Scan[row](s.Gorm.WithContext(ctx), `SELECT id::text, acting FROM (
		SELECT o.id, o.state = 'running' AND EXISTS (SELECT FROM redrive.operation_parts p WHERE p.operation_id = o.id AND (p.cursor < p.last OR p.again > 0)) AS acting,
			EXISTS (SELECT FROM redrive.operation_deltas d WHERE d.operation_id = o.id) AS counting
		FROM redrive.operations o WHERE o.finished_at IS NULL) x WHERE acting OR counting ORDER BY id`)
	if err != nil {
		return nil, false, fmt.Errorf("looking for operations: %w", err)
	}
	for _, r := range rows {
		ids, acting = append(ids, r.ID), acting || r.Acting
	}
	return ids, acting, nil
}

// AdvanceOperation counts the outcomes that came and does what plan sets, in one transaction: whoever is killed has done all of a
// step or nothing. Only one process at a time advances an operation; the others pass it over. It returns how many deliveries were
// acted on.
func (s *Desk) AdvanceOperation(ctx context.Context, id string, plan func(*delivery.OperationStep)) (acted int, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		acted, err = advance(tx, id, plan)
		return err
	})
	return acted, err
}

// openOperation is what a step has to know of its operation.
type openOperation struct {
	delivery.OperationTerms
	Pace delivery.Pace `gorm:"embedded"`
}

// An operation's row is locked first, then deliveries in the order of their ids, lanes, queue and audit head: as single acts do.
func advance(tx *gorm.DB, id string, plan func(*delivery.OperationStep)) (acted int, err error) {
	o, err := pg.ScanOne[openOperation](tx, "SELECT "+termsColumns+", "+paceColumns+
		" FROM redrive.operations o WHERE o.id = ? AND o.finished_at IS NULL FOR NO KEY UPDATE SKIP LOCKED", id)
	if errors.Is(err, delivery.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if err := tx.Exec(hastySQL).Error; err != nil {
		return 0, err
	}
	if err := tx.Exec(countSQL, id).Error; err != nil {
		return 0, fmt.Errorf("counting outcomes: %w", err)
	}
	if o.State == delivery.OperationRunning {
		if acted, err = proceed(tx, o, plan); err != nil {
			return 0, err
		}
	}
	return acted, finish(tx, id)
}

// hastySQL lets a step's commit not wait for the disk. A database that crashes then may lose the last steps, each with all that it did,
// and they are done again: whatever was made of a step (a claim, an outcome, a person's act) was committed after it and took it along.
const hastySQL = "SET LOCAL synchronous_commit = off"

// countSQL counts outcomes, and apart those of the present wave.
const countSQL = `
WITH taken AS (
    DELETE FROM redrive.operation_deltas WHERE operation_id = ? RETURNING *
)
UPDATE redrive.operation_parts p SET succeeded = p.succeeded + t.succeeded, failed = p.failed + t.failed, failing = p.failing + t.failing,
    wave_good = p.wave_good + t.wave_good, wave_bad = p.wave_bad + t.wave_bad, wave_sent = p.wave_sent - t.withdrawn
FROM (SELECT t.operation_id, t.integration, sum(t.succeeded) AS succeeded, sum(t.failed) AS failed, sum(t.failing) AS failing,
        coalesce(sum(t.succeeded) FILTER (WHERE t.wave = q.wave), 0) AS wave_good, coalesce(sum(t.failed + t.failing - t.withdrawn) FILTER (WHERE t.wave = q.wave), 0) AS wave_bad,
        coalesce(sum(t.withdrawn) FILTER (WHERE t.wave = q.wave), 0) AS withdrawn
    FROM taken t JOIN redrive.operation_parts q ON q.operation_id = t.operation_id AND q.integration = t.integration GROUP BY 1, 2) t
WHERE p.operation_id = t.operation_id AND p.integration = t.integration`

// finish ends an operation whose items all have their outcomes, and notes how it went for each group. Who calls it holds the operation's row.
func finish(tx *gorm.DB, id string) error {
	return tx.Exec(`WITH finished AS (UPDATE redrive.operations o SET finished_at = clock_timestamp(), changed_at = clock_timestamp(), note = NULL,
			state = CASE o.state WHEN 'cancelled' THEN 'cancelled' ELSE 'finished' END
		WHERE o.id = ? AND o.finished_at IS NULL
			AND NOT EXISTS (SELECT FROM redrive.operation_parts p WHERE p.operation_id = o.id AND (p.succeeded + p.failed + p.skipped < p.cursor - p.first + 1
				OR (p.cursor < p.last OR p.again > 0) AND o.state <> 'cancelled')) RETURNING id)
		UPDATE redrive.group_retries g SET succeeded = n.succeeded, failed = n.failed FROM (
			SELECT i.operation_id, i.group_id, count(*) FILTER (WHERE i.outcome = 'succeeded') AS succeeded, count(*) FILTER (WHERE i.outcome = 'failed') AS failed
			FROM finished f JOIN redrive.operation_items i ON i.operation_id = f.id GROUP BY 1, 2) n
		WHERE g.operation_id = n.operation_id AND g.group_id = n.group_id`, id).Error
}

var stepPartSQL = `
SELECT p.integration, p.first, p.last, p.cursor, p.succeeded, p.failed, p.failing, p.skipped, p.again, p.phase, p.wave,
    coalesce(p.wave_size, 0) AS wave_size, p.wave_sent, p.wave_good, p.wave_bad, p.ramp_at, p.tick_at, p.allowance, p.held, 0 AS release, CASE WHEN i.active IS NOT TRUE THEN '` + delivery.HeldNoRoute + `'
        WHEN i.paused_at IS NOT NULL THEN '` + delivery.HeldPaused + `'
        WHEN i.breaker = 'open' AND i.breaker_until > statement_timestamp() THEN '` + delivery.HeldBreaker + `' ELSE '' END AS why,
    NULL AS obstacle, ` + pg.Called("i.paused_by") + ` AS paused_by, coalesce(i.breaker <> 'closed', false) AS probing, statement_timestamp() AS now
FROM redrive.operation_parts p LEFT JOIN redrive.integrations i ON i.name = p.integration WHERE p.operation_id = ? ORDER BY p.integration`

type stepPart struct {
	delivery.PartStep
	Why, PausedBy string
	Now           time.Time
}

// step is the part with its obstacle as a phrase.
func (p stepPart) step() delivery.PartStep {
	switch p.Why {
	case "":
	case delivery.HeldPaused:
		p.Obstacle = delivery.Say(p.Why, "by", p.PausedBy)
	default:
		p.Obstacle = delivery.Say(p.Why)
	}
	return p.PartStep
}

// proceed asks the plan and does what it says.
func proceed(tx *gorm.DB, o openOperation, plan func(*delivery.OperationStep)) (acted int, err error) {
	parts, err := pg.Scan[stepPart](tx, stepPartSQL, o.ID)
	if err != nil {
		return 0, fmt.Errorf("reading the parts: %w", err)
	}
	if why, err := lostRight(tx, o, parts); err != nil || !why.IsZero() {
		if err == nil {
			err = stopItself(tx, o.ID, why)
		}
		return 0, err
	}
	step := delivery.OperationStep{ID: o.ID, Action: o.Action, Pace: o.Pace}
	before := make([]delivery.PartStep, len(parts))
	for i, p := range parts {
		step.Now, before[i] = p.Now, p.step()
		step.Parts = append(step.Parts, before[i])
	}
	plan(&step)
	if acted, err = release(tx, o, step.Parts); err != nil {
		return 0, err
	}
	if err := saveParts(tx, o.ID, before, step.Parts); err != nil {
		return 0, fmt.Errorf("saving the parts: %w", err)
	}
	if step.Stop.IsZero() {
		return acted, nil
	}
	return acted, stopItself(tx, o.ID, step.Stop)
}

// lostRight says which right whoever started the operation does not have any more for a part that is not done. What they have is held
// until the step is done.
func lostRight(tx *gorm.DB, o openOperation, parts []stepPart) (why delivery.Phrase, err error) {
	if !delivery.IsUUID(o.ActorID) { // a policy, or a name of an earlier version
		return why, nil
	}
	rights, err := pg.RightsNow(tx, o.ActorID)
	if err != nil {
		return why, err
	}
	for _, p := range parts {
		missing := rights.MissingFor(p.Integration, delivery.BulkNeeds(o.Action, !o.ForGood)...)
		if p.Left() > 0 && missing != "" {
			return delivery.Say(delivery.NoteNoRight, "actor", o.Actor, "permission", missing.Phrase(), "integration", p.Integration), nil
		}
	}
	return why, nil
}

// saveParts writes those that changed.
func saveParts(tx *gorm.DB, id string, before, after []delivery.PartStep) error {
	for i, p := range after {
		p.Release, p.Obstacle, p.Probing = 0, before[i].Obstacle, before[i].Probing
		if reflect.DeepEqual(p, before[i]) {
			continue
		}
		err := tx.Exec(`UPDATE redrive.operation_parts
			SET cursor = ?, phase = ?, ramp_at = ?, tick_at = ?, allowance = ?, held = ?, succeeded = ?, failed = ?, skipped = ?, again = ?,
				wave = ?, wave_size = nullif(?, 0), wave_sent = ?, wave_good = ?, wave_bad = ? WHERE operation_id = ? AND integration = ?`,
			p.Cursor, p.Phase, p.RampAt, p.TickAt, p.Allowance, p.Held, p.Succeeded, p.Failed, p.Skipped, p.Again,
			p.Wave, p.WaveSize, p.WaveSent, p.WaveGood, p.WaveBad, id, p.Integration).Error
		if err != nil {
			return err
		}
	}
	return nil
}

// stopItself pauses an operation by policy: what nobody gave a reason for says why among the details of its audit entry.
func stopItself(tx *gorm.DB, id string, why delivery.Phrase) error {
	err := tx.Exec(`UPDATE redrive.operations
		SET state = 'paused', version = version + 1, note = ?, changed_at = clock_timestamp() WHERE id = ?`, why, id).Error
	if err != nil {
		return fmt.Errorf("pausing: %w", err)
	}
	return audit.Record(tx, operationEntry("pause", delivery.ActorPolicy, id, "", map[string]any{"why": why}))
}
