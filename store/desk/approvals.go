package desk

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/approve"
	"redrive/store/pg"
)

// What of the desk a second person may have to approve, and how it is carried out then. Each way to act asks approve.Ask once, in the
// transaction that acts and before it changes anything.

// Executors carry out what was approved: as whoever asked would have, through the same functions.
var Executors = approve.Executors{
	delivery.ApprovalAct:       carries(act),
	delivery.ApprovalEdit:      carries(edit),
	delivery.ApprovalRedirect:  carries(redirect),
	delivery.ApprovalOperation: carries(start),
	delivery.ApprovalSteer:     carries(steer),
}

// carries hands the parameters of a request to what carries them out.
func carries[T any](do func(tx *gorm.DB, r T) error) approve.Executor {
	return func(tx *gorm.DB, a delivery.Approval) (string, error) {
		var r T
		if err := a.Decode(&r); err != nil {
			return "", fmt.Errorf("reading what was asked for: %w", err)
		}
		return a.Target, do(tx, r)
	}
}

// askFor asks for a decision on one failure, which is locked.
func askFor(tx *gorm.DB, t lockedDelivery, d decision, kind delivery.ApprovalKind, token string, body any) error {
	return approve.Ask(tx, approve.Request{
		Kind:   kind,
		Action: string(d.Action),
		Target: t.id,
		Actor:  d.actor,
		Reason: d.reason,
		Token:  token,
		Body:   body,
		Deeds:  []delivery.Deed{d.deedOn(t)},
		Items:  "SELECT CAST(@id AS uuid) AS id, CAST(@version AS int) AS version, CAST(@integration AS text) AS integration",
		Args:   map[string]any{"id": t.id, "version": t.version, "integration": t.integration},
	})
}

// deedOn is what a decision does to one failure.
func (d decision) deedOn(t lockedDelivery) delivery.Deed {
	return delivery.Deed{
		Integration: t.integration,
		Edits:       d.Action == delivery.ActionEdit,
		ForGood:     d.forGood(),
		Resends:     d.Queues && (delivery.Delivery{State: t.state, ErrorClass: t.class}).MayHaveHadEffect(),
	}
}

// forGood reports whether a decision ignores without an end.
func (d decision) forGood() bool { return d.Action == delivery.ActionIgnore && d.ForGood }

// errAsk takes back what a freeze wrote, so that another person is asked first.
var errAsk = errors.New("another person is asked")

// deedsOf is what an operation does to what was frozen, where an integration has rules under which that falls.
func deedsOf(tx *gorm.DB, r delivery.OperationRequest, f frozen) (deeds []delivery.Deed, err error) {
	if wanted, err := approve.Wanted(tx); err != nil || !wanted {
		return nil, err
	}
	d := decision{Transition: r.Action.Row(), End: r.End}
	unsure := map[string]bool{}
	if d.Queues {
		if unsure, err = unsureOf(tx, r.ID); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.integrations)) {
		deeds = append(deeds, delivery.Deed{Integration: name, Count: f.integrations[name], ForGood: d.forGood(), Resends: unsure[name]})
	}
	return deeds, nil
}

// unsureOf are the integrations of which an operation would send something again that may have had its effect.
func unsureOf(tx *gorm.DB, operation string) (map[string]bool, error) {
	classes := delivery.UnsureClasses
	names, err := pg.Read(tx, pg.Single[string], `SELECT DISTINCT r.integration FROM redrive.operation_items i JOIN redrive.deliveries r ON r.id = i.delivery_id
		WHERE i.operation_id = ? AND r.error_class = ANY(?)`, operation, &classes)
	if err != nil {
		return nil, fmt.Errorf("looking for what may have had its effect: %w", err)
	}
	unsure := map[string]bool{}
	for _, name := range names {
		unsure[name] = true
	}
	return unsure, nil
}

// askForMany asks for an operation on what a selection has.
func askForMany(tx *gorm.DB, r delivery.OperationRequest, of selection, deeds []delivery.Deed) error {
	return approve.Ask(tx, approve.Request{
		Kind:   delivery.ApprovalOperation,
		Action: string(r.Action),
		Target: r.ID,
		Actor:  r.Actor,
		Reason: r.Reason,
		Token:  r.ID,
		Body:   r,
		Deeds:  deeds,
		Items:  "WITH " + of.sql + " SELECT id, version, integration FROM judged WHERE why IS NULL",
		Args:   of.args,
	})
}

// approvedSQL finds what an approval holds for, in the place of what was asked for then.
const approvedSQL = "(SELECT delivery_id AS id, version FROM redrive.approval_items WHERE approval_id = CAST(@approval AS uuid))"

// wholeAsApproved refuses an operation that would act on less than what was approved: a pause or an open breaker is for now only.
func wholeAsApproved(tx *gorm.DB, f frozen) error {
	a, ok := approve.Of(tx)
	if !ok || f.selected == a.Count {
		return nil
	}
	return delivery.Mistake("conflict.approval_part", "", "count", a.Count, "why", leftOut(f.excluded))
}

// askToSteer asks for a step that lets an operation go faster, or stop later, than it was begun with.
func (s lockedOperation) askToSteer(tx *gorm.DB, step delivery.Steer) error {
	if !s.loosens(step) {
		return nil
	}
	parts, err := pg.Scan[delivery.Deed](tx, `SELECT integration, last - first + 1 AS count, false AS edits, false AS for_good, false AS resends
		FROM redrive.operation_parts WHERE operation_id = ?`, step.ID)
	if err != nil {
		return fmt.Errorf("reading the parts: %w", err)
	}
	step.Version = s.Version
	return approve.Ask(tx, approve.Request{
		Kind:   delivery.ApprovalSteer,
		Action: step.Called(),
		Target: step.ID,
		Actor:  step.Actor,
		Reason: step.Reason,
		Body:   step,
		Deeds:  parts,
	})
}

// loosens reports whether a step takes less care than what an operation was begun with.
func (s lockedOperation) loosens(step delivery.Steer) bool {
	switch {
	case step.Pace != nil:
		return step.Pace.Looser(s.Pace)
	case step.Resume && step.Canary != nil:
		next := s.Pace
		next.Canary = *step.Canary
		return next.Looser(s.Pace)
	}
	return false
}
