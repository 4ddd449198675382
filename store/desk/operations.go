package desk

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

// DryRun answers what an operation would select, and changes nothing.
func (s *Desk) DryRun(ctx context.Context, r delivery.OperationRequest) (run delivery.DryRun, err error) {
	if err := checkOperation(r); err != nil {
		return run, err
	}
	selection, err := selectFor(r)
	if err != nil {
		return run, err
	}
	type row struct {
		Why, Integration string
		Unsure           bool
		N                int
	}
	rows, err := pg.Scan[row](s.Gorm.WithContext(ctx),
		`WITH `+selection.sql+` SELECT coalesce(why, '') AS why, integration, unsure, count(*) AS n FROM judged GROUP BY 1, 2, 3`, selection.args)
	if err != nil {
		return run, pg.DomainError(fmt.Errorf("looking for what fits: %w", err))
	}
	run.Excluded, run.Integrations = map[string]int{}, map[string]int{}
	for _, r := range rows {
		if r.Why != "" {
			run.Excluded[r.Why] += r.N
			continue
		}
		run.Eligible += r.N
		run.Integrations[r.Integration] += r.N
		if r.Unsure {
			run.Unsure += r.N
		}
	}
	return run, nil
}

// StartOperation freezes the set and answers the operation; it is carried out in the background. An id that was started before
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
	selection, err := selectFor(r)
	if err != nil {
		return o, err
	}
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		fresh, err := insertOperation(tx, r)
		if err != nil || !fresh {
			return err
		}
		frozen, err := freeze(tx, r.ID, selection)
		if err != nil {
			return fmt.Errorf("freezing the set: %w", err)
		}
		return audit.Record(tx, startEntry(r, frozen))
	})
	if err != nil {
		return o, err
	}
	if o, err = s.Operation(ctx, r.ID); err == nil && (o.Actor != r.Actor || o.Action != r.Action) {
		return o, &delivery.InputError{Code: "conflict", Field: "id", Message: "another operation has this id: load the page anew"}
	}
	return o, err
}

// orList lists words as alternatives.
func orList[T ~string](words []T) string {
	var b strings.Builder
	for i, word := range words {
		switch {
		case i > 0 && i == len(words)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(word))
	}
	return b.String()
}

// checkOperation refuses what no set would allow.
func checkOperation(r delivery.OperationRequest) error {
	wrong := func(code, field, message string) error {
		return &delivery.InputError{Code: code, Field: field, Message: message}
	}
	switch {
	case !slices.Contains(delivery.OperationActions, r.Action):
		return wrong("bad_action", "action", "an operation can "+orList(delivery.OperationActions))
	case r.ID != "" && !pg.IsUUID(r.ID):
		return wrong("bad_id", "id", "an operation's id is a UUID")
	case (r.Filter == nil) == (len(r.Chosen) == 0):
		return wrong("bad_selection", "filter", "say on what: a filter, or a list of ids")
	case len(r.Chosen) > delivery.MaxChosen:
		return wrong("too_many", "ids", fmt.Sprintf("a list has at most %d deliveries: use a filter", delivery.MaxChosen))
	case !r.Action.Row().Queues && r.Pace != delivery.Pace{}:
		return wrong("bad_pace", "rate_per_second", "rate, canary and failure ratio are for retries")
	}
	return checkPace(r.Pace)
}

const (
	fastest     = 1e6
	longestRamp = 30 * 24 * time.Hour
)

func checkPace(p delivery.Pace) error {
	wrong := func(field, message string) error {
		return &delivery.InputError{Code: "bad_pace", Field: field, Message: message}
	}
	switch {
	case !(p.Rate >= 0 && p.Rate <= fastest) || !(p.RampTo >= 0 && p.RampTo <= fastest):
		return wrong("rate_per_second", "a rate is a number per second, 0 for as fast as it goes")
	case p.RampTo > 0 && (p.Rate == 0 || p.RampOver <= 0 || p.RampOver > longestRamp):
		return wrong("ramp_to", "a ramp begins at a rate above 0 and takes a while, at most 30 days")
	case p.Canary < 0 || p.Canary > math.MaxInt32:
		return wrong("canary", "a canary is a number of deliveries, 0 for none")
	case !(p.StopAbove >= 0 && p.StopAbove <= 1):
		return wrong("stop_above_failure_ratio", "a failure ratio lies between 0 and 1, 0 for never")
	}
	return nil
}

// insertOperation answers whether the id is new; if it is not, whoever came first has committed.
func insertOperation(tx *gorm.DB, r delivery.OperationRequest) (fresh bool, err error) {
	inserted := tx.Exec(`INSERT INTO redrive.operations (id, action, actor, reason, category, until, evidence, filter, rate, rate_end, ramp_ms, canary, stop_above)
		VALUES (@id, @action, @actor, @reason, @category, @until, @evidence, CAST(@filter AS jsonb), nullif(CAST(@rate AS float8), 0),
			nullif(CAST(@rate_end AS float8), 0), nullif(CAST(@ramp_ms AS bigint), 0), nullif(CAST(@canary AS int), 0), nullif(CAST(@stop_above AS float8), 0))
		ON CONFLICT DO NOTHING`, paceArgs(r.Pace, map[string]any{"id": r.ID, "action": string(r.Action), "actor": r.Actor, "reason": r.Reason,
		"category": pg.Optional(r.Category), "until": r.Until, "evidence": pg.Optional(r.Evidence), "filter": filterText(r.Filter)}))
	if inserted.Error != nil {
		return false, fmt.Errorf("starting an operation: %w", inserted.Error)
	}
	return inserted.RowsAffected == 1, nil
}

func paceArgs(p delivery.Pace, args map[string]any) map[string]any {
	args["rate"], args["rate_end"], args["ramp_ms"], args["canary"], args["stop_above"] = p.Rate, p.RampTo, p.RampOver.Milliseconds(), p.Canary, p.StopAbove
	return args
}

func startEntry(r delivery.OperationRequest, f frozen) delivery.AuditEntry {
	members := map[string]any{"action": string(r.Action), "selected": f.selected, "integrations": f.integrations, "category": r.Category, "evidence": r.Evidence, "until": audit.UntilText(r.Until)}
	if len(f.excluded) > 0 {
		members["excluded"] = f.excluded
	}
	if text := filterText(r.Filter); text != nil {
		members["filter"] = json.RawMessage(*text)
	}
	if r.Pace != (delivery.Pace{}) {
		members["pace"] = paceMembers(r.Pace)
	}
	return operationEntry("start", r.Actor, r.ID, r.Reason, members)
}

func operationEntry(step, actor, id, reason string, members map[string]any) delivery.AuditEntry {
	return delivery.AuditEntry{Actor: actor, Action: "operation." + step, SubjectType: "operation", Subject: id, Reason: reason, Details: audit.Details(members)}
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

// filterText is a filter as it is kept: without its empty fields, which begin with a small letter.
func filterText(f *delivery.Filter) *string {
	if f == nil {
		return nil
	}
	kept := *f
	kept.After, kept.Limit, kept.Sort = "", 0, ""
	raw, _ := json.Marshal(kept)
	var members map[string]json.RawMessage
	_ = json.Unmarshal(raw, &members)
	small := map[string]json.RawMessage{}
	for name, value := range members {
		if !slices.Contains([]string{"null", `""`, "0", "[]", `{"Min":null,"Max":null}`}, string(value)) {
			small[strings.ToLower(name[:1])+name[1:]] = value
		}
	}
	raw, _ = json.Marshal(small)
	text := string(raw)
	return &text
}
