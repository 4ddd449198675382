package store

import (
	"fmt"

	"gorm.io/gorm"
)

// appendSQL appends many entries to the audit chain at once. Its query, put in for %s, answers (n, actor, action, subject_type,
// subject, reason, details); n is their order. The head is locked before anything is numbered.
const appendSQL = `
WITH head AS MATERIALIZED (
    SELECT seq, hash FROM redrive.audit_head FOR UPDATE
), clock AS MATERIALIZED (
    SELECT seq, hash, clock_timestamp() AS at FROM head
), given AS MATERIALIZED (
    %s
), numbered AS MATERIALIZED (
    SELECT c.seq + row_number() OVER (ORDER BY g.n) AS seq, c.at, c.hash AS head, g.* FROM clock c CROSS JOIN given g
), chained AS (
    SELECT *, redrive.audit_chain(redrive.audit_entry(seq, at, actor, action, subject_type, subject, reason, details), head)
        OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS hash
    FROM numbered
)
INSERT INTO redrive.audit (seq, at, actor, action, subject_type, subject, reason, details, prev_hash, hash)
SELECT seq, at, actor, action, subject_type, subject, reason, details, coalesce(lag(hash) OVER (ORDER BY seq), head), hash FROM chained`

// recordMany appends the entries that a query answers, see appendSQL.
func recordMany(tx *gorm.DB, query string, args map[string]any) (int, error) {
	appended := tx.Exec(fmt.Sprintf(appendSQL, query), args)
	if appended.Error != nil {
		return 0, fmt.Errorf("recording in the audit: %w", appended.Error)
	}
	return int(appended.RowsAffected), nil
}
