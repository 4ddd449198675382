package queue

import (
	"fmt"

	"gorm.io/gorm"
)

// Withdraw takes a delivery out of the queue that no worker has, and reports whether it did. Whoever claims it at the same time is first
// or second: the row of the queue is what both begin with.
func Withdraw(tx *gorm.DB, id string) (bool, error) {
	gone := tx.Exec("DELETE FROM redrive.queue WHERE id = ? AND token IS NULL", id)
	if gone.Error != nil {
		return false, fmt.Errorf("withdrawing a delivery: %w", gone.Error)
	}
	return gone.RowsAffected == 1, nil
}
