package integrations

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/find"
	"redrive/store/ignore"
	"redrive/store/index"
	"redrive/store/pg"
	"redrive/store/queue"
	"redrive/store/record"
	"redrive/store/sqltext"
)

// syncSQL reports whether the integration became ordered.
const syncSQL = `
WITH before AS (SELECT ordered FROM redrive.integrations WHERE name = ?)
INSERT INTO redrive.integrations AS i (name, method, destination, address, description, subscribe, mask, ordered, on_dead, windowed, labels, subject,
    four_eyes, settings_hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?::jsonb, ?, ?::jsonb, ?)
ON CONFLICT (name) DO UPDATE SET method = excluded.method, destination = excluded.destination, address = excluded.address,
    description = excluded.description, subscribe = excluded.subscribe, mask = excluded.mask, ordered = excluded.ordered,
    on_dead = excluded.on_dead, windowed = excluded.windowed, labels = excluded.labels, subject = excluded.subject, four_eyes = excluded.four_eyes,
    settings_hash = excluded.settings_hash, active = true, updated_at = clock_timestamp()
RETURNING i.ordered AND NOT coalesce((SELECT ordered FROM before), false)`

// Masks returns what every integration hides that the database knows, with those that left the file.
func (s *Registry) Masks(ctx context.Context) (delivery.Masks, error) {
	masks, err := record.ReadMasks(s.Gorm.WithContext(ctx))
	if err != nil {
		return masks, fmt.Errorf("reading what is hidden: %w", err)
	}
	return masks, nil
}

// SyncIntegrations makes the database know the integrations file. What left the file stays known but takes no more, and
// what still waited for it becomes dead letters.
func (s *Registry) SyncIntegrations(ctx context.Context, list []delivery.Integration) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		known, err := queue.SubscribersBefore(tx)
		if err != nil {
			return err
		}
		masks, err := record.ReadMasks(tx)
		if err != nil {
			return err
		}
		names, ordered := make([]string, len(list)), []string{}
		for i, in := range list {
			names[i] = in.Name
			became, err := saveIntegration(tx, in)
			if err != nil {
				return fmt.Errorf("saving integration %s: %w", in.Name, err)
			}
			if became {
				ordered = append(ordered, in.Name)
			}
		}
		if err := tx.Exec(`UPDATE redrive.integrations SET active = false, updated_at = clock_timestamp()
			WHERE active AND NOT name = ANY(?)`, &names).Error; err != nil {
			return fmt.Errorf("retiring integrations: %w", err)
		}
		if err := ignore.SyncFile(tx, list); err != nil {
			return err
		}
		if err := queue.RegisterFeeds(tx, list, known); err != nil {
			return err
		}
		if err := settleRetired(tx); err != nil {
			return err
		}
		masked, err := index.ReindexMasked(tx, masks)
		if err == nil && len(masked) > 0 {
			err = queue.BeginRemask(tx, masked)
		}
		if err != nil {
			return fmt.Errorf("hiding other fields in what was written: %w", err)
		}
		return queue.Reorder(tx, ordered)
	})
}

// SettleRetired makes dead letters of what still waits for integrations that left the file: at the start some of it was under the lease
// of a process that had been killed, or in a producer's transaction.
func (s *Registry) SettleRetired(ctx context.Context) error {
	waits, err := pg.ReadOne(s.Gorm.WithContext(ctx), pg.Single[bool],
		`SELECT EXISTS (SELECT FROM redrive.integrations i CROSS JOIN LATERAL
		(SELECT FROM redrive.queue w WHERE w.integration = i.name LIMIT 1) w WHERE NOT i.active)`)
	if err != nil || !waits {
		return err
	}
	return s.Transact(ctx, settleRetired)
}

func settleRetired(tx *gorm.DB) error {
	return queue.GiveUpOrphans(tx, delivery.ClassNoIntegration, delivery.ErrorNoRoute)
}

func saveIntegration(tx *gorm.DB, in delivery.Integration) (becameOrdered bool, err error) {
	subscribe, mask := append([]string{}, in.Subscribe...), append([]string{}, in.Mask...)
	windowed := false
	if in.Batch != nil {
		windowed, _ = sqltext.CheckBatch(in.Batch.Query) // the batch's room refuses a bad one
	}
	labels := map[string]string{}
	maps.Copy(labels, in.Labels)
	raw, err := json.Marshal(labels)
	if err != nil {
		return false, err
	}
	fourEyes, err := json.Marshal(in.FourEyes)
	if err != nil {
		return false, err
	}
	return pg.ReadOne(tx, pg.Single[bool], syncSQL, in.Name, in.Name, string(in.Method), in.Destination.Kind(),
		in.Destination.Address(), in.Description, &subscribe, &mask, in.Ordered,
		string(cmp.Or(in.OnDead, delivery.OnDeadBlock)), windowed, string(raw), in.Subject, string(fourEyes), settingsHash(in))
}

// settingsHash is another one whenever an integration is: by its part of the file, and by what people see of where it goes, which variables of
// the environment change as well. Secrets are not in it.
func settingsHash(in delivery.Integration) string {
	raw, _ := json.Marshal([]any{in.Settings, in.Name, in.Method, in.Destination.Kind(), in.Destination.Address(), in.Idempotent, in.Ordered,
		in.OnDead, in.OnFailure, in.Retry, in.Mask, in.FourEyes})
	return delivery.HashOf(raw)
}

var stateSQL = "i.name, i.paused_at, " + pg.Called("i.paused_by") + " AS paused_by, coalesce(i.paused_by, '') AS paused_by_id, " +
	"i.paused_until, coalesce(i.pause_reason, '') AS pause_reason, i.pause_says, i.breaker, i.breaker_until"

// IntegrationStates returns what people paused and where the breakers stand, by integration name.
func (s *Registry) IntegrationStates(ctx context.Context) (map[string]delivery.IntegrationState, error) {
	w := pg.NewWhere()
	w.In("i.name", pg.Seen(s.Gorm.WithContext(ctx)))
	list, err := pg.Scan[delivery.IntegrationState](s.Gorm.WithContext(ctx), "SELECT "+stateSQL+" FROM redrive.integrations i"+w.Sql(), w.Args...)
	if err != nil {
		return nil, fmt.Errorf("reading integration states: %w", err)
	}
	states := make(map[string]delivery.IntegrationState, len(list))
	for _, state := range list {
		states[state.Name] = state
	}
	return states, nil
}

// SaveBreaker shows the breaker's position to people; openFor counts from the database's now and is 0 unless open.
func (s *Registry) SaveBreaker(
	ctx context.Context,
	integration string,
	state delivery.BreakerState,
	openFor time.Duration,
) error {
	err := s.Gorm.WithContext(ctx).Exec(`UPDATE redrive.integrations SET breaker = ?,
		breaker_until = CASE WHEN ?::bigint > 0 THEN clock_timestamp() + ?::bigint * interval '1 millisecond' END WHERE name = ?`,
		string(state), openFor.Milliseconds(), openFor.Milliseconds(), integration).Error
	if err != nil {
		return fmt.Errorf("saving the breaker of %s: %w", integration, err)
	}
	return nil
}

var healthSQL = find.WithCells + `
SELECT ` + stateSQL + `, i.description, i.method, i.destination, i.address, coalesce(w.pending, 0) AS pending,
    coalesce(w.sending, 0) AS sending, coalesce(n.dead, 0)::bigint AS dead, coalesce(n.acknowledged, 0)::bigint AS acknowledged,
    coalesce(n.ignored, 0)::bigint AS ignored, coalesce(fresh.groups, 0) AS new_groups, o.oldest_pending, statement_timestamp() AS now
FROM redrive.integrations i
LEFT JOIN (SELECT integration, count(*) FILTER (WHERE token IS NULL) AS pending, count(*) FILTER (WHERE token IS NOT NULL) AS sending
    FROM redrive.queue GROUP BY integration) w ON w.integration = i.name
LEFT JOIN (SELECT integration, sum(dead) AS dead, sum(acknowledged) AS acknowledged, sum(ignored) AS ignored FROM cells GROUP BY integration) n
    ON n.integration = i.name
LEFT JOIN (SELECT integration, count(*) AS groups FROM (
        SELECT c.integration FROM redrive.group_counts c WHERE c.first_seen > statement_timestamp() - interval '24 hours' AND c.dead > 0
            AND c.regressed_at IS NULL AND c.group_id NOT IN (SELECT group_id FROM changes)
        UNION ALL SELECT g.integration FROM ` + find.ChangedGroups + `
        WHERE g.first_seen > statement_timestamp() - interval '24 hours' AND coalesce(c.dead, 0) + d.dead > 0
            AND NOT ` + find.RegressedSQL + `) g GROUP BY integration) fresh ON fresh.integration = i.name
LEFT JOIN LATERAL (SELECT w.due_at AS oldest_pending FROM redrive.queue w WHERE w.integration = i.name AND w.token IS NULL
    AND w.due_at <= statement_timestamp() ORDER BY w.due_at LIMIT 1) o ON true
WHERE i.active ORDER BY i.name`

// healthRow comes with the database's time, which decides what the current hour is.
type healthRow struct {
	delivery.IntegrationFigures
	Now time.Time
}

const hoursSQL = `
SELECT integration, hour AS start, delivered, failed FROM redrive.hourly
WHERE hour > date_trunc('hour', statement_timestamp(), 'UTC') - interval '24 hours' ORDER BY hour`

// reusedSQL counts events for those that subscribe to their type.
var reusedSQL = fmt.Sprintf(`
SELECT i.name AS integration, count(*) AS count, max(r.at) AS last_at, (array_agg(%s ORDER BY r.id DESC))[1] AS sender,
    (array_agg(r.differs ORDER BY r.id DESC))[1] AS differs, (array_agg(r.message_id::text ORDER BY r.id DESC))[1] AS message_id
FROM (SELECT * FROM redrive.reused_keys WHERE at > statement_timestamp() - interval '24 hours' ORDER BY at DESC LIMIT %d) r
JOIN redrive.integrations i ON i.name = r.integration OR r.integration = '' AND i.subscribe @> ARRAY[r.type]
GROUP BY i.name`, pg.Called("r.sender"), delivery.MaxReusedKeys)

func reusedKeys(db *gorm.DB) (map[string]delivery.ReusedKeys, error) {
	type row struct {
		Integration string
		delivery.ReusedKeys
	}
	rows, err := pg.Scan[row](db, reusedSQL)
	if err != nil {
		return nil, fmt.Errorf("reading reused keys: %w", err)
	}
	reused := map[string]delivery.ReusedKeys{}
	for _, r := range rows {
		reused[r.Integration] = r.ReusedKeys
	}
	return reused, nil
}

// Health returns every integration of the file by name, each with the last 24 hours.
func (s *Registry) Health(ctx context.Context) ([]delivery.IntegrationHealth, error) {
	db := s.Gorm.WithContext(ctx)
	rows, err := pg.Scan[healthRow](db, healthSQL)
	if err != nil {
		return nil, fmt.Errorf("reading the integrations' health: %w", err)
	}
	hours, err := pg.Scan[namedHour](db, hoursSQL)
	if err != nil {
		return nil, fmt.Errorf("reading hourly counts: %w", err)
	}
	parts, err := partHealth(db)
	if err != nil {
		return nil, err
	}
	gaps, err := sourceGaps(db, "")
	if err != nil {
		return nil, err
	}
	reused, err := reusedKeys(db)
	if err != nil {
		return nil, err
	}
	seen := pg.Seen(db)
	rows = slices.DeleteFunc(rows, func(r healthRow) bool { return !seen.Has(r.Name) })
	list := make([]delivery.IntegrationHealth, len(rows))
	for i, r := range rows {
		list[i].IntegrationFigures = r.IntegrationFigures
		list[i].Parts, list[i].Gaps, list[i].ReusedKeys = parts[r.Name], gaps[r.Name], reused[r.Name]
		list[i].Hours = emptyHours(r.Now)
		for _, h := range hours {
			if h.Integration == r.Name {
				countHour(&list[i], h.HourCount)
			}
		}
	}
	return list, nil
}

type namedHour struct {
	Integration string
	delivery.HourCount
}

// emptyHours is the 24 hours that end with the current one.
func emptyHours(now time.Time) []delivery.HourCount {
	hours := make([]delivery.HourCount, 24)
	for i := range hours {
		hours[i].Start = now.UTC().Truncate(time.Hour).Add(time.Duration(i-23) * time.Hour)
	}
	return hours
}

func countHour(in *delivery.IntegrationHealth, h delivery.HourCount) {
	in.Delivered24h += h.Delivered
	in.Failed24h += h.Failed
	for i := range in.Hours {
		if in.Hours[i].Start.Equal(h.Start) {
			in.Hours[i].Delivered, in.Hours[i].Failed = h.Delivered, h.Failed
		}
	}
}
