package broker

import (
	"context"
	"sync"
	"time"

	"redrive/delivery"
)

const (
	maxBatch = 500
	linger   = 10 * time.Millisecond // how long the first outcome waits for company while attempts are under way
	brief    = 2 * time.Millisecond  // the same where attempts wait until outcomes are written, or a crash would lose these
)

type kind int

const (
	confirmed kind = iota // delivered by the first attempt
	kept                  // failed, or to be attempted by the engine
	known                 // dealt with before
	unwanted              // of a type that the integration does not subscribe to
	returned              // not attempted
)

// outcome is what became of one message.
type outcome struct {
	item   *arrival
	kind   kind
	parked *delivery.Parked // of kept
}

// outbox collects outcomes while one batch is being written.
type outbox struct {
	mu      sync.Mutex
	changed *sync.Cond
	list    []outcome
	closed  bool
}

func (o *outbox) add(one outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, one)
	o.changed.Signal()
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.changed.Signal()
}

// wait waits for an outcome, or until the outbox is closed.
func (o *outbox) wait() (n int, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.list) == 0 && !o.closed {
		o.changed.Wait()
	}
	return len(o.list), o.closed
}

// gather waits for enough outcomes, but not for longer than patience.
func (o *outbox) gather(enough int, patience time.Duration) {
	over := false
	timer := time.AfterFunc(patience, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		over = true
		o.changed.Signal()
	})
	defer timer.Stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.list) < enough && !o.closed && !over {
		o.changed.Wait()
	}
}

func (o *outbox) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.list)
}

// take removes up to limit outcomes.
func (o *outbox) take(limit int) []outcome {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(limit, len(o.list))
	batch := o.list[:n:n]
	if o.list = o.list[n:]; len(o.list) == 0 {
		o.list = nil
	}
	return batch
}

// again puts back what could not be written, where it was.
func (o *outbox) again(batch []outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(batch, o.list...)
}

// settleLoop writes outcomes and acknowledges what they are about, until the outbox is closed and empty, or ctx ends. It
// answers how many it could not write.
func (s *consumerSession) settleLoop(ctx context.Context) (left int) {
	limit, wait := maxBatch, firstRetry
	for {
		n, closed := s.out.wait()
		if n == 0 && closed {
			return 0
		}
		if enough, patience := s.crowd(); n < enough && s.inFlight.busy() {
			s.out.gather(enough, patience)
		}
		batch := s.out.take(limit)
		if s.write(ctx, batch) {
			limit, wait = min(limit*2, maxBatch), firstRetry
			continue
		}
		s.out.again(batch)
		if !delivery.Pause(ctx, wait) {
			return s.out.size()
		}
		limit, wait = max(limit/2, 1), min(wait*2, lastRetry)
	}
}

// crowd is how many outcomes are worth a transaction of their own while more are to come, and how long to wait for them.
func (s *consumerSession) crowd() (enough int, patience time.Duration) {
	switch {
	case s.inFlight.slots == 0:
		return max(s.c.prefetch/4, 1), linger
	case s.c.traits.forgets:
		return max(s.c.prefetch/4, 1), brief
	default: // no more than the slots can be under way
		return max(min(s.c.prefetch, s.inFlight.slots)/2, 1), brief
	}
}

// write makes a batch durable in one transaction and only then acknowledges it. Writing the same again changes nothing.
func (s *consumerSession) write(ctx context.Context, batch []outcome) bool {
	limited, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	sorted := sortOut(batch)
	if err := s.store(limited, sorted); err != nil {
		s.c.log.ErrorContext(ctx, "writing outcomes failed, will be tried again; nothing is acknowledged before",
			"messages", len(batch), "error", err)
		return false
	}
	s.inFlight.durable(sorted.lanes)
	done, back := s.inFlight.seal(sorted.done), s.inFlight.seal(sorted.back)
	if err := s.session.acknowledge(receipts(done)); err != nil {
		s.c.log.WarnContext(ctx, "acknowledging failed: the broker will bring messages again, and they will be recognised",
			"messages", len(done), "error", s.c.secrets.Replace(err.Error()))
	}
	if err := s.session.giveBack(receipts(back)); err != nil {
		s.c.log.DebugContext(ctx, "giving back failed: the session's end does it", "error", err)
	}
	s.inFlight.done(done)
	s.inFlight.done(back)
	s.c.facts.change(func(f *delivery.SourceFacts) {
		f.Delivered += int64(sorted.confirmed)
		f.Parked += int64(len(sorted.failed))
		f.Unwanted += int64(sorted.unwanted)
		f.Known += int64(len(done) - sorted.confirmed - len(sorted.failed) - sorted.unwanted)
	})
	return true
}

// sortedOutcomes is a batch by what is to be done about it.
type sortedOutcomes struct {
	delivered  []string // inbox keys
	begun      bool     // the inbox has some of these
	failed     []delivery.Parked
	lanes      []string // of the failed
	unbegun    []string
	done, back []*arrival
	confirmed  int
	unwanted   int
	nameless   int // confirmed without an inbox key
}

func sortOut(batch []outcome) (b sortedOutcomes) {
	for _, o := range batch {
		if o.kind == returned {
			b.back = append(b.back, o.item)
			if o.item.begun {
				b.unbegun = append(b.unbegun, o.item.inbox)
			}
			continue
		}
		b.done = append(b.done, o.item)
		switch {
		case o.kind == kept:
			b.failed = append(b.failed, *o.parked)
			o.item.dead = o.parked.Next == delivery.StateDead && o.item.message.Origin.Dead == nil
			if o.item.lane != "" {
				b.lanes = append(b.lanes, o.item.lane)
			}
		case o.kind == unwanted:
			b.unwanted++
		case o.kind == confirmed && o.item.inbox == "":
			b.confirmed, b.nameless = b.confirmed+1, b.nameless+1
		case o.kind == confirmed:
			b.confirmed++
			b.delivered, b.begun = append(b.delivered, o.item.inbox), b.begun || o.item.begun
		}
	}
	return b
}

func (s *consumerSession) store(ctx context.Context, b sortedOutcomes) error {
	store, name := s.c.cfg.Store, s.c.in.Name
	if len(b.delivered)+len(b.failed) > 0 {
		if err := store.Settle(ctx, name, b.delivered, b.begun, b.failed); err != nil {
			return err
		}
	}
	if len(b.unbegun) > 0 {
		if err := store.Unbegin(ctx, name, b.unbegun); err != nil {
			return err
		}
	}
	if b.nameless > 0 {
		if err := store.CountDelivered(ctx, name, b.nameless); err != nil { // a number for people: no reason to hold back
			s.c.log.WarnContext(ctx, "counting deliveries failed", "error", err)
		}
	}
	return nil
}

func receipts(list []*arrival) []*taken {
	all := make([]*taken, len(list))
	for i, it := range list {
		all[i] = it.taken
	}
	return all
}
