package engine

import (
	"context"
	"time"

	"redrive/delivery"
)

// Store is what the engine needs from the database. Every duration is added to the database's clock.
type Store interface {
	// Claim leases due deliveries, at most Limit for each quota. It commits before it returns.
	Claim(ctx context.Context, worker string, quotas []delivery.Quota) ([]delivery.Claimed, error)
	// Complete writes outcomes in one transaction, each only where its token is still current; the others become late
	// attempts and are counted in the answer.
	Complete(ctx context.Context, done []delivery.Completion) (late int, err error)
	// Extend prolongs leases and answers those that were lost.
	Extend(ctx context.Context, held []delivery.Lease, lease time.Duration) (lost []delivery.Lease, err error)
	// Release gives back deliveries that were not attempted: due again after wait, the attempt not counted.
	Release(ctx context.Context, held []delivery.Lease, wait time.Duration) error
	// IntegrationStates returns what people paused, by integration name.
	IntegrationStates(ctx context.Context) (map[string]delivery.IntegrationState, error)
	// SaveBreaker shows the breaker's position to people; openFor is 0 unless open.
	SaveBreaker(ctx context.Context, integration string, state delivery.BreakerState, openFor time.Duration) error
	// ResumeDue lets integrations go on whose pause is over and returns their names.
	ResumeDue(ctx context.Context) ([]string, error)
	// ReopenDue moves some of the ignored deliveries whose end has come back to dead and returns how many; 0: no more are due.
	ReopenDue(ctx context.Context) (int, error)
	// SettleRetired makes dead letters of what waits for integrations that left the file.
	SettleRetired(ctx context.Context) error
	// FoldCounts moves changes of the failure counters into the counters and says whether there may be more.
	FoldCounts(ctx context.Context) (more bool, err error)
}
