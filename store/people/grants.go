package people

import (
	"encoding/json"
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
)

// give writes down what a person (operator_id) or a token (token_id) may do beside the role.
func give(tx *gorm.DB, holder, id string, grants delivery.Grants) error {
	for _, g := range grants {
		permissions := make([]string, len(g.Permissions))
		for n, p := range g.Permissions {
			permissions[n] = string(p)
		}
		names, labels := append([]string{}, g.Integrations...), g.Labels
		if labels == nil {
			labels = map[string]string{}
		}
		raw, err := json.Marshal(labels)
		if err != nil {
			return err
		}
		err = tx.Exec("INSERT INTO redrive.grants ("+holder+", role, permissions, integrations, labels, provided) VALUES (?, ?, ?, ?, ?::jsonb, ?)",
			id, string(g.Role), &permissions, &names, string(raw), g.Provided).Error
		if err != nil {
			return fmt.Errorf("granting: %w", err)
		}
	}
	return nil
}

// changeGrants adds the grant of a change, or takes one away.
func changeGrants(tx *gorm.DB, c delivery.OperatorChange) error {
	switch {
	case c.Grant != nil:
		return give(tx, "operator_id", c.ID, delivery.Grants{*c.Grant})
	case c.Withdraw != nil && !delivery.IsUUID(*c.Withdraw):
		return delivery.ErrNotFound
	case c.Withdraw != nil:
		taken := tx.Exec("DELETE FROM redrive.grants WHERE id = ? AND operator_id = ?", *c.Withdraw, c.ID)
		if taken.Error == nil && taken.RowsAffected == 0 {
			return delivery.ErrNotFound
		}
		return taken.Error
	}
	return nil
}
