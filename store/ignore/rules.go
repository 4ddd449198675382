package ignore

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/approve"
	"redrive/store/audit"
	"redrive/store/pg"
	"redrive/store/record"
)

const (
	// swallowedSQL is how many a rule r has swallowed, lastDaySQL how many of these in this hour and the 23 before.
	swallowedSQL = "(SELECT coalesce(sum(h.swallowed), 0) FROM redrive.ignore_rule_hours h WHERE h.rule_id = r.id)"
	lastDaySQL   = "(SELECT coalesce(sum(h.swallowed), 0) FROM redrive.ignore_rule_hours h WHERE h.rule_id = r.id AND h.hour > " + dayBeginSQL + ")"
	dayBeginSQL  = "date_trunc('hour', clock_timestamp(), 'UTC') - interval '24 hours'"

	// reachedSQL is whether the end of a rule r has come.
	reachedSQL = "(coalesce(r.until <= clock_timestamp(), false) OR coalesce(r.count <= " + swallowedSQL +
		", false) OR coalesce(r.reached_day <= " + lastDaySQL + ", false))"
)

// EndDue ends rules whose end has come, and returns how many. One that somebody is at is left for the next time.
func EndDue(tx *gorm.DB) (int, error) {
	type row struct {
		delivery.End
		id int64
		in string
	}
	due, err := pg.Read(tx, func(r *row) []any { return []any{&r.id, &r.in, &r.Until, &r.Count, &r.Grows} },
		`SELECT r.id, r.integration, r.until, coalesce(r.count, 0), coalesce(r.grows, 0) FROM redrive.ignore_rules r
		WHERE r.ended_at IS NULL AND NOT r.for_good AND `+reachedSQL+" ORDER BY r.id LIMIT 100 FOR UPDATE OF r SKIP LOCKED")
	if err != nil {
		return 0, fmt.Errorf("looking which rules are over: %w", err)
	}
	for _, r := range due {
		if err := end(tx, r.id, r.in, delivery.ActorPolicy, "", r.OverOfRule()); err != nil {
			return 0, err
		}
	}
	return len(due), nil
}

// end ends a rule that is locked, and writes who did it and why into the audit. What it swallowed is reopened step by step, see One.
func end(tx *gorm.DB, id int64, integration, actor, reason string, because delivery.Phrase) error {
	err := tx.Exec(`UPDATE redrive.ignore_rules SET ended_at = clock_timestamp(), ended_by = ?, ended_because = ?::jsonb, end_reason = ? WHERE id = ?`,
		actor, because, reason, id).Error
	if err != nil {
		return fmt.Errorf("ending rule %d: %w", id, err)
	}
	members := map[string]any{"integration": integration}
	if actor == delivery.ActorPolicy {
		members["why"] = because
	}
	return audit.Record(tx, entry("end", id, actor, reason, members))
}

func entry(step string, id int64, actor, reason string, members map[string]any) delivery.AuditEntry {
	return delivery.AuditEntry{Actor: actor, Action: "ignore-rule." + step, SubjectType: audit.SubjectIgnoreRule,
		Subject: strconv.FormatInt(id, 10), Reason: reason, Details: audit.Details(members)}
}

// check puts a request in order and refuses what no rule can be: of an integration that is not known or not seen, with a condition of something
// that changes later, or of payloads that whoever asks may not look at.
func check(tx *gorm.DB, r *delivery.IgnoreRuleRequest) error {
	r.Filter = r.Filter.Condition(r.Integration)
	if err := r.Filter.CheckCondition(); err != nil {
		return err
	}
	if err := r.End.Check(); err != nil {
		return err
	}
	if _, err := conditions(r.Filter); err != nil {
		return err
	}
	needs := []delivery.Permission{delivery.PermitView}
	if _, payload := looksAt(r.Filter); payload {
		needs = append(needs, delivery.PermitViewPayload)
	}
	if err := pg.MayFor(tx, r.Integration, needs...); err != nil {
		return err
	}
	known, err := pg.ReadOne(tx, pg.Single[bool], "SELECT EXISTS (SELECT FROM redrive.integrations WHERE name = ?)", r.Integration)
	if err == nil && !known {
		err = delivery.ErrNotFound
	}
	return err
}

// AddIgnoreRule makes a rule; where no end is given it has the usual one.
func (s *Rules) AddIgnoreRule(ctx context.Context, r delivery.IgnoreRuleRequest) (rule delivery.IgnoreRule, err error) {
	switch {
	case strings.TrimSpace(r.Reason) == "":
		return rule, delivery.Mistake("reason_required", delivery.FieldReason)
	case r.Category == "":
		return rule, delivery.Mistake("category_required", delivery.FieldCategory, "categories", delivery.IgnoreCategories)
	}
	id := ""
	err = approve.Transact(ctx, s.DB, func(tx *gorm.DB) error {
		r := r
		now, err := pg.ReadOne(tx, pg.Single[time.Time], "SELECT clock_timestamp()")
		if err != nil {
			return err
		}
		r.End = r.OrUsual(now, s.days)
		id, err = add(tx, r)
		return err
	})
	if err != nil {
		return rule, err
	}
	return s.IgnoreRule(ctx, id)
}

// Executors carry out what another person approved.
var Executors = approve.Executors{delivery.ApprovalRule: func(tx *gorm.DB, a delivery.Approval) (string, error) {
	var r delivery.IgnoreRuleRequest
	if err := a.Decode(&r); err != nil {
		return "", fmt.Errorf("reading what was asked for: %w", err)
	}
	return add(tx, r)
}}

// add makes a rule with the end that it says, unless another person is asked first.
func add(tx *gorm.DB, r delivery.IgnoreRuleRequest) (string, error) {
	if err := check(tx, &r); err != nil {
		return "", err
	}
	needs := append([]delivery.Permission{delivery.PermitIgnoreRules}, delivery.Needs(delivery.ActionIgnore, !r.ForGood)...)
	if err := pg.MayFor(tx, r.Integration, needs...); err != nil {
		return "", err
	}
	if err := approve.Ask(tx, approve.Request{Kind: delivery.ApprovalRule, Action: string(delivery.ActionIgnore), Target: r.Integration, Actor: r.Actor,
		Reason: r.Reason, Body: r, Deeds: []delivery.Deed{{Integration: r.Integration, ForGood: r.ForGood}}}); err != nil {
		return "", err
	}
	day, reached := 0, (*int64)(nil)
	if r.Grows > 0 {
		p, err := preview(tx, r.Integration, r.Filter)
		if err != nil {
			return "", err
		}
		day = p.LastDay
		n := int64(math.Ceil(r.Grows * float64(max(day, 1))))
		reached = &n
	}
	filter := record.FilterText(&r.Filter)
	id, err := pg.ReadOne(tx, pg.Single[int64], `INSERT INTO redrive.ignore_rules (integration, filter, reason, category, until, count, grows, for_good, day, reached_day, made_by)
		VALUES (?, ?::jsonb, ?, ?, ?, nullif(?::int, 0), nullif(?::float8, 0), ?, ?, ?, ?) RETURNING id`,
		r.Integration, *filter, r.Reason, r.Category, r.Until, r.Count, r.Grows, r.ForGood, day, reached, r.Actor)
	if err != nil {
		return "", fmt.Errorf("making an ignore rule: %w", err)
	}
	members := map[string]any{"integration": r.Integration, "category": r.Category, "filter": r.Filter.SearchText(), "until": audit.UntilText(r.Until),
		"approval": approve.Member(tx)}
	for name, value := range map[string]float64{delivery.FieldCount: float64(r.Count), delivery.FieldGrows: r.Grows} {
		if value > 0 {
			members[name] = value
		}
	}
	if r.ForGood {
		members[delivery.FieldForGood] = true
	}
	return strconv.FormatInt(id, 10), audit.Record(tx, entry("make", id, r.Actor, r.Reason, members))
}

// EndIgnoreRule ends a rule: what it swallowed is reopened. One of the file is ended by the file.
func (s *Rules) EndIgnoreRule(ctx context.Context, id, actor, reason string) (rule delivery.IgnoreRule, err error) {
	n, err := ruleID(id)
	if err != nil {
		return rule, err
	}
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		type row struct {
			Integration, Name string
			OfFile, Ended     bool
		}
		r, err := pg.ScanOne[row](tx, "SELECT integration, of_file, ended_at IS NOT NULL AS ended, "+pg.CalledSQL+" AS name FROM redrive.ignore_rules WHERE id = ? FOR UPDATE",
			actor, actor, n)
		if err != nil {
			return err
		}
		if err := pg.MayFor(tx, r.Integration, delivery.PermitIgnoreRules); err != nil {
			return err
		}
		switch {
		case r.OfFile:
			return delivery.Mistake("invalid_rule.of_file", "id")
		case r.Ended:
			return delivery.Mistake("invalid_rule.ended", "id")
		}
		return end(tx, n, r.Integration, actor, reason, delivery.Say("reopened.rule.by", "actor", r.Name))
	})
	if err != nil {
		return rule, err
	}
	return s.IgnoreRule(ctx, id)
}

func ruleID(id string) (int64, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return 0, delivery.ErrNotFound
	}
	return n, nil
}

var ruleSQL = `SELECT r.id::text, r.integration, r.filter, r.reason, coalesce(r.category, ''), r.until, coalesce(r.count, 0), coalesce(r.grows, 0), r.for_good,
    r.day, r.of_file, r.made_at, ` + pg.Called("r.made_by") + `, r.made_by, r.ended_at, ` + pg.Called("r.ended_by") + `, coalesce(r.ended_by, ''), r.ended_because, r.end_reason,
    ` + swallowedSQL + `, (SELECT max(h.last_at) FROM redrive.ignore_rule_hours h WHERE h.rule_id = r.id),
    (SELECT count(*) FROM (SELECT FROM redrive.failure_details f WHERE f.rule_id = r.id LIMIT 10000) hidden)
FROM redrive.ignore_rules r`

func rulePointers(r *delivery.IgnoreRule) []any {
	return []any{&r.ID, &r.Integration, pg.JSON{To: &r.Filter}, &r.Reason, &r.Category, &r.Until, &r.Count, &r.Grows, &r.ForGood, &r.Rate, &r.OfFile,
		&r.MadeAt, &r.MadeBy, &r.MadeID, &r.EndedAt, &r.EndedBy, &r.EndedID, &r.Because, &r.EndedAs, &r.Swallowed, &r.LastAt, &r.Hidden}
}

// IgnoreRule returns one rule; of an integration that is not seen there is none.
func (s *Rules) IgnoreRule(ctx context.Context, id string) (r delivery.IgnoreRule, err error) {
	n, err := ruleID(id)
	if err != nil {
		return r, err
	}
	db := s.Gorm.WithContext(ctx)
	w := pg.NewWhere()
	w.Add("r.id = ?", n)
	w.In("r.integration", pg.Seen(db))
	return pg.ReadOne(db, rulePointers, ruleSQL+w.Sql(), w.Args...)
}

// IgnoreRules returns the rules of what is seen, the last made first.
func (s *Rules) IgnoreRules(ctx context.Context, f delivery.IgnoreRuleFilter) (page delivery.Page[delivery.IgnoreRule], err error) {
	limit, err := delivery.PageSize(f.Limit)
	if err != nil {
		return page, err
	}
	db := s.Gorm.WithContext(ctx)
	w := pg.NewWhere()
	w.In("r.integration", pg.Seen(db))
	if len(f.Integrations) > 0 {
		w.Add("r.integration = ANY(?)", &f.Integrations)
	}
	if f.Ended != nil {
		w.Add("(r.ended_at IS NOT NULL) = ?", *f.Ended)
	}
	if f.After != "" {
		after, err := strconv.ParseInt(f.After, 10, 64)
		if err != nil {
			return page, pg.BadCursor()
		}
		w.Add("r.id < ?", after)
	}
	page.Items, err = pg.Read(db, rulePointers, ruleSQL+w.Sql()+" ORDER BY r.id DESC LIMIT ?", append(w.Args, limit+1)...)
	if err != nil {
		return page, fmt.Errorf("reading ignore rules: %w", err)
	}
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		page.Next = page.Items[limit-1].ID
	}
	return page, nil
}

// IgnoreRuleDays returns what a rule has swallowed by days, the last first.
func (s *Rules) IgnoreRuleDays(ctx context.Context, id string) ([]delivery.IgnoreDay, error) {
	if _, err := s.IgnoreRule(ctx, id); err != nil {
		return nil, err
	}
	return pg.Read(s.Gorm.WithContext(ctx), func(d *delivery.IgnoreDay) []any { return []any{&d.Day, &d.Swallowed} },
		`SELECT date_trunc('day', hour, 'UTC') AS day, sum(swallowed) FROM redrive.ignore_rule_hours WHERE rule_id = ? GROUP BY 1 ORDER BY 1 DESC LIMIT 60`, id)
}
