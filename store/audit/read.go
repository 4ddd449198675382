package audit

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// Audit returns entries, newest first.
func (s *Trail) Audit(ctx context.Context, f delivery.AuditFilter) (page delivery.Page[delivery.AuditEntry], err error) {
	limit, err := delivery.PageSize(f.Limit)
	if err != nil {
		return page, err
	}
	q, err := conditions(f)
	if err != nil {
		return page, err
	}
	db := s.Gorm.WithContext(ctx)
	seenEntries(db, q)
	page.Items, err = entries(db, f, q, limit+1)
	if err != nil {
		return page, pg.DomainError(fmt.Errorf("reading the audit: %w", err))
	}
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		page.Next = strconv.FormatInt(page.Items[limit-1].Seq, 10)
	}
	keepPrivate(db, page.Items)
	keepInScope(pg.Scope(db, delivery.PermitAudit), page.Items)
	return page, pg.DomainError(tellSubjects(db, page.Items))
}

// EntriesAfter are at most limit entries after a number, in their order, for the program itself.
func (s *Trail) EntriesAfter(ctx context.Context, seq int64, limit int) ([]delivery.AuditEntry, error) {
	list, err := pg.Read(s.Gorm.WithContext(ctx), AuditPointers,
		"SELECT "+AuditColumns+" FROM redrive.audit WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the audit: %w", err)
	}
	return list, nil
}

// Expressions of indexes of migration 00040.
const (
	deedSQL        = "CASE action WHEN 'operation.start' THEN 'delivery.' || (details ->> 'action') ELSE action END"
	integrationSQL = "CASE subject_type WHEN 'integration' THEN subject ELSE details ->> 'integration' END"
	manySQL        = "(subject_type IN ('operation', 'message') OR action = 'delivery.redirect')"
)

// conditions are everything that a filter asks, but of which integration.
func conditions(f delivery.AuditFilter) (*pg.Where, error) {
	q := pg.NewWhere()
	if delivery.IsUUID(f.Actor) {
		q.Add("details ->> '"+actorMember+"' = ?", strings.ToLower(f.Actor))
	} else {
		q.Equal("actor", f.Actor)
	}
	q.Equal("action", f.Action)
	q.Equal("subject", f.Subject)
	q.Equal(deedSQL, f.Deed)
	q.Equal("details ->> 'category'", f.Category)
	q.Equal("details ->> 'operation'", strings.ToLower(f.Operation))
	if f.DataSubject != "" {
		q.Add("details ->> 'data_subject' IS NOT NULL AND string_to_array(details ->> 'data_subject', ',') @> ARRAY[?::text]", f.DataSubject)
	}
	if f.Decisions {
		q.Add("details ->> 'operation' IS NULL")
	}
	if f.Decisions && f.SubjectType == SubjectDelivery { // what operations did to failures is told by their start
		q.Add("(subject_type = ? OR action = 'operation.start')", f.SubjectType)
	} else {
		q.Equal("subject_type", f.SubjectType)
	}
	inTime(q, f)
	if f.After != "" {
		seq, err := strconv.ParseInt(f.After, 10, 64)
		if err != nil || seq < 1 {
			return nil, pg.BadCursor()
		}
		q.Add("seq < ?", seq)
	}
	return q, nil
}

// inTime puts in the times of a filter. Entries are numbered as time goes on, so that numbers bound what is walked, with a day to spare for
// a clock that was set back.
func inTime(q *pg.Where, f delivery.AuditFilter) {
	if f.From != nil {
		q.Add("at >= ?", *f.From)
		q.Add("seq >= (SELECT a.seq FROM redrive.audit a WHERE a.at >= ?::timestamptz - interval '1 day' ORDER BY a.at, a.seq LIMIT 1)", *f.From)
	}
	if f.To != nil {
		q.Add("at < ?", *f.To)
		q.Add("seq <= (SELECT a.seq FROM redrive.audit a WHERE a.at < ?::timestamptz + interval '1 day' ORDER BY a.at DESC, a.seq DESC LIMIT 1)", *f.To)
	}
}

// entries reads what conditions and the integration of a filter leave. Decisions about an integration are of two kinds, each of which has
// an index in their order.
func entries(db *gorm.DB, f delivery.AuditFilter, q *pg.Where, limit int) ([]delivery.AuditEntry, error) {
	names := &[]string{f.Integration}
	if f.Integration != "" && !f.Decisions {
		about(q, names)
	}
	const last = " ORDER BY seq DESC LIMIT ?"
	if f.Integration == "" || !f.Decisions {
		return pg.Read(db, AuditPointers, "SELECT "+AuditColumns+" FROM redrive.audit"+q.Sql()+last, append(q.Args, limit)...)
	}
	one := &pg.Where{Conditions: slices.Clone(q.Conditions), Args: slices.Clone(q.Args)}
	one.Add(integrationSQL+" = ?", f.Integration)
	q.Add(manySQL)
	q.Add(integrationSQL+" IS DISTINCT FROM ?", f.Integration)
	about(q, names)
	const from = "(SELECT * FROM redrive.audit"
	return pg.Read(db, AuditPointers, "SELECT "+AuditColumns+" FROM ("+from+one.Sql()+last+") UNION ALL "+from+q.Sql()+last+")) e"+last,
		slices.Concat(one.Args, []any{limit}, q.Args, []any{limit, limit})...)
}

// subjectsSQL is what failures and messages are known as, and how many operations have acted on: as far as the scope goes, everywhere or in
// the integrations.
const subjectsSQL = `
SELECT r.id::text, coalesce(r.key, m.key, '') AS key, coalesce(r.type, m.type, '') AS type, r.integration, 0 AS done
FROM redrive.deliveries r LEFT JOIN redrive.messages m ON m.id = r.message_id
WHERE r.id = ANY(CAST(@deliveries AS uuid[])) AND (@all OR r.integration = ANY(@names))
UNION ALL
SELECT m.id::text, coalesce(m.key, ''), coalesce(m.type, ''), '', 0 FROM redrive.messages m WHERE m.id = ANY(CAST(@messages AS uuid[]))
    AND (@all OR EXISTS (SELECT FROM redrive.deliveries r WHERE r.message_id = m.id AND r.integration = ANY(@names)))
UNION ALL
SELECT p.operation_id::text, '', '', '', sum(p.cursor - p.first + 1 - p.skipped)::int FROM redrive.operation_parts p
WHERE p.operation_id = ANY(CAST(@operations AS uuid[])) AND (@all OR p.integration = ANY(@names)) GROUP BY 1`

type subject struct {
	ID, Key, Type, Integration string
	Done                       int
}

// tellSubjects puts beside entries what their subjects are known as.
func tellSubjects(db *gorm.DB, entries []delivery.AuditEntry) error {
	ids := map[string][]string{SubjectDelivery: {}, SubjectMessage: {}, SubjectOperation: {}}
	for _, e := range entries {
		if of, known := ids[e.SubjectType]; known && delivery.IsUUID(e.Subject) {
			ids[e.SubjectType] = append(of, e.Subject)
		}
	}
	deliveries, messages, operations := ids[SubjectDelivery], ids[SubjectMessage], ids[SubjectOperation]
	if len(deliveries)+len(messages)+len(operations) == 0 {
		return nil
	}
	seen := pg.Seen(db)
	found, err := pg.Scan[subject](db, subjectsSQL, map[string]any{"deliveries": &deliveries, "messages": &messages,
		"operations": &operations, "all": seen.All, "names": pg.Names(seen)})
	if err != nil {
		return fmt.Errorf("reading what the audit is about: %w", err)
	}
	known := make(map[string]subject, len(found))
	for _, s := range found {
		known[s.ID] = s
	}
	for i, e := range entries {
		s := known[e.Subject]
		entries[i].About = delivery.AuditSubject{Key: s.Key, Type: s.Type, Integration: s.Integration, Done: s.Done}
	}
	return nil
}

// actorsSQL finds who acted by jumping from one to the next along an index.
var actorsSQL = `
WITH RECURSIVE who AS (
    (SELECT details ->> 'actor_id' AS id FROM redrive.audit WHERE details ->> 'actor_id' IS NOT NULL ORDER BY 1 LIMIT 1)
    UNION ALL
    SELECT (SELECT e.details ->> 'actor_id' FROM redrive.audit e WHERE e.details ->> 'actor_id' > who.id ORDER BY 1 LIMIT 1) FROM who WHERE who.id IS NOT NULL
)
SELECT who.id, ` + pg.Called("who.id") + ` AS name FROM who WHERE who.id IS NOT NULL`

// AuditActors returns the people and tokens that the audit tells of, by id with their present names. Whoever does not see all of the audit
// gets nobody but themselves.
func (s *Trail) AuditActors(ctx context.Context) ([]delivery.AuditActor, error) {
	db := s.Gorm.WithContext(ctx)
	q := pg.NewWhere()
	if !pg.Scope(db, delivery.PermitAudit).All {
		r, _ := delivery.RightOf(ctx)
		q.Add("who.id = ?", r.Actor)
	}
	query := actorsSQL + strings.Replace(q.Sql(), " WHERE", " AND", 1) + " ORDER BY 2, 1"
	actors, err := pg.Scan[delivery.AuditActor](db, query, q.Args...)
	if err != nil {
		return nil, pg.DomainError(fmt.Errorf("reading who is in the audit: %w", err))
	}
	return actors, nil
}
