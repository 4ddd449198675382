package storetest

import (
	"context"
	"log/slog"
	"testing"

	"redrive/delivery/outbox"
	"redrive/store"
)

// Relay fans events out until the test ends, or until stop is called. Empty fields of cfg are filled in.
func Relay(t testing.TB, s *store.Store, cfg outbox.Config) (relay *outbox.Relay, stop func()) {
	t.Helper()
	cfg.Lead = func(ctx context.Context, work func(context.Context, outbox.Session) error, failed func(error)) error {
		return s.Lead(ctx, "outbox", func(ctx context.Context, l *store.Leader) error { return work(ctx, l) }, failed)
	}
	cfg.Lag = s.OutboxLag
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	relay = outbox.New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := relay.Run(ctx, ctx); err != nil {
			t.Errorf("the relay ended: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return relay, stop
}
