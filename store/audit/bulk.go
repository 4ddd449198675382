package audit

import (
	"fmt"
	"maps"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// BulkEntry is one of many entries that are alike: integration, state before and version after are its details, and why nobody knows
// whether the last try had its effect.
type BulkEntry struct {
	Subject     string
	Integration string
	Was         string
	Version     int
	Unknown     string
}

// unknownMember is the member of the details of what is sent again although it may have had its effect.
const unknownMember = "outcome_unknown"

// kind is what many entries of one act share.
type kind struct {
	integration, was, unknown string
	version                   int
}

func (e BulkEntry) kind() kind { return kind{e.Integration, e.Was, e.Unknown, e.Version} }

// kindsSQL are the details of each kind, as Postgres writes them: that text is what is hashed.
const kindsSQL = `SELECT (jsonb_build_object('integration', k.integration, 'version', k.version, 'from', k.was)
		|| jsonb_strip_nulls(jsonb_build_object('` + unknownMember + `', nullif(k.unknown, ''))) || CAST(@members AS jsonb))::text
	FROM unnest(CAST(@integrations AS text[]), CAST(@versions AS int[]), CAST(@states AS text[]), CAST(@unknown AS text[])) WITH ORDINALITY AS k(integration, version, was, unknown, n) ORDER BY n`

const appendSQL = `INSERT INTO redrive.audit (seq, at, actor, action, subject_type, subject, reason, details, prev_hash, hash)
	SELECT e.seq, ?, ?, ?, ?, e.subject, ?, (?::text[])[e.kind]::jsonb, e.prev_hash, e.hash
	FROM unnest(?::bigint[], ?::text[], ?::int[], ?::bytea[], ?::bytea[]) AS e(seq, subject, kind, prev_hash, hash)`

// bulkEntries are entries turned into columns.
type bulkEntries struct {
	subjects []string
	kinds    []int    // from 1, of texts
	texts    []string // details
}

// RecordMany appends entries in their order, each hashed after the one before, with the time that the database gives; a trigger checks both. Shared is what they have in
// common, members what their details have beside their kinds. One alone is left to the database.
func RecordMany(tx *gorm.DB, shared delivery.AuditEntry, members map[string]any, entries []BulkEntry) error {
	if len(entries) == 1 {
		return recordAlone(tx, shared, members, entries[0])
	}
	if id := actorID(shared.Actor); id != nil {
		members = maps.Clone(members)
		members[actorMember] = *id
	}
	b, err := grouped(tx, members, entries)
	if err != nil || len(b.subjects) == 0 {
		return err
	}
	var head delivery.AuditEntry
	head, err = pg.ReadOne(tx, func(e *delivery.AuditEntry) []any { return []any{&e.Seq, &e.Hash, &e.At, &e.Actor} },
		"SELECT seq, hash, at, "+pg.CalledSQL+" FROM redrive.audit_begin()", shared.Actor, shared.Actor)
	if err != nil {
		return fmt.Errorf("locking the audit: %w", err)
	}
	shared.Actor = head.Actor
	seqs, before, hashes := make([]int64, len(b.subjects)), make([][]byte, len(b.subjects)), make([][]byte, len(b.subjects))
	entry, last := shared, head.Hash
	entry.At = head.At
	for i, subject := range b.subjects {
		entry.Seq, entry.Subject, entry.Details = head.Seq+int64(i)+1, subject, []byte(b.texts[b.kinds[i]-1])
		seqs[i], before[i] = entry.Seq, last
		last = Hash(last, entry)
		hashes[i] = last
	}
	err = tx.Exec(appendSQL, head.At, shared.Actor, shared.Action, shared.SubjectType, shared.Reason, &b.texts, &seqs,
		&b.subjects, &b.kinds, &before, &hashes).Error
	if err != nil {
		return fmt.Errorf("recording in the audit: %w", err)
	}
	return nil
}

func recordAlone(tx *gorm.DB, entry delivery.AuditEntry, members map[string]any, e BulkEntry) error {
	own := map[string]any{"integration": e.Integration, "version": e.Version, "from": e.Was, unknownMember: e.Unknown}
	maps.Copy(own, members)
	entry.Subject, entry.Details = e.Subject, Details(own)
	return Record(tx, entry)
}

// grouped turns entries into columns, each kind's details once.
func grouped(tx *gorm.DB, members map[string]any, entries []BulkEntry) (b bulkEntries, err error) {
	known := map[kind]int{}
	var integrations, states, unknown []string
	var versions []int
	for _, e := range entries {
		k := e.kind()
		if known[k] == 0 {
			known[k] = len(known) + 1
			integrations = append(integrations, k.integration)
			versions, states, unknown = append(versions, k.version), append(states, k.was), append(unknown, k.unknown)
		}
		b.subjects, b.kinds = append(b.subjects, e.Subject), append(b.kinds, known[k])
	}
	b.texts, err = pg.Read(tx, pg.Single[string], kindsSQL,
		map[string]any{"members": string(Details(members)), "integrations": &integrations, "versions": &versions,
			"states": &states, "unknown": &unknown})
	if err != nil {
		return b, fmt.Errorf("putting the audit's details into words: %w", err)
	}
	return b, nil
}
