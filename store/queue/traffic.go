package queue

import (
	"context"
	"fmt"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/record"
)

// trafficSQL reads what an inner query chose of the queue or of the records.
var trafficSQL = record.Columns + " FROM (%s) d" + record.Joins

// queueSQL shows what an inner query chose of the queue; its column sorted takes the place that changed_at has in other lists.
const queueSQL = `SELECT q.id, q.message_id, q.integration, CASE WHEN q.token IS NULL THEN 'pending' ELSE 'sending' END AS state,
        coalesce(r.version, 0) AS version, q.attempts, r.error_class, r.group_id, r.failed_at, q.sorted AS changed_at, r.dead_at,
        r.settled_at, r.retry_requested_at, CASE WHEN q.token IS NULL AND isfinite(q.due_at) THEN q.due_at END AS next_attempt_at, r.started_at,
        r.edit, r.operation_id, r.acknowledged_at
    FROM (%s) q LEFT JOIN redrive.deliveries r ON r.id = q.id`

// underwaySQL is the queue of one integration in the order of its turn. What waits in a lane is due never: it comes last.
const underwaySQL = `SELECT w.*, least(w.due_at, ` + readableNever + `) AS sorted FROM redrive.queue w%s ORDER BY w.due_at, w.id LIMIT %d`

// blockedSQL is what waits behind the head of a lane in the order of its turn, sorted by places as microseconds.
const blockedSQL = `SELECT w.*, 'epoch'::timestamptz + w.position * interval '1 microsecond' AS sorted FROM redrive.lanes l
    JOIN redrive.queue w ON w.integration = l.integration AND w.lane = l.key AND w.id <> l.head%s ORDER BY w.position LIMIT %d`

// Underway returns one page of what an integration still has to send, the next one first: all of it, or what is pending or sending.
func (s *Queue) Underway(ctx context.Context, integration string, state delivery.State, after string) (delivery.Page[delivery.Delivery], error) {
	w := pg.NewWhere()
	w.Add("w.integration = ?", integration)
	switch state {
	case delivery.StatePending:
		w.Add("w.token IS NULL")
	case delivery.StateSending:
		w.Add("w.token IS NOT NULL")
	}
	w.In("w.integration", pg.Seen(s.Gorm.WithContext(ctx)))
	if after != "" {
		c, err := pg.ParseCursor(after)
		if err != nil {
			return delivery.Page[delivery.Delivery]{}, err
		}
		w.Add("(w.due_at, w.id) > (coalesce(nullif(?::timestamptz, "+readableNever+"), "+dueNever+"), ?::uuid)", c.At, c.Id)
	}
	return s.traffic(ctx, fmt.Sprintf(queueSQL, fmt.Sprintf(underwaySQL, w.Sql(), delivery.DefaultPage+1)),
		"d.changed_at, d.id", w.Args)
}

// Blocked returns one page of what waits until a delivery is settled, because it is of the same key: the next one first.
func (s *Queue) Blocked(ctx context.Context, id, after string) (delivery.Page[delivery.Delivery], error) {
	if !delivery.IsUUID(id) {
		return delivery.Page[delivery.Delivery]{}, delivery.ErrNotFound
	}
	place := int64(-1)
	if after != "" {
		c, err := pg.ParseCursor(after)
		if err != nil {
			return delivery.Page[delivery.Delivery]{}, err
		}
		place = c.At.UnixMicro()
	}
	return s.traffic(ctx, blockedBy(delivery.DefaultPage+1), "d.changed_at", []any{id, place})
}

// blockedBy is a query of the first n that wait behind a head, after a place.
func blockedBy(n int) string {
	return fmt.Sprintf(queueSQL, fmt.Sprintf(blockedSQL, " WHERE l.head = ? AND w.position > ?", n))
}

// confirmedSQL walks the primary key backwards: ids are ordered by the time of acceptance, so that the walk ends two days ago.
const confirmedSQL = `SELECT r.*, NULL::timestamptz AS next_attempt_at FROM redrive.deliveries r%s ORDER BY r.id DESC LIMIT %d`

// Delivered returns one page of what an integration delivered in the hours that Health counts, the last accepted first. What
// was accepted more than a day before these hours is left out.
func (s *Queue) Delivered(ctx context.Context, integration, after string) (delivery.Page[delivery.Delivery], error) {
	w := pg.NewWhere()
	w.Add("r.integration = ?", integration)
	w.In("r.integration", pg.Seen(s.Gorm.WithContext(ctx)))
	w.Add("r.state = 'delivered'")
	w.Add("r.settled_at >= date_trunc('hour', statement_timestamp(), 'UTC') - interval '23 hours'")
	w.Add(`r.id >= (lpad(to_hex((extract(epoch FROM statement_timestamp() - interval '48 hours') * 1000)::bigint), 12, '0')
		|| repeat('0', 20))::uuid`)
	if after != "" {
		c, err := pg.ParseCursor(after)
		if err != nil {
			return delivery.Page[delivery.Delivery]{}, err
		}
		w.Add("r.id < ?::uuid", c.Id)
	}
	return s.traffic(ctx, fmt.Sprintf(confirmedSQL, w.Sql(), delivery.DefaultPage+1), "d.id DESC", w.Args)
}

func (s *Queue) traffic(
	ctx context.Context,
	chosen, order string,
	args []any,
) (page delivery.Page[delivery.Delivery], err error) {
	rows, err := record.ScanDeliveries(s.Gorm.WithContext(ctx), fmt.Sprintf(trafficSQL, chosen)+" ORDER BY "+order, args...)
	if err != nil {
		return page, err
	}
	if len(rows) > delivery.DefaultPage {
		rows = rows[:delivery.DefaultPage]
		page.Next = pg.Cursor{At: *rows[delivery.DefaultPage-1].ChangedAt, Id: rows[delivery.DefaultPage-1].ID}.String()
	}
	for _, r := range rows {
		if err := pg.See(s.Gorm.WithContext(ctx), r.Integration); err != nil {
			return delivery.Page[delivery.Delivery]{}, err
		}
		page.Items = append(page.Items, r.Shown())
	}
	return page, nil
}
