package pool

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"

	"redrive/delivery"
)

// BenchmarkOffer is what a hand-over costs its producer, with and without an idempotency key, and from the journal.
func BenchmarkOffer(b *testing.B) {
	for name, c := range map[string]struct {
		full delivery.WhenFull
		key  bool
		jam  bool
	}{"memory": {delivery.WhenFullBlock, false, false}, "key": {delivery.WhenFullBlock, true, false}, "journal": {delivery.WhenFullJournal, false, true}} {
		b.Run(name, func(b *testing.B) {
			stuck := make(chan struct{})
			store := newShelf()
			store.came = make(chan delivery.Parked, 10_000_000)
			p, err := New(Config{Integrations: []delivery.Integration{integration(50, 1000, c.full)}, Store: store, Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler),
				Attempts: AttemptFunc(func(context.Context, delivery.Request) delivery.Result {
					if c.jam {
						<-stuck
					}
					return ok
				})})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- p.Run(ctx, context.Background()) }()
			m := command(delivery.Message{Payload: make([]byte, 256)})
			for c.jam && p.Stats("push").Queued < 1000 {
				if _, err := p.Offer(ctx, m); err != nil {
					b.Fatal(err)
				}
			}
			b.SetParallelism(16)
			b.ReportMetric(float64(runtime.GOMAXPROCS(0)), "procs")
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for n := 0; pb.Next(); n++ {
					m := m
					if c.key {
						m.IdempotencyKey = fmt.Sprintf("%p-%d", pb, n)
					}
					if _, err := p.Offer(ctx, m); err != nil {
						b.Error(err)
					}
				}
			})
			b.StopTimer()
			close(stuck)
			cancel()
			if err := <-ended; err != nil {
				b.Error(err)
			}
		})
	}
}
