// Package index fills the search index of payloads, without what is masked.
package index

import "redrive/store/pg"

// SearchIndex fills the search index.
type SearchIndex struct {
	*pg.DB
}

// New returns the room on a pool of connections.
func New(db *pg.DB) *SearchIndex { return &SearchIndex{DB: db} }
