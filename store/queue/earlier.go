package queue

import (
	"context"
	"fmt"
	"time"

	"redrive/store/pg"
)

// EarlierProducers returns since when texts in the hex form of bytea are read as bytes, for producers that are older than the forms
// of enqueue and publish for text; nil when they are texts like any others.
func (s *Queue) EarlierProducers(ctx context.Context) (*time.Time, error) {
	since, err := pg.ReadOne(s.Gorm.WithContext(ctx), pg.Single[*time.Time], "SELECT min(since) FROM redrive.earlier_producers")
	if err != nil {
		return nil, fmt.Errorf("looking for earlier producers: %w", err)
	}
	return since, nil
}
