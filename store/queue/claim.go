package queue

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// claimSQL leases due rows and returns them with their messages. A row that is due although it has a token is one whose
// worker vanished: that attempt gets its outcome here, in the same statement that gives the row to somebody else. A pause holds
// from the moment it is committed, for every process.
//
// Rows are fetched one by one through primary keys, whatever the planner believes: it cannot know how few are locked, and
// a plain join reads all of redrive.messages. Hence the arrays and the LATERAL with LIMIT. What a person edited is sent instead of
// the message's payload and headers; for the others redrive.edits is not looked at.
var claimSQL = `
WITH quota AS (
    SELECT * FROM unnest(?::text[], ?::int[], ?::bigint[], ?::bigint[], ?::bool[]) AS q(integration, wanted, lease_ms, bytes, any_first)
    WHERE NOT EXISTS (SELECT FROM redrive.integrations i WHERE i.name = q.integration AND i.paused_at IS NOT NULL)
), locked AS MATERIALIZED (
    SELECT d.*, q.integration, q.bytes, q.any_first FROM quota q CROSS JOIN LATERAL (
        SELECT w.id, w.message_id, w.token AS lost, w.due_at, coalesce(w.claimed_at, w.due_at) AS claimed_at, w.edit FROM redrive.queue w
        WHERE w.integration = q.integration AND w.due_at <= statement_timestamp()
        ORDER BY w.due_at LIMIT q.wanted FOR UPDATE SKIP LOCKED) d
), due AS MATERIALIZED ( -- the length of a payload is known without reading it
    SELECT id, lost, claimed_at FROM (
        SELECT l.*, sum(m.size) OVER upto AS total, row_number() OVER upto AS place FROM locked l CROSS JOIN LATERAL (
            SELECT coalesce(CASE WHEN l.edit IS NULL THEN octet_length(payload) ELSE (SELECT octet_length(e.payload) FROM redrive.edits e
                WHERE e.delivery_id = l.id AND e.number = l.edit) END, 0) AS size FROM redrive.messages WHERE id = l.message_id LIMIT 1) m
        WINDOW upto AS (PARTITION BY l.integration ORDER BY l.due_at, l.id ROWS UNBOUNDED PRECEDING)) x
    WHERE total <= bytes OR (any_first AND place = 1)
), leased AS (
    UPDATE redrive.queue w SET token = nextval('redrive.lease_token'), worker = ?, attempts = w.attempts + 1, claimed_at = clock_timestamp(),
        due_at = clock_timestamp() + (SELECT lease_ms FROM quota q WHERE q.integration = w.integration) * interval '1 millisecond',
        crashes = w.crashes + (w.token IS NOT NULL)::int
    WHERE w.id = ANY (ARRAY(SELECT id FROM due))
    RETURNING w.id, w.message_id, w.integration, w.token, w.attempts, w.round_start, w.crashes, w.edit
), claimed AS MATERIALIZED (
    SELECT leased.*, due.lost, due.claimed_at FROM leased JOIN due USING (id)
), lost AS (
    SELECT c.*, m.created_at, m.key, m.type, m.expires_at, 'lease_lost' AS class, '` + delivery.ErrorLeaseLost + `' AS error,
        ` + groupIDSQL("c.integration", "'lease_lost'", "'"+delivery.ErrorLeaseLost+"'") + ` AS group_id
    FROM claimed c CROSS JOIN LATERAL (SELECT created_at, key, type, expires_at FROM redrive.messages WHERE id = c.message_id LIMIT 1) m
    WHERE c.lost IS NOT NULL
), lost_attempts AS (
    INSERT INTO redrive.attempts (delivery_id, token, number, started_at, duration_ms, outcome, error_class, error)
    SELECT id, lost, attempts - 1, claimed_at, 0, 'unknown', class, error FROM lost
), lost_records AS (
    INSERT INTO redrive.deliveries AS r (id, message_id, integration, state, attempts, error_class, group_id, created_at, failed_at, started_at, key, type, expires_at)
    SELECT id, message_id, integration, 'pending', attempts - 1, class, group_id, created_at, statement_timestamp(), claimed_at, key, type, expires_at FROM lost
    ON CONFLICT (id) DO UPDATE SET attempts = excluded.attempts, error_class = excluded.error_class,
        group_id = excluded.group_id, version = r.version + 1, changed_at = statement_timestamp(),
        failed_at = coalesce(r.failed_at, excluded.failed_at), started_at = excluded.started_at, key = excluded.key, type = excluded.type,
        expires_at = excluded.expires_at
), lost_details AS (
    INSERT INTO redrive.failure_details (delivery_id, error) SELECT id, error FROM lost
    ON CONFLICT (delivery_id) DO UPDATE SET error = excluded.error
), grouped AS (
    SELECT group_id, integration, class AS error_class, error AS message, array_agg(DISTINCT type) AS types FROM lost GROUP BY 1, 2, 3, 4
), seen AS (` + SeenSQL + `
)
SELECT c.id::text, c.token, c.integration, c.attempts, c.round_start, c.crashes, c.lost IS NOT NULL,
    coalesce(m.expires_at <= statement_timestamp(), false), m.id::text, m.kind, m.type, coalesce(m.key, ''),
    CASE WHEN c.edit IS NULL THEN nullif(m.headers, '{}') ELSE
        (SELECT nullif(e.headers, '{}') FROM redrive.edits e WHERE e.delivery_id = c.id AND e.number = c.edit) END,
    CASE WHEN c.edit IS NULL THEN m.payload ELSE
        (SELECT e.payload FROM redrive.edits e WHERE e.delivery_id = c.id AND e.number = c.edit) END,
    coalesce(m.idempotency_key, ''), m.expires_at, m.origin, m.created_at
FROM claimed c CROSS JOIN LATERAL (SELECT * FROM redrive.messages WHERE id = c.message_id LIMIT 1) m`

// Claim leases due deliveries, at most Limit of each quota and no more than its Bytes, oldest due first.
func (s *Queue) Claim(ctx context.Context, worker string, quotas []delivery.Quota) ([]delivery.Claimed, error) {
	n := len(quotas)
	names, limits, anyFirst := make([]string, n), make([]int, n), make([]bool, n)
	leases, bytes := make([]int64, n), make([]int64, n)
	for i, q := range quotas {
		names[i], limits[i], anyFirst[i] = q.Integration, q.Limit, q.AnyFirst
		leases[i], bytes[i] = q.Lease.Milliseconds(), cmp.Or(q.Bytes, math.MaxInt64)
	}
	claimed, err := pg.Read(s.Gorm.WithContext(ctx), claimedColumns, claimSQL, &names, &limits, &leases,
		&bytes, &anyFirst, worker)
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
	return []any{
		&c.DeliveryID,
		&c.Token,
		&c.Integration,
		&c.Attempt,
		&c.RoundStart,
		&c.Crashes,
		&c.LostLease,
		&c.Expired,
		&m.ID,
		&m.Kind,
		&m.Type,
		&m.Key,
		pg.JSON{To: &m.Headers},
		&m.Payload,
		&m.IdempotencyKey,
		&m.ExpiresAt,
		pg.JSON{To: &m.Origin},
		&m.CreatedAt,
	}
}

// LeaseForGood takes what waits in the queue, due never, for the leader of a batch, with leases that have no end.
func LeaseForGood(tx *gorm.DB, deliveries []string) ([]delivery.Completion, error) {
	list, err := pg.Read(tx, func(c *delivery.Completion) []any {
		return []any{&c.DeliveryID, &c.Token, &c.MessageID, &c.CreatedAt, &c.Attempt}
	}, `WITH leased AS (UPDATE redrive.queue w SET token = nextval('redrive.lease_token'), attempts = w.attempts + 1, worker = 'batch'
			WHERE w.id = ANY(?::uuid[]) AND w.token IS NULL AND w.due_at = `+LeaderAnswers+` RETURNING w.id, w.token, w.message_id, w.attempts)
		SELECT l.id::text, l.token, l.message_id::text, m.created_at, l.attempts FROM leased l JOIN redrive.messages m ON m.id = l.message_id`, &deliveries)
	if err != nil {
		return nil, fmt.Errorf("leasing: %w", err)
	}
	return list, nil
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
func (s *Queue) Extend(ctx context.Context, held []delivery.Lease, lease time.Duration) (lost []delivery.Lease, err error) {
	ids, tokens := leaseArrays(held)
	lost, err = pg.Read(s.Gorm.WithContext(ctx), func(l *delivery.Lease) []any { return []any{&l.DeliveryID, &l.Token} },
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
func (s *Queue) Release(ctx context.Context, held []delivery.Lease, wait time.Duration) error {
	ids, tokens := leaseArrays(held)
	if err := s.Gorm.WithContext(ctx).Exec(releaseSQL, wait.Milliseconds(), &ids, &tokens).Error; err != nil {
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
