// Package capture keeps positions, tables and gaps of CDC integrations, and takes their changes in.
package capture

import "redrive/store/pg"

// Captures keeps what is known of captured tables.
type Captures struct {
	*pg.DB
}

// New returns the room on a pool of connections.
func New(db *pg.DB) *Captures { return &Captures{DB: db} }

// Term is the session of the process that leads a CDC integration.
type Term struct{ *pg.Leader }
