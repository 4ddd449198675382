package index

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/record"
)

// The queue of the indexer has a row for each change. A transaction that takes rows locks what is indexed of their failures first
// and reads the failures afterwards, so that of two indexers the later one has read the later text; see redrive.search.seq for those
// that nothing is indexed of yet. Whatever happens on the way, the rows are there again.

// indexBytes is how much of payloads is read at once.
const indexBytes = 4 << 20

// Index makes failures searchable: at most limit of those with something new, the latest first. It returns how many; more says
// that others wait.
func (s *SearchIndex) Index(
	ctx context.Context,
	limit int,
	entry func(delivery.Unindexed) delivery.SearchEntry,
) (n int, more bool, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		n, more = 0, false
		// lost together with what it wrote, a transaction loses nothing
		if err := tx.Exec("SET LOCAL synchronous_commit = off").Error; err != nil {
			return err
		}
		w, err := takeUnindexed(tx, limit)
		if err != nil || len(w.rows) == 0 {
			return err
		}
		if err := w.read(tx); err != nil {
			return err
		}
		if err := w.write(tx, entry); err != nil {
			return err
		}
		n, more = len(w.failures), len(w.rows) == limit || w.left > 0
		return w.done(tx)
	})
	if err != nil {
		return 0, false, fmt.Errorf("indexing failures: %w", err)
	}
	return n, more, nil
}

// ReindexMasked forgets what was indexed while other fields were hidden, so that it is indexed anew. The lock waits for indexers,
// and they wait with reading what is to be hidden. It returns the integrations of whose messages something else is hidden now.
func ReindexMasked(tx *gorm.DB, before delivery.Masks) (integrations []string, err error) {
	after, err := record.ReadMasks(tx)
	if err != nil {
		return nil, err
	}
	names, types := []string{}, []string{}
	old := before.Rules()
	for name, now := range after.Rules() {
		if was := old[name]; was.Differs(now) {
			names = append(names, name)
			if len(was.Paths)+len(now.Paths) > 0 {
				types = append(append(types, was.Subscribe...), now.Subscribe...)
			}
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	if err := tx.Exec("LOCK TABLE redrive.search IN EXCLUSIVE MODE").Error; err != nil {
		return nil, err
	}
	return concerned(after, names, types), tx.Exec(`WITH gone AS (
			DELETE FROM redrive.search s USING redrive.deliveries r WHERE r.id = s.delivery_id AND (r.integration = ANY(?) OR EXISTS (
				SELECT FROM redrive.messages m WHERE m.id = r.message_id AND (m.integration = ANY(?) OR m.kind = 'event' AND m.type = ANY(?))))
			RETURNING s.delivery_id
		) INSERT INTO redrive.unindexed (delivery_id) SELECT delivery_id FROM gone`, &names, &names, &types).Error
}

// concerned are integrations, and the others that get events of the types.
func concerned(masks delivery.Masks, names, types []string) []string {
	list := slices.Clone(names)
	for name, r := range masks.Rules() {
		if slices.ContainsFunc(r.Subscribe, func(t string) bool { return slices.Contains(types, t) }) && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// indexWork is what one transaction of the indexer has taken.
type indexWork struct {
	rows     map[int64]string // of the queue: the delivery
	latest   map[string]int64 // the latest row of each delivery
	known    map[string]indexed
	failures []unindexed
	left     int // deliveries whose payloads were too many
}

// indexed is what is there already.
type indexed struct {
	id, error string
	version   int
	seq       int64
	edit      *int
}

type unindexed struct {
	delivery.Unindexed
	message         delivery.Message // as far as it says what is hidden
	integration     string
	version, size   int // of the payload that is sent
	open, unchanged bool
	edit            *int
}

func takeUnindexed(tx *gorm.DB, limit int) (w indexWork, err error) {
	type row struct {
		ID         int64
		DeliveryID string
	}
	rows, err := pg.Scan[row](tx,
		"SELECT id, delivery_id::text FROM redrive.unindexed ORDER BY id DESC LIMIT ? FOR UPDATE SKIP LOCKED", limit)
	if err != nil || len(rows) == 0 {
		return w, err
	}
	w.rows, w.latest, w.known = map[int64]string{}, map[string]int64{}, map[string]indexed{}
	for _, r := range rows {
		w.rows[r.ID], w.latest[r.DeliveryID] = r.DeliveryID, max(w.latest[r.DeliveryID], r.ID)
	}
	ids := w.ids()
	known, err := pg.Read(tx, func(k *indexed) []any { return []any{&k.id, &k.version, &k.seq, &k.edit, &k.error} },
		`SELECT delivery_id::text, version, seq, edit, error FROM redrive.search
		WHERE delivery_id = ANY(?::uuid[]) ORDER BY delivery_id FOR UPDATE`, &ids)
	for _, k := range known {
		w.known[k.id] = k
	}
	return w, err
}

// ids are the deliveries, the one that changed last first.
func (w indexWork) ids() []string {
	ids := make([]string, 0, len(w.latest))
	for id := range w.latest {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(w.latest[b], w.latest[a]) })
	return ids
}

// unindexedSQL reads failures in the order given, without what is sent.
const unindexedSQL = `
SELECT g.id::text, r.state IS NOT NULL AND r.state IN ('dead', 'pending'), coalesce(r.version, 0), r.edit, coalesce(r.integration, ''), coalesce(r.error_class, ''),
    coalesce(f.error, ''), m.id IS NULL, coalesce(m.kind, ''), coalesce(m.integration, ''), coalesce(m.type, ''),
    coalesce(octet_length(CASE WHEN e.number IS NULL THEN m.payload ELSE e.payload END), 0)
FROM unnest(?::uuid[]) WITH ORDINALITY AS g(id, n)
LEFT JOIN redrive.deliveries r ON r.id = g.id
LEFT JOIN redrive.failure_details f ON f.delivery_id = r.id
LEFT JOIN redrive.messages m ON m.id = r.message_id
LEFT JOIN redrive.edits e ON e.delivery_id = r.id AND e.number = r.edit
ORDER BY g.n`

// sentSQL reads what is sent. It never changes: a later edit has another number.
const sentSQL = `
SELECT r.id::text, substring(CASE WHEN e.number IS NULL THEN m.payload ELSE e.payload END FROM 1 FOR ?)
FROM unnest(?::uuid[], ?::int[]) AS g(id, edit)
JOIN redrive.deliveries r ON r.id = g.id
JOIN redrive.messages m ON m.id = r.message_id
LEFT JOIN redrive.edits e ON e.delivery_id = r.id AND e.number = g.edit`

func (w *indexWork) read(tx *gorm.DB) error {
	// whatever the statistics say: these are a few rows, to be found by their keys
	for _, setting := range []string{"enable_hashjoin", "enable_mergejoin"} {
		if err := tx.Exec("SET LOCAL " + setting + " = off").Error; err != nil {
			return err
		}
	}
	masks, err := record.ReadMasks(tx)
	if err != nil {
		return err
	}
	ids := w.ids()
	rows, err := pg.Read(tx, func(u *unindexed) []any {
		return []any{
			&u.DeliveryID,
			&u.open,
			&u.version,
			&u.edit,
			&u.integration,
			&u.ErrorClass,
			&u.Error,
			&u.message.Dropped,
			&u.message.Kind,
			&u.message.Integration,
			&u.Type,
			&u.size,
		}
	}, unindexedSQL, &ids)
	if err != nil {
		return err
	}
	total := 0
	for _, u := range rows {
		u.message.Type = u.Type
		u.Masking = masks.For(u.message, u.integration)
		u.Masking.Unknown = u.Masking.Unknown || u.message.Dropped
		u.unchanged = u.open && !u.Masking.Hides() && w.has(u)
		if u.open && !u.unchanged {
			total += min(u.size, mostRead)
		}
		if total > indexBytes {
			w.left++
			delete(w.latest, u.DeliveryID)
			continue
		}
		w.failures = append(w.failures, u)
	}
	return w.readSent(tx)
}

// mostRead is how much of a payload is read: one byte more tells that it is longer.
const mostRead = delivery.MaxSearched + 1

// has reports whether the version that is sent is indexed already. Where nothing of it is masked it is not read again.
func (w *indexWork) has(u unindexed) bool {
	known, ok := w.known[u.DeliveryID]
	return ok && editNumber(known.edit) == editNumber(u.edit)
}

func editNumber(edit *int) int {
	if edit == nil {
		return 1
	}
	return *edit
}

func (w *indexWork) readSent(tx *gorm.DB) error {
	var ids []string
	var edits []int
	for _, u := range w.failures {
		if u.open && !u.unchanged {
			ids, edits = append(ids, u.DeliveryID), append(edits, editNumber(u.edit))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	type sent struct {
		id      string
		payload []byte
	}
	rows, err := pg.Read(tx, func(s *sent) []any { return []any{&s.id, &s.payload} }, sentSQL, mostRead, &ids, &edits)
	if err != nil {
		return err
	}
	payloads := map[string][]byte{}
	for _, s := range rows {
		payloads[s.id] = s.payload
	}
	for n := range w.failures {
		w.failures[n].Payload = payloads[w.failures[n].DeliveryID]
	}
	return nil
}

// write sorts by delivery, so that two indexers that both found nothing there wait for each other in one order.
func (w *indexWork) write(tx *gorm.DB, entry func(delivery.Unindexed) delivery.SearchEntry) error {
	slices.SortFunc(w.failures, func(a, b unindexed) int { return strings.Compare(a.DeliveryID, b.DeliveryID) })
	var fresh, again indexSet
	for _, u := range w.failures {
		k, ok := w.known[u.DeliveryID]
		switch seq := w.latest[u.DeliveryID]; {
		case !u.open || ok && (u.version < k.version || u.version == k.version && seq < k.seq):
		case u.unchanged:
			again.add(u, seq, entry(u.Unindexed))
		default:
			fresh.add(u, seq, entry(u.Unindexed))
		}
	}
	if err := again.exec(tx, againSQL); err != nil {
		return err
	}
	return fresh.exec(tx, freshSQL)
}

const freshSQL = `
WITH given AS MATERIALIZED (
    SELECT g.*, ` + record.DocSQL + ` AS doc
    FROM unnest(?::uuid[], ?::int[], ?::bigint[], ?::int[], ?::text[], ?::text[], ?::bool[]) AS g(id, version, seq, edit, error, text, json)
)
INSERT INTO redrive.search AS s (delivery_id, version, seq, edit, error, words, doc)
SELECT id, version, seq, nullif(edit, 0), error, ` + record.WordsSQL + `, doc
FROM given
ON CONFLICT (delivery_id) DO UPDATE SET version = excluded.version, seq = excluded.seq, edit = excluded.edit, error = excluded.error,
    words = excluded.words, doc = excluded.doc
WHERE (excluded.version, excluded.seq) >= (s.version, s.seq)`

// againSQL changes the error of what is locked; where it is the same no index is touched.
const againSQL = `
UPDATE redrive.search s SET version = g.version, seq = g.seq, error = CASE WHEN s.error = g.error THEN s.error ELSE g.error END
FROM unnest(?::uuid[], ?::int[], ?::bigint[], ?::int[], ?::text[], ?::text[], ?::bool[]) AS g(id, version, seq, edit, error, text, json)
WHERE s.delivery_id = g.id`

// indexSet is entries turned into columns.
type indexSet struct {
	ids, errors, texts []string
	versions, edits    []int
	seqs               []int64
	json               []bool
}

func (b *indexSet) add(u unindexed, seq int64, e delivery.SearchEntry) {
	edit := 0
	if u.edit != nil {
		edit = *u.edit
	}
	b.ids, b.versions = append(b.ids, u.DeliveryID), append(b.versions, u.version)
	b.seqs, b.edits = append(b.seqs, seq), append(b.edits, edit)
	b.errors, b.texts, b.json = append(b.errors, e.Error), append(b.texts, e.Text), append(b.json, e.JSON)
}

func (b *indexSet) exec(tx *gorm.DB, statement string) error {
	if len(b.ids) == 0 {
		return nil
	}
	return tx.Exec(statement, &b.ids, &b.versions, &b.seqs, &b.edits, &b.errors, &b.texts, &b.json).Error
}

// done takes the rows of what was read out of the queue.
func (w *indexWork) done(tx *gorm.DB) error {
	var rows []int64
	for row, id := range w.rows {
		if _, ok := w.latest[id]; ok {
			rows = append(rows, row)
		}
	}
	return tx.Exec("DELETE FROM redrive.unindexed WHERE id = ANY(?)", &rows).Error
}

// forgetSQL waits for nobody: what an indexer holds is looked at in the next round.
const forgetSQL = `
WITH chunk AS (
    SELECT s.delivery_id FROM redrive.search s WHERE s.delivery_id > ? ORDER BY s.delivery_id LIMIT ?
), settled AS (
    SELECT s.delivery_id FROM redrive.search s JOIN chunk c ON c.delivery_id = s.delivery_id
    WHERE NOT EXISTS (SELECT FROM redrive.deliveries r WHERE r.id = s.delivery_id AND r.state IN ('dead', 'pending'))
    FOR UPDATE OF s SKIP LOCKED
), gone AS (
    DELETE FROM redrive.search s USING settled c WHERE s.delivery_id = c.delivery_id RETURNING s.delivery_id::text AS id
)
SELECT id, false AS last FROM gone
UNION ALL
(SELECT delivery_id::text, true FROM chunk ORDER BY delivery_id DESC LIMIT 1)`

const beforeAll = "00000000-0000-0000-0000-000000000000"

// ForgetSettled looks at the limit entries of the search after one, empty for the first, and forgets those whose failure is settled.
// It returns the last one it looked at, empty at the end, and how many it forgot.
func (s *SearchIndex) ForgetSettled(ctx context.Context, after string, limit int) (last string, n int, err error) {
	if after == "" {
		after = beforeAll
	}
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		type row struct {
			ID   string
			Last bool
		}
		rows, err := pg.Scan[row](tx, forgetSQL, after, limit)
		if err != nil {
			return err
		}
		var gone []string
		for _, r := range rows {
			if r.Last {
				last = r.ID
			} else {
				gone = append(gone, r.ID)
			}
		}
		if n = len(gone); n == 0 {
			return nil
		}
		// opened again since the look: indexed again
		return tx.Exec(`INSERT INTO redrive.unindexed (delivery_id) SELECT id FROM redrive.deliveries
			WHERE id = ANY(?::uuid[]) AND state IN ('dead', 'pending')`, &gone).Error
	})
	if err != nil {
		return "", 0, fmt.Errorf("forgetting settled failures in the search: %w", err)
	}
	return last, n, nil
}
