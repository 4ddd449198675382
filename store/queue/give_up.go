package queue

import (
	"fmt"
	"slices"

	"gorm.io/gorm"

	"redrive/delivery"
)

// orphansSQL makes dead letters of what waits for an integration that left the file: nobody would ever take it. Rows under a
// lease without end wait for a correction file of a batch.
var orphansSQL = `
WITH gone AS (
    DELETE FROM redrive.queue w USING redrive.integrations i
    WHERE i.name = w.integration AND NOT i.active AND (w.token IS NULL OR w.due_at <= statement_timestamp() OR w.due_at = ` + LeaderAnswers + `)
    RETURNING w.*
), record AS (
    INSERT INTO redrive.deliveries AS r (id, message_id, integration, state, attempts, crashes, error_class, group_id, created_at, failed_at, dead_at, key, type, expires_at)
    SELECT g.id, g.message_id, g.integration, 'dead', g.attempts, g.crashes, @class, ` + groupIDSQL("g.integration", "@class", "@error") + `,
        m.created_at, statement_timestamp(), statement_timestamp(), m.key, m.type, m.expires_at
    FROM gone g JOIN redrive.messages m ON m.id = g.message_id
    ON CONFLICT (id) DO UPDATE SET state = 'dead', version = r.version + 1, changed_at = excluded.changed_at,
        error_class = excluded.error_class, group_id = excluded.group_id, dead_at = excluded.dead_at,
        failed_at = coalesce(r.failed_at, excluded.failed_at), retry_requested_at = NULL, key = excluded.key, type = excluded.type, expires_at = excluded.expires_at
    RETURNING r.id, r.integration, r.group_id, r.type
), details AS (
    INSERT INTO redrive.failure_details (delivery_id, error) SELECT id, @error FROM record
    ON CONFLICT (delivery_id) DO UPDATE SET error = excluded.error
), grouped AS (
    SELECT group_id, integration, @class AS error_class, @error AS message, array_agg(DISTINCT type) AS types FROM record GROUP BY 1, 2
)` + SeenSQL

// GiveUpOrphans makes dead letters, with this class and error, of what waits for integrations that are not active.
func GiveUpOrphans(tx *gorm.DB, class, text string) error {
	if err := tx.Exec(orphansSQL, map[string]any{"class": class, "error": text}).Error; err != nil {
		return fmt.Errorf("settling what waited for retired integrations: %w", err)
	}
	return nil
}

// takeBackSQL takes back confirmations: the attempt that was confirmed turns out to have failed.
const takeBackSQL = `
WITH given AS (
    SELECT * FROM unnest(CAST(@ids AS uuid[]), CAST(@errors AS text[]), CAST(@groups AS text[]), CAST(@texts AS text[])) AS g(id, error, group_id, group_text)
), taken AS (
    SELECT r.id, r.attempts, r.started_at, r.duration_ms, r.last_token, coalesce(r.key, m.key) AS key, coalesce(r.type, m.type) AS type, m.expires_at, g.error, g.group_id, g.group_text
    FROM given g JOIN redrive.deliveries r ON r.id = g.id AND r.state = 'delivered' LEFT JOIN redrive.messages m ON m.id = r.message_id FOR UPDATE OF r
), record AS (
    UPDATE redrive.deliveries r SET state = 'dead', version = r.version + 1, settled_at = NULL, dead_at = statement_timestamp(),
        changed_at = statement_timestamp(), failed_at = coalesce(r.failed_at, statement_timestamp()), error_class = @class,
        group_id = t.group_id, key = t.key, type = t.type, expires_at = t.expires_at FROM taken t WHERE r.id = t.id
), details AS (
    INSERT INTO redrive.failure_details AS f (delivery_id, error) SELECT id, error FROM taken
    ON CONFLICT (delivery_id) DO UPDATE SET error = excluded.error
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
	err = tx.Exec(takeBackSQL, map[string]any{"ids": &ids, "errors": &errors, "groups": &groups, "texts": &texts,
		"class": class, "integration": integration}).Error
	if err != nil {
		return fmt.Errorf("taking confirmations back: %w", err)
	}
	return nil
}
