package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// parkSQL makes messages durable with their places in the queue. What has a last attempt gets a lease token, so that its
// outcome is written like any other; what was never tried simply waits. A message that is known already is left alone. One that is
// not valid has no kind, which the table refuses.
const parkSQL = `
WITH given AS (
    SELECT * FROM unnest(?::uuid[], ?::uuid[], ?::text[], ?::text[], ?::text[], ?::text[], ?::bytea[], ?::text[], ?::timestamptz[],
        ?::text[], ?::timestamptz[], ?::int[], ?::bigint[], ?::bool[], ?::timestamptz[], ?::text[])
        AS g(id, message_id, integration, type, key, headers, payload, idempotency_key, expires_at, origin, created_at, attempts, wait_ms, tried,
            deliver_after, sender)
), kept AS (
    INSERT INTO redrive.messages (id, kind, integration, type, key, headers, payload, idempotency_key, deliver_after, expires_at, origin, created_at,
        sender)
    SELECT message_id, CASE WHEN redrive.valid_message(type, headers::jsonb, payload, deliver_after, expires_at, nullif(origin, '')::jsonb) THEN 'command' END,
        integration, type, nullif(key, ''), headers::jsonb, payload, nullif(idempotency_key, ''), deliver_after, expires_at,
        nullif(origin, '')::jsonb, coalesce(created_at, statement_timestamp()), sender
    FROM given ON CONFLICT (id) DO NOTHING RETURNING id, created_at
)
INSERT INTO redrive.queue (id, message_id, integration, due_at, token, attempts)
SELECT g.id, g.message_id, g.integration, clock_timestamp() + g.wait_ms * interval '1 millisecond',
    CASE WHEN g.tried THEN nextval('redrive.lease_token') END, g.attempts
FROM given g JOIN kept k ON k.id = g.message_id
RETURNING id::text, coalesce(token, 0), (SELECT k.created_at FROM kept k WHERE k.id = message_id)`

// earlierSQL writes the attempts before the last one.
const earlierSQL = `
INSERT INTO redrive.attempts (delivery_id, token, number, started_at, duration_ms, outcome, error_class, error, http_status, response, exchange)
SELECT id, 0, number, started_at, duration_ms, outcome, error_class, error, nullif(http_status, 0), response, exchange::jsonb
FROM unnest(?::uuid[], ?::int[], ?::timestamptz[], ?::int[], ?::text[], ?::text[], ?::text[], ?::int[], ?::bytea[], ?::text[])
    AS a(id, number, started_at, duration_ms, outcome, error_class, error, http_status, response, exchange)`

// inboxSQL notes that messages are dealt with.
const inboxSQL = `
INSERT INTO redrive.inbox AS i (integration, key, state) SELECT ?, key, 'done' FROM unnest(?::text[]) key
ON CONFLICT (integration, key) DO UPDATE SET state = 'done' WHERE i.state <> 'done'`

// newInboxSQL is inboxSQL for messages that the inbox knows nothing of, at two thirds of the cost. One that is known after all is an
// error, and none of them is noted.
const newInboxSQL = "INSERT INTO redrive.inbox (integration, key, state) SELECT ?, key, 'done' FROM unnest(?::text[]) key"

// settledSQL and newSettledSQL note and count deliveries in one round trip.
const (
	settledSQL    = "WITH seen AS (" + inboxSQL + ")" + countDeliveredSQL
	newSettledSQL = "WITH seen AS (" + newInboxSQL + ")" + countDeliveredSQL
)

const countDeliveredSQL = `
INSERT INTO redrive.hourly AS h (integration, hour, delivered) VALUES (?, date_trunc('hour', statement_timestamp(), 'UTC'), ?)
ON CONFLICT (integration, hour) DO UPDATE SET delivered = h.delivered + excluded.delivered`

// Park makes durable what was tried outside of the engine, and returns how many were new. A message whose id is known changes
// nothing, so that the same can be parked again after an error.
func (s *Queue) Park(ctx context.Context, list []delivery.Parked) (fresh int, err error) {
	if len(list) == 0 {
		return 0, nil
	}
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		fresh, err = Park(tx, list)
		return err
	})
	return fresh, err
}

// Settle notes in one transaction what became of messages that a broker brought: those delivered, by their identity at the
// source, and those that failed. After it they may be acknowledged. begun says that Begin has noted some of the delivered.
func (s *Queue) Settle(ctx context.Context, integration string, delivered []string, begun bool, failed []delivery.Parked) error {
	if len(failed) == 0 {
		return s.settleDelivered(ctx, integration, delivered, begun)
	}
	return s.Transact(ctx, func(tx *gorm.DB) error {
		keys := append([]string(nil), delivered...)
		for _, p := range failed {
			if p.InboxKey != "" {
				keys = append(keys, p.InboxKey)
			}
		}
		if err := tx.Exec(inboxSQL, integration, &keys).Error; err != nil {
			return fmt.Errorf("writing the inbox: %w", err)
		}
		if err := countDelivered(tx, integration, len(delivered)); err != nil { // before failures are, in the order of Complete
			return err
		}
		_, err := Park(tx, failed)
		return err
	})
}

// settleDelivered is Settle where nothing failed, as nearly always: one statement is a transaction of its own.
func (s *Queue) settleDelivered(ctx context.Context, integration string, keys []string, begun bool) error {
	write := func(statement string) error {
		return s.Gorm.WithContext(ctx).Exec(statement, integration, &keys, integration, len(keys)).Error
	}
	err := gorm.ErrDuplicatedKey
	if !begun {
		err = write(newSettledSQL)
	}
	if errors.Is(err, gorm.ErrDuplicatedKey) { // others, or we before an answer was lost, have noted one
		err = write(settledSQL)
	}
	if err != nil {
		return fmt.Errorf("writing the inbox: %w", err)
	}
	return nil
}

// CountDelivered adds deliveries that left no other trace to the hourly counts.
func (s *Queue) CountDelivered(ctx context.Context, integration string, n int) error {
	return countDelivered(s.Gorm.WithContext(ctx), integration, n)
}

func countDelivered(tx *gorm.DB, integration string, n int) error {
	if n == 0 {
		return nil
	}
	if err := tx.Exec(countDeliveredSQL, integration, n).Error; err != nil {
		return fmt.Errorf("counting deliveries: %w", err)
	}
	return nil
}

// Inbox returns what is known of messages, by their identity at the source; those it does not name are new.
func (s *Queue) Inbox(ctx context.Context, integration string, keys []string) (map[string]delivery.InboxNote, error) {
	// one look-up by the primary key for each: a plan that was made while the table was small must not read all of it
	return inboxStates(s.Gorm.WithContext(ctx), `SELECT k.key, i.state, i.at FROM unnest(?::text[]) AS k(key) CROSS JOIN LATERAL (
		SELECT state, at FROM redrive.inbox i WHERE i.integration = ? AND i.key = k.key LIMIT 1) i`, &keys, integration)
}

// Begin notes that attempts of these messages start, and returns what was known of them before. It is for receivers that do not
// drop duplicates: a message found started has an attempt whose outcome nobody knows.
func (s *Queue) Begin(ctx context.Context, integration string, keys []string) (map[string]delivery.InboxNote, error) {
	return inboxStates(s.Gorm.WithContext(ctx), `WITH given AS (SELECT DISTINCT key FROM unnest(?::text[]) key), begun AS (
			INSERT INTO redrive.inbox (integration, key, state) SELECT ?, key, 'started' FROM given ON CONFLICT DO NOTHING RETURNING key)
		SELECT g.key, i.state, i.at FROM given g CROSS JOIN LATERAL (SELECT state, at FROM redrive.inbox i WHERE i.integration = ? AND i.key = g.key LIMIT 1) i
		WHERE NOT EXISTS (SELECT FROM begun b WHERE b.key = g.key)`, &keys, integration, integration)
}

// Unbegin takes back Begin for messages that were not attempted after all.
func (s *Queue) Unbegin(ctx context.Context, integration string, keys []string) error {
	err := s.Gorm.WithContext(ctx).
		Exec("DELETE FROM redrive.inbox WHERE integration = ? AND key = ANY(?) AND state = 'started'", integration, &keys).
		Error
	if err != nil {
		return fmt.Errorf("giving back: %w", err)
	}
	return nil
}

// PruneInbox forgets messages that were dealt with before keep, at most 10,000 at once, and returns how many.
func (s *Queue) PruneInbox(ctx context.Context, integration string, keep time.Duration) (int, error) {
	result := s.Gorm.WithContext(ctx).Exec(`DELETE FROM redrive.inbox WHERE ctid = ANY(ARRAY(SELECT ctid FROM redrive.inbox
		WHERE integration = ? AND state = 'done' AND at < statement_timestamp() - ?::bigint * interval '1 millisecond' LIMIT 10000))`, integration, keep.Milliseconds())
	if result.Error != nil {
		return 0, fmt.Errorf("pruning the inbox: %w", result.Error)
	}
	return int(result.RowsAffected), nil
}

func inboxStates(db *gorm.DB, query string, args ...any) (map[string]delivery.InboxNote, error) {
	type row struct {
		key string
		delivery.InboxNote
	}
	rows, err := pg.Read(db, func(r *row) []any { return []any{&r.key, &r.State, &r.At} }, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the inbox: %w", err)
	}
	states := make(map[string]delivery.InboxNote, len(rows))
	for _, r := range rows {
		states[r.key] = r.InboxNote
	}
	return states, nil
}

// Park takes messages of a consumer in, and returns how many were not known before.
func Park(tx *gorm.DB, list []delivery.Parked) (fresh int, err error) {
	var given parkSet
	byID := map[string]delivery.Parked{}
	for _, p := range list {
		if _, twice := byID[p.DeliveryID]; twice {
			continue
		}
		byID[p.DeliveryID] = p
		if err := given.add(p); err != nil {
			return 0, err
		}
	}
	rows, err := pg.Read(tx, func(r *parkedRow) []any { return []any{&r.id, &r.token, &r.created} }, parkSQL, given.args()...)
	if err != nil {
		return 0, fmt.Errorf("parking messages: %w", err)
	}
	known := map[string]parkedRow{}
	for _, r := range rows {
		known[r.id] = r
	}
	var kept []delivery.Parked // in the order given
	for _, id := range given.ids {
		if _, ok := known[id]; ok {
			kept = append(kept, byID[id])
		}
	}
	if err := writeAttempts(tx, kept, known); err != nil {
		return 0, err
	}
	if err := keepKeys(tx, kept); err != nil {
		return 0, err
	}
	return len(kept), JoinLanes(tx, kept)
}

// writeAttempts writes what was tried: the last attempt of each as its outcome, those before it as history.
func writeAttempts(tx *gorm.DB, kept []delivery.Parked, rows map[string]parkedRow) error {
	var outcomes, earlier outcomeSet
	for _, p := range kept {
		for i, a := range p.Attempts {
			if i < len(p.Attempts)-1 {
				earlier.add(completionOf(p, a, rows[p.DeliveryID]))
			} else {
				outcomes.add(completionOf(p, a, rows[p.DeliveryID]))
			}
		}
	}
	if len(earlier.ids) > 0 {
		err := tx.Exec(earlierSQL, &earlier.ids, &earlier.attempts, &earlier.started, &earlier.durations, &earlier.outcomes,
			&earlier.classes, &earlier.errors, &earlier.statuses, &earlier.responses, &earlier.exchanges).Error
		if err != nil {
			return fmt.Errorf("writing earlier attempts: %w", err)
		}
	}
	w := writer{tx: tx, written: map[int64]bool{}}
	if err := w.failures(&outcomes); err != nil {
		return fmt.Errorf("writing outcomes: %w", err)
	}
	return nil
}

// parkedRow is a message that was new.
type parkedRow struct {
	id      string
	token   int64
	created time.Time
}

// completionOf makes an attempt the outcome of a claim, so that one statement writes both kinds. An attempt without a number
// was somebody else's.
func completionOf(p delivery.Parked, a delivery.Attempt, r parkedRow) delivery.Completion {
	c := delivery.Completion{
		Lease:        delivery.Lease{DeliveryID: p.DeliveryID, Token: r.token},
		MessageID:    p.Message.ID,
		Integration:  p.Integration,
		Key:          p.Message.Key,
		Type:         p.Message.Type,
		ExpiresAt:    p.Message.ExpiresAt,
		CreatedAt:    r.created,
		Attempt:      a.Number,
		StartedAt:    a.StartedAt,
		Duration:     a.Duration,
		Next:         p.Next,
		RetryIn:      p.RetryIn,
		NotAttempted: a.Number == 0 || a.ErrorClass == delivery.ClassExpired || a.ErrorClass == delivery.ClassNoIntegration,
		Result: delivery.Result{
			Outcome:    a.Outcome,
			ErrorClass: a.ErrorClass,
			Error:      a.Error,
			HTTPStatus: a.HTTPStatus,
			Response:   a.Response,
			Exchange:   a.Exchange,
		},
	}
	c.GroupID, c.GroupText = delivery.Fingerprint(p.Integration, a.ErrorClass, a.Error)
	return c
}

// parkSet is messages turned into columns.
type parkSet struct {
	ids, messages, integrations, types, keys, headers, idempotency, origins, senders []string
	payloads                                                                         [][]byte
	expires, created, after                                                          []*time.Time
	attempts                                                                         []int
	waits                                                                            []int64
	tried                                                                            []bool
}

func (b *parkSet) add(p delivery.Parked) error {
	m := p.Message
	headers, err := storableHeaders(m.Headers)
	if err != nil {
		return err
	}
	origin := []byte(nil)
	if m.Origin != nil {
		if origin, err = json.Marshal(storableOrigin(*m.Origin)); err != nil {
			return fmt.Errorf("encoding the origin: %w", err)
		}
	}
	var created *time.Time
	if !m.CreatedAt.IsZero() {
		created = &m.CreatedAt
	}
	number := 0
	if n := len(p.Attempts); n > 0 {
		number = p.Attempts[n-1].Number
	}
	b.ids, b.messages = append(b.ids, p.DeliveryID), append(b.messages, m.ID)
	b.integrations, b.types = append(b.integrations, p.Integration), append(b.types, delivery.Storable(m.Type))
	b.keys, b.headers = append(b.keys, delivery.Storable(m.Key)), append(b.headers, string(headers))
	b.payloads, b.idempotency = append(b.payloads, m.Payload), append(b.idempotency, delivery.Storable(m.IdempotencyKey))
	b.expires, b.origins = append(b.expires, m.ExpiresAt), append(b.origins, string(origin))
	b.created, b.attempts = append(b.created, created), append(b.attempts, number)
	b.waits, b.tried = append(b.waits, p.RetryIn.Milliseconds()), append(b.tried, len(p.Attempts) > 0)
	b.after, b.senders = append(b.after, m.DeliverAfter), append(b.senders, cmp.Or(m.Sender, delivery.SenderIntegration+p.Integration))
	return nil
}

// storableHeaders keeps one bad byte from holding up a whole batch.
func storableHeaders(headers map[string]string) ([]byte, error) {
	storable := make(map[string]string, len(headers))
	for name, value := range headers {
		storable[delivery.Storable(name)] = delivery.Storable(value)
	}
	raw, err := json.Marshal(storable)
	if err != nil {
		return nil, fmt.Errorf("encoding headers: %w", err)
	}
	return raw, nil
}

func storableOrigin(o delivery.Origin) delivery.Origin {
	for _, text := range []*string{&o.Broker, &o.Place, &o.Exchange, &o.Routing, &o.ID} {
		*text = delivery.Storable(*text)
	}
	if o.Dead != nil {
		dead := *o.Dead
		for _, text := range []*string{&dead.Place, &dead.Group, &dead.Reason, &dead.Error} {
			*text = delivery.Storable(*text)
		}
		o.Dead = &dead
	}
	raw := make(map[string]string, len(o.Raw))
	for name, value := range o.Raw {
		raw[delivery.Storable(name)] = value // Base64
	}
	o.Raw = raw // fields write down what is no text by themselves
	return o
}

func (b *parkSet) args() []any {
	return []any{
		&b.ids,
		&b.messages,
		&b.integrations,
		&b.types,
		&b.keys,
		&b.headers,
		&b.payloads,
		&b.idempotency,
		&b.expires,
		&b.origins,
		&b.created,
		&b.attempts,
		&b.waits,
		&b.tried,
		&b.after,
		&b.senders,
	}
}
