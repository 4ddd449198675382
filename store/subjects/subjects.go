// Package subjects knows whose data messages are, by hash, and lets people look at what is masked, one value at a time.
package subjects

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/vault"
)

// owner is whose data key seals the key of the hashes, and place the row that it is bound to.
const owner = "subjects"

func place(id string) string { return "redrive.subject_keys/" + id }

// Subjects are the room's tables.
type Subjects struct {
	*pg.DB
	vault *vault.Vault
}

// New returns the room on a pool of connections.
func New(db *pg.DB, keys *vault.Vault) *Subjects { return &Subjects{DB: db, vault: keys} }

// HashSubject returns the hash under which a data subject is known here: HMAC-SHA-256 by a key that only this installation has, in hexadecimal
// digits. Nothing is nobody's.
func (s *Subjects) HashSubject(ctx context.Context, subject string) (hash string, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		hash, err = s.hash(tx, subject)
		return err
	})
	return hash, err
}

func (s *Subjects) hash(tx *gorm.DB, subject string) (string, error) {
	subject = strings.TrimSpace(subject)
	if subject == "" {
		return "", nil
	}
	key, err := s.key(tx)
	if err != nil {
		return "", fmt.Errorf("hashing a data subject: %w", err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(subject))
	return hex.EncodeToString(mac.Sum(nil)), nil
}

// key is the key of the hashes, which is made when it is first needed.
func (s *Subjects) key(tx *gorm.DB) ([]byte, error) {
	type row struct {
		ID     string
		Sealed []byte
	}
	found, err := pg.ScanOne[row](tx, "SELECT id::text, sealed FROM redrive.subject_keys")
	if errors.Is(err, delivery.ErrNotFound) {
		if found.ID, err = pg.ReadOne(tx, pg.Single[string], "SELECT gen_random_uuid()::text"); err != nil {
			return nil, err
		}
		key := make([]byte, sha256.Size)
		_, _ = rand.Read(key) // never fails
		if found.Sealed, err = s.vault.SealRow(tx, owner, place(found.ID), key); err != nil {
			return nil, err
		}
		if err := tx.Exec("INSERT INTO redrive.subject_keys (id, sealed) VALUES (?, ?) ON CONFLICT (alone) DO NOTHING", found.ID, found.Sealed).Error; err != nil {
			return nil, err
		}
		found, err = pg.ScanOne[row](tx, "SELECT id::text, sealed FROM redrive.subject_keys") // another process may have been first
	}
	if err != nil {
		return nil, err
	}
	return s.vault.OpenRow(tx, owner, place(found.ID), found.Sealed)
}

// hashes are those of several data subjects, with commas between: one message is about one, as a rule.
func (s *Subjects) hashes(tx *gorm.DB, list []string) ([]string, error) {
	out := make([]string, 0, len(list))
	for _, subject := range list {
		hash, err := s.hash(tx, subject)
		if err != nil {
			return nil, err
		}
		out = append(out, hash)
	}
	return out, nil
}
