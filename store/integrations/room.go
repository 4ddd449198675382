// Package integrations keeps what the database knows of the integrations file, and the health of their parts.
package integrations

import "redrive/store/pg"

// Registry keeps integrations and their health.
type Registry struct {
	*pg.DB
}

// New returns the room on a pool of connections.
func New(db *pg.DB) *Registry { return &Registry{DB: db} }
