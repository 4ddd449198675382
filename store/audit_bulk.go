package store

import (
	"fmt"

	"gorm.io/gorm"
)

// appendSQL appends the entries of one act on many deliveries to the audit chain. Its query, put in for %s, answers (n, subject,
// integration, version, was); n is their order. The head is locked before anything is numbered. What many entries share is put
// into words once: an entry is encoded as redrive.audit_entry does, and the trigger audit_appended compares.
const appendSQL = `
WITH head AS MATERIALIZED (
    SELECT seq, hash FROM redrive.audit_head FOR UPDATE
), clock AS MATERIALIZED (
    SELECT seq, hash, clock_timestamp() AS at FROM head
), given AS MATERIALIZED (
    %s
), kinds AS MATERIALIZED (
    SELECT k.*, redrive.audit_field(CAST(@reason AS text)) || redrive.audit_field(k.details::text) AS tail FROM (
        SELECT *, jsonb_build_object('integration', integration, 'version', version, 'from', was) || CAST(@members AS jsonb) AS details
        FROM (SELECT DISTINCT integration, version, was FROM given OFFSET 0) d) k
), numbered AS MATERIALIZED (
    SELECT c.seq + row_number() OVER (ORDER BY g.n) AS seq, c.at, c.hash AS head, g.subject, k.details, k.tail,
        redrive.audit_field(to_char(c.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) || redrive.audit_field(CAST(@actor AS text))
            || redrive.audit_field('delivery.' || CAST(@action AS text)) || redrive.audit_field('delivery') AS shared
    FROM clock c CROSS JOIN given g JOIN kinds k ON k.integration = g.integration AND k.version = g.version AND k.was = g.was
), chained AS (
    SELECT *, redrive.audit_chain(convert_to(redrive.audit_field(seq::text) || shared || redrive.audit_field(subject) || tail, 'UTF8'), head)
        OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS hash
    FROM numbered
)
INSERT INTO redrive.audit (seq, at, actor, action, subject_type, subject, reason, details, prev_hash, hash)
SELECT seq, at, CAST(@actor AS text), 'delivery.' || CAST(@action AS text), 'delivery', subject, CAST(@reason AS text), details,
    coalesce(lag(hash) OVER (ORDER BY seq), head), hash FROM chained`

// recordMany appends the entries that a query answers, see appendSQL.
func recordMany(tx *gorm.DB, query string, args map[string]any) error {
	if err := tx.Exec(fmt.Sprintf(appendSQL, query), args).Error; err != nil {
		return fmt.Errorf("recording in the audit: %w", err)
	}
	return nil
}
