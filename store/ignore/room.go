package ignore

import "redrive/store/pg"

// Rules makes, ends and shows ignore rules.
type Rules struct {
	*pg.DB
	days int // after which a rule ends where nobody says when
}

// New returns the room on a pool of connections.
func New(db *pg.DB, days int) *Rules { return &Rules{DB: db, days: days} }

// SetIgnoreDays says after how many days a rule ends where nobody says when.
func (s *Rules) SetIgnoreDays(days int) { s.days = days }
