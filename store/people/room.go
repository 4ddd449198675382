// Package people keeps operators, their sessions, API tokens and saved views.
package people

import (
	"redrive/store/pg"
	"redrive/store/vault"
)

// People keeps who may sign in, and what belongs to them.
type People struct {
	*pg.DB
	vault *vault.Vault // seals what codes of apps are made of
}

// New returns the room on a pool of connections.
func New(db *pg.DB, v *vault.Vault) *People { return &People{DB: db, vault: v} }
