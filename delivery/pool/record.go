package pool

import (
	"context"
	"sync"
	"time"

	"redrive/delivery"
)

const (
	parkBatch   = 500
	parkBytes   = 16 << 20
	parkTimeout = 10 * time.Second
	awayFor     = time.Second // after a failure the journal takes everything at once
	firstAgain  = 100 * time.Millisecond
	lastAgain   = 5 * time.Second
)

// record is one message on its way to become durable. It is also a record of the journal.
type record struct {
	Due    time.Time       `json:"due,omitzero"` // pending: when its wait is over
	Parked delivery.Parked `json:"parked"`

	once bool        // given up after one failure, because somebody waits for the answer
	done func(error) // called once, with nil when it is durable
}

func newRecord(l *bulkhead, t *task, f verdict) record {
	r := record{
		Parked: delivery.Parked{DeliveryID: t.id, Integration: l.in.Name, Message: t.message, Attempts: t.attempts, Next: f.next},
	}
	if f.next == delivery.StatePending && f.wait > 0 {
		r.Due = time.Now().Add(f.wait)
	}
	return r
}

// parked is the record for the store, whose waits count from now.
func (r record) parked(now time.Time) delivery.Parked {
	p := r.Parked
	if !r.Due.IsZero() {
		p.RetryIn = max(r.Due.Sub(now), 0)
	}
	return p
}

// recorder collects records while one batch is being written.
type recorder struct {
	mu     sync.Mutex
	list   []record
	closed bool
	notify chan struct{}
}

func (r *recorder) add(rec record, done func(error)) {
	rec.done = done
	r.mu.Lock()
	r.list = append(r.list, rec)
	r.mu.Unlock()
	signal(r.notify)
}

func (r *recorder) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	signal(r.notify)
}

// take returns the next batch; closed says that nothing will come any more.
func (r *recorder) take() (batch []record, closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, size := 0, 0
	for n < min(len(r.list), parkBatch) && (n == 0 || size+len(r.list[n].Parked.Message.Payload) <= parkBytes) {
		size += len(r.list[n].Parked.Message.Payload)
		n++
	}
	batch, r.list = r.list[:n:n], r.list[n:]
	if len(r.list) == 0 {
		r.list = nil
	}
	return batch, r.closed
}

func (r *recorder) again(batch []record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(batch, r.list...)
}

// recordLoop writes until everything is written after close. It returns how many records it had to give up.
func (p *Pool) recordLoop(ctx context.Context) (lost int) {
	wait, away := firstAgain, pause{}
	for {
		batch, closed := p.records.take()
		if len(batch) == 0 {
			if closed {
				return lost
			}
			<-p.records.notify
			continue
		}
		left := p.keep(ctx, &away, batch)
		if len(left) == 0 {
			wait = firstAgain
			continue
		}
		p.records.again(left)
		if !delivery.Pause(ctx, wait) {
			lost += p.giveUp()
		}
		wait = min(wait*2, lastAgain)
	}
}

// keep makes a batch durable, in the store or else in the journal, and returns what is to be tried again.
func (p *Pool) keep(ctx context.Context, away *pause, batch []record) (left []record) {
	if !away.on() {
		err := p.park(ctx, batch)
		if err == nil {
			return finish(batch, nil)
		}
		away.begin(awayFor)
		p.log.WarnContext(ctx, "parking failed, the journal takes it", "messages", len(batch), "error", err)
	}
	if err := p.journal.append(batch); err != nil {
		p.log.ErrorContext(ctx,
			"neither the database nor the journal takes accepted messages; they stay in memory and are tried again",
			"messages", len(batch), "error", err)
		return finish(batch, err)
	}
	return finish(batch, nil)
}

// finish tells those who wait. After an error the others are answered, to be tried again.
func finish(batch []record, err error) (left []record) {
	for _, r := range batch {
		if err != nil && !r.once {
			left = append(left, r)
			continue
		}
		r.done(err)
	}
	return left
}

func (p *Pool) park(ctx context.Context, batch []record) error {
	query, cancel := context.WithTimeout(ctx, parkTimeout)
	defer cancel()
	now, list, pending := time.Now(), make([]delivery.Parked, len(batch)), false
	for i, r := range batch {
		list[i] = r.parked(now)
		pending = pending || r.Parked.Next == delivery.StatePending
	}
	if _, err := p.cfg.Store.Park(query, list); err != nil {
		return err
	}
	if pending {
		p.cfg.Wake()
	}
	return nil
}

// giveUp says what is lost when time is over and nothing took it.
func (p *Pool) giveUp() (lost int) {
	for {
		batch, _ := p.records.take()
		if len(batch) == 0 {
			return lost
		}
		for _, r := range batch {
			p.log.Error("an accepted message is lost: it could be written nowhere", "integration", r.Parked.Integration,
				"delivery", r.Parked.DeliveryID, "message", r.Parked.Message.ID, "type", r.Parked.Message.Type)
			r.done(errUnrecorded)
		}
		lost += len(batch)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
