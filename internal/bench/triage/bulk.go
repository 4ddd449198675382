package triage

import (
	"context"
	"fmt"
	"sync"
	"time"

	"redrive/delivery"
)

const (
	frozenTarget   = time.Second
	releasedTarget = 4 * time.Second
	busyTarget     = 100 * time.Millisecond
	bulkPatience   = 10 * time.Minute
	lookAgain      = 20 * time.Millisecond
	thinking       = 100 * time.Millisecond // between two pages: nearly ten a second
)

// bulk retries everything in the large group while somebody reads lists.
func (b *bench) bulk(ctx context.Context, p *program) error {
	ctx, cancel := context.WithTimeout(ctx, bulkPatience)
	defer cancel()
	p.receiver.shut() // requests wait, so that releasing is measured and not sending
	reading := b.readMeanwhile(ctx, p)
	began := time.Now()
	op, err := b.db.StartOperation(ctx,
		delivery.OperationRequest{Action: delivery.ActionRetry, Actor: "bench", Reason: "measured",
			Filter: &delivery.Filter{States: []delivery.State{delivery.StateDead}, Groups: []string{b.pick.large}}})
	frozen := time.Since(began)
	if err == nil {
		began = time.Now()
		op, err = b.until(ctx, op.ID, func(op delivery.Operation) bool { return waiting(op) == 0 })
	}
	released := time.Since(began)
	lists := reading()
	p.receiver.open()
	if err != nil {
		return fmt.Errorf("retrying the large group: %w", err)
	}
	began = time.Now()
	after := b.readMeanwhile(ctx, p)
	op, err = b.until(ctx, op.ID, func(op delivery.Operation) bool { return op.State == delivery.OperationFinished })
	confirmed := time.Since(began)
	listsAfter := after()
	if err != nil {
		return fmt.Errorf("waiting for the confirmations: %w", err)
	}
	lists.Name, listsAfter.Name = "a list page while it is released", "a list page while it is delivered"
	for _, l := range []Line{b.single("retry of the large group: frozen", frozen, frozenTarget), b.single("released, receivers waiting", released, releasedTarget),
		lists, b.single("then confirmed by a local receiver", confirmed, 0), listsAfter} {
		b.report.add(l)
	}
	if err := b.report.print(b.Out, "in bulk"); err != nil {
		return err
	}
	_, err = fmt.Fprintf(b.Out, "selected %d = succeeded %d + failed %d + skipped %d + cancelled %d + remaining %d\n\n",
		op.Selected, op.Succeeded, op.Failed, op.Skipped, op.Cancelled, op.Remaining)
	return err
}

func (b *bench) single(name string, took, limit time.Duration) Line {
	return Line{Where: "in bulk", Name: name, target: target{100, limit}, took: []time.Duration{took}, found: 1}
}

func waiting(op delivery.Operation) (n int) {
	for _, part := range op.Parts {
		n += part.Waiting
	}
	return n
}

func (b *bench) until(ctx context.Context, id string, done func(delivery.Operation) bool) (op delivery.Operation, err error) {
	for {
		if op, err = b.db.Operation(ctx, id); err != nil || done(op) {
			return op, err
		}
		delivery.Pause(ctx, lookAgain)
		if ctx.Err() != nil {
			return op, fmt.Errorf("%d are waiting, %d released, %d succeeded: %w",
				waiting(op), op.Released, op.Succeeded, ctx.Err())
		}
	}
}

// readMeanwhile reads list pages until what it answers is called.
func (b *bench) readMeanwhile(ctx context.Context, p *program) (stop func() Line) {
	ctx, cancel := context.WithCancel(ctx)
	line := Line{Where: "in bulk", target: target{100, busyTarget}}
	var reader sync.WaitGroup
	reader.Go(func() {
		addresses := []string{
			"/failures",
			query("/failures", "group", b.pick.large),
			query("/failures", "integration", routes[0].name),
			"/groups",
			query("/failures", "state", "pending"),
		}
		for n := 0; ctx.Err() == nil; n++ {
			delivery.Pause(ctx, thinking)
			began := time.Now()
			if _, err := p.get(ctx, addresses[n%len(addresses)]); err == nil {
				line.took = append(line.took, time.Since(began))
				line.found++
			} else if ctx.Err() == nil {
				line.Err = err
				return
			}
		}
	})
	return func() Line { cancel(); reader.Wait(); return line }
}
