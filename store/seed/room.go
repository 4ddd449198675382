// Package seed writes a history of the past into a database in which nothing has happened yet, as its own rooms would have left it: the
// times of their functions are those of now.
package seed

import "redrive/store/pg"

// Seed writes a history.
type Seed struct {
	*pg.DB
}

// New returns the room on a pool of connections.
func New(db *pg.DB) *Seed { return &Seed{DB: db} }
