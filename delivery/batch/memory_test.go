package batch_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"redrive/delivery"
)

const (
	manyRows  = 1_000_000
	mostBytes = 64 << 20
)

func TestAMillionRowsInBoundedMemory(t *testing.T) {
	b := newBed(t, func(in *delivery.Integration) {
		in.Batch.Query = "SELECT n AS id, 'member number ' || n AS name, n * 0.25 AS amount, DATE '2026-01-01' + n % 365 AS day FROM generate_series(1, 1000000) n"
	})
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var most atomic.Uint64
	ctx, stop := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for delivery.Pause(ctx, 20*time.Millisecond) {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			most.Store(max(most.Load(), now.HeapInuse+now.StackInuse))
		}
	}()
	b.start(nil)
	f := b.now()
	stop()
	<-watched
	t.Logf("%d rows, %d bytes, at most %d MiB of memory (%d before)", f.Rows, f.Bytes, most.Load()>>20, (before.HeapInuse+before.StackInuse)>>20)
	if f.Rows != manyRows || most.Load() > mostBytes {
		t.Errorf("%d rows with %d bytes of memory", f.Rows, most.Load())
	}
}
