package desk

import (
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
	"redrive/store/queue"
)

// chunk is what a step acts on: of each part the items from first to last.
type chunk struct {
	operation            delivery.Operation
	integrations         []string
	firsts, lasts        []int
	skipped, resolved    []int          // item numbers: not changed; resolved before they were reopened
	changedOf, skippedOf map[string]int // by integration
}

// release acts on what the plan set for each part, and moves cursors and counters.
func release(tx *gorm.DB, o delivery.Operation, parts []delivery.PartStep) (acted int, err error) {
	c := chunk{operation: o, changedOf: map[string]int{}, skippedOf: map[string]int{}}
	for _, p := range parts {
		if n := min(p.Release, p.Waiting()); n > 0 {
			c.integrations, c.firsts, c.lasts = append(c.integrations, p.Integration), append(c.firsts, p.Cursor+1), append(c.lasts, p.Cursor+n)
		}
	}
	if len(c.integrations) == 0 {
		return 0, nil
	}
	for _, step := range []func(*gorm.DB) error{c.change, c.skip, c.releaseLanes, c.audit} {
		if err := step(tx); err != nil {
			return 0, fmt.Errorf("%s: %w", o.Action, err)
		}
	}
	for i := range parts {
		p := &parts[i]
		changed, skipped := c.changedOf[p.Integration], c.skippedOf[p.Integration]
		p.Cursor, p.Skipped = p.Cursor+changed+skipped, p.Skipped+skipped
		if o.Action != delivery.ActionRetry {
			p.Succeeded += changed
		}
		if p.Waiting() == 0 {
			p.Phase = delivery.PhaseDone
		}
		acted += changed
	}
	return acted, nil
}

// itemsSQL are the items of the chunk; rows are looked up one by one, whatever the planner believes of how many there are.
const givenSQL = `given AS MATERIALIZED (
    SELECT i.n, i.delivery_id AS id, i.version, i.outcome, g.integration
    FROM unnest(CAST(@integrations AS text[]), CAST(@firsts AS int[]), CAST(@lasts AS int[])) AS g(integration, first, last)
    CROSS JOIN LATERAL (SELECT * FROM redrive.operation_items i WHERE i.operation_id = CAST(@operation AS uuid) AND i.n BETWEEN g.first AND g.last OFFSET 0) i
)`

// changeSQL locks the deliveries in the order of their ids and changes those that are as they were at the freeze. What is locked is
// found again by its place: the planner, which takes thousands of rows for a few, has nothing to join. Without the lock that would be
// wrong: Postgres may follow a place to what somebody made of the row meanwhile, and look at no condition again.
const changeSQL = `
WITH ` + givenSQL + `, locked AS MATERIALIZED (
    SELECT g.n, r.ctid AS place, r.state FROM given g JOIN redrive.deliveries r ON r.id = g.id AND r.version = g.version
    WHERE r.state = ANY(CAST(@from AS text[])) ORDER BY r.id FOR UPDATE OF r
), changed AS (
    UPDATE redrive.deliveries r SET %s FROM locked f WHERE r.ctid = f.place%s
    RETURNING r.id, r.message_id, r.integration, r.attempts, r.edit, f.n, f.state
)%s
SELECT integration, count(*), '[]', coalesce(json_agg(n) FILTER (WHERE state = 'resolved'), '[]') FROM changed GROUP BY integration
UNION ALL
SELECT integration, 0, json_agg(n), '[]' FROM given WHERE n NOT IN (SELECT n FROM changed) GROUP BY integration`

// What each action changes.
const (
	takenSQL = `, version = r.version + 1, changed_at = statement_timestamp(), operation_id = CAST(@operation AS uuid), operation_item = f.n,
        actor = CAST(@actor AS text), acknowledged_at = NULL`
	settleSQL = "dead_at = NULL, settled_at = statement_timestamp()" + takenSQL
)

var changesOf = map[delivery.Action]string{
	delivery.ActionRetry:       "state = 'pending', dead_at = NULL, retry_requested_at = statement_timestamp()" + takenSQL,
	delivery.ActionIgnore:      "state = 'ignored', " + settleSQL,
	delivery.ActionResolve:     "state = 'resolved', " + settleSQL,
	delivery.ActionReopen:      "state = 'dead', settled_at = NULL, dead_at = statement_timestamp()" + takenSQL,
	delivery.ActionAcknowledge: "acknowledged_at = statement_timestamp()",
}

// What goes with the change; see apply for the rules of lanes and batches.
const (
	enqueueSQL = `, queued AS (
    INSERT INTO redrive.queue (id, message_id, integration, attempts, round_start, edit, lane, position, due_at)
    SELECT c.id, c.message_id, c.integration, c.attempts, c.attempts, c.edit, l.key, CASE WHEN l.head IS NOT NULL THEN 0 END,
        CASE WHEN EXISTS (SELECT FROM redrive.batch_rows b WHERE b.delivery_id = c.id)
            OR EXISTS (SELECT FROM redrive.batch_runs b WHERE b.delivery_id = c.id) THEN 'infinity' ELSE clock_timestamp() END
    FROM changed c LEFT JOIN redrive.lanes l ON l.head = c.id
)`
	decideSQL = `, decided AS (
    INSERT INTO redrive.failure_details (delivery_id, actor, action, acted_at, reason, category, until, evidence)
    SELECT id, CAST(@actor AS text), CAST(@action AS text), statement_timestamp(), CAST(@reason AS text), CAST(@category AS text), CAST(@until AS timestamptz),
        CAST(@evidence AS text) FROM changed
    ON CONFLICT (delivery_id) DO UPDATE SET actor = excluded.actor, action = excluded.action, acted_at = excluded.acted_at, reason = excluded.reason,
        category = excluded.category, until = excluded.until, evidence = excluded.evidence
)`
	caseSQL = `, cased AS (
    INSERT INTO redrive.cases AS k (delivery_id, acknowledged_by, changed_by) SELECT id, CAST(@actor AS text), CAST(@actor AS text) FROM changed
    ON CONFLICT (delivery_id) DO UPDATE SET acknowledged_by = excluded.acknowledged_by, version = k.version + 1, changed_by = excluded.changed_by,
        changed_at = clock_timestamp()
)`
)

func (c *chunk) statement() string {
	switch c.operation.Action {
	case delivery.ActionRetry:
		return fmt.Sprintf(changeSQL, changesOf[delivery.ActionRetry], "", enqueueSQL)
	case delivery.ActionAcknowledge:
		return fmt.Sprintf(changeSQL, changesOf[delivery.ActionAcknowledge], " AND r.acknowledged_at IS NULL", caseSQL)
	}
	return fmt.Sprintf(changeSQL, changesOf[c.operation.Action], "", decideSQL)
}

func (c *chunk) args() map[string]any {
	o := c.operation
	from := stateTexts(o.Action)
	return map[string]any{"operation": o.ID, "integrations": &c.integrations, "firsts": &c.firsts, "lasts": &c.lasts, "from": &from, "actor": o.Actor,
		"action": string(o.Action), "reason": o.Reason, "category": pg.Optional(o.Category), "until": o.Until, "evidence": pg.Optional(o.Evidence)}
}

func (c *chunk) change(tx *gorm.DB) error {
	type row struct {
		integration       string
		changed           int
		skipped, resolved []int
	}
	rows, err := pg.Read(tx, func(r *row) []any {
		return []any{&r.integration, &r.changed, pg.JSON{To: &r.skipped}, pg.JSON{To: &r.resolved}}
	},
		c.statement(), c.args())
	for _, r := range rows {
		c.changedOf[r.integration] += r.changed
		c.skippedOf[r.integration] += len(r.skipped)
		c.skipped, c.resolved = append(c.skipped, r.skipped...), append(c.resolved, r.resolved...)
	}
	return err
}

// skipSQL looks after the locks were waited for, so that it sees who was faster.
const skipSQL = `
UPDATE redrive.operation_items i SET outcome = 'skipped', reason = w.why FROM (
    SELECT g.n, CASE WHEN r.id IS NULL THEN 'not_found' ELSE CASE
            WHEN r.state = ANY(CAST(@from AS text[])) AND CAST(@action AS text) = 'acknowledge' AND r.acknowledged_at IS NOT NULL THEN 'already_acknowledged'
            WHEN r.state = ANY(CAST(@from AS text[])) THEN 'changed' WHEN r.state = 'pending' THEN 'in_flight' ELSE 'already_settled' END
        || ': ' || CASE WHEN r.state = 'delivered' OR o.id IS NOT NULL AND o.action = 'retry' AND r.state <> 'pending' THEN 'engine did attempt'
            WHEN o.id IS NOT NULL THEN o.actor || ' did ' || o.action
            WHEN f.acted_at >= r.changed_at THEN f.actor || ' did ' || f.action ELSE 'engine did attempt' END
        || ' at ' || to_char(r.changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') END AS why
    FROM redrive.operation_items g LEFT JOIN redrive.deliveries r ON r.id = g.delivery_id LEFT JOIN redrive.operations o ON o.id = r.operation_id
    LEFT JOIN redrive.failure_details f ON f.delivery_id = r.id
    WHERE g.operation_id = CAST(@operation AS uuid) AND g.n = ANY(CAST(@skipped AS int[]))) w
WHERE i.operation_id = CAST(@operation AS uuid) AND i.n = w.n`

func (c *chunk) skip(tx *gorm.DB) error {
	if len(c.skipped) == 0 {
		return nil
	}
	args := c.args()
	args["skipped"] = &c.skipped
	return tx.Exec(skipSQL, args).Error
}

// releaseLanes lets go on what waited for deliveries that are settled now.
func (c *chunk) releaseLanes(tx *gorm.DB) error {
	if a := c.operation.Action; a != delivery.ActionIgnore && a != delivery.ActionResolve {
		return nil
	}
	heads, err := pg.Read(tx, pg.Single[string], "WITH "+givenSQL+" SELECT g.id::text FROM given g JOIN redrive.lanes l ON l.head = g.id WHERE g.outcome IS NULL", c.args())
	if err != nil {
		return err
	}
	return queue.ReleaseLanes(tx, heads)
}

// itemEntriesSQL are the audit entries of what was changed, in the shape of those of single acts.
const itemEntriesSQL = `WITH ` + givenSQL + `
    SELECT g.id::text, g.integration, g.version + CAST(@raised AS int),
        CASE WHEN g.n = ANY(CAST(@resolved AS int[])) THEN 'resolved' ELSE CAST(@was AS text) END
    FROM given g WHERE g.outcome IS NULL ORDER BY g.n`

func (c *chunk) audit(tx *gorm.DB) error {
	o := c.operation
	args := c.args()
	members := map[string]any{"to": string(o.Action.To()), "category": o.Category, "evidence": o.Evidence, "operation": o.ID, "until": audit.UntilText(o.Until)}
	args["raised"] = 1
	if o.Action == delivery.ActionAcknowledge {
		args["raised"] = 0
	}
	args["was"], args["resolved"] = string(o.Action.From()[0]), &c.resolved
	return audit.RecordMany(tx, delivery.AuditEntry{Actor: o.Actor, Action: "delivery." + string(o.Action), Reason: o.Reason}, members, itemEntriesSQL, args)
}
