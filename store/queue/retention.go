package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

const (
	// daysAhead are the partitions that are there before their day, for clocks that go wrong and programs that stand still.
	daysAhead = 7
	// keptAtMost is how many rows of a day may outlive it; with more the day stays, because moving them takes a lock.
	keptAtMost = 10_000
	// pruneAtMost is how many rows that outlived their day are forgotten at once.
	pruneAtMost = 1000
	// politely: whoever waits for a lock on the log has every producer wait behind it
	politely = "SET LOCAL lock_timeout = '200ms'"
)

// MaintainLog makes the partitions of the days to come and drops those whose days ended longer than keep ago; with 0 none. What
// others are in the way of is left for the next time. What is shown of reused keys is forgotten after a day.
func (l *RelayTerm) MaintainLog(ctx context.Context, keep time.Duration) (done delivery.LogMaintenance, err error) {
	db := l.Gorm.WithContext(ctx)
	done.Kept = map[string]string{}
	if err := makeDays(db, keep, &done); err != nil {
		return done, err
	}
	if err := db.Exec("DELETE FROM redrive.reused_keys WHERE at < statement_timestamp() - interval '24 hours'").Error; err != nil || keep <= 0 {
		return done, err
	}
	days, err := pg.Read(db, pg.Single[string], `SELECT c.relname FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
		WHERE h.inhparent = 'redrive.messages'::regclass AND c.relname ~ '^messages_[0-9]{8}$'
			AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= `+keepSQL+" ORDER BY 1", keep.Milliseconds())
	if err != nil {
		return done, fmt.Errorf("looking for days to drop: %w", err)
	}
	for _, day := range days {
		if err := attempt(db, day, &done, dropDay(day, &done)); err != nil {
			return done, fmt.Errorf("dropping %s: %w", day, err)
		}
	}
	return done, attempt(db, "messages_default", &done, func(tx *gorm.DB) error {
		if err := tx.Exec(pruneSQL, map[string]any{"keep": keep.Milliseconds(), "most": pruneAtMost}).Error; err != nil {
			return err
		}
		return tx.Exec(pruneEditsSQL, keep.Milliseconds(), pruneAtMost).Error
	})
}

// keepSQL is the first day that must be kept.
const keepSQL = "((clock_timestamp() - ?::bigint * interval '1 millisecond') AT TIME ZONE 'UTC')::date"

// makeDays also makes days that are past and have rows: those rows came while nobody made partitions.
func makeDays(db *gorm.DB, keep time.Duration, done *delivery.LogMaintenance) error {
	days, err := pg.Read(db, pg.Single[string], `SELECT day::text FROM (
			SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date + n AS day FROM generate_series(0, ?::int) n
			UNION
			SELECT (to_timestamp(('x' || replace(left(id::text, 13), '-', ''))::bit(48)::bigint / 1000.0) AT TIME ZONE 'UTC')::date
			FROM redrive.messages_default) d
		WHERE (?::bigint <= 0 OR day >= `+keepSQL+`) AND to_regclass('redrive.messages_' || to_char(day, 'YYYYMMDD')) IS NULL
			AND day <= (clock_timestamp() AT TIME ZONE 'UTC')::date + ?::int
		ORDER BY day`, daysAhead, keep.Milliseconds(), keep.Milliseconds(), daysAhead)
	if err != nil {
		return fmt.Errorf("looking for days to make: %w", err)
	}
	for _, day := range days {
		err := attempt(db, day, done, func(tx *gorm.DB) error {
			if err := tx.Exec("SELECT redrive.add_message_partition(?::date)", day).Error; err != nil {
				return err
			}
			done.Made = append(done.Made, day)
			return nil
		})
		if err != nil {
			return fmt.Errorf("making the partition of %s: %w", day, err)
		}
	}
	return nil
}

const lockNotAvailable = "55P03" // SQLSTATE

// attempt does work in a transaction that waits for nobody, and notes when somebody was in the way.
func attempt(db *gorm.DB, what string, done *delivery.LogMaintenance, work func(tx *gorm.DB) error) error {
	err := db.Transaction(func(tx *gorm.DB) error {
		if err := tx.Exec(politely).Error; err != nil {
			return err
		}
		return work(tx)
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) && (refused.Code == lockNotAvailable || refused.Code == pg.Deadlock) {
		done.Busy = append(done.Busy, what)
		return nil
	}
	return err
}

// lateFeedsSQL names a feed that has not read all of a day.
const lateFeedsSQL = `SELECT p.feed FROM redrive.positions p WHERE
	EXISTS (SELECT FROM redrive.%[1]s m WHERE m.kind = 'event' AND m.xid >= pg_snapshot_xmax(p.snapshot))
	OR EXISTS (SELECT FROM redrive.%[1]s m WHERE m.kind = 'event' AND m.xid = ANY (ARRAY(SELECT pg_snapshot_xip(p.snapshot)))) ORDER BY 1 LIMIT 1`

// neededSQL are the messages of a day that something still refers to: only what is delivered can do without.
const neededSQL = `SELECT DISTINCT m.id::text FROM redrive.%s m JOIN (
		SELECT message_id FROM redrive.queue WHERE message_id >= @first AND message_id < @following
		UNION ALL
		SELECT message_id FROM redrive.deliveries WHERE message_id >= @first AND message_id < @following AND state <> 'delivered') n
	ON n.message_id = m.id LIMIT @most`

// pruneSQL forgets what outlived its day and is not needed any more.
const pruneSQL = `DELETE FROM redrive.messages_default WHERE id IN (
	SELECT m.id FROM redrive.messages_default m
	WHERE m.id < redrive.first_id(clock_timestamp() - CAST(@keep AS bigint) * interval '1 millisecond' - interval '1 day')
		AND NOT EXISTS (SELECT FROM redrive.queue q WHERE q.message_id = m.id)
		AND NOT EXISTS (SELECT FROM redrive.deliveries r WHERE r.message_id = m.id AND r.state <> 'delivered')
		AND (m.kind = 'command' OR NOT EXISTS (SELECT FROM redrive.positions p WHERE NOT pg_visible_in_snapshot(m.xid, p.snapshot)))
	LIMIT @most)`

// pruneEditsSQL takes the content of edits whose message is gone: nothing of it is sent any more.
const pruneEditsSQL = `UPDATE redrive.edits SET payload = NULL, headers = '{}', dropped = true WHERE (delivery_id, number) IN (
	SELECT e.delivery_id, e.number FROM redrive.edits e JOIN redrive.deliveries r ON r.id = e.delivery_id AND r.state = 'delivered'
	WHERE NOT e.dropped AND e.created_at < clock_timestamp() - ?::bigint * interval '1 millisecond'
		AND NOT EXISTS (SELECT FROM redrive.messages m WHERE m.id = r.message_id) LIMIT ?)`

// dropDay drops the partition of a day. The slow part, looking for what is needed, happens while only writers into that old day
// and new subscribers wait; the log as a whole is locked for what remains.
func dropDay(day string, done *delivery.LogMaintenance) func(tx *gorm.DB) error {
	return func(tx *gorm.DB) error {
		if err := tx.Exec("LOCK TABLE redrive.positions, redrive." + day + " IN SHARE ROW EXCLUSIVE MODE").Error; err != nil {
			return err
		}
		late, err := pg.Read(tx, pg.Single[string], fmt.Sprintf(lateFeedsSQL, day))
		if err != nil {
			return err
		}
		if len(late) > 0 {
			done.Kept[day] = "unread by " + late[0]
			return nil
		}
		needed, err := neededOf(tx, day)
		if err != nil {
			return err
		}
		if len(needed) > keptAtMost {
			done.Kept[day] = fmt.Sprintf("over %d undelivered", keptAtMost)
			return nil
		}
		if err := detach(tx, day, needed); err != nil {
			return err
		}
		done.Dropped, done.Moved = append(done.Dropped, day), done.Moved+len(needed)
		return nil
	}
}

func neededOf(tx *gorm.DB, day string) ([]string, error) {
	type bounds struct{ First, Following string }
	b, err := pg.ScanOne[bounds](tx, `SELECT redrive.first_id(d::timestamp AT TIME ZONE 'UTC')::text AS first,
		redrive.first_id((d + 1)::timestamp AT TIME ZONE 'UTC')::text AS following FROM to_date(right(?::text, 8), 'YYYYMMDD') d`, day)
	if err != nil {
		return nil, err
	}
	return pg.Read(tx, pg.Single[string], fmt.Sprintf(neededSQL, day),
		map[string]any{"first": b.First, "following": b.Following, "most": keptAtMost + 1})
}

// detach drops a partition and leaves what is needed of it in the default one.
func detach(tx *gorm.DB, day string, needed []string) error {
	return tx.Exec("SELECT redrive.drop_message_partition(to_date(right(?::text, 8), 'YYYYMMDD'), ?::uuid[])", day, &needed).Error
}
