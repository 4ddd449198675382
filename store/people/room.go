// Package people keeps operators, their sessions, API tokens and saved views.
package people

import "redrive/store/pg"

// People keeps who may sign in, and what belongs to them.
type People struct {
	*pg.DB
}

// New returns the room on a pool of connections.
func New(db *pg.DB) *People { return &People{DB: db} }
