package desk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/approve"
	"redrive/store/audit"
	"redrive/store/pg"
	"redrive/store/record"
)

// DryRun returns what an operation would select, and changes nothing.
func (s *Desk) DryRun(ctx context.Context, r delivery.OperationRequest) (run delivery.DryRun, err error) {
	if err := checkOperation(r); err != nil {
		return run, err
	}
	selection, err := selectFor(s.Gorm.WithContext(ctx), r)
	if err != nil {
		return run, err
	}
	type row struct {
		Why, Integration string
		Unsure           bool
		N                int
	}
	rows, err := pg.Scan[row](s.Gorm.WithContext(ctx), `WITH `+selection.sql+
		` SELECT coalesce(why, '') AS why, integration, unsure, count(*) AS n FROM judged GROUP BY 1, 2, 3`, selection.args)
	if err != nil {
		return run, pg.DomainError(fmt.Errorf("looking for what fits: %w", err))
	}
	run.Excluded, run.Integrations, run.UnsureOf = map[string]int{}, map[string]int{}, map[string]int{}
	for _, r := range rows {
		if r.Why != "" {
			run.Excluded[r.Why] += r.N
			continue
		}
		run.Eligible += r.N
		run.Integrations[r.Integration] += r.N
		if r.Unsure {
			run.Unsure += r.N
			run.UnsureOf[r.Integration] += r.N
		}
	}
	return run, nil
}

// StartOperation freezes the set and returns the operation; it is carried out in the background. An id that was started before
// answers that operation and starts nothing.
func (s *Desk) StartOperation(ctx context.Context, r delivery.OperationRequest) (o delivery.Operation, err error) {
	if err := checkOperation(r); err != nil {
		return o, err
	}
	if err := checkReason(r.Action, r.Reason, r.Category); err != nil {
		return o, err
	}
	if r.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return o, fmt.Errorf("making an id: %w", err)
		}
		r.ID = id.String()
	}
	err = approve.Transact(ctx, s.DB, func(tx *gorm.DB) error {
		r := r
		if err := s.end(tx, r.Action, &r.End); err != nil {
			return err
		}
		if err := approve.Known(tx, r.ID); err != nil {
			return err
		}
		return start(tx, r)
	})
	if err != nil {
		return o, err
	}
	if o, err = s.Operation(ctx, r.ID); err == nil && (o.ActorID != r.Actor || o.Action != r.Action) {
		return o, delivery.Mistake("conflict.operation_id", "id")
	}
	return o, err
}

// start freezes the set and begins. Whether another person is asked is judged by what was frozen, which then is taken back.
func start(tx *gorm.DB, r delivery.OperationRequest) error {
	selection, err := selectFor(tx, r)
	if err != nil {
		return err
	}
	asked := r
	if err := callByName(tx, &r); err != nil {
		return err
	}
	var deeds []delivery.Deed
	err = tx.Transaction(func(tx *gorm.DB) error {
		fresh, err := insertOperation(tx, r)
		if err != nil || !fresh {
			return err
		}
		frozen, err := freeze(tx, r, selection)
		if err != nil {
			return fmt.Errorf("freezing the set: %w", err)
		}
		if err := wholeAsApproved(tx, frozen); err != nil {
			return err
		}
		if deeds, err = deedsOf(tx, r, frozen); err != nil {
			return err
		}
		if needs, err := approve.Needed(tx, deeds); err != nil || needs {
			return cmp.Or(err, errAsk)
		}
		return audit.Record(tx, startEntry(r, frozen, approve.Member(tx)))
	})
	if !errors.Is(err, errAsk) {
		return err
	}
	return askForMany(tx, asked, selection, deeds)
}

// checkOperation refuses what no set would allow.
func checkOperation(r delivery.OperationRequest) error {
	switch {
	case !slices.Contains(delivery.OperationActions, r.Action):
		return delivery.Mistake("bad_action", "action", "actions", delivery.OperationActions)
	case r.ID != "" && !delivery.IsUUID(r.ID):
		return delivery.Mistake("bad_id.operation", "id")
	case (r.Filter == nil) == (len(r.Chosen) == 0):
		return delivery.Mistake("bad_selection", "filter")
	case len(r.Chosen) > delivery.MaxChosen:
		return delivery.Mistake("too_many.ids", "ids", "max", delivery.MaxChosen)
	}
	if err := r.Pace.CheckFor(r.Action); err != nil {
		return err
	}
	return checkEnd(r.Action, r.End)
}

// insertOperation reports whether the id is new; if it is not, whoever came first has committed.
func insertOperation(tx *gorm.DB, r delivery.OperationRequest) (fresh bool, err error) {
	args := paceArgs(r.Pace, map[string]any{
		"id":       r.ID,
		"action":   string(r.Action),
		"actor":    r.Actor,
		"reason":   r.Reason,
		"category": pg.Optional(r.Category),
		"until":    r.Until,
		"count":    r.Count,
		"grows":    r.Grows,
		"for_good": r.ForGood,
		"evidence": pg.Optional(r.Evidence),
		"filter":   record.FilterText(r.Filter),
	})
	inserted := tx.Exec(`INSERT INTO redrive.operations
			(id, action, actor, reason, category, until, ends_count, ends_grows, for_good, evidence, filter, rate, rate_end, ramp_ms, canary, stop_above)
		VALUES (@id, @action, @actor, @reason, @category, @until, nullif(CAST(@count AS int), 0), nullif(CAST(@grows AS float8), 0), @for_good, @evidence, CAST(@filter AS jsonb),
			nullif(CAST(@rate AS float8), 0), nullif(CAST(@rate_end AS float8), 0), nullif(CAST(@ramp_ms AS bigint), 0),
			nullif(CAST(@canary AS int), 0), nullif(CAST(@stop_above AS float8), 0))
		ON CONFLICT DO NOTHING`, args)
	if inserted.Error != nil {
		return false, fmt.Errorf("starting an operation: %w", inserted.Error)
	}
	return inserted.RowsAffected == 1, nil
}

// callByName puts the names of people into the filter that is kept to be read; the selection was made by their ids.
func callByName(tx *gorm.DB, r *delivery.OperationRequest) error {
	if r.Filter == nil {
		return nil
	}
	f := *r.Filter
	for _, people := range []*[]string{&f.Actors, &f.Assignees} {
		if len(*people) == 0 {
			continue
		}
		names, err := pg.Read(tx, pg.Single[string], "SELECT "+pg.Called("p.id")+" FROM unnest(?::text[]) WITH ORDINALITY AS p(id, n) ORDER BY n", people)
		if err != nil {
			return fmt.Errorf("reading who is in a filter: %w", err)
		}
		*people = names
	}
	r.Filter = &f
	return nil
}

func paceArgs(p delivery.Pace, args map[string]any) map[string]any {
	args["rate"], args["rate_end"], args["ramp_ms"] = p.Rate, p.RampTo, p.RampOver.Milliseconds()
	args["canary"], args["stop_above"] = p.Canary, p.StopAbove
	return args
}

func startEntry(r delivery.OperationRequest, f frozen, approval any) delivery.AuditEntry {
	members := map[string]any{
		"action":       string(r.Action),
		"selected":     f.selected,
		"integrations": f.integrations,
		"category":     r.Category,
		"evidence":     r.Evidence,
		"approval":     approval,
	}
	maps.Copy(members, endMembers(r.End))
	if len(f.excluded) > 0 {
		members["excluded"] = f.excluded
	}
	if text := record.FilterText(r.Filter); text != nil {
		members["filter"] = json.RawMessage(*text)
	}
	if r.Pace != (delivery.Pace{}) {
		members["pace"] = paceMembers(r.Pace)
	}
	return operationEntry("start", r.Actor, r.ID, r.Reason, members)
}

func operationEntry(step, actor, id, reason string, members map[string]any) delivery.AuditEntry {
	return delivery.AuditEntry{
		Actor:       actor,
		Action:      "operation." + step,
		SubjectType: audit.SubjectOperation,
		Subject:     id,
		Reason:      reason,
		Details:     audit.Details(members),
	}
}

func paceMembers(p delivery.Pace) map[string]any {
	members := map[string]any{}
	for name, v := range map[string]float64{"rate_per_second": p.Rate, "ramp_to": p.RampTo, "ramp_seconds": p.RampOver.Seconds(), "canary": float64(p.Canary),
		"stop_above_failure_ratio": p.StopAbove} {
		if v != 0 {
			members[name] = v
		}
	}
	return members
}
