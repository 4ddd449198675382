package integrations

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// lively is for how long a process that listens may be silent before it counts as gone: three of its beats.
const lively = 6 * time.Second

// beatSQL is what nearly every beat is: the gap before it is settled.
const beatSQL = `
UPDATE redrive.listeners SET beat_at = clock_timestamp(), heard_at = greatest(heard_at, clock_timestamp() - ?::bigint * interval '1 millisecond')
WHERE integration = ? AND place = ? AND worker = ? AND gap_from IS NULL`

// firstBeatSQL notes since when a process listens, and when anybody last did.
const firstBeatSQL = `
INSERT INTO redrive.listeners AS l (integration, place, worker, since, heard_at, beat_at, gap_from)
SELECT @integration, @place, @worker, t.since, t.now, t.now, (SELECT max(heard_at) FROM redrive.listeners
    WHERE integration = @integration AND place = @place HAVING max(heard_at) < t.since)
FROM (SELECT now, now - (@for)::bigint * interval '1 millisecond' AS since FROM clock_timestamp() now) t
ON CONFLICT (integration, place, worker) DO UPDATE SET heard_at = excluded.heard_at, beat_at = excluded.beat_at
RETURNING since, gap_from, clock_timestamp() AS now`

// othersSQL is when another process last showed that it listens; one that said goodbye does not.
const othersSQL = `SELECT max(beat_at) FROM redrive.listeners WHERE integration = ? AND place = ? AND worker <> ?`

// Listen notes that a process listens to a source that keeps nothing. When nobody did before, it answers the time in which nobody
// did, exactly once, and has noted it: at once where the one before is known to be gone, else as soon as it stays silent.
func (s *Registry) Listen(ctx context.Context, l delivery.Listening) (gap *delivery.SourceGap, err error) {
	beat := s.Gorm.WithContext(ctx).Exec(beatSQL, l.Heard.Milliseconds(), l.Integration, l.Place, l.Worker)
	if beat.Error != nil {
		return nil, fmt.Errorf("noting who listens: %w", beat.Error)
	}
	if beat.RowsAffected > 0 {
		return nil, nil
	}
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		gap, err = listen(tx, l)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("noting who listens: %w", err)
	}
	return gap, nil
}

type listener struct {
	Since   time.Time
	GapFrom *time.Time
	Now     time.Time
}

func listen(tx *gorm.DB, l delivery.Listening) (*delivery.SourceGap, error) {
	own, err := pg.ScanOne[listener](tx, firstBeatSQL,
		map[string]any{"integration": l.Integration, "place": l.Place, "worker": l.Worker, "for": l.Since.Milliseconds()})
	if err != nil {
		return nil, err
	}
	other, err := pg.ReadOne(tx, pg.Single[*time.Time], othersSQL, l.Integration, l.Place, l.Worker)
	if err != nil {
		return nil, err
	}
	switch {
	case own.GapFrom == nil:
		return nil, nil
	case other != nil && !other.Before(own.Since): // it listened all the while
	case other != nil && own.Since.Sub(*other) < lively && own.Now.Sub(own.Since) < lively:
		return nil, nil // it may be alive: the next beats will tell
	default:
		gap := delivery.SourceGap{From: own.GapFrom, To: &own.Since}
		if err := noteGap(tx, l.Integration, l.Place, gap); err != nil {
			return nil, err
		}
		return &gap, forgetListeners(tx, l)
	}
	return nil, forgetListeners(tx, l)
}

// forgetListeners closes the question of the gap, and lets go of processes that are gone.
func forgetListeners(tx *gorm.DB, l delivery.Listening) error {
	err := tx.Exec("UPDATE redrive.listeners SET gap_from = NULL WHERE integration = ? AND place = ? AND worker = ?",
		l.Integration, l.Place, l.Worker).Error
	if err != nil {
		return err
	}
	return tx.Exec(`DELETE FROM redrive.listeners WHERE integration = ? AND worker <> ?
		AND heard_at < clock_timestamp() - interval '1 hour'
		AND (beat_at IS NULL OR beat_at < clock_timestamp() - interval '1 hour')`, l.Integration, l.Worker).Error
}

// Unlisten notes that a process no longer listens, so that its successor need not wait for its sign of life.
func (s *Registry) Unlisten(ctx context.Context, l delivery.Listening) error {
	err := s.Gorm.WithContext(ctx).
		Exec(`UPDATE redrive.listeners SET beat_at = NULL, heard_at = greatest(heard_at, clock_timestamp() - ?::bigint * interval '1 millisecond')
		WHERE integration = ? AND place = ? AND worker = ?`, l.Heard.Milliseconds(), l.Integration, l.Place, l.Worker).
		Error
	if err != nil {
		return fmt.Errorf("noting who listens: %w", err)
	}
	return nil
}

// NoteGap writes down that messages may have been lost at a source.
func (s *Registry) NoteGap(ctx context.Context, integration, place string, g delivery.SourceGap) error {
	return noteGap(s.Gorm.WithContext(ctx), integration, place, g)
}

func noteGap(tx *gorm.DB, integration, place string, g delivery.SourceGap) error {
	err := tx.Exec("INSERT INTO redrive.gaps (integration, place, began_at, ended_at, what) VALUES (?, ?, ?, ?, ?::jsonb)",
		integration, place, g.From, g.To, g.What.Storable()).Error
	if err != nil {
		return fmt.Errorf("writing a gap down: %w", err)
	}
	return nil
}

// SourceGaps returns how often messages may have been lost at an integration's source, and the latest time.
func (s *Registry) SourceGaps(ctx context.Context, integration string) (n int64, last delivery.SourceGap, err error) {
	db := s.Gorm.WithContext(ctx)
	if n, err = pg.ReadOne(db, pg.Single[int64], "SELECT count(*) FROM redrive.gaps WHERE integration = ?",
		integration); err == nil &&
		n > 0 {
		last, err = pg.ScanOne[delivery.SourceGap](db, `SELECT began_at AS "from", ended_at AS "to", what FROM redrive.gaps
			WHERE integration = ? ORDER BY id DESC LIMIT 1`, integration)
		if errors.Is(err, delivery.ErrNotFound) {
			err = nil
		}
	}
	if err != nil {
		return 0, last, fmt.Errorf("reading the gaps of %s: %w", integration, err)
	}
	return n, last, nil
}
