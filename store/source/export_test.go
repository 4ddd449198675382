package source

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
)

// Hasten makes the streams to come less patient.
func (s *Source) Hasten(status, silence, stall time.Duration) {
	s.pace = pace{status: status, silence: silence, stall: stall}
}

// LookBy is what a look within a transaction sees.
func (s *Source) LookBy(ctx context.Context, tx pgx.Tx, known map[string]delivery.CapturedTable) (map[string]delivery.CapturedTable, error) {
	return (&Source{settings: s.settings, catalogue: tx}).tables(ctx, known)
}

// Withdrawn is what makes Look take another look.
var Withdrawn = withdrawn
