package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// lagCap is how many events of a feed are counted.
const lagCap = 10_000

// lagSQL counts what no feed's position tells of. A feed that reads in pages has dealt with what is visible in its target up to
// the last page.
const lagSQL = `
WITH feeds AS (
    SELECT feed, since, snapshot, target, coalesce(after, '00000000-0000-0000-0000-000000000000') AS after, coalesce(target, snapshot) AS seen
    FROM redrive.positions
), behind AS MATERIALIZED (
    SELECT f.feed, e.type, e.created_at FROM feeds f CROSS JOIN LATERAL (
        (SELECT m.type, m.created_at FROM redrive.messages m WHERE m.kind = 'event' AND m.xid >= pg_snapshot_xmax(f.seen) ORDER BY m.xid LIMIT @most)
        UNION ALL
        (SELECT m.type, m.created_at FROM redrive.messages m WHERE m.kind = 'event' AND m.xid = ANY (ARRAY(SELECT pg_snapshot_xip(f.seen))) LIMIT @most)
        UNION ALL
        (SELECT m.type, m.created_at FROM redrive.messages m WHERE m.kind = 'event' AND f.target IS NOT NULL AND m.id > f.after
            AND NOT pg_visible_in_snapshot(m.xid, f.snapshot) AND pg_visible_in_snapshot(m.xid, f.target) ORDER BY m.id LIMIT @most)) e
    WHERE f.since IS NULL OR e.created_at >= f.since
), looked AS (
    SELECT feed, count(*) >= @most AS capped FROM behind GROUP BY feed
)
SELECT i.name AS integration, count(b.type) AS rows, coalesce(bool_or(l.capped), false) AS capped, NULL::jsonb AS refused,
    coalesce((SELECT concat_ws(' ', p.snapshot, p.target, p.after)
        FROM redrive.positions p WHERE p.feed = coalesce(max(own.feed), 'outbox')), '') AS position,
    coalesce(greatest(extract(epoch FROM clock_timestamp() - min(b.created_at)) * 1000, 0), 0)::bigint * 1000000 AS age, (SELECT EXISTS (
        SELECT FROM pg_locks k, hashtextextended('redrive outbox', 0) h WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 1
            AND k.classid = ((h >> 32) & 4294967295)::oid AND k.objid = (h & 4294967295)::oid
            AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database()))) AS led
FROM redrive.integrations i LEFT JOIN redrive.positions own ON own.feed = 'outbox/' || i.name
LEFT JOIN looked l ON l.feed = coalesce(own.feed, 'outbox')
LEFT JOIN behind b ON b.feed = coalesce(own.feed, 'outbox') AND i.subscribe @> ARRAY[b.type]
WHERE i.active AND i.method = 'outbox' GROUP BY i.name ORDER BY i.name`

// OutboxLag returns how far each outbox integration is behind the log, by name. On a copy of another database nothing can be
// said but that.
func (s *Queue) OutboxLag(ctx context.Context) (list []delivery.OutboxLag, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		refused, err := refusal(tx)
		if err != nil {
			return err
		}
		if err := tx.Exec("SET LOCAL enable_seqscan = off").Error; err != nil { // whatever the statistics say, see relaySession
			return err
		}
		list, err = pg.Scan[delivery.OutboxLag](tx, lagSQL, map[string]any{"most": lagCap + 1})
		for i := range list {
			list[i].Rows = min(list[i].Rows, lagCap)
			if list[i].Refused = refused; !refused.IsZero() {
				list[i].Rows, list[i].Capped, list[i].Age = 0, false, time.Duration(0)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the outbox's lag: %w", err)
	}
	return list, nil
}

// refusal says why the relay does not work on this database; the zero phrase when it does.
func refusal(tx *gorm.DB) (why delivery.Phrase, err error) {
	var copied *delivery.CopiedError
	if err = pg.CheckDatabase(tx); errors.As(err, &copied) {
		return copied.Phrase(), nil
	}
	return why, err
}
