package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"redrive/delivery"
)

// claimSQL leases due rows and answers them with their messages. A row that is due although it has a token is one whose
// worker vanished: that attempt gets its outcome here, in the same statement that gives the row to somebody else. A pause holds
// from the moment it is committed, for every process.
const claimSQL = `
WITH quota AS (
    SELECT * FROM unnest(?::text[], ?::int[], ?::bigint[]) AS q(integration, wanted, lease_ms)
    WHERE NOT EXISTS (SELECT FROM redrive.integrations i WHERE i.name = q.integration AND i.paused_at IS NOT NULL)
), due AS MATERIALIZED (
    SELECT d.id, d.lost, d.due_at, q.lease_ms FROM quota q CROSS JOIN LATERAL (
        SELECT w.id, w.token AS lost, w.due_at FROM redrive.queue w
        WHERE w.integration = q.integration AND w.due_at <= statement_timestamp()
        ORDER BY w.due_at LIMIT q.wanted FOR UPDATE SKIP LOCKED) d
), claimed AS (
    UPDATE redrive.queue w SET token = nextval('redrive.lease_token'), worker = ?, attempts = w.attempts + 1,
        due_at = clock_timestamp() + due.lease_ms * interval '1 millisecond',
        crashes = w.crashes + (due.lost IS NOT NULL)::int
    FROM due WHERE w.id = due.id
    RETURNING w.id, w.message_id, w.integration, w.token, w.attempts, w.round_start, w.crashes, due.lost, due.due_at
), lost AS (
    SELECT c.*, m.created_at, 'lease_lost' AS class, 'the worker vanished before it reported an outcome' AS error,
        substr(encode(sha256(convert_to(c.integration, 'UTF8') || '\x00'::bytea || 'lease_lost'::bytea || '\x00'::bytea
            || 'the worker vanished before it reported an outcome'::bytea), 'hex'), 1, 32) AS group_id
    FROM claimed c JOIN redrive.messages m ON m.id = c.message_id WHERE c.lost IS NOT NULL
), lost_attempts AS (
    INSERT INTO redrive.attempts (delivery_id, token, number, started_at, duration_ms, outcome, error_class, error)
    SELECT id, lost, attempts - 1, due_at, 0, 'unknown', class, error FROM lost
), lost_records AS (
    INSERT INTO redrive.deliveries AS r (id, message_id, integration, state, attempts, error_class, group_id, created_at, failed_at)
    SELECT id, message_id, integration, 'pending', attempts - 1, class, group_id, created_at, statement_timestamp() FROM lost
    ON CONFLICT (id) DO UPDATE SET attempts = excluded.attempts, error_class = excluded.error_class,
        group_id = excluded.group_id, version = r.version + 1, changed_at = statement_timestamp(),
        failed_at = coalesce(r.failed_at, excluded.failed_at)
), lost_details AS (
    INSERT INTO redrive.failure_details (delivery_id, error) SELECT id, error FROM lost
    ON CONFLICT (delivery_id) DO UPDATE SET error = excluded.error
), lost_groups AS (
    INSERT INTO redrive.groups (id, integration, error_class, message)
    SELECT DISTINCT ON (group_id) group_id, integration, class, error FROM lost ORDER BY group_id
    ON CONFLICT (id) DO UPDATE SET last_seen = clock_timestamp()
)
SELECT c.id::text, c.token, c.integration, c.attempts, c.round_start, c.crashes, c.lost IS NOT NULL,
    coalesce(m.expires_at <= statement_timestamp(), false), m.id::text, m.kind, m.type, coalesce(m.key, ''),
    nullif(m.headers, '{}'), m.payload, coalesce(m.idempotency_key, ''), m.expires_at, m.origin, m.created_at
FROM claimed c JOIN redrive.messages m ON m.id = c.message_id`

// Claim leases due deliveries, at most Limit of each quota, oldest due first.
func (s *Store) Claim(ctx context.Context, worker string, quotas []delivery.Quota) ([]delivery.Claimed, error) {
	names, limits, leases := make([]string, len(quotas)), make([]int, len(quotas)), make([]int64, len(quotas))
	for i, q := range quotas {
		names[i], limits[i], leases[i] = q.Integration, q.Limit, q.Lease.Milliseconds()
	}
	claimed, err := read(s.db.WithContext(ctx), claimedColumns, claimSQL, &names, &limits, &leases, worker)
	if err != nil {
		return nil, fmt.Errorf("claiming: %w", err)
	}
	for i := range claimed {
		if m := &claimed[i].Message; m.Kind == delivery.KindCommand {
			m.Integration = claimed[i].Integration
		}
	}
	return claimed, nil
}

func claimedColumns(c *delivery.Claimed) []any {
	m := &c.Message
	return []any{&c.DeliveryID, &c.Token, &c.Integration, &c.Attempt, &c.RoundStart, &c.Crashes, &c.LostLease, &c.Expired, &m.ID,
		&m.Kind, &m.Type, &m.Key, jsonColumn{&m.Headers}, &m.Payload, &m.IdempotencyKey, &m.ExpiresAt, jsonColumn{&m.Origin}, &m.CreatedAt}
}

// jsonColumn reads a JSON column into what to points to; null leaves it alone.
type jsonColumn struct{ to any }

// Scan implements sql.Scanner.
func (c jsonColumn) Scan(value any) error {
	switch raw := value.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(raw), c.to)
	case []byte:
		return json.Unmarshal(raw, c.to)
	}
	return fmt.Errorf("a JSON column is a %T", value)
}

// extendSQL never waits for a row: one that is locked is being settled right now.
const extendSQL = `
WITH held AS (
    SELECT * FROM unnest(?::uuid[], ?::bigint[]) AS h(id, token)
), free AS (
    SELECT w.id FROM redrive.queue w JOIN held h ON h.id = w.id AND h.token = w.token FOR UPDATE OF w SKIP LOCKED
), kept AS (
    UPDATE redrive.queue w SET due_at = clock_timestamp() + ?::bigint * interval '1 millisecond' FROM free WHERE w.id = free.id
)
SELECT h.id::text, h.token FROM held h
WHERE NOT EXISTS (SELECT FROM redrive.queue w WHERE w.id = h.id AND w.token = h.token)`

// Extend prolongs leases and answers those that were lost.
func (s *Store) Extend(ctx context.Context, held []delivery.Lease, lease time.Duration) (lost []delivery.Lease, err error) {
	ids, tokens := leaseArrays(held)
	lost, err = read(s.db.WithContext(ctx), func(l *delivery.Lease) []any { return []any{&l.DeliveryID, &l.Token} },
		extendSQL, &ids, &tokens, lease.Milliseconds())
	if err != nil {
		return nil, fmt.Errorf("prolonging leases: %w", err)
	}
	return lost, nil
}

const releaseSQL = `
UPDATE redrive.queue w SET token = NULL, worker = NULL, attempts = w.attempts - 1,
    due_at = clock_timestamp() + ?::bigint * interval '1 millisecond'
FROM unnest(?::uuid[], ?::bigint[]) AS h(id, token) WHERE w.id = h.id AND w.token = h.token`

// Release gives back deliveries that were not attempted: due again after wait, the attempt not counted.
func (s *Store) Release(ctx context.Context, held []delivery.Lease, wait time.Duration) error {
	ids, tokens := leaseArrays(held)
	if err := s.db.WithContext(ctx).Exec(releaseSQL, wait.Milliseconds(), &ids, &tokens).Error; err != nil {
		return fmt.Errorf("giving back: %w", err)
	}
	return nil
}

func leaseArrays(held []delivery.Lease) (ids []string, tokens []int64) {
	ids, tokens = make([]string, len(held)), make([]int64, len(held))
	for i, l := range held {
		ids[i], tokens[i] = l.DeliveryID, l.Token
	}
	return ids, tokens
}
