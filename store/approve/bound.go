package approve

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// Versions of a request's failures: those that it was asked for, or those that they have now.
const (
	asAsked = "i.version"
	asNow   = "coalesce(r.version, 0)"
)

// lockItems locks the failures of a request in the order of their ids, as everybody does.
func lockItems(tx *gorm.DB, id string) error {
	_, err := pg.Read(tx, pg.Single[int], `SELECT 1 FROM redrive.deliveries r WHERE r.id IN (SELECT i.delivery_id FROM redrive.approval_items i
		WHERE i.approval_id = ?) ORDER BY r.id FOR UPDATE`, id)
	return err
}

// itemsNow hashes ids, versions and states of a request's failures, and counts them. It is read row by row: there may be very many.
func itemsNow(tx *gorm.DB, id, version string) (hash string, count int, err error) {
	rows, err := tx.Raw(`SELECT i.delivery_id::text, `+version+`, coalesce(r.state, '') FROM redrive.approval_items i
		LEFT JOIN redrive.deliveries r ON r.id = i.delivery_id WHERE i.approval_id = ? ORDER BY i.delivery_id`, id).Rows()
	if err != nil {
		return "", 0, err
	}
	defer rows.Close()
	sum := sha256.New()
	for ; rows.Next(); count++ {
		var item, state string
		var version int
		if err := rows.Scan(&item, &version, &state); err != nil {
			return "", 0, err
		}
		fmt.Fprintf(sum, "%s %d %s\n", item, version, state)
	}
	return hex.EncodeToString(sum.Sum(nil)), count, rows.Err()
}

// settingsNow are the hashes of the integrations' parts of the file; one that left it has another one.
func settingsNow(tx *gorm.DB, names []string, lock string) (map[string]string, error) {
	type row struct{ Name, Hash string }
	rows, err := pg.Scan[row](tx, `SELECT name, CASE WHEN active THEN settings_hash ELSE 'gone' END AS hash FROM redrive.integrations WHERE name = ANY(?)
		ORDER BY name`+lock, &names)
	settings := map[string]string{}
	for _, r := range rows {
		settings[r.Name] = r.Hash
	}
	return settings, err
}

// holdSettings keeps the file from being read anew before the transaction ends.
const holdSettings = " FOR SHARE"

// boundNow is what a request holds for as it is now.
func boundNow(tx *gorm.DB, a delivery.Approval, version, lock string) (b delivery.Bound, err error) {
	b = delivery.Bound{ID: a.ID, Asker: a.ActorID, Person: a.Person, Kind: a.Kind, Action: a.Action, Target: a.Target,
		Request: delivery.HashOf(a.Request), Expires: a.ExpiresAt}
	if b.Items, b.Count, err = itemsNow(tx, a.ID, version); err != nil {
		return b, fmt.Errorf("reading what a request is about: %w", err)
	}
	if b.Settings, err = settingsNow(tx, a.Integrations, lock); err != nil {
		return b, fmt.Errorf("reading what a request holds for: %w", err)
	}
	return b, nil
}
