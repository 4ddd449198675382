package batch

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/queue"
	"redrive/store/record"
)

// Rejected rows are deliveries of their own, but the engine never sends them. A retry puts them into the queue, due never. The
// leader of their batch takes them from there with a lease that has no end, in the transaction that stores the correction file
// which carries them: they are "sending" while that file's delivery is under way, and get its outcome like that of any attempt.

const (
	openAnswers   = 1000 // the latest files whose answers are looked for
	maxCorrection = 50_000
	rowsSettled   = 1000 // at once
)

// Answerable returns the latest files, whose answers may come. What retention has taken the message of cannot be rejected any more.
func (f *Feed) Answerable(ctx context.Context) ([]delivery.StoredFile, error) {
	list, err := pg.Read(f.leader.Gorm.WithContext(ctx), storedFileColumns, fileSQL+` WHERE f.integration = ?
		AND EXISTS (SELECT FROM redrive.messages m WHERE m.id = f.id) ORDER BY f.sequence DESC LIMIT ?`,
		f.integration, openAnswers)
	if err != nil {
		return nil, fmt.Errorf("reading files: %w", err)
	}
	return list, nil
}

// Answered writes down what a receiver says of a file, exactly once, and returns whether it was news.
func (f *Feed) Answered(ctx context.Context, file delivery.StoredFile, a delivery.Answer) (news bool, err error) {
	err = f.transact(ctx, func(tx *gorm.DB) error {
		result := tx.Exec(`INSERT INTO redrive.batch_acknowledgements (integration, name, sha256, modified_at) VALUES (?, ?, ?, ?)
			ON CONFLICT DO NOTHING`, f.integration, a.Name, a.SHA256, a.ModifiedAt)
		if result.Error != nil || result.RowsAffected == 0 {
			return result.Error
		}
		news = true
		err := tx.Exec("UPDATE redrive.batch_files SET acknowledgement = ?, acknowledged_at = clock_timestamp() WHERE id = ?",
			string(a.Kind), file.ID).Error
		if err != nil {
			return err
		}
		switch a.Kind {
		case delivery.AnswerRejected:
			about, err := json.Marshal(file.BatchFile) // the message of the file
			if err != nil {
				return fmt.Errorf("encoding the file: %w", err)
			}
			return f.reject(tx, []rejection{{delivery: file.DeliveryID, reason: a.Reason, payload: about}})
		case delivery.AnswerPartly:
			return f.rejectRows(tx, file, a.Rows)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("noting the answer %s: %w", a.Name, err)
	}
	return news, nil
}

// rejection is what a receiver says of a file or row that it confirmed before.
type rejection struct {
	delivery, reason string
	payload          []byte // that the reason may repeat
}

// reject makes dead letters of what was confirmed; what is in another state is passed over.
func (f *Feed) reject(tx *gorm.DB, list []rejection) error {
	masking, err := f.masking(tx)
	if err != nil {
		return err
	}
	var ids, texts []string
	for _, r := range list {
		ids, texts = append(ids, r.delivery), append(texts, rejectedText(r.reason, r.payload, masking))
	}
	return queue.TakeBack(tx, f.integration, delivery.ClassRejected, ids, texts)
}

// masking is what is hidden of the feed's files and rows.
func (f *Feed) masking(tx *gorm.DB) (delivery.Masking, error) {
	masks, err := record.ReadMasks(tx)
	if err != nil {
		return delivery.Masking{}, fmt.Errorf("reading what is hidden: %w", err)
	}
	return masks.For(delivery.Message{Kind: delivery.KindCommand, Integration: f.integration}), nil
}

func rejectedText(reason string, payload []byte, masking delivery.Masking) string {
	if delivery.OneLine(reason) == "" {
		return delivery.ErrorRejectedSilently
	}
	r := delivery.Result{Outcome: delivery.OutcomePermanent, Error: delivery.ErrorRejected, Words: reason}
	return delivery.Storable(r.Conceal(payload, masking).Error)
}

// rejectRows makes each row a dead letter. A row of a correction file has its delivery already.
func (f *Feed) rejectRows(tx *gorm.DB, file delivery.StoredFile, rows []delivery.RejectedRow) error {
	numbers := make([]int64, len(rows))
	for i, r := range rows {
		numbers[i] = r.Row
	}
	type known struct {
		CorrectionRow int64
		DeliveryID    string
	}
	list, err := pg.Scan[known](tx,
		`SELECT correction_row, delivery_id::text FROM redrive.batch_rows
		WHERE correction_id = ? AND correction_row = ANY(?)`, file.ID, &numbers)
	if err != nil {
		return fmt.Errorf("looking for corrected rows: %w", err)
	}
	corrected := map[int64]string{}
	for _, k := range list {
		corrected[k.CorrectionRow] = k.DeliveryID
	}
	var again []rejection
	var fresh []delivery.RejectedRow
	for _, r := range rows {
		if id := corrected[r.Row]; id != "" {
			again = append(again, rejection{delivery: id, reason: r.Reason, payload: r.Payload})
		} else {
			fresh = append(fresh, r)
		}
	}
	if len(again) > 0 {
		if err := f.reject(tx, again); err != nil {
			return err
		}
	}
	return f.parkRows(tx, file, fresh)
}

func (f *Feed) parkRows(tx *gorm.DB, file delivery.StoredFile, rows []delivery.RejectedRow) error {
	masking, err := f.masking(tx)
	if err != nil {
		return err
	}
	for len(rows) > 0 {
		n := min(len(rows), rowsAtOnce)
		list, ids, numbers := make([]delivery.Parked, n), make([]string, n), make([]int64, n)
		for i, r := range rows[:n] {
			p, err := rejectedRow(file, r, masking)
			if err != nil {
				return err
			}
			list[i], ids[i], numbers[i] = p, p.DeliveryID, r.Row
		}
		// a row that was rejected before keeps the delivery that it has
		fresh, err := pg.Read(tx, pg.Single[string], `INSERT INTO redrive.batch_rows (delivery_id, file_id, row)
			SELECT id, ?, row FROM unnest(?::uuid[], ?::bigint[]) AS r(id, row) ON CONFLICT DO NOTHING RETURNING delivery_id::text`,
			file.ID, &ids, &numbers)
		if err != nil {
			return fmt.Errorf("noting rejected rows: %w", err)
		}
		kept := map[string]bool{}
		for _, id := range fresh {
			kept[id] = true
		}
		var parked []delivery.Parked
		for _, p := range list {
			if kept[p.DeliveryID] {
				parked = append(parked, p)
			}
		}
		if _, err := queue.Park(tx, parked); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// rejectedRow is a row as a dead letter. Its one attempt was the file's.
func rejectedRow(file delivery.StoredFile, r delivery.RejectedRow, masking delivery.Masking) (p delivery.Parked, err error) {
	reason := rejectedText(r.Reason, r.Payload, masking)
	message, err := uuid.NewV7()
	if err != nil {
		return p, fmt.Errorf("naming a row: %w", err)
	}
	own, err := uuid.NewV7()
	if err != nil {
		return p, fmt.Errorf("naming a row: %w", err)
	}
	return delivery.Parked{
		DeliveryID:  own.String(),
		Integration: file.Integration,
		Next:        delivery.StateDead,
		Message: delivery.Message{
			ID:      message.String(),
			Kind:    delivery.KindCommand,
			Type:    delivery.TypeBatchRow,
			Payload: r.Payload,
			Key:     fmt.Sprintf("%s %d", file.Name, r.Row),
			Origin: &delivery.Origin{Broker: "batch", Place: file.Name, At: file.CreatedAt,
				File: &delivery.FileOrigin{ID: file.ID, Name: file.Name, Sequence: file.Sequence, Row: r.Row}},
		},
		Attempts: []delivery.Attempt{
			{Number: 1, StartedAt: time.Now(), Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassRejected,
				Error: reason},
		},
	}, nil
}

// correctionSQL finds rejected rows of one file that were retried together: by one operation, or by one person with pauses of at
// most the time to collect and no longer than ten times that. When each was asked for decides, not when somebody looks. Those of an
// operation wait until it has nothing more to send again by itself: all of it is, it is held back, or its wave has to come
// first; at most for an hour, of an operation whose pace is slower.
const correctionSQL = `
WITH waiting AS (
	SELECT b.file_id, b.row, r.operation_id, r.actor, r.retry_requested_at AS at FROM redrive.queue w
	JOIN redrive.batch_rows b ON b.delivery_id = w.id JOIN redrive.deliveries r ON r.id = w.id
	WHERE w.integration = @integration AND w.token IS NULL AND w.due_at = ` + queue.LeaderAnswers + `
), spaced AS (
	SELECT *, at - lag(at) OVER (asked ORDER BY at, row) AS pause, min(at) OVER asked AS first FROM waiting
	WINDOW asked AS (PARTITION BY file_id, operation_id, actor)
), marked AS (
	SELECT *, CASE WHEN operation_id IS NOT NULL THEN at > first + CAST(@slowest AS double precision) * interval '1 millisecond'
		ELSE at > first + 10 * CAST(@collect AS double precision) * interval '1 millisecond' OR bool_or(coalesce(pause > CAST(@collect AS double precision) * interval '1 millisecond', false))
			OVER (PARTITION BY file_id, operation_id, actor ORDER BY at, row) END AS later FROM spaced
), together AS (
	SELECT file_id, operation_id, actor, min(at) AS first, max(at) AS last FROM marked WHERE NOT later GROUP BY file_id, operation_id, actor
)
SELECT t.file_id::text, coalesce(t.operation_id::text, '') AS operation, coalesce(t.actor, '') AS actor, t.last FROM together t
LEFT JOIN redrive.operations o ON o.id = t.operation_id
LEFT JOIN redrive.operation_parts p ON p.operation_id = o.id AND p.integration = @integration
WHERE CASE WHEN t.operation_id IS NULL THEN least(t.last + CAST(@collect AS double precision) * interval '1 millisecond', t.first + 10 * CAST(@collect AS double precision) * interval '1 millisecond') < clock_timestamp()
	ELSE coalesce(o.state <> 'running' OR p.cursor >= p.last AND p.again = 0 OR p.held IS NOT NULL OR coalesce(p.wave_sent >= p.wave_size, false), true)
		OR t.first + CAST(@slowest AS double precision) * interval '1 millisecond' < clock_timestamp() END
ORDER BY t.first, t.file_id LIMIT 1`

// slowest is how long the rows of a paced operation wait for each other.
const slowest = time.Hour

// asked are rows of one file that were retried together.
type asked struct {
	FileID, Operation, Actor string
	Last                     time.Time
}

// BeginCorrection begins a run that sends rejected rows of one file again that were retried together, or answers
// delivery.ErrNotFound. Rows that one person retries one after the other belong together until nothing came for collect.
func (f *Feed) BeginCorrection(
	ctx context.Context,
	collect time.Duration,
) (run delivery.BatchRun, file delivery.StoredFile, rows []delivery.CorrectionRow, err error) {
	err = f.transact(ctx, func(tx *gorm.DB) error {
		together, err := pg.ScanOne[asked](tx, correctionSQL, map[string]any{"integration": f.integration,
			"collect": collect.Milliseconds(), "slowest": slowest.Milliseconds()})
		if err != nil {
			return err
		}
		if file, err = pg.ReadOne(tx, storedFileColumns, fileSQL+" WHERE f.id = ?", together.FileID); err != nil {
			return err
		}
		rows, err = pg.Scan[delivery.CorrectionRow](tx, `SELECT w.id::text AS delivery_id, m.payload
			FROM redrive.queue w JOIN redrive.batch_rows b ON b.delivery_id = w.id JOIN redrive.messages m ON m.id = w.message_id
			JOIN redrive.deliveries r ON r.id = w.id
			WHERE w.integration = ? AND w.token IS NULL AND w.due_at = `+queue.LeaderAnswers+` AND b.file_id = ? AND coalesce(r.operation_id::text, '') = ?
			AND coalesce(r.actor, '') = ? AND r.retry_requested_at <= ? ORDER BY b.row LIMIT ?`,
			f.integration, file.ID, together.Operation, together.Actor, together.Last, maxCorrection)
		if err != nil {
			return fmt.Errorf("reading rows: %w", err)
		}
		id, err := pg.ReadOne(tx, pg.Single[string], `INSERT INTO redrive.batch_runs
				(integration, business_date, scheduled_at, trigger, because, state, attempts, started_at)
			VALUES (?, ?, clock_timestamp(), 'correction', ?::jsonb, 'running', 1, clock_timestamp()) RETURNING id::text`,
			f.integration, file.BusinessDate, delivery.Say("run.correction", "rows", len(rows), "file", file.Name))
		if err != nil {
			return fmt.Errorf("beginning a correction: %w", err)
		}
		run, err = pg.ReadOne(tx, runColumns, runSQL+" WHERE r.id = ?", id)
		return err
	})
	return run, file, rows, err
}

// bindRows leases rows to the correction file that carries them.
func bindRows(tx *gorm.DB, file string, deliveries []string) error {
	if len(deliveries) == 0 {
		return nil
	}
	leased, err := queue.LeaseForGood(tx, deliveries)
	if err != nil {
		return err
	}
	if len(leased) != len(deliveries) {
		return delivery.Fault("run.rows_gone", "gone", len(deliveries)-len(leased), "rows", len(deliveries))
	}
	if err := tx.Exec(`UPDATE redrive.batch_rows b SET correction_id = ?, correction_row = g.n
		FROM unnest(?::uuid[]) WITH ORDINALITY AS g(id, n) WHERE b.delivery_id = g.id`, file, &deliveries).Error; err != nil {
		return fmt.Errorf("binding rows to their correction: %w", err)
	}
	return nil
}

const correctedSQL = `SELECT w.id::text, w.token, w.message_id::text, m.created_at, w.attempts, f.name AS file, d.state, coalesce(x.error, '') AS error,
		coalesce(d.started_at, d.changed_at) AS started_at, coalesce(d.duration_ms, 0) AS duration_ms
	FROM redrive.queue w JOIN redrive.batch_rows b ON b.delivery_id = w.id JOIN redrive.batch_files f ON f.id = b.correction_id
	JOIN redrive.deliveries d ON d.id = redrive.delivery_id(f.id, f.integration) JOIN redrive.messages m ON m.id = w.message_id
	LEFT JOIN redrive.failure_details x ON x.delivery_id = d.id
	WHERE w.integration = ? AND w.token IS NOT NULL AND w.due_at = ` + queue.LeaderAnswers + ` AND d.state <> 'pending' LIMIT ?`

// SettleCorrections gives rows the outcome of the correction file that carries them, and returns how many.
func (f *Feed) SettleCorrections(ctx context.Context) (n int, err error) {
	err = f.transact(ctx, func(tx *gorm.DB) error {
		type row struct {
			ID, MessageID, File, Error string
			Token, DurationMs          int64
			Attempts                   int
			State                      delivery.State
			CreatedAt, StartedAt       time.Time
		}
		rows, err := pg.Scan[row](tx, correctedSQL, f.integration, rowsSettled)
		if err != nil {
			return fmt.Errorf("reading corrected rows: %w", err)
		}
		done := make([]delivery.Completion, len(rows))
		for i, r := range rows {
			done[i] = delivery.Completion{
				Lease:       delivery.Lease{DeliveryID: r.ID, Token: r.Token},
				Integration: f.integration,
				MessageID:   r.MessageID,
				CreatedAt:   r.CreatedAt,
				Attempt:     r.Attempts,
				StartedAt:   r.StartedAt,
				Duration:    time.Duration(r.DurationMs) * time.Millisecond,
				Next:        delivery.StateDelivered,
				Result:      delivery.Result{Outcome: delivery.OutcomeOK},
			}
			if r.State != delivery.StateDelivered {
				done[i].Next, done[i].Result = delivery.StateDead, delivery.Result{
					Outcome:    delivery.OutcomePermanent,
					ErrorClass: delivery.ClassRejected,
					Error:      delivery.CorrectionError(r.File, r.Error),
				}
				done[i].GroupID, done[i].GroupText = delivery.Fingerprint(f.integration,
					delivery.ClassRejected, done[i].Result.Error)
			}
		}
		n = len(done)
		_, err = queue.Complete(tx, done)
		return err
	})
	return n, err
}

// lateCorrectionsSQL settles rows whose correction file was delivered after all, when a person had retried it.
const lateCorrectionsSQL = `
UPDATE redrive.deliveries r SET state = 'delivered', version = r.version + 1, dead_at = NULL, acknowledged_at = NULL, settled_at = d.settled_at,
    changed_at = statement_timestamp(), started_at = d.started_at, duration_ms = d.duration_ms
FROM redrive.batch_rows b JOIN redrive.batch_files f ON f.id = b.correction_id
JOIN redrive.deliveries d ON d.id = redrive.delivery_id(f.id, f.integration) AND d.state = 'delivered'
WHERE r.integration = ? AND r.state = 'dead' AND b.delivery_id = r.id AND d.settled_at > r.changed_at`

// SettleLateCorrections returns how many rows it settled whose correction file had failed at first.
func (f *Feed) SettleLateCorrections(ctx context.Context) (int, error) {
	result := f.leader.Gorm.WithContext(ctx).Exec(lateCorrectionsSQL, f.integration)
	if result.Error != nil {
		return 0, fmt.Errorf("settling rows of late corrections: %w", result.Error)
	}
	return int(result.RowsAffected), nil
}
