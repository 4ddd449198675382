package pool

import (
	"container/list"
	"crypto/sha256"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"redrive/delivery"
)

// How many idempotency keys are remembered in memory, and for how long. What was parked is known to Postgres for longer.
const (
	maxKeys  = 100_000
	keepKeys = time.Hour
)

type keyHash [sha256.Size]byte

func hashOf(parts ...string) keyHash {
	return sha256.Sum256([]byte(strings.Join(parts, "\x00")))
}

// entry is one idempotency key. Its fields are guarded by the window.
type entry struct {
	hash     keyHash
	at       time.Time
	message  uuid.UUID
	delivery uuid.UUID
	sender   string  // of the message
	content  keyHash // its type, key and payload; zero: the store knows them
	state    delivery.State
	inStore  bool          // the store knows more
	ready    chan struct{} // closed when it is known whether the message was taken; then nil
	refused  bool
}

// window remembers recent idempotency keys.
type window struct {
	limit int
	keep  time.Duration

	mu    sync.Mutex
	byKey map[keyHash]*list.Element
	order list.List // oldest first
}

func newWindow(limit int, keep time.Duration) *window {
	return &window{limit: limit, keep: keep, byKey: map[keyHash]*list.Element{}}
}

// reserve returns the entry of a key; mine says that nobody had it, so that the caller must resolve it.
func (w *window) reserve(hash keyHash, now time.Time) (e *entry, mine bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for first := w.order.Front(); first != nil; first = w.order.Front() {
		oldest := first.Value.(*entry)
		if w.order.Len() < w.limit && now.Sub(oldest.at) <= w.keep {
			break
		}
		w.forget(oldest)
	}
	if known := w.byKey[hash]; known != nil {
		return known.Value.(*entry), false
	}
	e = &entry{hash: hash, at: now, state: delivery.StatePending, ready: make(chan struct{})}
	w.byKey[hash] = w.order.PushBack(e)
	return e, true
}

func (w *window) forget(e *entry) {
	if known := w.byKey[e.hash]; known != nil && known.Value.(*entry) == e {
		w.order.Remove(known)
		delete(w.byKey, e.hash)
	}
}

// resolve reports whether the message was taken. A key whose message was not may be used again.
func (w *window) resolve(e *entry, a delivery.Accepted, taken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if taken {
		e.message, _ = uuid.Parse(a.ID) // made by this program, so always UUIDs
		if len(a.Deliveries) > 0 {
			e.delivery, _ = uuid.Parse(a.Deliveries[0].ID)
		}
		e.inStore = e.inStore || a.Duplicate
	} else {
		e.refused = true
		w.forget(e)
	}
	close(e.ready)
	e.ready = nil
}

// settled notes where a delivery stands; it takes nil, too.
func (w *window) settled(e *entry, s delivery.State) {
	if e == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	e.state = s
}

// durable notes that the store, or the journal, has it.
func (w *window) durable(e *entry, s delivery.State) {
	w.settled(e, s)
	if e == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	e.inStore = true
}

// answer is what is known of the key of a message that somebody else had; wait is not nil while that is being decided.
func (w *window) answer(e *entry, m delivery.Message) (a delivery.Accepted, inStore, refused bool, wait <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a = delivery.Accepted{ID: e.message.String(), Duplicate: true,
		Deliveries: []delivery.DeliveryRef{{ID: e.delivery.String(), Integration: m.Integration, State: e.state}}}
	if e.ready == nil {
		a.Differs = e.reuse(m)
	}
	return a, e.inStore, e.refused, e.ready
}

// reuse is what tells a message from the first one of its key.
func (e *entry) reuse(m delivery.Message) delivery.KeyReuse {
	switch {
	case e.content == keyHash{}:
		return ""
	case e.sender != m.Sender:
		return delivery.ReusedBySender
	case e.content != hashOf(m.Type, m.Key, string(m.Payload)):
		return delivery.ReusedByContent
	}
	return ""
}
