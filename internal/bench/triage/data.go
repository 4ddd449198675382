package triage

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"redrive/delivery/progress"
)

// prime mixes the groups: n times it, modulo the number of rows, goes through all of them in no order that anybody would see.
const prime = 2_147_483_647

// versionSeven is SQL for an id of version 7 of a time.
func versionSeven(at string) string {
	return fmt.Sprintf(`(overlay(lpad(to_hex((date_part('epoch', %s) * 4096000)::bigint), 15, '0') PLACING '7' FROM 13 FOR 0)
		|| to_hex((random() * 4611686018427387903)::bigint | x'8000000000000000'::bigint))::uuid`, at)
}

// What the rows are made of, before they are spread over the tables.
const stagingSQL = `
CREATE TEMP TABLE triage_shapes (n integer PRIMARY KEY, status smallint, integration text, kind text, class text, text text, id text, message text, young boolean);
CREATE TEMP TABLE triage_rows (i bigint, shape integer, open boolean, state text, at timestamptz, changed timestamptz, id uuid, message_id uuid, kept boolean,
	serial integer, customer integer, attempts integer, actor text, chance real)`

// Parameters: rows, bounds of the shapes, open, days of them.
var rowsSQL = `
INSERT INTO triage_rows
SELECT i, shape, $3, state, at, least(clock_timestamp() - interval '1 minute', at + CASE WHEN $3 THEN c2 * interval '2 hours' ELSE -ln(1 - c2) * interval '8 hours' END),
	` + versionSeven("at") + `, ` + versionSeven("at - interval '20 milliseconds'") + `, $3 OR i % 10 = 0, CASE WHEN $3 THEN 100000000 ELSE 500000000 END + i,
	1 + floor(200000 * c3 ^ 3)::int, CASE WHEN state = 'pending' THEN 1 + floor(7 * c2)::int ELSE 1 + floor(8 * sqrt(c2))::int END,
	CASE WHEN c1 < 0.05 OR NOT $3 AND (c3 < 0.4 OR state IN ('ignored', 'resolved')) THEN (ARRAY['ann','bela','chris','dana','emil','farah','greta','hugo','ines',
		'jonas','kim','lea'])[1 + floor(12 * c2 * c3)::int] END, c1
FROM (SELECT i, width_bucket((i * ` + fmt.Sprint(prime) + `) % $1::bigint, $2::bigint[]) AS shape, random() AS c1, random() AS c2, random() AS c3, random() AS c4
	FROM generate_series(0, $1::bigint - 1) i) r
JOIN triage_shapes s ON s.n = r.shape
CROSS JOIN LATERAL (SELECT clock_timestamp() - interval '5 minutes' - (1 - i / $1::float8) * CASE WHEN s.young THEN interval '20 hours' ELSE make_interval(days => $4) END AS at,
	CASE WHEN $3 THEN CASE WHEN c4 < 0.1 AND s.n > 1 THEN 'pending' ELSE 'dead' END
		WHEN c4 < 0.72 THEN 'delivered' WHEN c4 < 0.9 THEN 'resolved' ELSE 'ignored' END AS state OFFSET 0) t`

// emailSQL and errorSQL are of a row r with its shape s.
const (
	emailSQL = `(ARRAY['ann','bob','cho','dora','eva','finn','gus','hana'])[1 + r.customer % 8] || '.' || r.customer || '@'
	|| (ARRAY['mail.example','post.example.org','shop.example'])[1 + r.customer % 3]`
	errorSQL = `format(s.text, r.serial, r.customer, '10.' || r.customer % 200 || '.' || r.i % 250 || '.' || r.i % 17, ` + emailSQL + `, md5(r.serial::text)::uuid,
	to_char(r.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 1 + r.customer % 5000, 1 + r.i % 50)`
	ownerSQL = `(ARRAY['ann','bela','chris','dana'])[1 + r.i % 4]`
	tagsSQL  = `(ARRAY['{vip}','{partner}','{vip,month-end}','{}'])[1 + r.serial % 4]::text[]`
	rowsFrom = ` FROM triage_rows r JOIN triage_shapes s ON s.n = r.shape`

	payloadSQL = `format('{"order":"ORD-%s","placed_at":"%s","channel":"%s","country":"%s","customer":{"id":%s,"name":"%s","email":"%s"},"items":[{"sku":"SKU-%s","quantity":%s,'
	|| '"price":%s.90},{"sku":"SKU-%s","quantity":1,"price":5.00}],"total":%s.90,"currency":"EUR","note":"%s"}',
	r.serial, to_char(r.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), (ARRAY['web','app','shop'])[1 + r.serial % 3],
	(ARRAY['DE','KR','FR','AT','NL'])[1 + r.customer % 5], r.customer, (ARRAY['Ann Weber','Bob Kim','Cho Park','Dora Klein','Eva Roth','Finn Berg'])[1 + r.customer % 6],
	` + emailSQL + `, 1 + r.customer % 5000, 1 + r.serial % 4, 10 + r.serial % 90, 1 + r.serial % 5000, 15 + r.serial % 90,
	(ARRAY['leave it at the door','ring twice please','gift wrapping wanted','call before delivery','no substitutes','neighbour takes it','deliver in the evening',
		'fragile glass'])[1 + r.serial % 8])`
)

// steps fill the tables of the program. The triggers of deliveries stand still meanwhile, see countersSQL for what they would have done.
var steps = []string{
	`SELECT redrive.add_message_partition((current_timestamp AT TIME ZONE 'UTC')::date - n) FROM generate_series(1, 30) n`,
	`INSERT INTO redrive.messages (id, kind, integration, type, key, headers, payload, created_at)
	SELECT r.message_id, 'command', s.integration, s.kind, 'customer-' || r.customer, jsonb_build_object('X-Shop', '17', 'traceparent',
		'00-' || md5(r.serial::text) || '-' || left(md5(r.i::text), 16) || '-01'), convert_to(` + payloadSQL + `, 'UTF8'), r.at - interval '20 milliseconds'` + rowsFrom + ` WHERE r.kept`,
	`INSERT INTO redrive.deliveries (id, message_id, integration, state, version, attempts, error_class, group_id, created_at, failed_at, changed_at, dead_at,
		settled_at, started_at, duration_ms, http_status, acknowledged_at, key, type, actor, assignee, tags)
	SELECT r.id, r.message_id, s.integration, r.state, r.attempts, r.attempts, s.class, s.id, r.at - interval '20 milliseconds', r.at, r.changed,
		CASE WHEN r.state = 'dead' THEN r.changed END, CASE WHEN NOT r.open THEN r.changed END, r.changed,
		CASE WHEN r.state = 'delivered' THEN 40 END, CASE WHEN r.state = 'delivered' THEN 200 END,
		CASE WHEN r.state = 'dead' AND r.chance < 0.08 THEN r.changed + interval '30 seconds' END, 'customer-' || r.customer, s.kind, r.actor, CASE WHEN r.state = 'dead' AND r.chance < 0.11 AND r.chance > 0.03 THEN ` + ownerSQL + ` END,
		CASE WHEN r.state = 'dead' AND r.chance < 0.11 THEN nullif(` + tagsSQL + `, '{}') END` + rowsFrom,
	`INSERT INTO redrive.failure_details (delivery_id, error, actor, action, acted_at, reason, category, until)
	SELECT r.id, ` + errorSQL + `, r.actor, a.action, CASE WHEN r.actor IS NOT NULL THEN r.changed END,
		CASE WHEN r.actor IS NOT NULL THEN 'the partner confirmed that it is repaired' END, CASE WHEN r.state = 'ignored' THEN 'obsolete' END,
		CASE WHEN r.state = 'ignored' AND r.chance < 0.05 THEN clock_timestamp() + interval '90 days' END` + rowsFrom + `
	CROSS JOIN LATERAL (SELECT CASE WHEN r.actor IS NOT NULL THEN CASE r.state WHEN 'ignored' THEN 'ignore' WHEN 'resolved' THEN 'resolve' WHEN 'dead' THEN 'reopen'
		ELSE 'retry' END END AS action) a`,
	`INSERT INTO redrive.attempts (delivery_id, token, number, started_at, duration_ms, outcome, error_class, error, http_status, response, recorded_at)
	SELECT r.id, -(r.serial::bigint * 10 + a), a, t.at, 20 + r.i % 400, CASE WHEN s.class IN ('timeout', 'connection_lost') THEN 'unknown' WHEN r.state = 'dead' AND a = r.attempts
		THEN 'permanent' ELSE 'transient' END, s.class, ` + errorSQL + `, nullif(s.status, 0), CASE WHEN s.status > 0 THEN convert_to('{"error":"see the log"}', 'UTF8') END,
		t.at` + rowsFrom + ` CROSS JOIN LATERAL generate_series(1, r.attempts) a
	CROSS JOIN LATERAL (SELECT r.at + (r.changed - r.at) * (a - 1) / greatest(r.attempts - 1, 1) AS at) t WHERE r.open`,
	// due after whatever is measured: these are to be looked at
	`INSERT INTO redrive.queue (id, message_id, integration, due_at, attempts)
	SELECT r.id, r.message_id, s.integration, clock_timestamp() + interval '100 days' + r.chance * interval '1 day', r.attempts` + rowsFrom + ` WHERE r.state = 'pending'`,
	`INSERT INTO redrive.cases (delivery_id, acknowledged_by, assignee, tags, ticket)
	SELECT r.id, CASE WHEN r.chance < 0.08 THEN ` + ownerSQL + ` END, CASE WHEN r.chance > 0.03 THEN ` + ownerSQL + ` END, ` + tagsSQL + `, CASE WHEN r.serial % 3 = 0 THEN 'OPS-' || 100 + r.serial % 900 END` + rowsFrom + ` WHERE r.state = 'dead' AND r.chance < 0.11`,
	`INSERT INTO redrive.groups (id, integration, error_class, message, first_seen, last_seen, types)
	SELECT s.id, s.integration, s.class, s.message, t.first, t.last, ARRAY[s.kind] FROM (SELECT shape, min(at) AS first, max(at) AS last FROM triage_rows GROUP BY shape) t
	JOIN triage_shapes s ON s.n = t.shape`,
	`INSERT INTO redrive.unindexed (delivery_id) SELECT id FROM triage_rows WHERE open ORDER BY changed`,
	`INSERT INTO redrive.hourly (integration, hour, delivered, failed)
	SELECT s.integration, date_trunc('hour', r.at, 'UTC'), 2000 + count(*), count(*)` + rowsFrom + ` WHERE r.at > clock_timestamp() - interval '3 days' GROUP BY 1, 2`,
}

// countersSQL is what the triggers keep up to date, from the rows themselves.
var countersSQL = []string{
	`INSERT INTO redrive.group_counts (group_id, integration, error_class, first_seen, last_seen, dead, acknowledged, pending, ignored, resolved, delivered, died, settled_at, regressed_at)
	SELECT group_id, min(g.integration), min(g.error_class), min(g.first_seen), max(g.last_seen), count(*) FILTER (WHERE state = 'dead'), count(*) FILTER (WHERE state = 'dead' AND acknowledged_at IS NOT NULL), count(*) FILTER (WHERE state = 'pending'),
		count(*) FILTER (WHERE state = 'ignored'), count(*) FILTER (WHERE state = 'resolved'), count(*) FILTER (WHERE state = 'delivered'),
		count(*) FILTER (WHERE state NOT IN ('pending', 'delivered')), max(t.settled), max(t.regressed)
	FROM redrive.deliveries JOIN redrive.groups g ON g.id = group_id JOIN triage_shapes s ON s.id = group_id
	CROSS JOIN LATERAL (SELECT CASE WHEN s.n % 25 = 3 THEN clock_timestamp() - interval '3 days' END AS settled,
		CASE WHEN s.n % 25 = 3 THEN clock_timestamp() - interval '1 day' END AS regressed) t GROUP BY group_id`,
	`INSERT INTO redrive.group_hours (group_id, hour, failed, came)
	SELECT group_id, date_trunc('hour', failed_at, 'UTC'), count(*), count(*) FROM redrive.deliveries WHERE failed_at > clock_timestamp() - interval '14 days' GROUP BY 1, 2 ORDER BY 2`,
	`INSERT INTO redrive.group_sum_hours (integration, error_class, hour, failed, came)
	SELECT g.integration, g.error_class, h.hour, sum(h.failed), sum(h.came) FROM redrive.group_hours h JOIN redrive.groups g ON g.id = h.group_id
	WHERE h.hour > clock_timestamp() - interval '2 days' GROUP BY 1, 2, 3`,
	`UPDATE redrive.counting SET trend_hour = '-infinity'`,
}

// slowTables have their secondary indexes made after the rows.
var slowTables = []string{"deliveries", "failure_details"}

// fill makes the data in one transaction: it is there whole or not at all.
func fill(ctx context.Context, conn *pgx.Conn, list []shape, o Options) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing after a commit
	if err := stage(ctx, tx, list, o); err != nil {
		return err
	}
	if err := spread(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DROP TABLE triage_rows, triage_shapes"); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// stage decides what each row is.
func stage(ctx context.Context, tx pgx.Tx, list []shape, o Options) error {
	if _, err := tx.Exec(ctx, "SET LOCAL work_mem = '64MB'; SET LOCAL maintenance_work_mem = '512MB'; SET LOCAL "+
		"timezone = 'UTC'; SET LOCAL jit = off; "+stagingSQL); err != nil {
		return err
	}
	rows := make([][]any, len(list))
	for i, s := range list {
		rows[i] = []any{s.n, s.status, s.integration, s.kind, s.class, s.text, s.id, s.message, s.young}
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"triage_shapes"}, []string{"n", "status", "integration", "kind", "class",
		"text", "id", "message", "young"}, pgx.CopyFromRows(rows))
	if err != nil {
		return err
	}
	step := progress.Begin(ctx, "staging settled and open failures", 2)
	defer step.End()
	if _, err := tx.Exec(ctx, rowsSQL, o.Settled, bounds(list, func(s shape) int { return s.settled }), false, 28); err != nil {
		return fmt.Errorf("settled: %w", err)
	}
	step.Add(1)
	if _, err := tx.Exec(ctx, rowsSQL, o.Open, bounds(list, func(s shape) int { return s.open }), true, 14); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	_, err = tx.Exec(ctx, "ANALYZE triage_rows; ANALYZE triage_shapes")
	return err
}

// spread fills the tables.
func spread(ctx context.Context, tx pgx.Tx) error {
	indexes, err := dropIndexes(ctx, tx)
	if err != nil {
		return err
	}
	statements := append([]string{"ALTER TABLE redrive.deliveries DISABLE TRIGGER USER"}, steps...)
	statements = append(statements, "ANALYZE redrive.deliveries; ANALYZE redrive.failure_details; ANALYZE redrive.messages")
	statements = append(append(statements, countersSQL...), indexes...)
	statements = append(statements, "ALTER TABLE redrive.deliveries ENABLE TRIGGER USER")
	step := progress.Begin(ctx, "tables, counters and indexes of the failures", int64(len(statements)))
	defer step.End()
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", strings.TrimSpace(statement[:min(len(statement), 60)]), err)
		}
		step.Add(1)
	}
	return nil
}

// dropIndexes returns the statements that make them again.
func dropIndexes(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
		JOIN pg_class t ON t.oid = i.indrelid WHERE t.relnamespace = 'redrive'::regnamespace AND t.relname = ANY ($1) AND NOT i.indisunique`, slowTables)
	if err != nil {
		return nil, err
	}
	var names, made []string
	var name, definition string
	if _, err := pgx.ForEachRow(rows, []any{&name, &definition}, func() error {
		names, made = append(names, name), append(made, definition)
		return nil
	}); err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, "DROP INDEX "+strings.Join(names, ", "))
	return made, err
}

// vacuum also writes the map of what is visible to all, which lists read instead of rows.
func vacuum(ctx context.Context, conn *pgx.Conn) error {
	step := progress.Begin(ctx, "vacuum", 0)
	defer step.End()
	_, err := conn.Exec(ctx, "VACUUM (ANALYZE)")
	return err
}
