// Package vault keeps secrets by envelope encryption. Each owner, an integration or a room of the program, has a data key; that is sealed
// with the key-encryption key, which is not in the database.
package vault

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/delivery/seal"
	"redrive/store/audit"
	"redrive/store/pg"
)

// Vault keeps secrets. Without keys (UseKeys) it can only list and remove them.
type Vault struct {
	*pg.DB
	keys *seal.Ring
}

// New returns the room on a pool of connections.
func New(db *pg.DB) *Vault { return &Vault{DB: db, keys: &seal.Ring{}} }

// UseKeys gives the vault its key-encryption keys, before anything else is asked of it.
func (v *Vault) UseKeys(keys *seal.Ring) { v.keys = keys }

// HasKey reports whether there is a key-encryption key, without making one.
func (v *Vault) HasKey() bool {
	outer, err := v.keys.Current(false)
	return err == nil && outer != nil
}

// keysLock lets one process at a time make data keys or end a rotation: so none is sealed with a key that is being forgotten.
const keysLock = "SELECT pg_advisory_xact_lock(hashtextextended('redrive.data_keys', 0))"

// dataKey is a row of data_keys.
type dataKey struct {
	ID, Owner, KeyID string
	Sealed           []byte
}

const dataKeySQL = "SELECT id::text AS id, owner, key_id, sealed FROM redrive.data_keys"

// place is what a data key is bound to.
func (d dataKey) place() []string { return []string{"redrive.data_keys", d.ID, d.Owner} }

func (v *Vault) open(d dataKey) (seal.Key, error) {
	outer, err := v.keys.Find(d.KeyID)
	if err != nil {
		return seal.Key{}, err
	}
	raw, err := outer.Open(d.Sealed, d.place()...)
	if err != nil {
		return seal.Key{}, fmt.Errorf("the data key of %s: %w", d.Owner, err)
	}
	return seal.KeyOf(raw)
}

// SealRow encrypts a secret of an owner (such as people) for the column of one row, whose id must not change. The owner's data key is made when
// it is first needed.
func (v *Vault) SealRow(tx *gorm.DB, owner, row string, plain []byte) (sealed []byte, err error) {
	key, err := v.ownerKey(tx, owner)
	if errors.Is(err, delivery.ErrNotFound) {
		key, err = v.makeKey(tx, owner)
	}
	if err != nil {
		return nil, err
	}
	return key.Seal(plain, owner, row), nil
}

// OpenRow returns what SealRow encrypted for the same owner and row. What was moved, changed or sealed with an unknown key is an error.
func (v *Vault) OpenRow(tx *gorm.DB, owner, row string, sealed []byte) (plain []byte, err error) {
	key, err := v.ownerKey(tx, owner)
	if errors.Is(err, delivery.ErrNotFound) {
		err = seal.ErrRefused
	}
	if err == nil {
		plain, err = key.Open(sealed, owner, row)
	}
	if err != nil {
		return nil, fmt.Errorf("a secret of %s: %w", owner, err)
	}
	return plain, nil
}

func (v *Vault) ownerKey(tx *gorm.DB, owner string) (seal.Key, error) {
	found, err := pg.ScanOne[dataKey](tx, dataKeySQL+" WHERE owner = ?", owner)
	if err != nil {
		return seal.Key{}, err
	}
	return v.open(found)
}

// makeKey makes the data key of an owner. A process whose key is not that of the other rows is refused: it would seal what they cannot open.
func (v *Vault) makeKey(tx *gorm.DB, owner string) (key seal.Key, err error) {
	if err := tx.Exec(keysLock).Error; err != nil {
		return key, err
	}
	if key, err = v.ownerKey(tx, owner); !errors.Is(err, delivery.ErrNotFound) { // another process was faster
		return key, err
	}
	if err := v.check(tx); err != nil {
		return key, err
	}
	outer, err := v.keys.Current(true)
	if err != nil {
		return key, err
	}
	if outer == nil {
		return key, errors.New("secrets cannot be stored: there is no key-encryption key, set REDRIVE_SECRET_KEY")
	}
	id, err := pg.ReadOne(tx, pg.Single[string], "SELECT gen_random_uuid()::text")
	if err != nil {
		return key, err
	}
	key = seal.New()
	made := dataKey{ID: id, Owner: owner}
	return key, tx.Exec("INSERT INTO redrive.data_keys (id, owner, sealed, key_id) VALUES (?, ?, ?, ?)",
		id, owner, outer.Seal(key.Bytes(), made.place()...), outer.ID()).Error
}

// CheckKeys reports whether every data key opens: a wrong REDRIVE_SECRET_KEY is an *seal.UnknownKeyError.
func (v *Vault) CheckKeys(ctx context.Context) error { return v.check(v.Gorm.WithContext(ctx)) }

func (v *Vault) check(tx *gorm.DB) error {
	all, err := pg.Scan[dataKey](tx, dataKeySQL+" ORDER BY owner")
	if err != nil {
		return fmt.Errorf("reading data keys: %w", err)
	}
	for _, d := range all {
		if _, err := v.open(d); err != nil {
			return err
		}
	}
	return nil
}

// Rotate seals every data key with the present key-encryption key, one transaction each: what was done before a failure stays done, and the
// next call goes on. A key in the data directory is replaced by a new one first. It returns how many were sealed anew.
func (v *Vault) Rotate(ctx context.Context, actor string) (count int, err error) {
	if err := v.keys.Turn(); err != nil {
		return 0, err
	}
	for {
		more := false
		err := v.Transact(ctx, func(tx *gorm.DB) error {
			more, err = v.rotateOne(tx, actor)
			return err
		})
		if err != nil {
			return count, err
		}
		if !more {
			return count, nil
		}
		count++
	}
}

// rotateOne seals one data key anew. After the last one the key before the present one is forgotten.
func (v *Vault) rotateOne(tx *gorm.DB, actor string) (more bool, err error) {
	if err := tx.Exec(keysLock).Error; err != nil {
		return false, err
	}
	outer, err := v.keys.Current(false)
	if err != nil {
		return false, err
	}
	id := ""
	if outer != nil {
		id = outer.ID()
	}
	d, err := pg.ScanOne[dataKey](tx, dataKeySQL+" WHERE key_id <> ? ORDER BY owner LIMIT 1 FOR UPDATE", id)
	switch {
	case errors.Is(err, delivery.ErrNotFound):
		return false, v.keys.Turned()
	case err != nil:
		return false, err
	case outer == nil:
		return false, &seal.UnknownKeyError{ID: d.KeyID}
	}
	key, err := v.open(d)
	if err != nil {
		return false, err
	}
	changed := tx.Exec(`UPDATE redrive.data_keys SET sealed = ?, key_id = ?, version = version + 1, sealed_at = clock_timestamp() WHERE id = ?`,
		outer.Seal(key.Bytes(), d.place()...), id, d.ID)
	if changed.Error != nil {
		return false, changed.Error
	}
	return true, audit.Record(tx, delivery.AuditEntry{Actor: actor, Action: "secret.rotate", SubjectType: "data-key", Subject: d.Owner,
		Details: audit.Details(map[string]any{"key_id": id, "was": d.KeyID})})
}
