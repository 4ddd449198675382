package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

// ErrOwnOutbox says that there is nothing to adopt.
var ErrOwnOutbox = errors.New("the outbox's position is this database's own: there is nothing to adopt")

// A copy's transaction numbers are those of another cluster: some lie in the future here, and would come true one by one. So what
// was copied is fanned out as asked, in the transaction that then gives all of it a number that is long past.
const (
	adoptedSQL = `SELECT m.id, m.type, m.key, m.deliver_after, m.created_at FROM redrive.messages m WHERE m.kind = 'event' AND `
	// unreadSQL are the events that a feed's position does not tell of. A number of this cluster can look old to the other's
	// snapshot: what is done was accepted before the position was saved.
	unreadSQL = `NOT (m.created_at <= (SELECT updated_at FROM redrive.positions WHERE feed = @feed) AND (SELECT
		pg_visible_in_snapshot(m.xid, p.snapshot) OR coalesce(m.id <= p.after AND pg_visible_in_snapshot(m.xid, p.target), false)
		FROM redrive.positions p WHERE p.feed = @feed))`
	// unknownSQL keeps away from deliveries that were settled or failed before the copy was made; one that was redirected is known where
	// it went and where it came from
	unknownSQL = ` AND NOT EXISTS (SELECT FROM redrive.deliveries r WHERE r.message_id = m.id
		AND (r.integration = s.name OR r.id = redrive.delivery_id(m.id, s.name)))`

	pastSQL  = `UPDATE redrive.messages SET xid = '3' WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())`
	ownedSQL = `UPDATE redrive.positions SET database_id = ?, snapshot = pg_current_snapshot(), target = NULL, after = NULL, updated_at = clock_timestamp()`
)

// AdoptOutbox makes the log of a copied database one of its own: what is published from now on is fanned out, and of what was in
// the copy what start says. Deliveries that are known are never made again. It returns ErrOwnOutbox when the database is no copy.
func (s *Queue) AdoptOutbox(ctx context.Context, start delivery.OutboxSettings, actor string) (done delivery.Adopted, err error) {
	err = pg.Again(func() error { // an engine may be at work on the same lanes
		return s.Gorm.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			done, err = adopt(tx, start, actor)
			return err
		}, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	})
	return done, pg.DomainError(err)
}

func adopt(tx *gorm.DB, start delivery.OutboxSettings, actor string) (done delivery.Adopted, err error) {
	feeds, err := pg.Scan[copiedFeed](tx, `SELECT feed AS name, coalesce(database_id, '') AS database,
		snapshot::text = ? AS "all" FROM redrive.positions ORDER BY feed FOR UPDATE`, noSnapshot)
	if err != nil {
		return done, fmt.Errorf("reading positions: %w", err)
	}
	var copied *delivery.CopiedError
	if err := pg.CheckDatabase(tx); err == nil {
		return done, ErrOwnOutbox
	} else if !errors.As(err, &copied) {
		return done, err
	}
	done.Saved, done.Current = copied.Saved, copied.Current
	if start.Start != delivery.StartContinue {
		// subscribers that had not caught up follow the others; those of a time to come keep it
		err := tx.Exec(`DELETE FROM redrive.positions
			WHERE feed <> 'outbox' AND coalesce(since <= statement_timestamp(), true)`).Error
		if err != nil {
			return done, fmt.Errorf("joining feeds: %w", err)
		}
		feeds = []copiedFeed{{Name: delivery.OutboxMain}}
	}
	for _, feed := range feeds {
		here := pg.SameDatabase(feed.Database, done.Current) && !feed.All
		made, err := adoptFeed(tx, feed.Name, here, start)
		if err != nil {
			return done, err
		}
		done.Deliveries += made
	}
	for _, change := range []struct {
		sql  string
		args []any
	}{{pastSQL, nil}, {ownedSQL, []any{done.Current}}} {
		if err := tx.Exec(change.sql, change.args...).Error; err != nil {
			return done, fmt.Errorf("giving the log numbers of its own: %w", err)
		}
	}
	return done, audit.Record(tx, delivery.AuditEntry{
		Actor:       actor,
		Action:      "outbox.adopt",
		SubjectType: "outbox",
		Subject:     delivery.OutboxMain,
		Details: audit.Details(map[string]any{
			"start":       startText(start),
			"position_of": done.Saved,
			"database":    done.Current,
			"deliveries":  done.Deliveries,
		}),
	})
}

type copiedFeed struct {
	Name, Database string
	All            bool // it has read nothing
}

// adoptFeed fans out what start says; here: the feed was begun in the copy.
func adoptFeed(tx *gorm.DB, feed string, here bool, start delivery.OutboxSettings) (made int, err error) {
	which := "true"
	switch start.Start {
	case delivery.StartNow:
		return 0, nil
	case delivery.StartContinue:
		if which = unreadSQL; here {
			which = "m.created_at > (SELECT updated_at FROM redrive.positions WHERE feed = @feed)"
		}
	case delivery.StartAt:
		which = "m.created_at >= @since"
	case delivery.StartBeginning:
	}
	done, err := fanOut(tx, adoptedSQL+which, unknownSQL, map[string]any{"feed": feed, "since": start.StartTime})
	return done.deliveries, err
}

func startText(s delivery.OutboxSettings) string {
	if s.Start == delivery.StartAt {
		return s.StartTime.UTC().Format(time.RFC3339)
	}
	return string(s.Start)
}
