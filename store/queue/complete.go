package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/ignore"
	"redrive/store/pg"
	"redrive/store/record"
)

// deliveredSQL settles confirmed deliveries: the row leaves the queue and becomes a record, if the token is still current.
const deliveredSQL = `
WITH done AS (
    SELECT * FROM unnest(?::uuid[], ?::bigint[], ?::uuid[], ?::text[], ?::timestamptz[], ?::int[], ?::timestamptz[], ?::int[], ?::int[])
        AS d(id, token, message_id, integration, created_at, attempt, started_at, duration_ms, http_status)
), gone AS (
    DELETE FROM redrive.queue w USING done d WHERE w.id = d.id AND w.token = d.token RETURNING w.id, w.token, w.crashes, w.lane
), record AS (
    INSERT INTO redrive.deliveries AS r (id, message_id, integration, state, attempts, crashes, created_at, settled_at,
        started_at, duration_ms, http_status, last_token)
    SELECT d.id, d.message_id, d.integration, 'delivered', d.attempt, g.crashes, d.created_at, statement_timestamp(),
        d.started_at, d.duration_ms, nullif(d.http_status, 0), d.token
    FROM done d JOIN gone g ON g.token = d.token
    ON CONFLICT (id) DO UPDATE SET state = 'delivered', version = r.version + 1, attempts = excluded.attempts,
        crashes = excluded.crashes, changed_at = excluded.changed_at, dead_at = NULL, settled_at = excluded.settled_at,
        retry_requested_at = NULL, started_at = excluded.started_at, duration_ms = excluded.duration_ms,
        http_status = excluded.http_status, last_token = excluded.last_token
), counted AS (
    INSERT INTO redrive.hourly AS h (integration, hour, delivered)
    SELECT d.integration, date_trunc('hour', statement_timestamp(), 'UTC'), count(*)
    FROM done d JOIN gone g ON g.token = d.token GROUP BY d.integration ORDER BY d.integration
    ON CONFLICT (integration, hour) DO UPDATE SET delivered = h.delivered + excluded.delivered
)
SELECT token, CASE WHEN lane IS NOT NULL THEN id::text ELSE '' END FROM gone`

// failedSQL writes outcomes that were not confirmed: back into the queue with a later time, or out of it. What follows from a worker
// that vanished is no attempt of its own: the claim that found out has written that one.
var failedSQL = `
WITH done AS (
    SELECT * FROM unnest(?::uuid[], ?::bigint[], ?::uuid[], ?::text[], ?::timestamptz[], ?::int[], ?::timestamptz[], ?::int[], ?::int[],
        ?::text[], ?::bigint[], ?::bool[], ?::bool[], ?::text[], ?::text[], ?::text[], ?::bytea[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::timestamptz[], ?::bigint[])
        AS d(id, token, message_id, integration, created_at, attempt, started_at, duration_ms, http_status,
            next, retry_ms, unsent, vanished, outcome, error_class, error, response, exchange, group_id, group_text, key, type, expires_at, rule)
), postponed AS (
    UPDATE redrive.queue w SET token = NULL, worker = NULL, due_at = clock_timestamp() + d.retry_ms * interval '1 millisecond'
    FROM done d WHERE d.next = 'pending' AND w.id = d.id AND w.token = d.token RETURNING d.token, w.crashes, w.lane
), gone AS (
    DELETE FROM redrive.queue w USING done d WHERE d.next <> 'pending' AND w.id = d.id AND w.token = d.token
    RETURNING d.token, w.crashes, w.lane
), applied AS (
    SELECT d.*, a.crashes, a.lane FROM done d JOIN (SELECT * FROM postponed UNION ALL SELECT * FROM gone) a ON a.token = d.token
), record AS (
    INSERT INTO redrive.deliveries AS r (id, message_id, integration, state, attempts, crashes, error_class, group_id, created_at,
        failed_at, dead_at, settled_at, last_token, started_at, key, type, expires_at, actor)
    SELECT id, message_id, integration, next, attempt, crashes, error_class, group_id, created_at, statement_timestamp(),
        CASE WHEN next = 'dead' THEN statement_timestamp() END, CASE WHEN next = 'ignored' THEN statement_timestamp() END, token,
        CASE WHEN NOT vanished THEN started_at END, nullif(key, ''), nullif(type, ''), expires_at, CASE WHEN next = 'ignored' THEN 'policy' END
    FROM applied
    ON CONFLICT (id) DO UPDATE SET state = excluded.state, version = r.version + 1, attempts = excluded.attempts,
        crashes = excluded.crashes, error_class = excluded.error_class, group_id = excluded.group_id,
        changed_at = excluded.changed_at, failed_at = coalesce(r.failed_at, excluded.failed_at), dead_at = excluded.dead_at,
        settled_at = excluded.settled_at, last_token = excluded.last_token, started_at = coalesce(excluded.started_at, r.started_at), key = coalesce(r.key, excluded.key),
        type = coalesce(r.type, excluded.type), expires_at = coalesce(r.expires_at, excluded.expires_at), actor = coalesce(excluded.actor, r.actor),
        retry_requested_at = CASE WHEN excluded.state = 'pending' THEN r.retry_requested_at END
), details AS (
    INSERT INTO redrive.failure_details AS f (delivery_id, error, actor, action, acted_at, reason, category, until, rule_id)
    SELECT a.id, a.error, policy, action, acted_at, CASE WHEN policy IS NOT NULL THEN coalesce(k.reason, p.reason) END, k.category, k.until, k.id
    FROM applied a LEFT JOIN ` + ignore.PolicySQL + ` ON p.state = a.next LEFT JOIN redrive.ignore_rules k ON k.id = a.rule
    ON CONFLICT (delivery_id) DO UPDATE SET error = excluded.error, actor = coalesce(excluded.actor, f.actor),
        action = coalesce(excluded.action, f.action), acted_at = coalesce(excluded.acted_at, f.acted_at),
        reason = coalesce(excluded.reason, f.reason), category = excluded.category, until = excluded.until, evidence = NULL,
        rule_id = excluded.rule_id, end_id = NULL, because = NULL
), tried AS (
    INSERT INTO redrive.attempts (delivery_id, token, number, started_at, duration_ms, outcome, error_class, error, http_status, response, exchange)
    SELECT id, token, attempt, started_at, duration_ms, outcome, error_class, error, nullif(http_status, 0), response, exchange::jsonb FROM applied WHERE NOT vanished
), grouped AS (
    SELECT group_id, min(integration) AS integration, min(error_class) AS error_class, min(group_text) AS message,
        array_agg(DISTINCT type) FILTER (WHERE type <> '') AS types FROM applied GROUP BY group_id
), seen AS (` + SeenSQL + `
), swallowed AS (` + ignore.CountedSQL("applied") + `
), counted AS (
    INSERT INTO redrive.hourly AS h (integration, hour, failed)
    SELECT integration, date_trunc('hour', statement_timestamp(), 'UTC'), count(*)
    FROM applied WHERE vanished OR NOT unsent GROUP BY integration ORDER BY integration
    ON CONFLICT (integration, hour) DO UPDATE SET failed = h.failed + excluded.failed
)
SELECT token, CASE WHEN lane IS NOT NULL AND (next = 'ignored' OR next = 'dead' AND EXISTS (SELECT FROM redrive.integrations i
    WHERE i.name = integration AND i.on_dead = 'skip')) THEN id::text ELSE '' END FROM applied`

// SeenSQL notes groups that something failed into; of so many types that no list of them would help, not all.
const SeenSQL = `
    INSERT INTO redrive.groups AS g (id, integration, error_class, message, types)
    SELECT group_id, integration, error_class, message, coalesce(types[:` + record.GroupTypes + `], '{}') FROM grouped ORDER BY group_id
    ON CONFLICT (id) DO UPDATE SET last_seen = clock_timestamp(), types = CASE WHEN excluded.types <@ g.types OR ` + record.TypesFull + ` THEN g.types
        ELSE (ARRAY(SELECT DISTINCT unnest(g.types || excluded.types) ORDER BY 1))[:` + record.GroupTypes + `] END`

// lateSQL keeps what came too late, once. An outcome that was written before, and whose confirmation got lost on the way
// to the engine, is not late.
const lateSQL = `
WITH done AS (
    SELECT * FROM unnest(?::uuid[], ?::bigint[], ?::int[], ?::timestamptz[], ?::int[], ?::int[], ?::text[], ?::text[], ?::text[], ?::bytea[], ?::text[])
        AS d(id, token, attempt, started_at, duration_ms, http_status, outcome, error_class, error, response, exchange)
)
INSERT INTO redrive.attempts (delivery_id, token, number, started_at, duration_ms, outcome, late, error_class, error, http_status, response, exchange)
SELECT id, token, attempt, started_at, duration_ms, 'late', outcome, error_class, error, nullif(http_status, 0), response, exchange::jsonb FROM done d
WHERE NOT EXISTS (SELECT FROM redrive.deliveries r WHERE r.id = d.id AND r.last_token = d.token)
    AND NOT EXISTS (SELECT FROM redrive.attempts a WHERE a.delivery_id = d.id AND a.token = d.token
        AND (a.outcome = 'late' OR a.error_class <> 'lease_lost'))
    AND (EXISTS (SELECT FROM redrive.queue w WHERE w.id = d.id) OR EXISTS (SELECT FROM redrive.deliveries r WHERE r.id = d.id))`

// Complete writes outcomes in one transaction, each only where its token is still current; the others become late attempts
// and are counted in the answer. Writing the same outcome again changes nothing.
func (s *Queue) Complete(ctx context.Context, done []delivery.Completion) (late int, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		late, err = Complete(tx, done)
		return err
	})
	return late, err
}

// Complete writes outcomes whose tokens are current, keeps the others as late attempts, and returns how many were late.
func Complete(tx *gorm.DB, done []delivery.Completion) (late int, err error) {
	confirmed, failed := split(done)
	w := writer{tx: tx, written: map[int64]bool{}}
	if err := w.write(deliveredSQL, confirmed, confirmed.settled()); err != nil {
		return 0, fmt.Errorf("writing confirmed outcomes: %w", err)
	}
	if err := w.told(confirmed); err != nil {
		return 0, fmt.Errorf("writing how confirmed attempts were made: %w", err)
	}
	if err := w.failures(failed); err != nil {
		return 0, fmt.Errorf("writing failed outcomes: %w", err)
	}
	if err := ReleaseLanes(tx, w.settled); err != nil {
		return 0, err
	}
	return writeLate(tx, done, w.written)
}

// writer runs statements over batches and notes the leases they applied to, and what does not hold up its lane any more.
type writer struct {
	tx      *gorm.DB
	written map[int64]bool
	settled []string
}

func (w *writer) write(statement string, b *outcomeSet, args []any) error {
	if len(b.ids) == 0 {
		return nil
	}
	type row struct {
		token   int64
		settled string
	}
	rows, err := pg.Read(w.tx, func(r *row) []any { return []any{&r.token, &r.settled} }, statement, args...)
	for _, r := range rows {
		w.written[r.token] = true
		if r.settled != "" {
			w.settled = append(w.settled, r.settled)
		}
	}
	return err
}

// toldSQL keeps how an attempt was made that was confirmed after others had failed. The record says the rest of it.
const toldSQL = `
INSERT INTO redrive.attempts (delivery_id, token, number, started_at, duration_ms, outcome, late, http_status, response, exchange)
SELECT id, token, attempt, started_at, duration_ms, 'late', '` + delivery.LateConfirming + `', nullif(http_status, 0), response, exchange::jsonb
FROM unnest(?::uuid[], ?::bigint[], ?::int[], ?::timestamptz[], ?::int[], ?::int[], ?::bytea[], ?::text[])
    AS d(id, token, attempt, started_at, duration_ms, http_status, response, exchange)`

// told writes how the attempts were made that are confirmed now, of those that tell it.
func (w *writer) told(confirmed *outcomeSet) error {
	var b outcomeSet
	for n, exchange := range confirmed.exchanges {
		if exchange != nil && w.written[confirmed.tokens[n]] {
			b.tell(confirmed, n)
		}
	}
	if len(b.ids) == 0 {
		return nil
	}
	return w.tx.Exec(toldSQL, &b.ids, &b.tokens, &b.attempts, &b.started, &b.durations, &b.statuses, &b.responses, &b.exchanges).Error
}

// tell adds what toldSQL writes of the n-th completion of another set.
func (b *outcomeSet) tell(from *outcomeSet, n int) {
	b.ids, b.tokens, b.attempts = append(b.ids, from.ids[n]), append(b.tokens, from.tokens[n]), append(b.attempts, from.attempts[n])
	b.started, b.durations = append(b.started, from.started[n]), append(b.durations, from.durations[n])
	b.statuses, b.responses = append(b.statuses, from.statuses[n]), append(b.responses, from.responses[n])
	b.exchanges = append(b.exchanges, from.exchanges[n])
}

// failures writes what was not confirmed.
func (w *writer) failures(b *outcomeSet) error {
	if len(b.ids) == 0 {
		return nil
	}
	if err := BoundGroups(w.tx, b.integrations, b.classes, b.groups, b.texts); err != nil {
		return err
	}
	if err := b.swallow(w.tx); err != nil {
		return err
	}
	return w.write(failedSQL, b, append(b.settled(), b.judged()...))
}

// swallow ignores what finally failed and rules of its integration swallow.
func (b *outcomeSet) swallow(tx *gorm.DB) error {
	var list []ignore.Failing
	var at []int
	for i, next := range b.next {
		if next == string(delivery.StatePending) {
			continue
		}
		at = append(at, i)
		list = append(list, ignore.Failing{ID: b.ids[i], MessageID: b.messages[i], Integration: b.integrations[i], Class: b.classes[i], Error: b.errors[i],
			GroupID: b.groups[i], Group: b.texts[i], Key: b.keys[i], Type: b.types[i]})
	}
	by, err := ignore.Swallow(tx, list, func(n int) bool { return b.next[at[n]] == string(delivery.StateIgnored) })
	if err != nil {
		return err
	}
	b.rules = make([]int64, len(b.ids))
	for n, rule := range by {
		if rule > 0 {
			b.rules[at[n]], b.next[at[n]] = rule, string(delivery.StateIgnored)
		}
	}
	return nil
}

func writeLate(tx *gorm.DB, done []delivery.Completion, written map[int64]bool) (int, error) {
	var b outcomeSet
	for _, c := range done {
		if !written[c.Token] {
			b.add(c)
		}
	}
	if len(b.ids) == 0 {
		return 0, nil
	}
	result := tx.Exec(lateSQL, &b.ids, &b.tokens, &b.attempts, &b.started, &b.durations, &b.statuses, &b.outcomes, &b.classes,
		&b.errors, &b.responses, &b.exchanges)
	if result.Error != nil {
		return 0, fmt.Errorf("writing late outcomes: %w", result.Error)
	}
	return int(result.RowsAffected), nil
}

// outcomeSet is completions turned into columns.
type outcomeSet struct {
	ids, messages, integrations     []string
	tokens, retries                 []int64
	created, started                []time.Time
	attempts, durations, statuses   []int
	next, outcomes, classes, errors []string
	groups, texts, keys, types      []string
	unsent, vanished                []bool
	responses                       [][]byte
	exchanges                       []*string
	expiries                        []*time.Time
	rules                           []int64 // by which it is ignored; 0: by none
}

func split(done []delivery.Completion) (confirmed, failed *outcomeSet) {
	confirmed, failed = &outcomeSet{}, &outcomeSet{}
	for _, c := range done {
		if c.Next == delivery.StateDelivered {
			confirmed.add(c)
		} else {
			failed.add(c)
		}
	}
	return confirmed, failed
}

func (b *outcomeSet) add(c delivery.Completion) {
	b.ids = append(b.ids, c.DeliveryID)
	b.tokens = append(b.tokens, c.Token)
	b.messages = append(b.messages, c.MessageID)
	b.integrations = append(b.integrations, c.Integration)
	b.created = append(b.created, c.CreatedAt)
	b.attempts = append(b.attempts, c.Attempt)
	b.started = append(b.started, c.StartedAt)
	b.durations = append(b.durations, int(c.Duration.Milliseconds()))
	b.statuses = append(b.statuses, c.Result.HTTPStatus)
	b.next = append(b.next, string(c.Next))
	b.retries = append(b.retries, c.RetryIn.Milliseconds())
	b.unsent = append(b.unsent, c.NotAttempted)
	b.vanished = append(b.vanished, c.Vanished)
	b.outcomes = append(b.outcomes, string(c.Result.Outcome))
	b.classes = append(b.classes, c.Result.ErrorClass)
	b.errors = append(b.errors, c.Result.Error)
	b.responses = append(b.responses, c.Result.Response)
	b.exchanges = append(b.exchanges, exchangeText(c.Result.Exchange))
	b.groups = append(b.groups, c.GroupID)
	b.texts = append(b.texts, c.GroupText)
	b.keys = append(b.keys, c.Key)
	b.types = append(b.types, c.Type)
	b.expiries = append(b.expiries, c.ExpiresAt)
}

// exchangeText is what is kept of an exchange, as JSON; nil when nothing is known of it.
func exchangeText(e *delivery.Exchange) *string {
	if e == nil {
		return nil
	}
	raw, err := json.Marshal(e)
	if err != nil { // texts and numbers are always JSON
		return nil
	}
	text := string(raw)
	return &text
}

func (b *outcomeSet) settled() []any {
	return []any{&b.ids, &b.tokens, &b.messages, &b.integrations, &b.created, &b.attempts, &b.started, &b.durations, &b.statuses}
}

func (b *outcomeSet) judged() []any {
	return []any{
		&b.next,
		&b.retries,
		&b.unsent,
		&b.vanished,
		&b.outcomes,
		&b.classes,
		&b.errors,
		&b.responses,
		&b.exchanges,
		&b.groups,
		&b.texts,
		&b.keys,
		&b.types,
		&b.expiries,
		&b.rules,
	}
}

// groupIDSQL is the group's id as delivery.Fingerprint makes it of the same: the first 32 hex digits of the hash of integration, class
// and text, which are expressions of type text.
func groupIDSQL(integration, class, text string) string {
	bytes := func(expression string) string { return "convert_to(" + expression + ", 'UTF8')" }
	return "left(encode(sha256(" + bytes(integration) + ` || '\x00'::bytea || ` + bytes(class) + ` || '\x00'::bytea || ` +
		bytes(text) + "), 'hex'), 32)"
}
