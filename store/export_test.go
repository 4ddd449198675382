package store

// Effort makes lists begin at indexes as early as told, so that few rows are enough to try every way.
func (s *Store) Effort(little, enough, worth, few int) {
	s.effort = effort{little: little, most: 30_000, enough: enough, worth: worth, few: few}
}
