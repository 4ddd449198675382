package queue

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/record"
)

// laneSQL puts deliveries at the end of their lanes. Its query, put in for %s, answers (id, integration, lane, n, due): n is the
// order. One that finds no lane opens it and goes first, at its due time or at the one that its row has.
const laneSQL = `
WITH given AS MATERIALIZED (%s), counted AS (
    SELECT *, row_number() OVER (PARTITION BY integration, lane ORDER BY n) AS place, count(*) OVER (PARTITION BY integration, lane) AS size
    FROM given
), lanes AS (
    INSERT INTO redrive.lanes AS l (integration, key, head, next)
    SELECT integration, lane, (array_agg(id ORDER BY n))[1], count(*) FROM given GROUP BY integration, lane ORDER BY integration, lane
    ON CONFLICT (integration, key) DO UPDATE SET next = l.next + excluded.next
    RETURNING l.integration, l.key, l.head, l.next
)
UPDATE redrive.queue w SET lane = g.lane, position = l.next - g.size + g.place - 1,
    due_at = CASE WHEN l.head = w.id THEN coalesce(g.due, w.due_at) ELSE ` + WaitsForTurn + ` END
FROM counted g JOIN lanes l ON l.integration = g.integration AND l.key = g.lane WHERE w.id = g.id`

var parkedLaneSQL = fmt.Sprintf(laneSQL, `
    SELECT *, NULL::timestamptz AS due FROM unnest(?::uuid[], ?::text[], ?::text[]) WITH ORDINALITY AS g(id, integration, lane, n)`)

// dueSQL is when a delivery may go whose turn has come: not before its message's deliver_after.
const dueSQL = "greatest(statement_timestamp(), (SELECT m.deliver_after FROM redrive.messages m WHERE m.id = w.message_id))"

// lockLanesSQL comes before releaseLanesSQL, in a statement of its own: what joined a lane while this waited must be seen.
const lockLanesSQL = `
SELECT integration || ' ' || key FROM redrive.lanes WHERE head = ANY(?::uuid[]) ORDER BY integration, key FOR UPDATE`

// releaseLanesSQL lets the next of each lane go whose head is settled, and closes the lanes that are empty.
const releaseLanesSQL = `
WITH released AS (
    SELECT l.integration, l.key, (SELECT w.id FROM redrive.queue w WHERE w.integration = l.integration AND w.lane = l.key
        AND w.id <> l.head AND w.position IS NOT NULL ORDER BY w.position LIMIT 1) AS next
    FROM redrive.lanes l WHERE l.head = ANY(?::uuid[])
), moved AS (
    UPDATE redrive.lanes l SET head = r.next FROM released r WHERE l.integration = r.integration AND l.key = r.key AND r.next IS NOT NULL
), closed AS (
    DELETE FROM redrive.lanes l USING released r WHERE l.integration = r.integration AND l.key = r.key AND r.next IS NULL
)
UPDATE redrive.queue w SET due_at = ` + dueSQL + ` FROM released r WHERE w.id = r.next`

// JoinLanes puts what is unsettled of a batch into its lanes.
func JoinLanes(tx *gorm.DB, list []delivery.Parked) error {
	var ids, integrations, keys []string
	for _, p := range list {
		if p.Lane != "" && p.Next != delivery.StateIgnored {
			ids, integrations = append(ids, p.DeliveryID), append(integrations, p.Integration)
			keys = append(keys, delivery.Storable(p.Lane))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := tx.Exec(parkedLaneSQL, &ids, &integrations, &keys).Error; err != nil {
		return fmt.Errorf("joining lanes: %w", err)
	}
	return nil
}

// ReleaseLanes is called with deliveries that were settled; those that head no lane are passed over.
func ReleaseLanes(tx *gorm.DB, settled []string) error {
	if len(settled) == 0 {
		return nil
	}
	locked, err := pg.Read(tx, pg.Single[string], lockLanesSQL, &settled)
	if err != nil {
		return fmt.Errorf("locking lanes: %w", err)
	}
	if len(locked) == 0 {
		return nil
	}
	if err := tx.Exec(releaseLanesSQL, &settled).Error; err != nil {
		return fmt.Errorf("releasing lanes: %w", err)
	}
	return nil
}

// BlockedKeys returns which of these keys have an unsettled delivery: what comes after it must not overtake it.
func (s *Queue) BlockedKeys(ctx context.Context, integration string, keys []string) (map[string]bool, error) {
	// where nothing is blocked, as nearly always, no key is looked up
	list, err := pg.Read(s.Gorm.WithContext(ctx), pg.Single[string], `SELECT DISTINCT k.key FROM unnest(?::text[]) AS k(key)
		CROSS JOIN LATERAL (SELECT 1 FROM redrive.lanes l WHERE l.integration = ? AND l.key = k.key LIMIT 1) l
		WHERE (SELECT EXISTS (SELECT FROM redrive.lanes l WHERE l.integration = ?))`, &keys, integration, integration)
	if err != nil {
		return nil, fmt.Errorf("reading lanes: %w", err)
	}
	blocked := make(map[string]bool, len(list))
	for _, key := range list {
		blocked[key] = true
	}
	return blocked, nil
}

// LanePlace returns what a delivery waits for, and what waits for it.
func LanePlace(tx *gorm.DB, id string) (delivery.Lane, error) {
	type row struct {
		BehindID string
		Waiting  int
	}
	r, err := pg.ScanOne[row](tx, `SELECT
		coalesce((SELECT l.head::text FROM redrive.queue w JOIN redrive.lanes l ON l.integration = w.integration AND l.key = w.lane
			WHERE w.id = ? AND l.head <> w.id), '') AS behind_id,
		(SELECT count(*) FROM redrive.lanes l JOIN redrive.queue w ON w.integration = l.integration AND w.lane = l.key AND w.id <> l.head
			WHERE l.head = ? AND w.position IS NOT NULL) AS waiting`, id, id)
	place := delivery.Lane{BehindID: r.BehindID, Waiting: r.Waiting}
	if err == nil && place.Waiting > 0 {
		place.Blocked, err = record.ListDeliveries(tx,
			fmt.Sprintf(trafficSQL, blockedBy(pg.MaxSiblings))+" ORDER BY d.changed_at", id, -1)
	}
	if err != nil {
		return place, fmt.Errorf("reading the lane: %w", err)
	}
	return place, nil
}
