package desk

import (
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/queue"
)

// canary is how many go first after a step that resumes: as many as before, unless it says how many. An operation that failures stopped
// has a canary also when it had none.
func (s lockedOperation) canary(step delivery.Steer) int {
	switch {
	case step.Canary != nil:
		return *step.Canary
	case s.Note.Key == delivery.NoteFailing && s.Pace.FirstWave() == 0:
		return delivery.StandardCanary
	}
	return s.Pace.Canary
}

// resume goes on with a new canary in each part that has something left. What is under way belongs to it, so that whoever pauses and
// resumes sends no more than who does not. Where failures stopped a part, what failed is sent again before anything else is.
func (s lockedOperation) resume(tx *gorm.DB, step delivery.Steer) error {
	pace, members := s.Pace, map[string]any{}
	pace.Canary = s.canary(step)
	first, none := pace.FirstWave(), step.Canary != nil && *step.Canary == 0
	if none {
		first = 0
	}
	if s.Action.Row().Queues {
		members["canary"] = first
	}
	if pace != s.Pace {
		members["from"], members["to"] = paceMembers(s.Pace), paceMembers(pace)
		if err := tx.Exec("UPDATE redrive.operations SET canary = nullif(CAST(? AS int), 0) WHERE id = ?", pace.Canary, step.ID).Error; err != nil {
			return fmt.Errorf("changing the canary: %w", err)
		}
	}
	begin := goOn
	if none || first > 0 {
		begin = s.newCanary
	}
	if err := begin(tx, step.ID, first); err != nil {
		return fmt.Errorf("resuming: %w", err)
	}
	return changeState(tx, step, delivery.OperationRunning, "resume", [2]string{}, members)
}

// goOn lets no allowance grow during the pause of what has no waves.
func goOn(tx *gorm.DB, id string, _ int) error {
	return tx.Exec(`UPDATE redrive.operation_parts SET ramp_at = ramp_at + (clock_timestamp() - tick_at), tick_at = clock_timestamp()
		WHERE operation_id = ?`, id).Error
}

// newCanary begins a wave of that size in each part that has something left; of size 0 it takes all of it.
func (s lockedOperation) newCanary(tx *gorm.DB, id string, size int) error {
	underway, err := pg.Read(tx, pg.Single[string], `SELECT i.delivery_id::text FROM redrive.operation_parts p
		JOIN redrive.operation_items i ON i.operation_id = p.operation_id AND i.n BETWEEN p.first AND p.cursor AND i.outcome IS NULL
		WHERE p.operation_id = ? AND (p.cursor < p.last OR p.again > 0)`, id)
	if err != nil {
		return err
	}
	if err := queue.Hasten(tx, underway); err != nil { // and no outcome comes in between
		return err
	}
	if err := tx.Exec(countSQL, id).Error; err != nil {
		return err
	}
	for _, statement := range []string{againSQL, carrySQL} {
		err := tx.Exec(statement, map[string]any{"id": id, "limit": s.Pace.Limit(), "size": size}).Error
		if err != nil {
			return err
		}
	}
	return nil
}

// againSQL marks what failed in a wave of which too much did.
const againSQL = `
WITH marked AS (
    UPDATE redrive.operation_items i SET wave = 0 FROM redrive.operation_parts p
    WHERE p.operation_id = @id AND (p.cursor < p.last OR p.again > 0) AND p.wave_bad > CAST(@limit AS float8) * (p.wave_good + p.wave_bad)
        AND i.operation_id = p.operation_id AND i.n BETWEEN p.first AND p.cursor AND i.outcome = 'failed' AND i.wave = p.wave
    RETURNING p.integration
)
UPDATE redrive.operation_parts p SET again = p.again + m.n FROM (SELECT integration, count(*) AS n FROM marked GROUP BY integration) m
WHERE p.operation_id = @id AND p.integration = m.integration`

// carrySQL begins the wave with what is under way, whose next outcome counts.
const carrySQL = `
WITH carried AS (
    UPDATE redrive.operation_items i SET wave = p.wave + 1, failing = false FROM redrive.operation_parts p, redrive.operation_items b
    WHERE p.operation_id = @id AND (p.cursor < p.last OR p.again > 0)
        AND i.operation_id = p.operation_id AND i.n BETWEEN p.first AND p.cursor AND i.outcome IS NULL AND b.operation_id = i.operation_id AND b.n = i.n
    RETURNING p.integration, b.failing
)
UPDATE redrive.operation_parts p SET phase = CASE WHEN CAST(@size AS int) = 0 THEN 'ramp' ELSE 'canary' END, wave = p.wave + 1, wave_size = nullif(CAST(@size AS int), 0), wave_sent = c.n,
    wave_good = 0, wave_bad = 0, failing = p.failing - c.failing, ramp_at = coalesce(p.ramp_at + (clock_timestamp() - p.tick_at), clock_timestamp()),
    tick_at = clock_timestamp()
FROM (SELECT q.integration, count(c.integration) AS n, count(*) FILTER (WHERE c.failing) AS failing FROM redrive.operation_parts q
    LEFT JOIN carried c ON c.integration = q.integration WHERE q.operation_id = @id AND (q.cursor < q.last OR q.again > 0) GROUP BY q.integration) c
WHERE p.operation_id = @id AND p.integration = c.integration`
