package queue

import (
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// SubscribersBefore returns which integrations are known, and which of them got events until now. The lock makes programs that
// start at the same time wait for each other: each integration is new to one of them.
func SubscribersBefore(tx *gorm.DB) (known map[string]bool, err error) {
	if err := tx.Exec("LOCK TABLE redrive.integrations IN SHARE ROW EXCLUSIVE MODE").Error; err != nil {
		return nil, fmt.Errorf("locking integrations: %w", err)
	}
	type row struct {
		Name      string
		Listening bool
	}
	rows, err := pg.Scan[row](tx, "SELECT name, active AND method = 'outbox' AS listening FROM redrive.integrations")
	if err != nil {
		return nil, fmt.Errorf("reading integrations: %w", err)
	}
	known = make(map[string]bool, len(rows))
	for _, r := range rows {
		known[r.Name] = r.Listening
	}
	return known, nil
}

// registerSQL gives a new subscriber a feed of its own. One that starts in the past reads all of the log and passes over what is
// older; one that starts in the future begins now and passes over what comes before.
const registerSQL = `
INSERT INTO redrive.positions AS p (feed, database_id, snapshot, since)
SELECT 'outbox/' || @name, @database, CASE WHEN @all OR CAST(@since AS timestamptz) <= statement_timestamp()
    THEN CAST(@nothing AS pg_snapshot) ELSE pg_current_snapshot() END, CAST(@since AS timestamptz)
ON CONFLICT (feed) DO UPDATE SET snapshot = excluded.snapshot, target = NULL, after = NULL, since = excluded.since,
    database_id = excluded.database_id, updated_at = clock_timestamp()`

// RegisterFeeds notes from where on new subscribers get events, and forgets feeds of those that are none any more. Who returns
// starts now, whatever the file says: what it got when it was here nobody knows.
func RegisterFeeds(tx *gorm.DB, list []delivery.Integration, known map[string]bool) error {
	database, err := pg.DatabaseID(tx)
	if err != nil {
		return err
	}
	for _, in := range list {
		listened, seen := known[in.Name]
		if in.Method != delivery.MethodOutbox || listened {
			continue
		}
		var since *time.Time
		all := false
		if in.Outbox != nil && !seen {
			all = in.Outbox.Start == delivery.StartBeginning
			if in.Outbox.Start == delivery.StartAt {
				since = &in.Outbox.StartTime
			}
		}
		err := tx.Exec(registerSQL, map[string]any{"name": in.Name, "all": all, "since": since, "nothing": noSnapshot,
			"database": database}).Error
		if err != nil {
			return fmt.Errorf("registering subscriber %s: %w", in.Name, err)
		}
	}
	err = tx.Exec(`DELETE FROM redrive.positions p WHERE p.feed <> 'outbox' AND NOT EXISTS (SELECT FROM redrive.integrations i
		WHERE i.active AND i.method = 'outbox' AND p.feed = 'outbox/' || i.name)`).Error
	if err != nil {
		return fmt.Errorf("forgetting former subscribers: %w", err)
	}
	return nil
}
