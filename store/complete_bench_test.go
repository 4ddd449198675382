package store_test

import (
	"log/slog"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/store"
)

// A hundred outcomes written at once: delivered, failed and tried again, failed for good. At most 500 of them: go test -benchtime 300x.
func BenchmarkComplete(b *testing.B) {
	for _, c := range []struct {
		name   string
		result delivery.Result
		next   delivery.State
	}{{"delivered", confirmed, delivery.StateDelivered}, {"tried again", answered, delivery.StatePending}, {"dead", answered, delivery.StateDead}} {
		b.Run(c.name, func(b *testing.B) {
			s, err := store.Open(b.Context(), backlog(b, 60_000, 0), slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(s.Close)
			for b.Loop() {
				b.StopTimer()
				claimed, err := s.Claim(b.Context(), "w", []delivery.Quota{{Integration: "push", Limit: 100, Bytes: 1 << 20, Lease: time.Hour}})
				if err != nil || len(claimed) != 100 {
					b.Fatalf("%d claimed: %v", len(claimed), err)
				}
				done := make([]delivery.Completion, len(claimed))
				for i := range claimed {
					done[i] = completion(claimed[i], c.result, c.next)
					done[i].RetryIn = time.Hour
				}
				b.StartTimer()
				if _, err := s.Complete(b.Context(), done); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
