// Package notary makes a Merkle log of the audit: it computes the tree of what is committed, signs checkpoints of it, and proves by it. Whoever
// appends to the audit waits for none of that.
package notary

import (
	"redrive/store/audit"
	"redrive/store/pg"
	"redrive/store/vault"
)

// Notary keeps the tree of the audit, its keys and its checkpoints.
type Notary struct {
	*pg.DB
	vault  *vault.Vault // seals the private keys
	trail  *audit.Trail
	origin string
	own    bool // the key-encryption key may be made for the audit alone
}

// New returns the room on a pool of connections.
func New(db *pg.DB, v *vault.Vault, trail *audit.Trail) *Notary {
	return &Notary{DB: db, vault: v, trail: trail}
}

// UseOrigin names the log, before anything else is asked of it. Empty is the name that it has, or a random one for a new log.
func (n *Notary) UseOrigin(origin string) { n.origin = origin }

// MakeKeys lets the audit's key be the first secret, for which a key-encryption key is made. Where several processes share a database and the
// setting does not give them one, the first would keep it from the others.
func (n *Notary) MakeKeys() { n.own = true }
