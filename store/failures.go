package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
)

// deliveryColumns are what lists and pages show of a delivery d with its message m and failure details f.
const deliveryColumns = `SELECT d.id::text, d.message_id::text, d.integration, d.state, d.version, d.attempts,
    coalesce(d.error_class, ''), coalesce(f.error, ''), coalesce(d.group_id, ''),
    coalesce(m.created_at, (SELECT created_at FROM redrive.deliveries WHERE id = d.id)), d.failed_at, d.changed_at, d.dead_at,
    d.settled_at, d.retry_requested_at, d.next_attempt_at, coalesce(m.type, ''), coalesce(m.key, ''),
    (SELECT max(a.started_at) FROM redrive.attempts a WHERE a.delivery_id = d.id AND a.outcome <> 'late'), d.started_at,
    coalesce(f.actor, ''), coalesce(f.reason, ''), coalesce(f.category, ''), f.until, coalesce(f.evidence, ''),
    coalesce(d.edit, 1), coalesce(d.operation_id::text, ''), d.acknowledged_at, coalesce(c.version, 0), coalesce(c.acknowledged_by, ''),
    coalesce(c.assignee, ''), to_json(c.tags), coalesce(c.ticket, '')`

// deliveryJoins know that the message of what was delivered may be dropped.
const deliveryJoins = ` LEFT JOIN redrive.messages m ON m.id = d.message_id LEFT JOIN redrive.failure_details f ON f.delivery_id = d.id
    LEFT JOIN redrive.cases c ON c.delivery_id = d.id`

// deliverySQL reads any delivery; filter it by id or message.
const deliverySQL = deliveryColumns + " FROM redrive.all_deliveries d" + deliveryJoins

// failureSQL reads records only, so that each state's partial index serves it.
const failureSQL = deliveryColumns + ` FROM (SELECT r.id, r.message_id, r.integration,
        CASE WHEN w.token IS NOT NULL THEN 'sending' ELSE r.state END AS state, r.version, coalesce(w.attempts, r.attempts) AS attempts,
        r.error_class, r.group_id, r.failed_at, r.changed_at, r.dead_at, r.settled_at, r.retry_requested_at, r.edit, r.operation_id,
        r.acknowledged_at, CASE WHEN w.token IS NULL AND isfinite(w.due_at) THEN w.due_at END AS next_attempt_at, r.started_at
    FROM (%s) r LEFT JOIN redrive.queue w ON w.id = r.id) d` + deliveryJoins

type deliveryRow struct {
	delivery.Delivery
	changedAt, lastFailedAt, startedAt *time.Time
	settlement                         delivery.Settlement // the latest decision, also when it does not stand any more
}

func deliveryPointers(r *deliveryRow) []any {
	s := &r.settlement
	return []any{&r.ID, &r.MessageID, &r.Integration, &r.State, &r.Version, &r.Attempts, &r.ErrorClass, &r.Error, &r.GroupID,
		&r.CreatedAt, &r.FailedAt, &r.changedAt, &r.DeadAt, &r.SettledAt, &r.RetryRequestedAt, &r.NextAttemptAt, &r.Type, &r.Key,
		&r.lastFailedAt, &r.startedAt, &s.Actor, &s.Reason, &s.Category, &s.Until, &s.Evidence, &r.Edit, &r.OperationID,
		&r.Case.AcknowledgedAt, &r.Case.Version, &r.Case.AcknowledgedBy, &r.Case.Assignee, jsonColumn{&r.Case.Tags}, &r.Case.Ticket}
}

func (r deliveryRow) delivery() delivery.Delivery {
	d := r.Delivery
	d.LastAttemptAt = r.startedAt
	if d.LastAttemptAt == nil {
		d.LastAttemptAt = r.lastFailedAt
	}
	if d.State == delivery.StateIgnored || d.State == delivery.StateResolved {
		d.Settlement = r.settlement
	}
	if d.Case.AcknowledgedAt == nil {
		d.Case.AcknowledgedBy = "" // of an earlier time
	}
	return d
}

func listDeliveries(db *gorm.DB, query string, args ...any) ([]delivery.Delivery, error) {
	rows, err := scanDeliveries(db, query, args...)
	list := make([]delivery.Delivery, len(rows))
	for i, r := range rows {
		list[i] = r.delivery()
	}
	return list, err
}

func scanDeliveries(db *gorm.DB, query string, args ...any) ([]deliveryRow, error) {
	rows, err := read(db, deliveryPointers, query, args...)
	if err != nil {
		return nil, domainError(fmt.Errorf("reading deliveries: %w", err))
	}
	return rows, nil
}

// Failures answers one page of deliveries that failed at least once.
func (s *Store) Failures(ctx context.Context, f delivery.Filter) (page delivery.Page[delivery.Delivery], err error) {
	limit, err := pageSize(f.Limit)
	if err != nil {
		return page, err
	}
	conditions, err := failureConditions(f)
	if err != nil {
		return page, err
	}
	direction := "DESC"
	if f.Sort == delivery.SortOldest {
		direction = "ASC"
	}
	order := fmt.Sprintf(" ORDER BY changed_at %s, id %s LIMIT %d", direction, direction, limit+1)
	var branches []string
	var args []any
	for _, state := range stateConditions(f.States) {
		// the state stands in the text: as a parameter it would keep a generic plan from the partial index
		branches = append(branches, "(SELECT r.* FROM redrive.deliveries r"+conditions.sql()+" AND "+state+order+")")
		args = append(args, conditions.args...)
	}
	merged := "SELECT * FROM (" + strings.Join(branches, " UNION ALL ") + ") u" + order
	rows, err := scanDeliveries(s.db.WithContext(ctx), fmt.Sprintf(failureSQL, merged)+
		fmt.Sprintf(" ORDER BY d.changed_at %s, d.id %s", direction, direction), args...)
	if err != nil {
		return page, err
	}
	if len(rows) > limit {
		rows = rows[:limit]
		page.Next = cursor{at: *rows[limit-1].changedAt, id: rows[limit-1].ID}.String()
	}
	for _, r := range rows {
		page.Items = append(page.Items, r.delivery())
	}
	return page, nil
}

const waiting = "EXISTS (SELECT FROM redrive.queue w WHERE w.id = r.id AND w.token IS %sNULL)"

// stateConditions are one condition for each wanted state, dead when none is named.
func stateConditions(states []delivery.State) []string {
	if len(states) == 0 {
		states = []delivery.State{delivery.StateDead}
	}
	var conditions []string
	for _, state := range delivery.States {
		if !slices.Contains(states, state) {
			continue
		}
		switch state {
		case delivery.StatePending:
			conditions = append(conditions, "r.state = 'pending' AND "+fmt.Sprintf(waiting, ""))
		case delivery.StateSending:
			conditions = append(conditions, "r.state = 'pending' AND "+fmt.Sprintf(waiting, "NOT "))
		case delivery.StateDelivered:
			conditions = append(conditions, "r.state = 'delivered' AND r.failed_at IS NOT NULL")
		default:
			conditions = append(conditions, "r.state = '"+string(state)+"'") // one of ours, never the caller's text
		}
	}
	return conditions
}

func failureConditions(f delivery.Filter) (*where, error) {
	w := newWhere()
	w.add("true")
	if len(f.Integrations) > 0 {
		w.add("r.integration = ANY(?)", &f.Integrations)
	}
	if len(f.Methods) > 0 {
		methods := make([]string, len(f.Methods))
		for i, m := range f.Methods {
			methods[i] = string(m)
		}
		w.add("r.integration IN (SELECT i.name FROM redrive.integrations i WHERE i.method = ANY(?))", &methods)
	}
	if len(f.ErrorClasses) > 0 {
		w.add("r.error_class = ANY(?)", &f.ErrorClasses)
	}
	if len(f.Groups) > 0 {
		w.add("r.group_id = ANY(?)", &f.Groups)
	}
	if f.Key != "" {
		w.add("r.message_id IN (SELECT m.id FROM redrive.messages m WHERE m.key = ?)", f.Key)
	}
	if f.MessageID != "" {
		if !isUUID(f.MessageID) {
			return nil, &delivery.InputError{Code: "bad_id", Field: "message", Message: "a message id is a UUID"}
		}
		w.add("r.message_id = ?", f.MessageID)
	}
	if f.Query != "" {
		w.add("EXISTS (SELECT FROM redrive.failure_details f WHERE f.delivery_id = r.id AND f.error ILIKE ?)", "%"+escapeLike(f.Query)+"%")
	}
	return w, timeConditions(w, f)
}

func timeConditions(w *where, f delivery.Filter) error {
	if f.From != nil {
		w.add("r.changed_at >= ?", *f.From)
	}
	if f.To != nil {
		w.add("r.changed_at < ?", *f.To)
	}
	if f.Sort != "" && f.Sort != delivery.SortNewest && f.Sort != delivery.SortOldest {
		return &delivery.InputError{Code: "bad_sort", Field: "sort", Message: "sort is newest or oldest"}
	}
	if f.After == "" {
		return nil
	}
	c, err := parseCursor(f.After)
	if err != nil {
		return err
	}
	compare := "<"
	if f.Sort == delivery.SortOldest {
		compare = ">"
	}
	w.add("(r.changed_at, r.id) "+compare+" (?::timestamptz, ?::uuid)", c.at, c.id)
	return nil
}

func escapeLike(text string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text)
}

// Groups answers the groups of failures in the states named, dead letters when none is, the largest first; of the filter, states,
// integrations, classes and groups count.
func (s *Store) Groups(ctx context.Context, f delivery.GroupFilter) (page delivery.Page[delivery.Group], err error) {
	limit, err := pageSize(f.Limit)
	if err != nil {
		return page, err
	}
	w := newWhere()
	w.add("(" + strings.Join(stateConditions(f.States), " OR ") + ")")
	if len(f.Integrations) > 0 {
		w.add("r.integration = ANY(?)", &f.Integrations)
	}
	if len(f.ErrorClasses) > 0 {
		w.add("r.error_class = ANY(?)", &f.ErrorClasses)
	}
	if len(f.Groups) > 0 {
		w.add("r.group_id = ANY(?)", &f.Groups)
	}
	page.Items, err = read(s.db.WithContext(ctx), func(g *delivery.Group) []any {
		return []any{&g.ID, &g.Integration, &g.ErrorClass, &g.Message, &g.Count, &g.FirstSeen, &g.LastSeen, &g.Status}
	}, `SELECT g.id, g.integration, g.error_class, g.message, n.count, g.first_seen, g.last_seen,
			CASE WHEN EXISTS (SELECT FROM redrive.deliveries o WHERE o.group_id = g.id AND o.state = 'dead') THEN 'known' ELSE 'settled' END
		FROM (SELECT r.group_id, count(*) AS count FROM redrive.deliveries r`+w.sql()+` GROUP BY r.group_id) n
		JOIN redrive.groups g ON g.id = n.group_id ORDER BY n.count DESC, g.id LIMIT ?`, append(w.args, limit)...)
	if err != nil {
		return page, domainError(fmt.Errorf("reading groups: %w", err))
	}
	return page, nil
}
