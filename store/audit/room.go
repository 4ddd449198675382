// Package audit is the trail of what people and policies did: the only writer of redrive.audit, and the check of its chain.
package audit

import "redrive/store/pg"

// Trail writes and reads the audit trail.
type Trail struct {
	*pg.DB
}

// New returns the room on a pool of connections.
func New(db *pg.DB) *Trail { return &Trail{DB: db} }
