// Package desk is what people do with failures: decisions, edits, redirects, cases, and operations on many of them.
package desk

import (
	"redrive/delivery"
	"redrive/store/pg"
)

// Desk carries out decisions.
type Desk struct {
	*pg.DB
	ignoreDays, reopenedAtOnce int
}

// New returns the room on a pool of connections.
func New(db *pg.DB) *Desk {
	return &Desk{DB: db, ignoreDays: delivery.UsualIgnoreDays, reopenedAtOnce: reopenedAtOnce}
}
