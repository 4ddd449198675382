package integrations

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// saveHealthSQL writes what one process saw. Times are given as ages, because the database's clock decides; the time of a status
// that did not change stays what it was, also for the first word of a process that began with what others had seen.
const saveHealthSQL = `
INSERT INTO redrive.health AS h (integration, part, worker, status, since, last_success_at, last_error_at, last_error, seen_at)
SELECT integration, part, ?, status, coalesce(kept, now - since * interval '1 millisecond'), now - success * interval '1 millisecond',
    now - failure * interval '1 millisecond', error::jsonb, now - seen * interval '1 millisecond'
FROM unnest(?::text[], ?::text[], ?::text[], ?::timestamptz[], ?::bigint[], ?::bigint[], ?::bigint[], ?::text[], ?::bigint[])
    AS g(integration, part, status, kept, since, success, failure, error, seen), clock_timestamp() now
ON CONFLICT (integration, part, worker) DO UPDATE SET status = excluded.status, last_success_at = excluded.last_success_at,
    last_error_at = excluded.last_error_at, last_error = excluded.last_error, seen_at = excluded.seen_at,
    since = CASE WHEN h.status = excluded.status THEN h.since ELSE excluded.since END`

// forgetHealthSQL lets go of what processes saw that are gone: others have seen more since.
const forgetHealthSQL = `
DELETE FROM redrive.health h USING redrive.health own WHERE own.worker = ? AND h.worker <> own.worker AND h.integration = own.integration
    AND h.part = own.part AND h.seen_at < own.seen_at - interval '10 minutes'`

// SaveHealth writes what this process saw of the parts of integrations.
func (s *Registry) SaveHealth(ctx context.Context, worker string, seen []delivery.SeenHealth) error {
	var integrations, parts, statuses []string
	var reasons []*string
	var kept []*time.Time
	var since, seenAt []int64
	var success, failure []*int64
	now := time.Now()
	ago := func(at time.Time) int64 { return now.Sub(at).Milliseconds() }
	maybe := func(at *time.Time) *int64 {
		if at == nil {
			return nil
		}
		age := ago(*at)
		return &age
	}
	for _, h := range seen {
		integrations, parts = append(integrations, h.Integration), append(parts, string(h.Part))
		statuses, kept = append(statuses, string(h.Status)), append(kept, nil)
		if h.Kept {
			kept[len(kept)-1] = &h.Since
		}
		since, seenAt, reasons = append(since, ago(h.Since)), append(seenAt, ago(h.SeenAt)), append(reasons, h.LastError.Short().JSON())
		success, failure = append(success, maybe(h.LastSuccess)), append(failure, maybe(h.LastErrorAt))
	}
	err := s.Transact(ctx, func(tx *gorm.DB) error {
		err := tx.Exec(saveHealthSQL, worker, &integrations, &parts, &statuses, &kept, &since, &success, &failure, &reasons,
			&seenAt).Error
		if err != nil {
			return err
		}
		return tx.Exec(forgetHealthSQL, worker).Error
	})
	if err != nil {
		return fmt.Errorf("saving what is seen of sources and destinations: %w", err)
	}
	return nil
}

// partHealthSQL puts together what processes saw. What is much older than another sight does not count any more: its process is
// gone, or tries no longer. Of the others the worst counts. A destination is seen by attempts only: what came before the last
// success of anybody is over, however long nobody tries again.
const partHealthSQL = `
WITH h AS (
    SELECT *, seen_at = max(seen_at) OVER p OR CASE part WHEN 'destination' THEN seen_at > max(last_success_at) OVER p
        ELSE seen_at > max(seen_at) OVER p - interval '20 seconds' END AS counts
    FROM redrive.health WINDOW p AS (PARTITION BY integration, part)
), w AS (
    SELECT *, counts AND status = 'degraded' AS bad FROM h
)
SELECT integration, part, CASE WHEN bool_or(bad) THEN 'degraded' ELSE 'ok' END AS status,
    coalesce(min(since) FILTER (WHERE bad), min(since) FILTER (WHERE counts)) AS since,
    max(last_success_at) AS last_success, max(last_error_at) AS last_error_at,
    (array_agg(last_error ORDER BY bad DESC, last_error_at DESC NULLS LAST) FILTER (WHERE last_error IS NOT NULL))[1] AS last_error
FROM w GROUP BY integration, part
ORDER BY integration, array_position('{source,relay,schedule,pool,destination}'::text[], part)`

// PartHealth returns how the parts of integrations stand, by integration; a part of which nothing is known is not in it.
func (s *Registry) PartHealth(ctx context.Context) (map[string][]delivery.PartHealth, error) {
	return partHealth(s.Gorm.WithContext(ctx))
}

func partHealth(db *gorm.DB) (map[string][]delivery.PartHealth, error) {
	type row struct {
		Integration string
		delivery.PartHealth
	}
	list, err := pg.Scan[row](db, partHealthSQL)
	if err != nil {
		return nil, fmt.Errorf("reading the health of sources and destinations: %w", err)
	}
	parts := map[string][]delivery.PartHealth{}
	for _, h := range list {
		parts[h.Integration] = append(parts[h.Integration], h.PartHealth)
	}
	return parts, nil
}
