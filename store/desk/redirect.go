package desk

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/queue"
	"redrive/store/record"
)

// Redirect retries a dead letter by another integration.
func (s *Desk) Redirect(ctx context.Context, r delivery.RedirectRequest) (delivery.Delivery, error) {
	if err := checkAction(delivery.ActionRequest{Action: delivery.ActionRedirect, ID: r.ID, Reason: r.Reason}); err != nil {
		return delivery.Delivery{}, err
	}
	return s.changed(ctx, r.ID, r.Token, func(tx *gorm.DB) error { return redirect(tx, r) })
}

func redirect(tx *gorm.DB, r delivery.RedirectRequest) error {
	d := decision{Transition: delivery.ActionRedirect.Row(), actor: r.Actor, reason: r.Reason}
	before, err := permittedOne(tx, r.ID, r.Version, d)
	if err != nil {
		return err
	}
	if err := pg.MayFor(tx, r.Integration, delivery.PermitRedirect); err != nil {
		return err
	}
	lane, err := checkTarget(tx, before.integration, r)
	if err != nil {
		return err
	}
	r.Version = before.version
	if err := askFor(tx, before, d, delivery.ApprovalRedirect, r.Token, r); err != nil {
		return err
	}
	if err := leaveFor(tx, r, before.integration, lane); err != nil {
		return err
	}
	if err := move(tx, []lockedDelivery{before}, d); err != nil {
		return err
	}
	if err := queue.JoinLanes(tx, []delivery.Parked{{DeliveryID: r.ID, Integration: r.Integration, Lane: lane}}); err != nil {
		return err
	}
	// from and to are integrations here
	d.members = map[string]any{"integration": nil, "from": before.integration, "to": r.Integration}
	return auditDecision(tx, []lockedDelivery{before}, d)
}

// leaveFor takes a delivery out of its lane and gives it to its new integration. Both lanes are locked first, in the order in
// which everybody locks them.
func leaveFor(tx *gorm.DB, r delivery.RedirectRequest, from, lane string) error {
	_, err := pg.Read(tx, pg.Single[string], `SELECT key FROM redrive.lanes WHERE head = ? OR (integration = ? AND key = ?) ORDER BY integration, key FOR UPDATE`,
		r.ID, r.Integration, lane)
	if err != nil {
		return fmt.Errorf("locking lanes: %w", err)
	}
	if err := queue.ReleaseLanes(tx, []string{r.ID}); err != nil {
		return err
	}
	if err := regroup(tx, r); err != nil {
		return fmt.Errorf("redirecting from %s: %w", from, err)
	}
	return nil
}

// regroup moves a failure to its new integration and to the group that its error would have there: groups are of one integration.
func regroup(tx *gorm.DB, r delivery.RedirectRequest) error {
	type failed struct{ Class, Text, Kind string }
	f, err := pg.ScanOne[failed](tx,
		`SELECT coalesce(r.error_class, '') AS class, coalesce(f.error, '') AS text, coalesce(r.type, '') AS kind
		FROM redrive.deliveries r LEFT JOIN redrive.failure_details f ON f.delivery_id = r.id WHERE r.id = ?`, r.ID)
	if err != nil {
		return err
	}
	group, text := delivery.Fingerprint(r.Integration, f.Class, f.Text)
	groups, texts := []string{group}, []string{text}
	if err := queue.BoundGroups(tx, []string{r.Integration}, []string{f.Class}, groups, texts); err != nil {
		return err
	}
	if err := tx.Exec("WITH grouped AS (SELECT ?::text AS group_id, ?::text AS integration, ?::text AS error_class, "+
		"?::text AS message, array_remove(ARRAY[?::text], '') AS types)"+
		queue.SeenSQL, groups[0], r.Integration, f.Class, texts[0], f.Kind).Error; err != nil {
		return err
	}
	return tx.Exec("UPDATE redrive.deliveries SET integration = ?, group_id = ? WHERE id = ?",
		r.Integration, groups[0], r.ID).Error
}

// target is an integration that a delivery might go to.
type target struct {
	Active, Ordered          bool
	Kind, Method, Wants, Key string // Wants is the kind of destination that the delivery has
	Batch, There, Behind     bool
}

const targetSQL = `SELECT t.active, t.ordered, t.destination AS kind, t.method, coalesce(i.destination, '') AS wants, coalesce(m.key, '') AS key,
		` + ofBatchSQL + ` AS batch, ` + thereSQL + ` AS there, ` + record.BehindSQL + ` AS behind
	FROM redrive.deliveries r JOIN redrive.messages m ON m.id = r.message_id LEFT JOIN redrive.integrations i ON i.name = r.integration
	JOIN redrive.integrations t ON t.name = ? WHERE r.id = ?`

// thereSQL reports whether the message of a delivery r has one of integration t, or will get it.
const thereSQL = `(EXISTS (SELECT FROM redrive.all_deliveries x WHERE x.message_id = r.message_id AND x.integration = t.name)
	OR EXISTS (SELECT FROM (` + record.ComingSQL + `) x WHERE x.message_id = r.message_id AND x.integration = t.name))`

// checkTarget returns the lane to join, empty for none. The message is locked, so that two of its deliveries cannot be redirected
// to one integration at the same time.
func checkTarget(tx *gorm.DB, from string, r delivery.RedirectRequest) (lane string, err error) {
	err = tx.Exec(`SELECT FROM redrive.messages
		WHERE id = (SELECT r.message_id FROM redrive.deliveries r WHERE r.id = ?) FOR UPDATE`, r.ID).Error
	if err != nil {
		return "", fmt.Errorf("locking the message: %w", err)
	}
	t, err := pg.ScanOne[target](tx, targetSQL, r.Integration, r.ID)
	if err != nil && !errors.Is(err, delivery.ErrNotFound) {
		return "", fmt.Errorf("looking at %s: %w", r.Integration, err)
	}
	if err := t.refuse(from, r.Integration); err != nil {
		return "", err
	}
	if !t.Ordered {
		return "", nil
	}
	return t.Key, nil
}

func (t target) refuse(from, to string) error {
	switch {
	case to == from:
		return delivery.Mistake("same_integration", "integration", "integration", to)
	case !t.Active:
		return delivery.Mistake("unknown_integration.redirect", "integration", "integration", to)
	case t.Batch:
		return delivery.Mistake("batch.redirect", "integration")
	case t.Method == string(delivery.MethodBatch):
		return delivery.Mistake("batch_target", "integration", "integration", to)
	case t.Kind == "" || t.Kind != t.Wants:
		return delivery.Mistake("other_destination", "integration", "integration", to, "kind", t.Wants)
	case t.There:
		return delivery.Mistake("already_there", "integration", "integration", to)
	case t.Behind:
		return delivery.Mistake("relay_behind", "integration", "integration", to)
	}
	return nil
}

// RedirectTargets returns the integrations that a dead letter can be redirected to, by name.
func (s *Desk) RedirectTargets(ctx context.Context, id string) ([]string, error) {
	if !delivery.IsUUID(id) {
		return nil, delivery.ErrNotFound
	}
	db := s.Gorm.WithContext(ctx)
	if err := seeDelivery(db, id); err != nil {
		return nil, err
	}
	list, err := pg.Read(db, pg.Single[string], `SELECT t.name FROM redrive.deliveries r
		JOIN redrive.integrations i ON i.name = r.integration
		JOIN redrive.integrations t ON t.active AND t.name <> r.integration AND t.destination = i.destination AND t.destination <> '' AND t.method <> 'batch'
		WHERE r.id = ? AND EXISTS (SELECT FROM redrive.messages m WHERE m.id = r.message_id) AND NOT `+ofBatchSQL+` AND NOT `+thereSQL+` AND NOT `+record.BehindSQL+`
		ORDER BY t.name`, id)
	if err != nil {
		return nil, fmt.Errorf("looking for integrations to redirect to: %w", err)
	}
	scope := pg.Scope(db, delivery.PermitRedirect)
	return slices.DeleteFunc(list, func(name string) bool { return !scope.Has(name) }), nil
}
