package queue

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"redrive/store/pg"
)

var placeSQL = fmt.Sprintf(laneSQL, `
    SELECT w.id, w.integration, w.lane, row_number() OVER (ORDER BY w.message_id) AS n, `+dueSQL+` AS due
    FROM (SELECT id, integration, lane, message_id FROM redrive.queue WHERE lane IS NOT NULL AND position IS NULL
        ORDER BY message_id LIMIT ? FOR UPDATE) w`)

// Place gives at most limit deliveries that were handed over without a place their places at the end of their lanes, and answers
// how many; as many as limit: there may be more. What was committed together, or one after the other, goes in the order of the
// messages' ids; between transactions that overlapped there is no order to keep.
func (l *RelayTerm) Place(ctx context.Context, limit int) (int, error) {
	result := l.Gorm.WithContext(ctx).Exec(placeSQL, limit)
	if result.Error != nil {
		return 0, fmt.Errorf("placing deliveries in their lanes: %w", result.Error)
	}
	return int(result.RowsAffected), nil
}

// lineUpSQL puts what waits of integrations that became ordered into lanes.
var lineUpSQL = fmt.Sprintf(laneSQL, `
    SELECT w.*, row_number() OVER (ORDER BY w.message_id) AS n FROM (
        SELECT q.id, q.integration, m.key AS lane, q.message_id, q.due_at AS due FROM redrive.queue q JOIN redrive.messages m ON m.id = q.message_id
        WHERE q.integration = ANY(?) AND q.token IS NULL AND q.lane IS NULL AND m.key <> '' FOR UPDATE OF q) w`)

// The lanes of integrations that are not ordered any more. What has no place yet is left to Place, whose locks come in another
// order: it gets a lane that empties like any other.
const (
	lockFormerSQL = `SELECT l.head::text FROM redrive.lanes l JOIN redrive.integrations i ON i.name = l.integration AND NOT i.ordered
		ORDER BY l.integration, l.key FOR UPDATE OF l`
	dropFormerSQL = "DELETE FROM redrive.lanes WHERE head = ANY(?::uuid[])"
	freeSQL       = `UPDATE redrive.queue w SET lane = NULL, position = NULL, due_at = ` + dueSQL + `
		FROM redrive.integrations i WHERE i.name = w.integration AND NOT i.ordered AND w.lane IS NOT NULL AND w.position IS NOT NULL
			AND w.due_at = ` + WaitsForTurn
)

// skippedSQL finds lanes behind a dead letter that is to block nothing.
const skippedSQL = `SELECT l.head::text FROM redrive.lanes l JOIN redrive.integrations i ON i.name = l.integration AND i.on_dead = 'skip'
	WHERE NOT EXISTS (SELECT FROM redrive.queue w WHERE w.id = l.head)`

// Reorder makes the lanes follow the integrations file: became names the integrations that are ordered now and were not.
func Reorder(tx *gorm.DB, became []string) error {
	if err := tx.Exec(lineUpSQL, &became).Error; err != nil {
		return fmt.Errorf("lining up what waits: %w", err)
	}
	former, err := pg.Read(tx, pg.Single[string], lockFormerSQL)
	if err != nil {
		return fmt.Errorf("locking former lanes: %w", err)
	}
	if err := tx.Exec(dropFormerSQL, &former).Error; err != nil {
		return fmt.Errorf("dropping former lanes: %w", err)
	}
	if err := tx.Exec(freeSQL).Error; err != nil {
		return fmt.Errorf("freeing what waited in former lanes: %w", err)
	}
	skipped, err := pg.Read(tx, pg.Single[string], skippedSQL)
	if err != nil {
		return fmt.Errorf("looking for dead letters to skip: %w", err)
	}
	return ReleaseLanes(tx, skipped)
}
