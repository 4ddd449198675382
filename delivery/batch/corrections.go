package batch

import (
	"context"
	"errors"
	"io"
	"time"

	"redrive/delivery"
)

const collectFor = 5 * time.Second // rows that are retried one after the other go into one file

// corrections sends rejected rows again that people retry, and settles them with the file that carries them.
type corrections struct {
	batch *Batch
	late  time.Time
}

// look reports whether there was something to do.
func (c *corrections) look(ctx context.Context, feed Feed, now time.Time) (worked bool, err error) {
	settled, err := feed.SettleCorrections(ctx)
	if err != nil {
		return false, err
	}
	if now.After(c.late) {
		c.late = now.Add(3 * c.batch.cfg.Collect)
		if _, err := feed.SettleLateCorrections(ctx); err != nil {
			return false, err
		}
	}
	run, file, rows, err := feed.BeginCorrection(ctx, c.batch.cfg.Collect)
	if errors.Is(err, delivery.ErrNotFound) {
		return settled > 0, nil
	}
	if err != nil {
		return false, err
	}
	return true, c.write(ctx, feed, run, file, rows)
}

// write stores a file that holds only those rows, shaped like the one they come from.
func (c *corrections) write(
	ctx context.Context,
	feed Feed,
	run delivery.BatchRun,
	file delivery.StoredFile,
	rows []delivery.CorrectionRow,
) error {
	corrects := make([]string, len(rows))
	for i, r := range rows {
		corrects[i] = r.DeliveryID
	}
	n := delivery.NewBatchFile{
		Run:          run,
		Settings:     c.batch.settings,
		Format:       file.Format,
		CorrectionOf: file.Sequence,
		Corrects:     corrects,
	}
	stored, err := feed.Write(ctx, n,
		func(ctx context.Context, w io.Writer, _ func(string, []byte) error) (delivery.BatchContent, error) {
			original, err := c.batch.cfg.Files.Open(ctx, file.ID)
			if err != nil {
				return delivery.BatchContent{}, err
			}
			defer original.Close()
			layout, err := split(original, file.Format, func(int64, []byte) error { return errEnough })
			if err != nil && !errors.Is(err, errEnough) {
				return delivery.BatchContent{}, err
			}
			return delivery.BatchContent{Rows: int64(len(rows))}, layout.join(w, file.Format, rows)
		})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		c.batch.log.Warn("correction failed", "of", file.Name, "error", err)
		return feed.FailCorrection(ctx, run, rows, delivery.Heard(err))
	}
	c.batch.cfg.Wake()
	c.batch.log.Info("correction file stored", "name", stored.Name, "of", file.Name, "rows", len(rows))
	return nil
}

// errEnough ends reading a file once its shape is known.
var errEnough = errors.New("enough")
