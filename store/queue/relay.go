package queue

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// The relay reads the log between two snapshots. Ids are given, and transactions numbered, before they commit: after an id or
// behind the oldest transaction rows turn up later. What one snapshot shows and an earlier one did not is a closed set: it can be
// read at any time afterwards, in any order, and is the same.
//
// A row is between the snapshots a and b exactly when its transaction is one that a had not begun (xid >= xmax(a)) or saw at work
// (xip(a)), and b shows it. The index messages_log serves both.

// relaySession suits statements that must never read a whole table whatever the statistics say, and whose parameters are too
// many kinds of snapshots for one plan each: planning costs more than running them, there is a partition for each day.
const relaySession = "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan"

// OpenOutbox prepares the leader's session for the relay. It returns *delivery.CopiedError when the positions are another
// database's.
func (l *RelayTerm) OpenOutbox(ctx context.Context) error {
	db := l.Gorm.WithContext(ctx)
	if err := db.Exec(relaySession).Error; err != nil {
		return fmt.Errorf("preparing the relay's session: %w", err)
	}
	if err := pg.CheckDatabase(db); err != nil {
		return err
	}
	current, err := pg.DatabaseID(db)
	if err != nil {
		return err
	}
	if err := db.Exec("UPDATE redrive.positions SET database_id = ? WHERE database_id IS NULL", current).Error; err != nil {
		return fmt.Errorf("noting which database the outbox's position is of: %w", err)
	}
	return nil
}

// feedsSQL looks from each feed's snapshot to now. What the statement sees is what its own snapshot shows: no need to ask.
const feedsSQL = `
SELECT p.feed, p.snapshot::text, p.start::text, s.now::text, p.target IS NOT NULL, coalesce(p.since > statement_timestamp(), false), w.rows
FROM (SELECT pg_current_snapshot() AS now) s
CROSS JOIN (SELECT f.*, coalesce(g.ahead::pg_snapshot, f.snapshot) AS start FROM redrive.positions f
    LEFT JOIN unnest(?::text[], ?::text[], ?::text[]) g(feed, saved, ahead) ON g.feed = f.feed AND g.saved = f.snapshot::text) p
CROSS JOIN LATERAL (SELECT count(*) AS rows FROM (
    (SELECT 1 FROM redrive.messages m WHERE m.kind = 'event' AND m.xid >= pg_snapshot_xmax(p.start) AND p.target IS NULL
        ORDER BY m.xid LIMIT ?)
    UNION ALL
    (SELECT 1 FROM redrive.messages m WHERE m.kind = 'event' AND m.xid = ANY (ARRAY(SELECT pg_snapshot_xip(p.start))) AND p.target IS NULL
        LIMIT ?)) r) w
ORDER BY p.feed`

// OutboxFeeds returns every feed. ahead are feeds as they were answered earlier, which had nothing between From and To: they
// start at To, as long as nobody changed their position. Rows counts up to limit and one, or twice of it.
func (l *RelayTerm) OutboxFeeds(ctx context.Context, ahead []delivery.OutboxFeed, limit int) ([]delivery.OutboxFeed, error) {
	names, saved, to := feedArrays(ahead)
	list, err := pg.Read(l.Gorm.WithContext(ctx), func(f *delivery.OutboxFeed) []any {
		return []any{&f.Name, &f.Saved, &f.From, &f.To, &f.Paging, &f.Early, &f.Rows}
	}, feedsSQL, &names, &saved, &to, limit+1, limit+1)
	if err != nil {
		return nil, fmt.Errorf("looking at the log: %w", err)
	}
	return list, nil
}

func feedArrays(list []delivery.OutboxFeed) (names, saved, to []string) {
	names, saved, to = make([]string, len(list)), make([]string, len(list)), make([]string, len(list))
	for i, f := range list {
		names[i], saved[i], to[i] = f.Name, f.Saved, f.To
	}
	return names, saved, to
}

// windowSQL are the events between the snapshots @from and @to.
const windowSQL = `
    SELECT m.id, m.type, m.key, m.deliver_after, m.created_at FROM redrive.messages m
    WHERE m.kind = 'event' AND m.xid >= pg_snapshot_xmax(CAST(@from AS pg_snapshot)) AND m.xid < pg_snapshot_xmax(CAST(@to AS pg_snapshot))
        AND pg_visible_in_snapshot(m.xid, CAST(@to AS pg_snapshot))
    UNION ALL
    SELECT m.id, m.type, m.key, m.deliver_after, m.created_at FROM redrive.messages m
    WHERE m.kind = 'event' AND m.xid = ANY (ARRAY(SELECT pg_snapshot_xip(CAST(@from AS pg_snapshot))))
        AND pg_visible_in_snapshot(m.xid, CAST(@to AS pg_snapshot))`

// pageSQL is the next page of a window by id: the set is closed, so that nothing can turn up before it. The primary key is
// walked once for all pages together; the window's own index would be read from its start for each.
const pageSQL = `
    SELECT m.id, m.type, m.key, m.deliver_after, m.created_at FROM redrive.messages m
    WHERE m.kind = 'event' AND m.id > CAST(@after AS uuid) AND NOT pg_visible_in_snapshot(m.xid, CAST(@from AS pg_snapshot))
        AND pg_visible_in_snapshot(m.xid, CAST(@to AS pg_snapshot))
    ORDER BY m.id LIMIT CAST(@limit AS bigint)`

// subscribersSQL are the integrations of feed @feed, one row for each type; those with a feed of their own are in no other.
const subscribersSQL = `
    SELECT DISTINCT i.name, i.ordered, f.since, t.type FROM redrive.positions f
    JOIN redrive.integrations i ON i.active AND i.method = 'outbox'
    CROSS JOIN LATERAL unnest(i.subscribe) t(type)
    LEFT JOIN redrive.positions own ON own.feed = 'outbox/' || i.name
    WHERE f.feed = @feed AND coalesce(own.feed, 'outbox') = f.feed`

// fanOutSQL makes the deliveries of the events that its query answers, put in for the first %s; the second may restrict them. What
// has an order gets its place from Place, as commands do. The identity of a delivery follows from its message: a conflict is a second net.
const fanOutSQL = `
WITH m AS MATERIALIZED (%s), subscribers AS MATERIALIZED (` + subscribersSQL + `), made AS (
    INSERT INTO redrive.queue (id, message_id, integration, due_at, lane)
    SELECT redrive.delivery_id(m.id, s.name), m.id, s.name,
        CASE WHEN s.ordered AND m.key <> '' THEN ` + WaitsForTurn + ` ELSE greatest(clock_timestamp(), m.deliver_after) END,
        CASE WHEN s.ordered THEN nullif(m.key, '') END
    FROM m JOIN subscribers s ON s.type = m.type AND (s.since IS NULL OR m.created_at >= s.since)%s
    ORDER BY m.id
    ON CONFLICT DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM made), (SELECT count(*) FROM m), (SELECT coalesce(max(id::text COLLATE "C"), '') FROM m)`

// fanned is what a fan-out did.
type fanned struct {
	deliveries, events int
	last               string // the largest message id
}

func fanOut(tx *gorm.DB, events, unless string, args map[string]any) (fanned, error) {
	done, err := pg.ReadOne(tx, func(f *fanned) []any { return []any{&f.deliveries, &f.events, &f.last} },
		fmt.Sprintf(fanOutSQL, events, unless), args)
	if err != nil {
		return done, fmt.Errorf("fanning out: %w", err)
	}
	return done, nil
}

// moveSQL changes a position, unless somebody else did: a program that adopts a copy, or takes an integration out.
const moveSQL = "UPDATE redrive.positions SET %s, updated_at = clock_timestamp() WHERE feed = @feed AND snapshot::text = @saved AND target IS NULL"

// FanOut makes the deliveries of everything between From and To, moves the position there in the same transaction, and answers
// how many deliveries it made.
func (l *RelayTerm) FanOut(ctx context.Context, f delivery.OutboxFeed) (made int, err error) {
	args := map[string]any{"feed": f.Name, "saved": f.Saved, "from": f.From, "to": f.To}
	err = l.Gorm.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		moved := tx.Exec(fmt.Sprintf(moveSQL, "snapshot = CAST(@to AS pg_snapshot)"), args)
		if moved.Error != nil || moved.RowsAffected == 0 {
			return moved.Error
		}
		done, err := fanOut(tx, windowSQL, "", args)
		made = done.deliveries
		return err
	})
	return made, err
}

// firstSQL is the id before the first of a window: the start of its millisecond.
const firstSQL = "SELECT (substr(min(m.id::text COLLATE \"C\"), 1, 13) || '-0000-0000-000000000000')::uuid FROM (" + windowSQL + ") m"

// BeginPages notes that everything between From and To is to be fanned out page by page.
func (l *RelayTerm) BeginPages(ctx context.Context, f delivery.OutboxFeed) error {
	args := map[string]any{"feed": f.Name, "saved": f.Saved, "from": f.From, "to": f.To}
	after := "(" + firstSQL + ")"
	if f.From == noSnapshot {
		after = "NULL" // all that there is: do not look for its first
	}
	change := "snapshot = CAST(@from AS pg_snapshot), target = CAST(@to AS pg_snapshot), after = " + after
	if err := l.Gorm.WithContext(ctx).Exec(fmt.Sprintf(moveSQL, change), args).Error; err != nil {
		return fmt.Errorf("beginning to read in pages: %w", err)
	}
	return nil
}

const noSnapshot = "1:1:" // shows nothing

type pages struct{ from, to, after string }

// FanOutPage fans out the next page of a feed that is Paging, at most limit events, and returns how many deliveries it made.
func (l *RelayTerm) FanOutPage(ctx context.Context, feed string, limit int) (made int, err error) {
	err = l.Gorm.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		p, err := pg.ReadOne(tx, func(p *pages) []any { return []any{&p.from, &p.to, &p.after} },
			`SELECT snapshot::text, target::text, coalesce(after::text, '00000000-0000-0000-0000-000000000000')
			FROM redrive.positions WHERE feed = ? AND target IS NOT NULL FOR UPDATE`, feed)
		if errors.Is(err, delivery.ErrNotFound) {
			return nil // taken away meanwhile
		}
		if err != nil {
			return err
		}
		args := map[string]any{"feed": feed, "from": p.from, "to": p.to, "after": p.after, "limit": limit}
		done, err := fanOut(tx, pageSQL, "", args)
		if err != nil {
			return err
		}
		made = done.deliveries
		if done.events < limit {
			return tx.Exec("UPDATE redrive.positions SET snapshot = target, target = NULL, after = NULL, updated_at "+
				"= clock_timestamp() WHERE feed = ?", feed).Error
		}
		return tx.Exec("UPDATE redrive.positions SET after = ?::uuid, updated_at = clock_timestamp() WHERE feed = ?",
			done.last, feed).Error
	})
	return made, err
}

const (
	// saving takes a transaction number itself: alone it is no news
	saveFeedsSQL = `UPDATE redrive.positions p SET snapshot = g.ahead::pg_snapshot, updated_at = clock_timestamp()
		FROM unnest(?::text[], ?::text[], ?::text[]) g(feed, saved, ahead)
		WHERE p.feed = g.feed AND p.snapshot::text = g.saved AND p.target IS NULL AND g.saved <> g.ahead
			AND (?::bool OR pg_snapshot_xmax(g.ahead::pg_snapshot)::text::numeric - pg_snapshot_xmax(p.snapshot)::text::numeric > 1)`
	joinFeedsSQL = `DELETE FROM redrive.positions o USING redrive.positions m WHERE m.feed = 'outbox' AND o.feed <> m.feed
		AND m.target IS NULL AND o.target IS NULL AND o.snapshot::text = m.snapshot::text AND (o.since IS NULL OR o.since <= statement_timestamp())`
)

// SaveFeeds moves the positions of feeds that had nothing between From and To. With join it also takes away the feeds of
// subscribers that caught up: from then on OutboxMain is theirs.
func (l *RelayTerm) SaveFeeds(ctx context.Context, list []delivery.OutboxFeed, join bool) error {
	names, saved, to := feedArrays(list)
	return l.Gorm.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Exec(saveFeedsSQL, &names, &saved, &to, join).Error; err != nil {
			return fmt.Errorf("saving positions: %w", err)
		}
		if !join {
			return nil
		}
		if err := tx.Exec(joinFeedsSQL).Error; err != nil {
			return fmt.Errorf("joining feeds: %w", err)
		}
		return nil
	})
}
