package audit

import (
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// PastMember is the member of the details of what was told afterwards: nobody recorded it when it happened.
const PastMember = "past"

// pastSQL puts the details of entries into the text that is hashed, and calls their actors by their names.
const pastSQL = `SELECT coalesce(a.name, e.actor) AS actor, (e.details::jsonb || '{"` + PastMember + `": true}' || jsonb_strip_nulls(jsonb_build_object('` + actorMember + `', a.id)))::text AS details
	FROM unnest(?::text[], ?::text[]) WITH ORDINALITY AS e(actor, details, n) LEFT JOIN redrive.actors a ON a.id = e.actor ORDER BY e.n`

// RecordPast appends what had happened before there was a chain, in the order of its times, which stay. A chain that has an entry already is
// refused: nothing is put in before what happened.
func RecordPast(tx *gorm.DB, entries []delivery.AuditEntry) error {
	entries = slices.Clone(entries)
	slices.SortStableFunc(entries, func(a, b delivery.AuditEntry) int { return a.At.Compare(b.At) })
	seq, err := pg.ReadOne(tx, pg.Single[int64], "SELECT seq FROM redrive.audit_head FOR UPDATE")
	if err == nil && seq > 0 {
		err = fmt.Errorf("the audit has %d entries", seq)
	}
	if err != nil {
		return fmt.Errorf("locking the audit: %w", err)
	}
	if err := settlePast(tx, entries); err != nil {
		return fmt.Errorf("putting the audit's details into words: %w", err)
	}
	n := len(entries)
	seqs, times, hashes, before := make([]int64, n), make([]time.Time, n), make([][]byte, n), make([][]byte, n)
	columns := [6][]string{}
	last := []byte{}
	for i, e := range entries {
		e.Seq, e.At = int64(i)+1, e.At.Truncate(time.Microsecond)
		seqs[i], times[i], before[i] = e.Seq, e.At, last
		last = Hash(last, e)
		hashes[i] = last
		for c, text := range []string{e.Actor, e.Action, e.SubjectType, e.Subject, e.Reason, string(e.Details)} {
			columns[c] = append(columns[c], text)
		}
	}
	err = tx.Exec(`INSERT INTO redrive.audit (seq, at, actor, action, subject_type, subject, reason, details, prev_hash, hash)
		SELECT e.seq, e.at, e.actor, e.action, e.subject_type, e.subject, e.reason, e.details::jsonb, e.prev_hash, e.hash
		FROM unnest(?::bigint[], ?::timestamptz[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::bytea[], ?::bytea[])
			AS e(seq, at, actor, action, subject_type, subject, reason, details, prev_hash, hash)`,
		&seqs, &times, &columns[0], &columns[1], &columns[2], &columns[3], &columns[4], &columns[5], &before, &hashes).Error
	if err != nil {
		return fmt.Errorf("recording in the audit: %w", err)
	}
	return nil
}

func settlePast(tx *gorm.DB, entries []delivery.AuditEntry) error {
	actors, details := make([]string, len(entries)), make([]string, len(entries))
	for i, e := range entries {
		actors[i], details[i] = e.Actor, string(e.Details)
	}
	type row struct{ Actor, Details string }
	list, err := pg.Scan[row](tx, pastSQL, &actors, &details)
	if err != nil {
		return err
	}
	for i, r := range list {
		entries[i].Actor, entries[i].Details = r.Actor, []byte(r.Details)
	}
	return nil
}
