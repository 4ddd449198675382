package vault

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

// owner is whose data key the secrets of an integration are sealed with.
func owner(integration string) string { return "integration/" + integration }

// place is what a stored secret is bound to beside its owner.
func place(id, name string) string { return "redrive.secrets/" + id + "/" + name }

// Secrets lists what is stored for an integration, by name; for no integration all of it.
func (v *Vault) Secrets(ctx context.Context, integration string) ([]delivery.StoredSecret, error) {
	list, err := pg.Scan[delivery.StoredSecret](v.Gorm.WithContext(ctx), "SELECT integration, name, set_at, "+pg.Called("set_by")+
		" AS set_by FROM redrive.secrets WHERE ? IN ('', integration) ORDER BY integration, name", integration)
	if err != nil {
		return nil, fmt.Errorf("reading stored secrets: %w", err)
	}
	return list, nil
}

// SetSecret keeps a secret of an integration, in the place of one with the same name. The integration may be one that no file names yet. A
// name or value that cannot be is an *delivery.InputError.
func (v *Vault) SetSecret(ctx context.Context, integration, name, value, actor string) error {
	if err := delivery.CheckSecret(name, value); err != nil {
		return err
	}
	return v.Transact(ctx, func(tx *gorm.DB) error {
		if err := mayFor(tx, integration); err != nil {
			return err
		}
		id, err := pg.ReadOne(tx, pg.Single[string], "SELECT gen_random_uuid()::text")
		if err != nil {
			return err
		}
		sealed, err := v.SealRow(tx, owner(integration), place(id, name), []byte(value))
		if err != nil {
			return err
		}
		// a value has an id of its own, so that an earlier one does not open in its place
		replaced, err := pg.ReadOne(tx, pg.Single[bool], `WITH before AS (SELECT EXISTS (SELECT FROM redrive.secrets WHERE integration = ? AND name = ?) AS there)
			INSERT INTO redrive.secrets (id, integration, name, sealed, set_by) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (integration, name) DO UPDATE SET id = excluded.id, sealed = excluded.sealed, set_by = excluded.set_by, set_at = excluded.set_at
			RETURNING (SELECT there FROM before)`, integration, name, id, integration, name, sealed, actor)
		if err != nil {
			return fmt.Errorf("keeping a secret: %w", err)
		}
		return audit.Record(tx, secretEntry("set", actor, integration, name, map[string]any{"replaced": replaced}))
	})
}

// RemoveSecret deletes a secret of an integration: delivery.ErrNotFound where there is none.
func (v *Vault) RemoveSecret(ctx context.Context, integration, name, actor string) error {
	return v.Transact(ctx, func(tx *gorm.DB) error {
		if err := mayFor(tx, integration); err != nil {
			return err
		}
		removed := tx.Exec("DELETE FROM redrive.secrets WHERE integration = ? AND name = ?", integration, name)
		if removed.Error != nil {
			return fmt.Errorf("removing a secret: %w", removed.Error)
		}
		if removed.RowsAffected == 0 {
			return delivery.ErrNotFound
		}
		return audit.Record(tx, secretEntry("remove", actor, integration, name, nil))
	})
}

func secretEntry(what, actor, integration, name string, members map[string]any) delivery.AuditEntry {
	if members == nil {
		members = map[string]any{}
	}
	members["name"] = name
	return delivery.AuditEntry{Actor: actor, Action: "secret." + what, SubjectType: "integration", Subject: integration, Details: audit.Details(members)}
}

// mayFor refuses whoever does not administer the integration.
func mayFor(tx *gorm.DB, integration string) error {
	r, acts := delivery.RightOf(tx.Statement.Context)
	if !acts {
		return nil
	}
	if missing := r.Rights.MissingFor(integration, delivery.PermitAdminister); missing != "" {
		return &delivery.RightError{Right: r, Missing: missing, Integration: integration}
	}
	return nil
}

// Secret returns the value of a stored secret, for the program alone: delivery.ErrNotFound where there is none.
func (v *Vault) Secret(ctx context.Context, integration, name string) (string, error) {
	type row struct {
		ID     string
		Sealed []byte
	}
	db := v.Gorm.WithContext(ctx)
	found, err := pg.ScanOne[row](db, "SELECT id::text AS id, sealed FROM redrive.secrets WHERE integration = ? AND name = ?", integration, name)
	if errors.Is(err, delivery.ErrNotFound) {
		return "", err
	}
	if err != nil {
		return "", fmt.Errorf("reading a stored secret: %w", err)
	}
	plain, err := v.OpenRow(db, owner(integration), place(found.ID, name), found.Sealed)
	return string(plain), err
}
