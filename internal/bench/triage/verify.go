package triage

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
)

// rules are what must hold of the data; each query names what breaks it, nothing when all is well.
var rules = []struct{ what, sql string }{
	{"a counter differs from the rows", `WITH live AS (
		SELECT group_id, count(*) FILTER (WHERE state = 'dead') AS dead, count(*) FILTER (WHERE state = 'dead' AND acknowledged_at IS NOT NULL) AS acknowledged,
			count(*) FILTER (WHERE state = 'pending') AS pending, count(*) FILTER (WHERE state = 'ignored') AS ignored,
			count(*) FILTER (WHERE state = 'resolved') AS resolved, count(*) FILTER (WHERE state = 'delivered') AS delivered
		FROM redrive.deliveries WHERE failed_at IS NOT NULL GROUP BY group_id
	), counted AS (
		SELECT group_id, sum(dead) AS dead, sum(acknowledged) AS acknowledged, sum(pending) AS pending, sum(ignored) AS ignored, sum(resolved) AS resolved,
			sum(delivered) AS delivered
		FROM (SELECT group_id, dead, acknowledged, pending, ignored, resolved, delivered FROM redrive.group_counts
			UNION ALL SELECT group_id, dead, acknowledged, pending, ignored, resolved, delivered FROM redrive.group_deltas) c GROUP BY group_id
	) SELECT coalesce(l.group_id, c.group_id) FROM live l FULL JOIN counted c USING (group_id)
	WHERE (l.dead, l.acknowledged, l.pending, l.ignored, l.resolved, l.delivered) IS DISTINCT FROM (c.dead, c.acknowledged, c.pending, c.ignored, c.resolved, c.delivered)
		AND coalesce(c.dead + c.pending + c.ignored + c.resolved + c.delivered, 1) > 0 LIMIT 1`},
	{"a failure without its group", `SELECT r.group_id FROM (SELECT DISTINCT group_id, integration FROM redrive.deliveries WHERE failed_at IS NOT NULL) r
		WHERE NOT EXISTS (SELECT FROM redrive.groups g WHERE g.id = r.group_id AND g.integration = r.integration) LIMIT 1`},
	{"a failure without its details", `SELECT r.id::text FROM redrive.deliveries r WHERE failed_at IS NOT NULL
		AND NOT EXISTS (SELECT FROM redrive.failure_details f WHERE f.delivery_id = r.id) LIMIT 1`},
	{"an open failure without its message", `SELECT r.id::text FROM redrive.deliveries r WHERE state IN ('dead', 'pending')
		AND NOT EXISTS (SELECT FROM redrive.messages m WHERE m.id = r.message_id) LIMIT 1`},
	{
		"an open failure with another number of attempts",
		`SELECT r.id::text FROM redrive.deliveries r WHERE state IN ('dead', 'pending')
		AND r.attempts > (SELECT count(*) FROM redrive.attempts a WHERE a.delivery_id = r.id) LIMIT 1`,
	},
	{"a waiting failure that is not in the queue, or something else that is", `SELECT coalesce(r.id, q.id)::text FROM
		(SELECT id FROM redrive.deliveries WHERE state = 'pending') r FULL JOIN redrive.queue q ON q.id = r.id WHERE r.id IS NULL OR q.id IS NULL LIMIT 1`},
	{"an open failure that cannot be searched", `SELECT r.id::text FROM redrive.deliveries r WHERE state IN ('dead', 'pending')
		AND NOT EXISTS (SELECT FROM redrive.search f WHERE f.delivery_id = r.id) AND NOT EXISTS (SELECT FROM redrive.unindexed u WHERE u.delivery_id = r.id) LIMIT 1`},
}

// Verify checks the failures of a database against the program's own rules: that counters, groups, attempts, queue and search index fit the
// rows. Of a database at work it speaks of one moment after the other.
func Verify(ctx context.Context, conn *pgx.Conn) error {
	for _, rule := range rules {
		var found string
		err := conn.QueryRow(ctx, rule.sql).Scan(&found)
		if err == nil {
			return fmt.Errorf("the data does not fit together: %s: %s", rule.what, found)
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("checking the data: %w", err)
		}
	}
	return fingerprints(ctx, conn)
}

// fingerprints asks the program for the group of some rows of each group.
func fingerprints(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx,
		`SELECT r.integration, r.error_class, r.group_id, f.error FROM redrive.groups g CROSS JOIN LATERAL (
		SELECT * FROM redrive.deliveries d WHERE d.group_id = g.id AND d.state = 'dead' ORDER BY d.changed_at LIMIT 20) r
		JOIN redrive.failure_details f ON f.delivery_id = r.id`)
	if err != nil {
		return fmt.Errorf("checking the groups: %w", err)
	}
	var integration, class, group, text string
	_, err = pgx.ForEachRow(rows, []any{&integration, &class, &group, &text}, func() error {
		if id, normalised := delivery.Fingerprint(integration, class, text); id != group {
			return fmt.Errorf("the data does not fit together: %q of %s is another group, %q", text, integration, normalised)
		}
		return nil
	})
	return err
}
