package store

import "time"

// Effort makes lists begin at indexes as early as told, so that few rows are enough to try every way.
func (s *Store) Effort(little, enough, worth, few int) {
	s.effort = effort{little: little, most: 30_000, enough: enough, worth: worth, few: few, patience: s.effort.patience,
		counting: s.effort.counting}
}

// Counting is how long counts may look at failures.
func (s *Store) Counting(most time.Duration) { s.effort.counting = most }
