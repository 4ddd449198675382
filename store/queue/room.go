// Package queue is what the engine, the relay and the consumers write: messages, the queue and its lanes, attempts, outcomes.
package queue

import "redrive/store/pg"

// Queue takes messages in, hands them to workers and notes what came of them.
type Queue struct {
	*pg.DB
}

// New returns the room on a pool of connections.
func New(db *pg.DB) *Queue { return &Queue{DB: db} }

// RelayTerm is the session of the process that leads the relay.
type RelayTerm struct{ *pg.Leader }
