package pool

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"redrive/delivery"
)

const lookupTimeout = 250 * time.Millisecond // of a key in the store

var (
	errStopping   = &delivery.UnavailableError{Code: "pool_stopping", RetryAfter: 5 * time.Second}
	errUnrecorded = &delivery.UnavailableError{Code: "pool_unrecorded", RetryAfter: 5 * time.Second}
)

// Offer hands a command over: m.Integration names a pool integration. It returns at once, without waiting for an attempt;
// while the pool is full, the integration's when_full decides. The answer's state says what is known by then: pending, or
// what became of the attempt that the caller made itself.
//
// A message that was taken is delivered, or becomes a dead letter, or waits in the store; but while it is only in memory, a
// crash of the process loses it. A nil error with a wait (DeliverAfter, or when_full: journal) means that it is durable.
//
// Errors are *delivery.InputError for a message that can never be taken and *delivery.UnavailableError for one that may be
// offered again. The same idempotency key within an hour, the last 100,000 keys of the process, or among what the store
// has, answers the first message with Duplicate set, and Differs where this one is no repetition of it. Before Run, Offer waits. It is safe for concurrent use.
func (p *Pool) Offer(ctx context.Context, m delivery.Message) (accepted delivery.Accepted, err error) {
	l := p.bulkheads[m.Integration]
	if l == nil {
		return accepted, delivery.Mistake("unknown_integration.pool", "integration", "integration", m.Integration)
	}
	if err := check(m); err != nil {
		return accepted, err
	}
	if !p.running(ctx) {
		return accepted, errStopping
	}
	key, known, err := p.reserve(ctx, m)
	if err != nil || known != nil {
		return deref(known), err
	}
	t := newTask(m, key)
	if key != nil {
		defer func() { p.recent.resolve(key, accepted, err == nil) }()
	}
	state, err := l.offer(ctx, t)
	if err != nil {
		return accepted, err
	}
	return delivery.Accepted{
		ID:         t.message.ID,
		Deliveries: []delivery.DeliveryRef{{ID: t.id, Integration: m.Integration, State: state}},
	}, nil
}

// running waits for Run to begin.
func (p *Pool) running(ctx context.Context) bool {
	select {
	case <-p.opened:
		return true
	default:
	}
	select {
	case <-p.opened:
		return true
	case <-ctx.Done():
		return false
	}
}

func deref(a *delivery.Accepted) delivery.Accepted {
	if a == nil {
		return delivery.Accepted{}
	}
	return *a
}

// newTask copies what the producer may change after Offer has returned.
func newTask(m delivery.Message, key *entry) *task {
	m.ID, m.Kind, m.CreatedAt = uuid.Must(uuid.NewV7()).String(), delivery.KindCommand, time.Now()
	m.Payload, m.Headers = bytes.Clone(m.Payload), maps.Clone(m.Headers)
	return &task{id: uuid.Must(uuid.NewV7()).String(), message: m, size: int64(len(m.Payload)), key: key}
}

// check refuses what the store could never keep, or a wire would change.
func check(m delivery.Message) error {
	if m.Kind != "" && m.Kind != delivery.KindCommand {
		return delivery.Mistake("invalid_kind.pool", "kind")
	}
	return m.Check()
}

// reserve returns the message that had the key first, or an entry that must be resolved; neither without a key.
func (p *Pool) reserve(ctx context.Context, m delivery.Message) (mine *entry, known *delivery.Accepted, err error) {
	if m.IdempotencyKey == "" {
		return nil, nil, nil
	}
	for {
		e, fresh := p.recent.reserve(hashOf(m.Integration, m.IdempotencyKey), time.Now())
		if fresh {
			if a, ok := p.lookUp(ctx, m); ok {
				p.recent.resolve(e, a, true)
				return nil, &a, nil
			}
			e.sender, e.content = m.Sender, hashOf(m.Type, m.Key, string(m.Payload)) // nobody looks before it is resolved
			return e, nil, nil
		}
		a, inStore, refused, wait := p.recent.answer(e, m)
		switch {
		case wait != nil:
			select {
			case <-wait:
			case <-ctx.Done():
				return nil, nil, p.bulkheads[m.Integration].full()
			}
		case refused: // after all: the key is free again
		default:
			if inStore {
				if stored, ok := p.lookUp(ctx, m); ok {
					a = stored
				}
			}
			return nil, &a, nil
		}
	}
}

// lookUp asks the store for a key. While the store does not answer, only the memory counts.
func (p *Pool) lookUp(ctx context.Context, m delivery.Message) (a delivery.Accepted, ok bool) {
	if p.lookups.on() {
		return a, false
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	a, err := p.cfg.Store.AcceptedByKey(ctx, m)
	if err != nil && !errors.Is(err, delivery.ErrNotFound) {
		p.lookups.begin(awayFor)
		p.log.WarnContext(ctx, "looking up idempotency keys failed, only those in memory count for now", "error", err)
	}
	a.Duplicate = true
	return a, err == nil
}

// offer takes a task in, by the way that is open now.
func (l *bulkhead) offer(ctx context.Context, t *task) (delivery.State, error) {
	way := l.enter(t)
	if way == nil {
		return delivery.StatePending, nil
	}
	return way(ctx, t)
}

// enter takes the task into memory and answers nil, else the way to go.
func (l *bulkhead) enter(t *task) func(context.Context, *task) (delivery.State, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	later := t.message.DeliverAfter != nil && t.message.DeliverAfter.After(time.Now())
	switch {
	case l.closed:
		return func(context.Context, *task) (delivery.State, error) { return "", errStopping }
	case later:
		return l.served(l.postpone)
	case len(l.blocked) == 0 && l.room(t.size):
		l.take(t)
		return nil
	case l.in.Pool.WhenFull == delivery.WhenFullCallerRuns:
		l.callers++
		return l.served(l.callerRuns)
	case l.in.Pool.WhenFull == delivery.WhenFullJournal:
		return l.served(l.shelve)
	}
	return l.line(t)
}

// served makes the pool's end wait for a producer. The bulkhead must be locked and open.
func (l *bulkhead) served(
	way func(context.Context, *task) (delivery.State, error),
) func(context.Context, *task) (delivery.State, error) {
	l.pool.active.Add(1)
	return func(ctx context.Context, t *task) (delivery.State, error) {
		defer l.pool.active.Done()
		return way(ctx, t)
	}
}

// postpone makes a message durable that is to be sent later: memory is no place for it.
func (l *bulkhead) postpone(ctx context.Context, t *task) (delivery.State, error) {
	f := verdict{next: delivery.StatePending, wait: time.Until(*t.message.DeliverAfter)}
	return f.next, l.durably(ctx, t, f)
}

// callerRuns makes the attempt in the producer's own goroutine.
func (l *bulkhead) callerRuns(ctx context.Context, t *task) (delivery.State, error) {
	f := l.attempt(t)
	if f.next == delivery.StateDelivered {
		l.delivered.Add(1)
		l.pool.recent.settled(t.key, f.next)
		return f.next, nil
	}
	return f.next, l.durably(ctx, t, f)
}

// shelve writes the message to the journal, from where it goes on through the store.
func (l *bulkhead) shelve(_ context.Context, t *task) (delivery.State, error) {
	f := verdict{next: delivery.StatePending}
	if err := l.pool.journal.append([]record{newRecord(l, t, f)}); err != nil {
		if !l.pool.complaints.on() { // one line a second says it as well as a thousand
			l.pool.complaints.begin(time.Second)
			l.pool.log.Error("the pool is full and the journal takes nothing: messages are rejected",
				"integration", l.in.Name, "error", err)
		}
		l.reject()
		return "", l.full()
	}
	l.mu.Lock()
	l.shelved++
	l.mu.Unlock()
	l.pool.recent.durable(t.key, f.next)
	return f.next, nil
}

// durably waits until a task is written down.
func (l *bulkhead) durably(ctx context.Context, t *task, f verdict) error {
	answer := make(chan error, 1)
	r := newRecord(l, t, f)
	r.once = true
	l.pool.records.add(r, func(err error) { answer <- err })
	select {
	case err := <-answer:
		if err != nil {
			return errUnrecorded
		}
		l.pool.recent.durable(t.key, f.next)
		return nil
	case <-ctx.Done():
		return errUnrecorded
	}
}

// line makes the producer wait for room, unless too many wait already.
func (l *bulkhead) line(t *task) func(context.Context, *task) (delivery.State, error) {
	if len(l.blocked) >= l.limit {
		l.rejected++
		return func(context.Context, *task) (delivery.State, error) { return "", l.full() }
	}
	b := &producer{task: t, ready: make(chan struct{})}
	l.blocked = append(l.blocked, b)
	return func(ctx context.Context, _ *task) (delivery.State, error) { return l.await(ctx, b) }
}

func (l *bulkhead) await(ctx context.Context, b *producer) (delivery.State, error) {
	select {
	case <-b.ready:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case b.taken:
		return delivery.StatePending, nil
	case l.closed:
		return "", errStopping
	}
	l.blocked = slices.DeleteFunc(l.blocked, func(other *producer) bool { return other == b })
	l.rejected++
	l.letIn() // the next one may be smaller
	return "", l.full()
}

func (l *bulkhead) reject() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rejected++
}

func (l *bulkhead) full() error {
	return &delivery.UnavailableError{Code: "pool_full", RetryAfter: time.Second,
		Says: delivery.Say("pool_full", "integration", l.in.Name, "working", l.workers, "waiting", l.limit)}
}
