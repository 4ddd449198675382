package audit

import (
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// kind is what many entries of one act share.
type kind struct {
	integration, was string
	version          int
}

// kindsSQL are the details of each kind, as Postgres writes them: that text is what is hashed.
const kindsSQL = `SELECT (jsonb_build_object('integration', k.integration, 'version', k.version, 'from', k.was) || CAST(@members AS jsonb))::text
	FROM unnest(CAST(@integrations AS text[]), CAST(@versions AS int[]), CAST(@states AS text[])) WITH ORDINALITY AS k(integration, version, was, n) ORDER BY n`

const appendSQL = `INSERT INTO redrive.audit (seq, at, actor, action, subject_type, subject, reason, details, prev_hash, hash)
	SELECT e.seq, ?, ?, ?, 'delivery', e.subject, ?, (?::text[])[e.kind]::jsonb, e.prev_hash, e.hash
	FROM unnest(?::bigint[], ?::text[], ?::int[], ?::bytea[], ?::bytea[]) AS e(seq, subject, kind, prev_hash, hash)`

// bulkEntries are entries turned into columns.
type bulkEntries struct {
	subjects []string
	kinds    []int    // from 1, of texts
	texts    []string // details
}

// RecordMany appends the entries that a query answers (subject, integration, version, was), in its order, each hashed after the one
// before; a trigger recomputes that. Shared is what they have in common, members what their details have.
func RecordMany(tx *gorm.DB, shared delivery.AuditEntry, members map[string]any, query string, args map[string]any) error {
	b, err := readEntries(tx, members, query, args)
	if err != nil || len(b.subjects) == 0 {
		return err
	}
	var head delivery.AuditEntry
	if head, err = pg.ReadOne(tx, func(e *delivery.AuditEntry) []any { return []any{&e.Seq, &e.Hash, &e.At} },
		"SELECT seq, hash, clock_timestamp() FROM redrive.audit_head FOR UPDATE"); err != nil {
		return fmt.Errorf("locking the audit: %w", err)
	}
	seqs, before, hashes := make([]int64, len(b.subjects)), make([][]byte, len(b.subjects)), make([][]byte, len(b.subjects))
	entry, last := shared, head.Hash
	entry.SubjectType, entry.At = "delivery", head.At
	for i, subject := range b.subjects {
		entry.Seq, entry.Subject, entry.Details = head.Seq+int64(i)+1, subject, []byte(b.texts[b.kinds[i]-1])
		seqs[i], before[i] = entry.Seq, last
		last = Hash(last, entry)
		hashes[i] = last
	}
	if err := tx.Exec(appendSQL, head.At, shared.Actor, shared.Action, shared.Reason, &b.texts, &seqs, &b.subjects, &b.kinds, &before, &hashes).Error; err != nil {
		return fmt.Errorf("recording in the audit: %w", err)
	}
	return nil
}

func readEntries(tx *gorm.DB, members map[string]any, query string, args map[string]any) (b bulkEntries, err error) {
	type row struct {
		subject string
		kind    kind
	}
	rows, err := pg.Read(tx, func(r *row) []any { return []any{&r.subject, &r.kind.integration, &r.kind.version, &r.kind.was} }, query, args)
	if err != nil {
		return b, fmt.Errorf("reading what was done: %w", err)
	}
	known := map[kind]int{}
	var integrations, states []string
	var versions []int
	for _, r := range rows {
		if known[r.kind] == 0 {
			known[r.kind] = len(known) + 1
			integrations, versions, states = append(integrations, r.kind.integration), append(versions, r.kind.version), append(states, r.kind.was)
		}
		b.subjects, b.kinds = append(b.subjects, r.subject), append(b.kinds, known[r.kind])
	}
	b.texts, err = pg.Read(tx, pg.Single[string], kindsSQL, map[string]any{"members": string(Details(members)), "integrations": &integrations, "versions": &versions,
		"states": &states})
	if err != nil {
		return b, fmt.Errorf("putting the audit's details into words: %w", err)
	}
	return b, nil
}
