package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
)

// Effort makes lists begin at indexes as early as told, so that few rows are enough to try every way.
func (s *Store) Effort(little, enough, worth, few int) {
	s.effort = effort{little: little, most: 30_000, enough: enough, worth: worth, few: few, patience: s.effort.patience,
		counting: s.effort.counting}
}

// Counting is how long counts may look at failures.
func (s *Store) Counting(most time.Duration) { s.effort.counting = most }

// Decide carries out a row of a table of decisions, whether or not it is one of the program's.
func (s *Store) Decide(ctx context.Context, id, actor string, t delivery.Transition) error {
	return s.transact(ctx, func(tx *gorm.DB) error {
		return decideOne(tx, id, 0, decision{Transition: t, actor: actor, reason: "r"})
	})
}
