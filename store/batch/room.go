// Package batch keeps the runs, files and answers of batch integrations, and reads their queries.
package batch

import "redrive/store/pg"

// Batches keeps runs and files.
type Batches struct {
	*pg.DB
}

// New returns the room on a pool of connections.
func New(db *pg.DB) *Batches { return &Batches{DB: db} }
