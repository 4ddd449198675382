package notary

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/delivery/ledger"
	"redrive/store/audit"
	"redrive/store/pg"
)

// owner is whose data key the private keys are sealed with.
const owner = "audit"

func place(id string) string { return "redrive.audit_keys/" + id }

// key is a row of audit_keys.
type key struct {
	ID, Origin, Public string
	Sealed             []byte
}

// currentKeys are those that sign: the newest last. While a key is replaced there are two, until both have signed one checkpoint.
func currentKeys(db *gorm.DB) ([]key, error) {
	list, err := pg.Scan[key](db, "SELECT id::text AS id, origin, public, sealed FROM redrive.audit_keys WHERE ended_at IS NULL ORDER BY created_at")
	if err == nil && len(list) == 0 {
		err = errors.New("the audit has no key to sign with")
	}
	if err != nil || len(list) < 2 || list[0].Origin == list[len(list)-1].Origin {
		return list, err
	}
	return list[len(list)-1:], nil // of another name: a key signs what bears its own
}

func (n *Notary) open(tx *gorm.DB, keys []key) (privates []string, err error) {
	for _, k := range keys {
		plain, err := n.vault.OpenRow(tx, owner, place(k.ID), k.Sealed)
		if err != nil {
			return nil, err
		}
		privates = append(privates, string(plain))
	}
	return privates, nil
}

func retireKeys(tx *gorm.DB, keys []key) error {
	newest := keys[len(keys)-1].ID
	return tx.Exec("UPDATE redrive.audit_keys SET ended_at = clock_timestamp() WHERE ended_at IS NULL AND id <> ?", newest).Error
}

// ensureKey makes the first key, and another one when the log was given another name.
func (n *Notary) ensureKey(ctx context.Context) error {
	have, err := pg.ReadOne(n.Gorm.WithContext(ctx), pg.Single[string],
		"SELECT origin FROM redrive.audit_keys WHERE ended_at IS NULL ORDER BY created_at DESC LIMIT 1")
	if err == nil && (n.origin == "" || n.origin == have) {
		return nil
	}
	if err != nil && !errors.Is(err, delivery.ErrNotFound) {
		return fmt.Errorf("reading the audit's key: %w", err)
	}
	if err != nil && !n.own && !n.vault.HasKey() {
		return ledger.ErrUnsigned
	}
	return n.transact(ctx, func(tx *gorm.DB) error {
		now, err := pg.Read(tx, pg.Single[string], "SELECT origin FROM redrive.audit_keys WHERE ended_at IS NULL ORDER BY created_at DESC LIMIT 1")
		if err != nil || len(now) > 0 && (n.origin == "" || n.origin == now[0]) { // another process was faster
			return err
		}
		_, err = n.makeKey(tx, n.origin, delivery.ActorProgram)
		return err
	})
}

func (n *Notary) makeKey(tx *gorm.DB, origin, actor string) (public string, err error) {
	if origin == "" {
		random := make([]byte, 8)
		_, _ = rand.Read(random) // never fails, see crypto/rand
		origin = "redrive/" + hex.EncodeToString(random)
	}
	if err := ledger.CheckOrigin(origin); err != nil {
		return "", err
	}
	private, public, err := ledger.NewKey(origin)
	if err != nil {
		return "", err
	}
	id, err := pg.ReadOne(tx, pg.Single[string], "SELECT gen_random_uuid()::text")
	if err != nil {
		return "", err
	}
	sealed, err := n.vault.SealRow(tx, owner, place(id), []byte(private))
	if err != nil {
		return "", err
	}
	err = tx.Exec("INSERT INTO redrive.audit_keys (id, origin, public, sealed) VALUES (?, ?, ?, ?)", id, origin, public, sealed).Error
	if err != nil {
		return "", fmt.Errorf("keeping the audit's key: %w", err)
	}
	return public, audit.Record(tx, delivery.AuditEntry{Actor: actor, Action: audit.KeyMade, SubjectType: "audit", Subject: origin,
		Details: audit.Details(map[string]any{"key": public})})
}

// RotateAuditKey makes a new key, which signs the next checkpoint beside the present one and all others alone. It returns the new public key.
func (n *Notary) RotateAuditKey(ctx context.Context, actor string) (public string, err error) {
	if err = n.ensureKey(ctx); err != nil {
		return "", err
	}
	err = n.transact(ctx, func(tx *gorm.DB) error {
		keys, err := currentKeys(tx)
		if err != nil {
			return err
		}
		public, err = n.makeKey(tx, keys[len(keys)-1].Origin, actor)
		return err
	})
	return public, err
}

// AuditKey is a public key of the log.
type AuditKey struct {
	Public    string // as verifiers take it
	CreatedAt time.Time
	EndedAt   *time.Time
}

// AuditKeys are all public keys that the log has had, the newest last.
func (n *Notary) AuditKeys(ctx context.Context) ([]AuditKey, error) {
	list, err := pg.Scan[AuditKey](n.Gorm.WithContext(ctx), "SELECT public, created_at, ended_at FROM redrive.audit_keys ORDER BY created_at")
	if err != nil {
		return nil, fmt.Errorf("reading the audit's keys: %w", err)
	}
	return list, nil
}
