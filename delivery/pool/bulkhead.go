package pool

import (
	"sync"
	"sync/atomic"
	"time"

	"redrive/delivery"
)

// task is one message in memory.
type task struct {
	id       string // of the delivery
	message  delivery.Message
	attempts []delivery.Attempt // made so far, none of them ok
	size     int64
	key      *entry // nil without an idempotency key
}

// bulkhead is what one integration has for itself. At most workers + queue tasks are in it, whatever they wait for.
type bulkhead struct {
	pool      *Pool
	in        delivery.Integration
	workers   int
	limit     int
	share     int64 // payload bytes
	delivered atomic.Int64

	mu        sync.Mutex
	queue     []*task
	waiting   map[*task]*time.Timer // for their retry: they hold no worker
	blocked   []*producer
	busy      int
	recording int // on their way to the store or the journal
	bytes     int64
	closed    bool
	rejected  int64
	callers   int64     // attempts that producers made themselves
	shelved   int64     // handed to the journal because the pool was full
	finished  time.Time // the latest attempt
	crowded   time.Time // since when all workers are seen busy; zero: they are not
}

// producer is somebody who waits for room.
type producer struct {
	task  *task
	ready chan struct{} // closed when the task was taken, or the bulkhead closed
	taken bool
}

func newBulkhead(p *Pool, in delivery.Integration) *bulkhead {
	settings := delivery.PoolSettings{}
	if in.Pool != nil {
		settings = *in.Pool
	}
	if settings.Workers <= 0 {
		settings.Workers = delivery.DefaultPoolWorkers
	}
	if settings.Queue <= 0 {
		settings.Queue = delivery.DefaultPoolQueue
	}
	if settings.WhenFull == "" {
		settings.WhenFull = delivery.WhenFullBlock
	}
	if in.Retry.Attempts == 0 {
		in.Retry = delivery.DefaultPoolRetry
	}
	in.Pool = &settings
	return &bulkhead{pool: p, in: in, workers: settings.Workers, limit: settings.Queue, waiting: map[*task]*time.Timer{}}
}

func (l *bulkhead) held() int { return len(l.queue) + len(l.waiting) + l.recording }

// room reports whether one more task fits.
func (l *bulkhead) room(size int64) bool {
	held := l.held()
	return (l.busy < l.workers || held < l.limit) && l.busy+held < l.workers+l.limit && (l.bytes == 0 || l.bytes+size <= l.share)
}

// take gives a task to a worker, or lets it wait for one.
func (l *bulkhead) take(t *task) {
	l.bytes += t.size
	l.place(t)
}

func (l *bulkhead) place(t *task) {
	if l.busy >= l.workers {
		l.queue = append(l.queue, t)
		return
	}
	l.busy++
	l.pool.active.Add(1)
	go l.work(t)
}

// work makes attempts until nothing is queued.
func (l *bulkhead) work(t *task) {
	defer l.pool.active.Done()
	for t != nil {
		l.settle(t, l.attempt(t))
		t = l.next()
	}
}

// next returns what the worker does next; nil ends it.
func (l *bulkhead) next() (t *task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) > 0 {
		t = l.pop()
	} else {
		l.busy--
	}
	l.letIn()
	return t
}

func (l *bulkhead) pop() *task {
	t := l.queue[0]
	l.queue[0] = nil
	if l.queue = l.queue[1:]; len(l.queue) == 0 {
		l.queue = nil
	}
	return t
}

// letIn admits blocked producers in their order while there is room.
func (l *bulkhead) letIn() {
	for len(l.blocked) > 0 && !l.closed && l.room(l.blocked[0].task.size) {
		b := l.blocked[0]
		l.blocked = l.blocked[1:]
		l.take(b.task)
		b.taken = true
		close(b.ready)
	}
}

// settle does what follows from an attempt.
func (l *bulkhead) settle(t *task, f verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finished = time.Now()
	switch {
	case f.next == delivery.StateDelivered:
		l.bytes -= t.size
		l.delivered.Add(1)
		l.pool.recent.settled(t.key, delivery.StateDelivered)
	case f.next == delivery.StatePending && f.hold && !l.closed && l.held() < l.limit:
		l.waiting[t] = time.AfterFunc(f.wait, func() { l.due(t) })
	default:
		l.record(t, f)
	}
}

// due brings a task back whose wait for a retry is over.
func (l *bulkhead) due(t *task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, waits := l.waiting[t]; !waits {
		return // the bulkhead was closed meanwhile
	}
	delete(l.waiting, t)
	l.place(t)
}

// record hands a task over to become durable. It counts until it is.
func (l *bulkhead) record(t *task, f verdict) {
	l.recording++
	l.pool.records.add(newRecord(l, t, f), func(error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.recording--
		l.bytes -= t.size
		l.pool.recent.durable(t.key, f.next)
		l.letIn()
	})
}

// close takes nothing more: blocked producers are told, and what has no attempt under way becomes durable.
func (l *bulkhead) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, b := range l.blocked {
		close(b.ready)
	}
	l.blocked = nil
	for t, timer := range l.waiting {
		timer.Stop()
		delete(l.waiting, t)
		l.record(t, verdict{next: delivery.StatePending})
	}
	for len(l.queue) > 0 {
		l.record(l.pop(), verdict{next: delivery.StatePending})
	}
}
