package queue

import (
	"fmt"
	"slices"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/ignore"
	"redrive/store/pg"
)

// orphansSQL makes dead letters of what waits for an integration that left the file: nobody would ever take it. Rows under a
// lease without end wait for a correction file of a batch.
var orphansSQL = `
WITH given AS (
    SELECT * FROM unnest(CAST(@ids AS uuid[]), CAST(@rules AS bigint[])) AS g(id, rule)
), gone AS (
    DELETE FROM redrive.queue w USING given v WHERE v.id = w.id RETURNING w.*, v.rule
), record AS (
    INSERT INTO redrive.deliveries AS r (id, message_id, integration, state, attempts, crashes, error_class, group_id, created_at, failed_at,
        dead_at, settled_at, actor, key, type, expires_at)
    SELECT g.id, g.message_id, g.integration, CASE WHEN g.rule > 0 THEN 'ignored' ELSE 'dead' END, g.attempts, g.crashes, @class, ` + groupIDSQL("g.integration", "@class", "@error") + `,
        m.created_at, statement_timestamp(), CASE WHEN g.rule = 0 THEN statement_timestamp() END, CASE WHEN g.rule > 0 THEN statement_timestamp() END,
        CASE WHEN g.rule > 0 THEN 'policy' END, m.key, m.type, m.expires_at
    FROM gone g JOIN redrive.messages m ON m.id = g.message_id
    ON CONFLICT (id) DO UPDATE SET state = excluded.state, version = r.version + 1, changed_at = excluded.changed_at,
        error_class = excluded.error_class, group_id = excluded.group_id, dead_at = excluded.dead_at, settled_at = excluded.settled_at,
        actor = coalesce(excluded.actor, r.actor),
        failed_at = coalesce(r.failed_at, excluded.failed_at), retry_requested_at = NULL, key = excluded.key, type = excluded.type, expires_at = excluded.expires_at
    RETURNING r.id, r.integration, r.group_id, r.type
), ended AS (
    SELECT r.id, CAST(@error AS text) AS error, g.rule FROM record r JOIN gone g ON g.id = r.id
), details AS (` + ruledSQL + `
), swallowed AS (` + ignore.CountedSQL("ended") + `
), grouped AS (
    SELECT group_id, integration, @class AS error_class, @error AS message, array_agg(DISTINCT type) AS types FROM record GROUP BY 1, 2
)` + SeenSQL

// waitingOrphansSQL locks what waits for an integration that left the file.
const waitingOrphansSQL = `
SELECT w.id::text, w.message_id::text, w.integration, coalesce(m.key, ''), coalesce(m.type, '') FROM redrive.queue w
JOIN redrive.integrations i ON i.name = w.integration AND NOT i.active LEFT JOIN redrive.messages m ON m.id = w.message_id
WHERE w.token IS NULL OR w.due_at <= statement_timestamp() OR w.due_at = ` + LeaderAnswers + ` ORDER BY w.id FOR UPDATE OF w`

// ruledSQL writes the errors of rows of ended, and of what a rule swallowed the rule.
var ruledSQL = `
    INSERT INTO redrive.failure_details AS f (delivery_id, error, actor, action, acted_at, reason, category, until, rule_id)
    SELECT e.id, e.error, p.policy, p.action, p.acted_at, k.reason, k.category, k.until, k.id
    FROM ended e LEFT JOIN redrive.ignore_rules k ON k.id = e.rule LEFT JOIN ` + ignore.PolicySQL + ` ON k.id IS NOT NULL
    ON CONFLICT (delivery_id) DO UPDATE SET error = excluded.error, actor = coalesce(excluded.actor, f.actor), action = coalesce(excluded.action, f.action),
        acted_at = coalesce(excluded.acted_at, f.acted_at), reason = coalesce(excluded.reason, f.reason), category = coalesce(excluded.category, f.category),
        until = excluded.until, rule_id = excluded.rule_id, because = NULL`

// never is what no policy ignores.
func never(int) bool { return false }

// GiveUpOrphans makes dead letters, with this class and error, of what waits for integrations that are not active.
func GiveUpOrphans(tx *gorm.DB, class, text string) error {
	orphans, err := pg.Read(tx, func(x *ignore.Failing) []any { return []any{&x.ID, &x.MessageID, &x.Integration, &x.Key, &x.Type} }, waitingOrphansSQL)
	if err != nil || len(orphans) == 0 {
		return err
	}
	ids := make([]string, len(orphans))
	for i := range orphans {
		x := &orphans[i]
		ids[i], x.Class, x.Error, x.Group = x.ID, class, text, text
		x.GroupID, _ = delivery.Fingerprint(x.Integration, class, text)
	}
	rules, err := ignore.Swallow(tx, orphans, never)
	if err != nil {
		return err
	}
	if err := tx.Exec(orphansSQL, map[string]any{"class": class, "error": text, "ids": &ids, "rules": &rules}).Error; err != nil {
		return fmt.Errorf("settling what waited for retired integrations: %w", err)
	}
	return nil
}

// takeBackSQL takes back confirmations: the attempt that was confirmed turns out to have failed.
var takeBackSQL = `
WITH given AS (
    SELECT * FROM unnest(CAST(@ids AS uuid[]), CAST(@errors AS text[]), CAST(@groups AS text[]), CAST(@texts AS text[]), CAST(@rules AS bigint[]))
        AS g(id, error, group_id, group_text, rule)
), taken AS (
    SELECT r.id, r.attempts, r.started_at, r.duration_ms, r.last_token, coalesce(r.key, m.key) AS key, coalesce(r.type, m.type) AS type, m.expires_at, g.error, g.group_id, g.group_text, g.rule
    FROM given g JOIN redrive.deliveries r ON r.id = g.id AND r.state = 'delivered' LEFT JOIN redrive.messages m ON m.id = r.message_id FOR UPDATE OF r
), record AS (
    UPDATE redrive.deliveries r SET state = CASE WHEN t.rule > 0 THEN 'ignored' ELSE 'dead' END, version = r.version + 1,
        settled_at = CASE WHEN t.rule > 0 THEN statement_timestamp() END, dead_at = CASE WHEN t.rule = 0 THEN statement_timestamp() END,
        actor = CASE WHEN t.rule > 0 THEN 'policy' ELSE r.actor END,
        changed_at = statement_timestamp(), failed_at = coalesce(r.failed_at, statement_timestamp()), error_class = @class,
        group_id = t.group_id, key = t.key, type = t.type, expires_at = t.expires_at FROM taken t WHERE r.id = t.id
), ended AS (
    SELECT id, error, rule FROM taken
), details AS (` + ruledSQL + `
), swallowed AS (` + ignore.CountedSQL("ended") + `
), tried AS (
    INSERT INTO redrive.attempts (delivery_id, token, number, started_at, duration_ms, outcome, error_class, error)
    SELECT id, coalesce(last_token, 0), attempts, coalesce(started_at, statement_timestamp()), coalesce(duration_ms, 0), 'permanent', @class, error FROM taken
), grouped AS (
    SELECT group_id, @integration AS integration, @class AS error_class, min(group_text) AS message, array_agg(DISTINCT type) FILTER (WHERE type IS NOT NULL) AS types
    FROM taken GROUP BY group_id
)` + SeenSQL

// TakeBack makes delivered deliveries of one integration dead letters, each with its error; those in another state are passed over.
func TakeBack(tx *gorm.DB, integration, class string, ids, errors []string) error {
	groups, texts := make([]string, len(errors)), make([]string, len(errors))
	for i, text := range errors {
		groups[i], texts[i] = delivery.Fingerprint(integration, class, text)
	}
	err := BoundGroups(tx, slices.Repeat([]string{integration}, len(groups)),
		slices.Repeat([]string{class}, len(groups)), groups, texts)
	if err != nil {
		return err
	}
	rules, err := swallowTaken(tx, integration, class, ids, errors, groups, texts)
	if err != nil {
		return err
	}
	err = tx.Exec(takeBackSQL, map[string]any{"ids": &ids, "errors": &errors, "groups": &groups, "texts": &texts, "rules": &rules,
		"class": class, "integration": integration}).Error
	if err != nil {
		return fmt.Errorf("taking confirmations back: %w", err)
	}
	return nil
}

// swallowTaken says by which rule each of confirmed deliveries is ignored that turn out to have failed.
func swallowTaken(tx *gorm.DB, integration, class string, ids, errors, groups, texts []string) ([]int64, error) {
	known, err := pg.Read(tx, func(x *ignore.Failing) []any { return []any{&x.ID, &x.MessageID, &x.Key, &x.Type} },
		`SELECT r.id::text, r.message_id::text, coalesce(r.key, m.key, ''), coalesce(r.type, m.type, '') FROM redrive.deliveries r
		LEFT JOIN redrive.messages m ON m.id = r.message_id WHERE r.id = ANY(?::uuid[])`, &ids)
	if err != nil {
		return nil, err
	}
	of := make(map[string]ignore.Failing, len(known))
	for _, k := range known {
		of[k.ID] = k
	}
	list := make([]ignore.Failing, len(ids))
	for i, id := range ids {
		list[i] = of[id]
		list[i].ID, list[i].Integration, list[i].Class, list[i].Error = id, integration, class, errors[i]
		list[i].GroupID, list[i].Group = groups[i], texts[i]
	}
	return ignore.Swallow(tx, list, never)
}
