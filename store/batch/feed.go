package batch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/queue"
)

// Feed is what the leader of a batch integration does. Everything but the progress goes through the leader's session.
type Feed struct {
	leader      *pg.Leader
	store       *Batches
	integration string
}

// Batch is the feed of an integration, for the leader of its room.
func (s *Batches) Batch(l *pg.Leader, integration string) *Feed {
	return &Feed{leader: l, store: s, integration: integration}
}

// Resume brings the feed in place. Runs that a former leader did not finish are queued again: they left nothing behind.
// Corrections begin again with the rows that wait.
func (f *Feed) Resume(ctx context.Context) error {
	db := f.leader.Gorm.WithContext(ctx)
	err := db.Exec("INSERT INTO redrive.batch_feeds (integration) VALUES (?) ON CONFLICT DO NOTHING", f.integration).Error
	if err != nil {
		return fmt.Errorf("preparing the feed: %w", err)
	}
	err = db.Exec(`DELETE FROM redrive.batch_runs
		WHERE integration = ? AND state = 'running' AND trigger = 'correction'`, f.integration).Error
	if err != nil {
		return fmt.Errorf("forgetting interrupted corrections: %w", err)
	}
	err = db.Exec(`UPDATE redrive.batch_runs SET state = 'queued', started_at = NULL, rows = 0
		WHERE integration = ? AND state = 'running'`, f.integration).Error
	if err != nil {
		return fmt.Errorf("queueing interrupted runs again: %w", err)
	}
	return nil
}

const feedSQL = `SELECT integration, sequence, coalesce(snapshot::text, '') AS snapshot, coalesce(database_id, '') AS database_id,
	next_scheduled_at AS next_run_at, last_scheduled_at AS scheduled_at
	FROM redrive.batch_feeds`

// Look returns where the feed stands, and the database's time.
func (f *Feed) Look(ctx context.Context) (feed delivery.BatchFeed, now time.Time, err error) {
	db := f.leader.Gorm.WithContext(ctx)
	if now, err = pg.ReadOne(db, pg.Single[time.Time], "SELECT clock_timestamp()"); err == nil {
		feed, err = pg.ScanOne[delivery.BatchFeed](db, feedSQL+" WHERE integration = ?", f.integration)
	}
	if err != nil {
		return feed, now, fmt.Errorf("reading the feed: %w", err)
	}
	return feed, now, nil
}

// Register notes where the first window begins: before, the feed has no position.
func (f *Feed) Register(ctx context.Context, snapshot, database string) error {
	err := f.leader.Gorm.WithContext(ctx).Exec(`UPDATE redrive.batch_feeds SET snapshot = ?::pg_snapshot, database_id = ?
		WHERE integration = ? AND snapshot IS NULL`, snapshot, database, f.integration).Error
	if err != nil {
		return fmt.Errorf("registering the feed's position: %w", err)
	}
	return nil
}

// Schedule makes the runs of scheduled times, each once however many processes do so, and notes until when that was done.
func (f *Feed) Schedule(ctx context.Context, times []delivery.ScheduledRun, until time.Time, next *time.Time) error {
	return f.transact(ctx, func(tx *gorm.DB) error {
		for _, t := range times {
			err := tx.Exec(`INSERT INTO redrive.batch_runs (integration, scheduled_at, trigger, state, error, finished_at)
				SELECT ?, ?, 'schedule', CASE WHEN r.why IS NULL THEN 'queued' ELSE 'skipped' END, r.why, CASE WHEN r.why IS NOT NULL THEN clock_timestamp() END
				FROM (SELECT ?::jsonb AS why) r ON CONFLICT (integration, scheduled_at) WHERE trigger = 'schedule' DO NOTHING`,
				f.integration, t.At, t.Skip.Storable()).Error
			if err != nil {
				return fmt.Errorf("scheduling: %w", err)
			}
		}
		return tx.Exec("UPDATE redrive.batch_feeds SET last_scheduled_at = ?, next_scheduled_at = ? WHERE integration = ?",
			until, next, f.integration).Error
	})
}

// pruneFilesSQL lets go of bytes with the messages that told of them. A file whose rows are still to be corrected gives its shape to
// the correction, and stays.
const pruneFilesSQL = `
DELETE FROM redrive.batch_parts p USING redrive.batch_files f WHERE p.file_id = f.id AND f.integration = ?
    AND f.created_at < clock_timestamp() - ?::bigint * interval '1 millisecond'
    AND NOT EXISTS (SELECT FROM redrive.messages m WHERE m.id = f.id)
    AND NOT EXISTS (SELECT FROM redrive.batch_rows b JOIN redrive.deliveries d ON d.id = b.delivery_id
        WHERE b.file_id = f.id AND d.state IN ('pending', 'dead'))`

// Prune lets go of the bytes of files that are older than keep, once their messages are gone, and returns how many parts these were.
func (f *Feed) Prune(ctx context.Context, keep time.Duration) (int, error) {
	result := f.leader.Gorm.WithContext(ctx).Exec(pruneFilesSQL, f.integration, keep.Milliseconds())
	if result.Error != nil {
		return 0, fmt.Errorf("letting go of old files: %w", result.Error)
	}
	return int(result.RowsAffected), nil
}

// Progress shows people how far a run is. It uses another connection: the leader's is inside the run's transaction.
func (f *Feed) Progress(ctx context.Context, run delivery.BatchRun, rows int64) error {
	return f.store.Gorm.WithContext(ctx).
		Exec("UPDATE redrive.batch_runs SET rows = ? WHERE id = ? AND state = 'running'", rows, run.ID).
		Error
}

// Write stores what fill writes, in one transaction: the bytes, the next number of the sequence, the message, its delivery, the
// window and the run's end are there together or not at all. Without rows, and unless the settings want it, there is no file.
func (f *Feed) Write(
	ctx context.Context,
	n delivery.NewBatchFile,
	fill func(ctx context.Context, w io.Writer, rows func(key string, payload []byte) error) (delivery.BatchContent, error),
) (file delivery.BatchFile, err error) {
	err = f.transact(ctx, func(tx *gorm.DB) error {
		id, err := pg.ReadOne(tx, pg.Single[string], "SELECT redrive.new_id()::text")
		if err != nil {
			return fmt.Errorf("naming the file: %w", err)
		}
		w := newPartWriter(tx, id)
		rows := &rowWriter{tx: tx, integration: f.integration}
		content, err := fill(ctx, w, rows.add)
		if closeErr := w.close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
		if content.Rows == 0 && !n.Settings.SendEmpty {
			return f.finishEmpty(tx, id, n, content)
		}
		file = delivery.BatchFile{ID: id, Integration: f.integration, BusinessDate: n.Run.BusinessDate, Rows: content.Rows,
			Bytes: w.bytes, SHA256: w.sum(), Control: content.Control, CorrectionOf: n.CorrectionOf,
			Columns: content.Columns, TimeZone: content.TimeZone}
		if err := f.finish(tx, n, content, &file); err != nil {
			return err
		}
		if err := f.endRun(tx, n.Run, delivery.RunStored, content.Rows, &id); err != nil {
			return err
		}
		if n.Settings.Per == delivery.PerRow {
			return rows.flush()
		}
		if err := bindRows(tx, id, n.Corrects); err != nil {
			return err
		}
		return enqueueFile(tx, file)
	})
	return file, err
}

const nextFileSQL = `
WITH before AS (SELECT last_sha256 FROM redrive.batch_feeds WHERE integration = ? FOR UPDATE)
UPDATE redrive.batch_feeds f SET sequence = f.sequence + 1, last_sha256 = ? FROM before WHERE f.integration = ?
RETURNING f.sequence, before.last_sha256 AS previous, clock_timestamp() AS at`

// finish gives the file its number and name.
func (f *Feed) finish(tx *gorm.DB, n delivery.NewBatchFile, content delivery.BatchContent, file *delivery.BatchFile) error {
	if err := f.moveWindow(tx, content); err != nil {
		return err
	}
	type next struct {
		Sequence int64
		Previous string
		At       time.Time
	}
	counted, err := pg.ScanOne[next](tx, nextFileSQL, f.integration, file.SHA256, f.integration)
	if err != nil {
		return fmt.Errorf("counting the sequence: %w", err)
	}
	file.Sequence, file.Previous, file.CreatedAt = counted.Sequence, counted.Previous, counted.At.UTC()
	file.Name = n.Settings.FileName(*file, n.Format.Extension())
	spec, err := json.Marshal(n.Format)
	if err != nil {
		return fmt.Errorf("encoding the file's format: %w", err)
	}
	err = tx.Exec(`INSERT INTO redrive.batch_files (id, integration, business_date, sequence, name, rows, bytes, sha256,
			control_total, previous_sha256, correction_of, created_at, format)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, ?)`,
		file.ID, file.Integration, file.BusinessDate, file.Sequence, file.Name, file.Rows, file.Bytes, file.SHA256,
		file.Control, file.Previous, file.CorrectionOf, file.CreatedAt, string(spec)).Error
	if err != nil {
		return fmt.Errorf("storing the file: %w", err)
	}
	return nil
}

func (f *Feed) finishEmpty(tx *gorm.DB, id string, n delivery.NewBatchFile, content delivery.BatchContent) error {
	if err := tx.Exec("DELETE FROM redrive.batch_parts WHERE file_id = ?", id).Error; err != nil { // a header
		return err
	}
	if err := f.moveWindow(tx, content); err != nil {
		return err
	}
	return f.endRun(tx, n.Run, delivery.RunEmpty, 0, nil)
}

func (f *Feed) moveWindow(tx *gorm.DB, content delivery.BatchContent) error {
	if content.Snapshot == "" {
		return nil
	}
	err := tx.Exec("UPDATE redrive.batch_feeds SET snapshot = ?::pg_snapshot WHERE integration = ?",
		content.Snapshot, f.integration).Error
	if err != nil {
		return fmt.Errorf("moving the window: %w", err)
	}
	return nil
}

// enqueueFile makes the file's message and its delivery.
func enqueueFile(tx *gorm.DB, file delivery.BatchFile) error {
	payload, err := json.Marshal(file)
	if err != nil {
		return fmt.Errorf("encoding the file's message: %w", err)
	}
	err = queue.AddCommands(tx, file.Integration, delivery.TypeBatchFile, []string{file.ID}, []string{file.Name},
		[][]byte{payload})
	if err != nil {
		return fmt.Errorf("queueing the file: %w", err)
	}
	return nil
}

func (f *Feed) transact(ctx context.Context, work func(tx *gorm.DB) error) error {
	return pg.DomainError(f.leader.Gorm.WithContext(ctx).Transaction(work))
}
