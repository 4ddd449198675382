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
)

// A run that has failed for good is a dead letter too, so that it is found where every failure is. A retry puts it into the queue,
// due never; the leader then queues the run again, and the delivery gets the outcome of the run.

// Begin takes the oldest run that is due, or answers delivery.ErrNotFound. date is the business date where none was asked for.
func (f *Feed) Begin(ctx context.Context, date func(scheduled time.Time) string) (run delivery.BatchRun, err error) {
	err = f.transact(ctx, func(tx *gorm.DB) error {
		err := tx.Exec(`UPDATE redrive.batch_runs r
			SET state = 'queued', attempts = 0, finished_at = NULL, due_at = clock_timestamp()
			FROM redrive.queue w WHERE w.id = r.delivery_id AND w.token IS NULL AND r.integration = ? AND r.state = 'failed'`,
			f.integration).Error
		if err != nil {
			return fmt.Errorf("queueing retried runs: %w", err)
		}
		run, err = pg.ReadOne(tx, runColumns,
			runSQL+` WHERE r.integration = ? AND r.state = 'queued' AND r.due_at <= clock_timestamp()
			ORDER BY r.scheduled_at, r.id LIMIT 1`, f.integration)
		if err != nil {
			return err
		}
		if run.BusinessDate == "" {
			run.BusinessDate = date(run.ScheduledAt)
		}
		run.State, run.Attempts = delivery.RunRunning, run.Attempts+1
		return tx.Exec(`UPDATE redrive.batch_runs SET state = 'running', business_date = ?,
			started_at = clock_timestamp(), rows = 0, attempts = attempts + 1, error = NULL WHERE id = ?`, run.BusinessDate, run.ID).Error
	})
	return run, err
}

// Fail notes why a run failed; with retryIn it is tried again after that time, else it becomes a dead letter.
func (f *Feed) Fail(ctx context.Context, run delivery.BatchRun, why delivery.Phrase, retryIn *time.Duration) error {
	why = why.Storable()
	err := f.transact(ctx, func(tx *gorm.DB) error {
		if retryIn != nil {
			return tx.Exec(`UPDATE redrive.batch_runs
				SET state = 'queued', due_at = clock_timestamp() + ?::bigint * interval '1 millisecond', error = ?::jsonb
				WHERE id = ?`, retryIn.Milliseconds(), why, run.ID).Error
		}
		if err := endFailed(tx, run, why); err != nil {
			return err
		}
		if run.DeliveryID == "" {
			return parkRun(tx, run, why.English())
		}
		return settleRun(tx, run, failure(why.English()))
	})
	if err != nil {
		return fmt.Errorf("noting a failed run: %w", err)
	}
	return nil
}

// FailCorrection notes why a correction file could not be made: the rows that it was to send are dead again.
func (f *Feed) FailCorrection(ctx context.Context, run delivery.BatchRun, rows []delivery.CorrectionRow, why delivery.Phrase) error {
	why = why.Storable()
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.DeliveryID
	}
	err := f.transact(ctx, func(tx *gorm.DB) error {
		leased, err := queue.LeaseForGood(tx, ids)
		if err != nil {
			return err
		}
		for i := range leased {
			judgeLeased(&leased[i], run, failure(delivery.ErrorNoCorrection+why.English()))
		}
		if _, err := queue.Complete(tx, leased); err != nil {
			return err
		}
		return endFailed(tx, run, why)
	})
	if err != nil {
		return fmt.Errorf("noting a failed correction: %w", err)
	}
	return nil
}

func endFailed(tx *gorm.DB, run delivery.BatchRun, why delivery.Phrase) error {
	return tx.Exec(`UPDATE redrive.batch_runs
		SET state = 'failed', finished_at = clock_timestamp(), error = ?::jsonb WHERE id = ?`, why, run.ID).Error
}

func failure(why string) delivery.Result {
	return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassRunFailed, Error: why}
}

// parkRun makes a dead letter of a run.
func parkRun(tx *gorm.DB, run delivery.BatchRun, why string) error {
	payload, err := json.Marshal(map[string]any{"run": run.ID, "integration": run.Integration, "business_date": run.BusinessDate,
		"scheduled_at": run.ScheduledAt.UTC(), "trigger": run.Trigger})
	if err != nil {
		return fmt.Errorf("encoding the run: %w", err)
	}
	message, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("naming the run's message: %w", err)
	}
	id, err := pg.ReadOne(tx, pg.Single[string], "SELECT redrive.delivery_id(?, ?)::text", message.String(), run.Integration)
	if err != nil {
		return err
	}
	tried := delivery.Tried{Result: failure(why), StartedAt: startOf(run)}
	p := delivery.Parked{
		DeliveryID:  id,
		Integration: run.Integration,
		Next:        delivery.StateDead,
		Attempts:    []delivery.Attempt{tried.Attempt(1)},
		Message: delivery.Message{
			ID:      message.String(),
			Kind:    delivery.KindCommand,
			Type:    delivery.TypeBatchRun,
			Key:     run.BusinessDate,
			Payload: payload,
		},
	}
	if _, err := queue.Park(tx, []delivery.Parked{p}); err != nil {
		return err
	}
	return tx.Exec("UPDATE redrive.batch_runs SET delivery_id = ? WHERE id = ?", id, run.ID).Error
}

// settleRun gives the dead letter of a run that was retried the outcome of the run.
func settleRun(tx *gorm.DB, run delivery.BatchRun, result delivery.Result) error {
	if run.DeliveryID == "" {
		return nil
	}
	leased, err := queue.LeaseForGood(tx, []string{run.DeliveryID})
	if err != nil {
		return err
	}
	for i := range leased {
		judgeLeased(&leased[i], run, result)
	}
	_, err = queue.Complete(tx, leased)
	return err
}

// startOf is when a run began; one that was only just begun does not know.
func startOf(run delivery.BatchRun) time.Time {
	if run.StartedAt != nil {
		return *run.StartedAt
	}
	return time.Now()
}

func judgeLeased(c *delivery.Completion, run delivery.BatchRun, result delivery.Result) {
	c.Integration, c.Result, c.Next, c.StartedAt = run.Integration, result, delivery.StateDelivered, startOf(run)
	if result.Outcome != delivery.OutcomeOK {
		c.Next = delivery.StateDead
		c.GroupID, c.GroupText = delivery.Fingerprint(run.Integration, result.ErrorClass, result.Error)
	}
}

var errRunGone = delivery.Fault("run.gone")

// endRun makes the transaction depend on the run: two of one run cannot both commit.
func (f *Feed) endRun(tx *gorm.DB, run delivery.BatchRun, state delivery.RunState, rows int64, file *string) error {
	result := tx.Exec(`UPDATE redrive.batch_runs SET state = ?, finished_at = clock_timestamp(), rows = ?, file_id = ?
		WHERE id = ? AND state = 'running'`, string(state), rows, file, run.ID)
	if result.Error != nil {
		return fmt.Errorf("ending the run: %w", result.Error)
	}
	if result.RowsAffected != 1 {
		return errRunGone
	}
	return settleRun(tx, run, delivery.Result{Outcome: delivery.OutcomeOK})
}
