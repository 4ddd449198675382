package queue

import (
	"fmt"

	"gorm.io/gorm"
)

// Hasten gives what waits for its next automatic try that try now. Until the transaction ends nobody claims any of the deliveries, and no
// outcome of them is written: both begin with the row of the queue, as this does.
func Hasten(tx *gorm.DB, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	err := tx.Exec(`WITH locked AS MATERIALIZED (
			SELECT id, token, due_at FROM redrive.queue WHERE id = ANY(?::uuid[]) ORDER BY id FOR UPDATE
		)
		UPDATE redrive.queue w SET due_at = clock_timestamp() FROM locked l
		WHERE w.id = l.id AND l.token IS NULL AND isfinite(l.due_at) AND l.due_at > clock_timestamp()`, &ids).Error
	if err != nil {
		return fmt.Errorf("giving deliveries their next try: %w", err)
	}
	return nil
}
