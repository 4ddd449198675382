// Package find answers the questions of the console: lists, groups, counts, search, suggestions. It writes nothing but counters' readings.
package find

import "redrive/store/pg"

// Lists finds failures.
type Lists struct {
	*pg.DB
	effort searchBudget
}

// New returns the room on a pool of connections.
func New(db *pg.DB) *Lists { return &Lists{DB: db, effort: usualEffort} }
