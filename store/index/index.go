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
)

// The queue of the indexer has a row for each change. A transaction that takes rows locks what is indexed of their failures first
// and reads the failures afterwards, so that of two indexers the later one has read the later text; see redrive.search.seq for those
// that nothing is indexed of yet. Whatever happens on the way, the rows are there again.

// indexBytes is how much of payloads is read at once.
const indexBytes = 4 << 20

// Index makes failures searchable: at most limit of those with something new, the latest first. It answers how many; more says
// that others wait.
func (s *SearchIndex) Index(ctx context.Context, limit int, entry func(delivery.Unindexed) delivery.SearchEntry) (n int, more bool, err error) {
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

// maskedSQL are the fields to hide, where an integration hides any.
const maskedSQL = "SELECT name, mask::text || subscribe::text AS fields, array_to_json(subscribe) AS subscribe, array_to_json(mask) AS paths FROM redrive.integrations WHERE mask <> '{}'"

type maskedFields struct {
	Name, Fields     string
	Subscribe, Paths []string `gorm:"serializer:json"`
}

func ReadMasks(tx *gorm.DB) (map[string]maskedFields, error) {
	list, err := pg.Scan[maskedFields](tx, maskedSQL)
	masks := map[string]maskedFields{}
	for _, m := range list {
		masks[m.Name] = m
	}
	return masks, err
}

// ReindexMasked forgets what was indexed while other fields were hidden, so that it is indexed anew. The lock waits for indexers,
// and they wait with reading what is to be hidden.
func ReindexMasked(tx *gorm.DB, before map[string]maskedFields) error {
	after, err := ReadMasks(tx)
	if err != nil {
		return err
	}
	names, types := []string{}, []string{}
	for _, side := range [][2]map[string]maskedFields{{before, after}, {after, before}} {
		for name, m := range side[0] {
			if side[1][name].Fields != m.Fields {
				names, types = append(names, name), append(types, m.Subscribe...)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	if err := tx.Exec("LOCK TABLE redrive.search IN EXCLUSIVE MODE").Error; err != nil {
		return err
	}
	return tx.Exec(`WITH gone AS (
			DELETE FROM redrive.search s USING redrive.deliveries r WHERE r.id = s.delivery_id AND (r.integration = ANY(?) OR EXISTS (
				SELECT FROM redrive.messages m WHERE m.id = r.message_id AND (m.integration = ANY(?) OR m.kind = 'event' AND m.type = ANY(?))))
			RETURNING s.delivery_id
		) INSERT INTO redrive.unindexed (delivery_id) SELECT delivery_id FROM gone`, &names, &names, &types).Error
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
	version               int
	open, fits, unchanged bool
	edit                  *int
}

func takeUnindexed(tx *gorm.DB, limit int) (w indexWork, err error) {
	type row struct {
		id       int64
		delivery string
	}
	rows, err := pg.Read(tx, func(r *row) []any { return []any{&r.id, &r.delivery} },
		"SELECT id, delivery_id::text FROM redrive.unindexed ORDER BY id DESC LIMIT ? FOR UPDATE SKIP LOCKED", limit)
	if err != nil || len(rows) == 0 {
		return w, err
	}
	w.rows, w.latest, w.known = map[int64]string{}, map[string]int64{}, map[string]indexed{}
	for _, r := range rows {
		w.rows[r.id], w.latest[r.delivery] = r.delivery, max(w.latest[r.delivery], r.id)
	}
	ids := w.ids()
	known, err := pg.Read(tx, func(k *indexed) []any { return []any{&k.id, &k.version, &k.seq, &k.edit, &k.error} },
		"SELECT delivery_id::text, version, seq, edit, error FROM redrive.search WHERE delivery_id = ANY(?::uuid[]) ORDER BY delivery_id FOR UPDATE", &ids)
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

// unindexedSQL reads failures in the order given, payloads up to a sum. What is sent never changes: where it is indexed already and
// nothing of it is masked it is not read again.
const unindexedSQL = `
WITH masking AS (
    SELECT i.name, i.subscribe, i.mask FROM redrive.integrations i WHERE i.mask <> '{}'
), given AS MATERIALIZED (
    SELECT g.n, g.id, r.state IN ('dead', 'pending') AS open, r.version, r.integration, r.edit, m.type, CASE WHEN e.number IS NULL THEN m.payload ELSE e.payload END AS payload,
        coalesce(f.error, '') AS error, i.name IS NULL OR m.id IS NULL AS unsure,
        ARRAY(SELECT DISTINCT path FROM masking k CROSS JOIN unnest(k.mask) path WHERE k.name IN (r.integration, m.integration)
            OR m.kind = 'event' AND m.type = ANY(k.subscribe)) AS mask,
        g.indexed AND g.edit = coalesce(r.edit, 1) AS payload_known
    FROM unnest(?::uuid[], ?::bool[], ?::int[]) WITH ORDINALITY AS g(id, indexed, edit, n)
    LEFT JOIN redrive.deliveries r ON r.id = g.id
    LEFT JOIN redrive.failure_details f ON f.delivery_id = r.id
    LEFT JOIN redrive.messages m ON m.id = r.message_id
    LEFT JOIN redrive.edits e ON e.delivery_id = r.id AND e.number = r.edit
    LEFT JOIN redrive.integrations i ON i.name = r.integration
), sized AS (
    SELECT *, open AND payload_known AND mask = '{}' AS unchanged,
        sum(CASE WHEN open AND NOT (payload_known AND mask = '{}') THEN least(coalesce(octet_length(payload), 0), ?) ELSE 0 END) OVER (ORDER BY n) AS total
    FROM given
)
SELECT id::text, coalesce(open, false), total <= ?, coalesce(version, 0), edit, coalesce(type, ''), error, to_json(mask),
    unsure, coalesce(unchanged, false),
    CASE WHEN open AND NOT unchanged AND total <= ? THEN substring(payload FROM 1 FOR ?) END
FROM sized ORDER BY n`

func (w *indexWork) read(tx *gorm.DB) error {
	ids := w.ids()
	known, edits := make([]bool, len(ids)), make([]int, len(ids))
	for i, id := range ids {
		k, ok := w.known[id]
		known[i], edits[i] = ok, 1
		if k.edit != nil {
			edits[i] = *k.edit
		}
	}
	// whatever the statistics say: these are a few rows, to be found by their keys
	for _, setting := range []string{"enable_hashjoin", "enable_mergejoin"} {
		if err := tx.Exec("SET LOCAL " + setting + " = off").Error; err != nil {
			return err
		}
	}
	const most = delivery.MaxSearched + 1
	rows, err := pg.Read(tx, func(u *unindexed) []any {
		return []any{&u.DeliveryID, &u.open, &u.fits, &u.version, &u.edit, &u.Type, &u.Error, pg.JSON{To: &u.Mask}, &u.Unsure, &u.unchanged, &u.Payload}
	}, unindexedSQL, &ids, &known, &edits, most, indexBytes, indexBytes, most)
	if err != nil {
		return err
	}
	for _, u := range rows {
		if !u.fits {
			w.left++
			delete(w.latest, u.DeliveryID)
			continue
		}
		w.failures = append(w.failures, u)
	}
	return nil
}

// write sorts by delivery, so that two indexers that both found nothing there wait for each other in one order.
func (w *indexWork) write(tx *gorm.DB, entry func(delivery.Unindexed) delivery.SearchEntry) error {
	slices.SortFunc(w.failures, func(a, b unindexed) int { return strings.Compare(a.DeliveryID, b.DeliveryID) })
	var fresh, again indexBatch
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
    SELECT g.*, CASE WHEN json THEN redrive.search_doc(text) END AS doc
    FROM unnest(?::uuid[], ?::int[], ?::bigint[], ?::int[], ?::text[], ?::text[], ?::bool[]) AS g(id, version, seq, edit, error, text, json)
)
INSERT INTO redrive.search AS s (delivery_id, version, seq, edit, error, words, doc)
SELECT id, version, seq, nullif(edit, 0), error, CASE WHEN doc IS NOT NULL THEN jsonb_to_tsvector('simple', doc, '["string", "numeric"]')
    WHEN text <> '' THEN to_tsvector('simple', text) END, doc
FROM given
ON CONFLICT (delivery_id) DO UPDATE SET version = excluded.version, seq = excluded.seq, edit = excluded.edit, error = excluded.error,
    words = excluded.words, doc = excluded.doc
WHERE (excluded.version, excluded.seq) >= (s.version, s.seq)`

// againSQL changes the error of what is locked; where it is the same no index is touched.
const againSQL = `
UPDATE redrive.search s SET version = g.version, seq = g.seq, error = CASE WHEN s.error = g.error THEN s.error ELSE g.error END
FROM unnest(?::uuid[], ?::int[], ?::bigint[], ?::int[], ?::text[], ?::text[], ?::bool[]) AS g(id, version, seq, edit, error, text, json)
WHERE s.delivery_id = g.id`

// indexBatch is entries turned into columns.
type indexBatch struct {
	ids, errors, texts []string
	versions, edits    []int
	seqs               []int64
	json               []bool
}

func (b *indexBatch) add(u unindexed, seq int64, e delivery.SearchEntry) {
	edit := 0
	if u.edit != nil {
		edit = *u.edit
	}
	b.ids, b.versions, b.seqs, b.edits = append(b.ids, u.DeliveryID), append(b.versions, u.version), append(b.seqs, seq), append(b.edits, edit)
	b.errors, b.texts, b.json = append(b.errors, e.Error), append(b.texts, e.Text), append(b.json, e.JSON)
}

func (b *indexBatch) exec(tx *gorm.DB, statement string) error {
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
SELECT id, false FROM gone
UNION ALL
(SELECT delivery_id::text, true FROM chunk ORDER BY delivery_id DESC LIMIT 1)`

const beforeAll = "00000000-0000-0000-0000-000000000000"

// ForgetSettled looks at the limit entries of the search after one, empty for the first, and forgets those whose failure is settled.
// It answers the last one it looked at, empty at the end, and how many it forgot.
func (s *SearchIndex) ForgetSettled(ctx context.Context, after string, limit int) (last string, n int, err error) {
	if after == "" {
		after = beforeAll
	}
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		type row struct {
			id   string
			last bool
		}
		rows, err := pg.Read(tx, func(r *row) []any { return []any{&r.id, &r.last} }, forgetSQL, after, limit)
		if err != nil {
			return err
		}
		var gone []string
		for _, r := range rows {
			if r.last {
				last = r.id
			} else {
				gone = append(gone, r.id)
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
