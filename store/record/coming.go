package record

import "gorm.io/gorm"

// ComingSQL are the deliveries that the relay will make, in the shape of redrive.all_deliveries: the positions do not tell of
// their message yet. Filter by m.id; what filters by the id of a delivery must name the millisecond that both share.
const ComingSQL = `
SELECT redrive.delivery_id(m.id, i.name) AS id, m.id AS message_id, i.name AS integration, 'pending' AS state, 0 AS version, 0 AS attempts,
    NULL::text AS error_class, NULL::text AS group_id, NULL::timestamptz AS failed_at, m.created_at AS changed_at, NULL::timestamptz AS dead_at,
    NULL::timestamptz AS settled_at, NULL::timestamptz AS retry_requested_at, m.deliver_after AS next_attempt_at,
    NULL::timestamptz AS started_at, NULL::integer AS duration_ms, NULL::smallint AS http_status, NULL::integer AS edit,
    NULL::uuid AS operation_id, NULL::timestamptz AS acknowledged_at
FROM redrive.messages m JOIN redrive.integrations i ON i.active AND i.method = 'outbox' AND i.subscribe @> ARRAY[m.type]
LEFT JOIN redrive.positions own ON own.feed = 'outbox/' || i.name
JOIN redrive.positions p ON p.feed = coalesce(own.feed, 'outbox')
WHERE ` + aheadSQL

// aheadSQL says of a message m that the position p of a feed has not come to it. A position never goes back: what it has passed is not
// fanned out any more, whatever is subscribed to later.
const aheadSQL = `m.kind = 'event' AND (p.since IS NULL OR m.created_at >= p.since) AND NOT pg_visible_in_snapshot(m.xid, p.snapshot)
    AND NOT coalesce(m.id <= p.after AND pg_visible_in_snapshot(m.xid, p.target), false)`

// BehindSQL says of a delivery r that the relay has yet to come to its message for integration t: should t subscribe to the message's
// type before that, it gets the message.
const BehindSQL = `(t.method = 'outbox' AND EXISTS (SELECT FROM redrive.messages m LEFT JOIN redrive.positions own ON own.feed = 'outbox/' || t.name
	JOIN redrive.positions p ON p.feed = coalesce(own.feed, 'outbox') WHERE m.id = r.message_id AND ` + aheadSQL + `))`

// ComingDelivery returns a delivery that the relay will make. An id begins with the millisecond of its message's.
func ComingDelivery(tx *gorm.DB, id string) ([]Row, error) {
	const rest = "-0000-0000-000000000000"
	return ScanDeliveries(tx, Columns+" FROM ("+ComingSQL+" AND m.id BETWEEN ?::uuid AND ?::uuid) d"+Joins+" WHERE d.id = ?",
		id[:13]+rest, id[:13]+"-ffff-ffff-ffffffffffff", id)
}
