package approve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

// Approve has a request carried out, in one transaction with the approval. The error is a *delivery.VoidError where what was asked for is
// not what there is any more, or where nobody said anything in time: then that is kept.
func (s *Requests) Approve(ctx context.Context, d delivery.ApprovalDecision) (delivery.Approval, error) {
	return s.decide(ctx, d, func(tx *gorm.DB, a delivery.Approval) (outcome, error) {
		why, err := changed(tx, a)
		if err != nil || !why.IsZero() {
			return outcome{state: delivery.ApprovalVoid, why: why}, err
		}
		return s.carryOut(tx, a)
	})
}

// Reject says no to a request; a comment is required.
func (s *Requests) Reject(ctx context.Context, d delivery.ApprovalDecision) (delivery.Approval, error) {
	if d.Comment = strings.TrimSpace(d.Comment); d.Comment == "" {
		return delivery.Approval{}, delivery.Mistake("reason_required.reject", "comment")
	}
	return s.decide(ctx, d, func(*gorm.DB, delivery.Approval) (outcome, error) {
		return outcome{state: delivery.ApprovalRejected}, nil
	})
}

// Withdraw takes a request back; only whoever asked does, by whatever token or session of theirs.
func (s *Requests) Withdraw(ctx context.Context, d delivery.ApprovalDecision) (a delivery.Approval, err error) {
	err = s.settled(ctx, d, func(tx *gorm.DB, a delivery.Approval) (outcome, error) {
		person, err := PersonOf(tx, d.Actor)
		if err == nil && a.ActorID != d.Actor && !a.Mine(person) {
			err = delivery.Mistake("not_yours.approval", "id")
		}
		return outcome{state: delivery.ApprovalWithdrawn}, err
	})
	if err != nil {
		return a, err
	}
	return s.Approval(ctx, d.ID)
}

// outcome is what becomes of a request.
type outcome struct {
	state  delivery.ApprovalState
	why    delivery.Phrase // of a void one
	result string          // of an approved one
}

// decide lets another person say something.
func (s *Requests) decide(ctx context.Context, d delivery.ApprovalDecision, say func(*gorm.DB, delivery.Approval) (outcome, error)) (a delivery.Approval, err error) {
	err = s.settled(ctx, d, func(tx *gorm.DB, a delivery.Approval) (outcome, error) {
		if err := mayDecide(tx, a, d.Actor); err != nil {
			return outcome{}, err
		}
		return say(tx, a)
	})
	if err != nil {
		return a, err
	}
	return s.Approval(ctx, d.ID)
}

// settled ends a request that is open, with its entry in the audit. One that became void or too old ends as that, whatever was to be said.
func (s *Requests) settled(ctx context.Context, d delivery.ApprovalDecision, say func(*gorm.DB, delivery.Approval) (outcome, error)) error {
	if !delivery.IsUUID(d.ID) {
		return delivery.ErrNotFound
	}
	if err := delivery.CheckReason(d.Comment); err != nil {
		return err
	}
	var void *delivery.VoidError
	err := s.Transact(ctx, func(tx *gorm.DB) error {
		void = nil
		a, err := locked(tx, d.ID)
		if err != nil {
			return err
		}
		o := outcome{state: delivery.ApprovalExpired, why: delivery.Say("approval.void.expired")}
		if a.State == delivery.ApprovalOpen {
			o, err = say(tx, a)
		}
		if err != nil {
			return err
		}
		if !o.why.IsZero() {
			void = &delivery.VoidError{Why: o.why}
		}
		return settle(tx, a, d, o)
	})
	if err == nil && void != nil {
		return void
	}
	return err
}

// locked is an open request, held until the transaction's end. One whose time is over has the state of that.
func locked(tx *gorm.DB, id string) (delivery.Approval, error) {
	if _, err := pg.Read(tx, pg.Single[int], "SELECT 1 FROM redrive.approvals WHERE id = ? FOR UPDATE", id); err != nil {
		return delivery.Approval{}, err
	}
	a, err := one(tx, "q.id = ?", id)
	if err != nil {
		return a, err
	}
	if err := see(tx, a); err != nil {
		return a, err
	}
	if a.DecidedAt != nil {
		return a, delivery.Mistake("conflict.approval", "", "state", a.State)
	}
	return a, nil
}

// mayDecide refuses whoever asked, by any token or session of theirs; robots; whoever made the robot that asked; and who may not approve for
// one of the integrations.
func mayDecide(tx *gorm.DB, a delivery.Approval, actor string) error {
	person, err := PersonOf(tx, actor)
	if err != nil {
		return err
	}
	if person == "" {
		return delivery.Mistake("robot_approval", "")
	}
	own := a.Mine(person) || a.ActorID == actor
	if !own && a.Person == "" {
		if own, err = madeBy(tx, a.ActorID, person); err != nil {
			return err
		}
	}
	if own {
		return delivery.Mistake("own_approval", "")
	}
	for _, name := range a.Integrations {
		if err := pg.MayFor(tx, name, delivery.PermitApprove); err != nil {
			return err
		}
	}
	return nil
}

// madeBy reports whether a person made a robot's token, or gave it a secret: they know it.
func madeBy(tx *gorm.DB, token, person string) (bool, error) {
	return pg.ReadOne(tx, pg.Single[bool], `SELECT EXISTS (SELECT FROM redrive.audit e WHERE e.subject = ? AND e.subject_type = 'token'
		AND e.action IN ('token.create', 'token.rotate') AND (e.details ->> 'actor_id' = ?
			OR e.details ->> 'actor_id' IN (SELECT t.id::text FROM redrive.api_tokens t WHERE t.operator_id::text = ?)))`, token, person, person)
}

// changed says what of a request is not as it was asked for. Its failures are locked before they are looked at.
func changed(tx *gorm.DB, a delivery.Approval) (why delivery.Phrase, err error) {
	if err := lockItems(tx, a.ID); err != nil {
		return why, err
	}
	return differs(tx, a, holdSettings)
}

func differs(tx *gorm.DB, a delivery.Approval, lock string) (why delivery.Phrase, err error) {
	raw, err := pg.ReadOne(tx, pg.Single[[]byte], "SELECT bound FROM redrive.approvals WHERE id = ?", a.ID)
	if err != nil {
		return why, err
	}
	var asked delivery.Bound
	if json.Unmarshal(raw, &asked) != nil || delivery.HashOf(raw) != a.Hash {
		return delivery.Say("approval.void.request"), nil
	}
	now, err := boundNow(tx, a, asNow, lock)
	if err != nil {
		return why, err
	}
	return asked.Differs(now), nil
}

// carryOut does what was asked for by the rights that whoever asked has now. What they may not any more, or what is not possible any more,
// voids the request.
func (s *Requests) carryOut(tx *gorm.DB, a delivery.Approval) (outcome, error) {
	run, known := s.executors[a.Kind]
	if !known {
		return outcome{}, fmt.Errorf("nobody carries out %s", a.Kind)
	}
	rights := delivery.RightsOf(delivery.RoleAdmin, nil) // of whoever asked at the terminal, beside the database
	if delivery.IsUUID(a.ActorID) {
		var err error
		if rights, err = pg.RightsNow(tx, a.ActorID); err != nil {
			return outcome{}, err
		}
	}
	done := outcome{state: delivery.ApprovalApproved}
	ctx := delivery.WithRight(granted(tx.Statement.Context, a), delivery.Right{Actor: a.ActorID, Rights: rights})
	err := tx.WithContext(ctx).Transaction(func(within *gorm.DB) (err error) {
		done.result, err = run(within, a)
		return err
	})
	if why := refused(err); !why.IsZero() {
		return outcome{state: delivery.ApprovalVoid, why: why}, nil
	}
	return done, err
}

// refused says why the present does not allow what was asked for; zero for what is no reason to void it.
func refused(err error) delivery.Phrase {
	var (
		right *delivery.RightError
		input *delivery.InputError
		spoke interface {
			error
			delivery.Spoken
		}
	)
	switch {
	case err == nil, errors.As(err, &input) && input.Code == "conflict":
		return delivery.Phrase{}
	case errors.As(err, &right):
		return delivery.Say("approval.void.right", "permission", right.Missing.Phrase())
	case errors.Is(err, delivery.ErrNotFound):
		return delivery.Say("approval.void.items")
	case errors.As(err, &spoke):
		return delivery.Say("approval.void.refused", "why", spoke.Phrase())
	}
	return delivery.Phrase{}
}

const settleSQL = `UPDATE redrive.approvals SET state = ?, decided_at = clock_timestamp(), decided_by = ?, comment = ?, void_because = ?, result = ?,
	request = CASE WHEN ? THEN NULL ELSE request END WHERE id = ?`

// settle ends a request. What was approved is kept where it was carried out, and a payload not twice.
func settle(tx *gorm.DB, a delivery.Approval, d delivery.ApprovalDecision, o outcome) error {
	var why any
	actor, members := d.Actor, map[string]any{"asker": a.ActorID, "result": o.result}
	if !o.why.IsZero() {
		why, members["why"] = o.why, o.why
		actor = delivery.ActorPolicy
		if d.Actor != "" {
			members["asked_by"] = d.Actor
		}
	}
	approved := o.state == delivery.ApprovalApproved && a.Kind == delivery.ApprovalEdit
	err := tx.Exec(settleSQL, string(o.state), actor, pg.Optional(d.Comment), why, pg.Optional(o.result), approved, a.ID).Error
	if err != nil {
		return fmt.Errorf("ending a request for approval: %w", err)
	}
	return audit.Record(tx, entry(a, step[o.state], actor, d.Comment, members))
}

// step is what the audit calls that a request came to a state.
var step = map[delivery.ApprovalState]string{delivery.ApprovalApproved: "approve", delivery.ApprovalRejected: "reject",
	delivery.ApprovalWithdrawn: "withdraw", delivery.ApprovalVoid: "void", delivery.ApprovalExpired: "expire"}

// expiredAtOnce bounds what one call ends.
const expiredAtOnce = 100

// ExpireApprovals ends requests to which nobody said anything in time, at most 100 at once, and forgets what was typed into those that were
// not carried out a month ago.
func (s *Requests) ExpireApprovals(ctx context.Context) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		ids, err := pg.Read(tx, pg.Single[string], `SELECT id::text FROM redrive.approvals WHERE state = 'open' AND expires_at <= statement_timestamp()
			ORDER BY expires_at LIMIT ? FOR UPDATE SKIP LOCKED`, expiredAtOnce)
		if err != nil {
			return err
		}
		for _, id := range ids {
			a, err := one(tx, "q.id = ?", id)
			if err != nil {
				return err
			}
			o := outcome{state: delivery.ApprovalExpired, why: delivery.Say("approval.void.expired")}
			if err := settle(tx, a, delivery.ApprovalDecision{ID: id}, o); err != nil {
				return err
			}
		}
		return tx.Exec(`UPDATE redrive.approvals SET request = NULL WHERE id IN (SELECT id FROM redrive.approvals
			WHERE state <> 'open' AND request IS NOT NULL AND decided_at < statement_timestamp() - interval '30 days' LIMIT 100)`).Error
	})
}
