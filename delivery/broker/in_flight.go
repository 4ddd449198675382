package broker

import (
	"context"
	"sync"
)

// maxBytes bounds the payloads in our hands; one message is always taken, whatever its size.
const maxBytes = 64 << 20

// arrival is a message from its receipt until it is acknowledged or given back.
type arrival struct {
	*taken
	messageID, deliveryID string
	inbox                 string     // the status written to the inbox; empty: none
	lane                  string     // ordered integrations: its key
	begun                 bool       // the inbox says started because of us
	followers             []*arrival // the same message once more, while this one is in our hands
	stage                 stage
	dropped               bool // to be given up by the worker that waits with it
	slot                  bool // holds one of the slots of what is in flight
}

type stage int

const (
	arriving stage = iota // is being looked up
	waiting               // for a worker
	running
	settling
)

// inFlightSet is everything that is in our hands, bounded; and the order in which workers take it.
type inFlightSet struct {
	mu       sync.Mutex
	changed  *sync.Cond            // something was taken, settled or withdrawn
	work     *sync.Cond            // something is ready
	items    map[*arrival]struct{} // followers included
	known    map[string]*arrival   // by identity
	bytes    int64
	ready    []*arrival
	lanes    map[string][]*arrival // ordered: what waits behind the one that is ready or running
	held     map[string]bool       // ordered: keys that this session parked; true once that is durable
	open     int                   // waiting or running
	prefetch int
	chunk    int // room worth a look-up while workers are busy
	slots    int // at most so many attempts whose outcome is not durable; 0: as many as there are workers and outcomes
	taken    int // of the slots
	closed   bool
	kick     chan struct{} // closed and replaced to wake workers that wait with an item
}

func newInFlightSet(prefetch, slots int) *inFlightSet {
	f := &inFlightSet{
		items:    map[*arrival]struct{}{},
		known:    map[string]*arrival{},
		lanes:    map[string][]*arrival{},
		held:     map[string]bool{},
		prefetch: prefetch,
		slots:    slots,
		chunk:    max(prefetch/4, 1),
		kick:     make(chan struct{}),
	}
	f.changed, f.work = sync.NewCond(&f.mu), sync.NewCond(&f.mu)
	return f
}

func (f *inFlightSet) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.items)
}

// room waits until messages may be taken and returns how many. As long as workers have something to do it waits for room for
// many, because each look-up costs the same.
func (f *inFlightSet) room(ctx context.Context) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stop := context.AfterFunc(ctx, f.wakeAll)
	defer stop()
	for {
		n = f.free()
		if n >= f.chunk || (n > 0 && len(f.ready) == 0) || f.closed || ctx.Err() != nil {
			return n
		}
		f.changed.Wait()
	}
}

func (f *inFlightSet) free() int {
	if f.bytes >= maxBytes {
		return 0
	}
	return max(f.prefetch-len(f.items), 0)
}

func (f *inFlightSet) wakeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed.Broadcast()
}

// arrive registers messages and answers those that are not in our hands already; a copy follows the one that is.
func (f *inFlightSet) arrive(list []*arrival) (fresh []*arrival) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, it := range list {
		f.items[it] = struct{}{}
		f.bytes += int64(len(it.message.Payload))
		first := f.known[it.identity]
		switch {
		case it.identity == "" || it.firstTime:
		case first != nil:
			first.followers = append(first.followers, it)
			continue
		default:
			f.known[it.identity] = it
		}
		fresh = append(fresh, it)
	}
	return fresh
}

// enqueue hands a message to the workers; behind the others of its key, where there is an order.
func (f *inFlightSet) enqueue(it *arrival) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.push(it)
}

// start hands a message to a worker that is free, and returns whether there was one: what a source forgets must not wait.
func (f *inFlightSet) start(it *arrival) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.ready)+f.taken >= f.slots {
		return false
	}
	f.push(it)
	return true
}

func (f *inFlightSet) push(it *arrival) {
	it.stage = waiting
	f.open++
	if it.lane != "" {
		if _, busy := f.lanes[it.lane]; busy {
			f.lanes[it.lane] = append(f.lanes[it.lane], it)
			return
		}
		f.lanes[it.lane] = nil
	}
	f.ready = append(f.ready, it)
	f.work.Signal()
}

// next waits for a message to attempt, and for a slot where these are bounded; nil ends the worker.
func (f *inFlightSet) next() *arrival {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.closed && (len(f.ready) == 0 || f.slots > 0 && f.taken >= f.slots) {
		f.work.Wait()
	}
	if f.closed {
		return nil
	}
	it := f.first()
	it.stage, it.slot = running, f.slots > 0
	if it.slot {
		f.taken++
	}
	return it
}

func (f *inFlightSet) first() *arrival {
	it := f.ready[0]
	f.ready[0] = nil
	if f.ready = f.ready[1:]; len(f.ready) == 0 {
		f.changed.Broadcast()
	}
	return it
}

// answered frees the slot of a message that nothing more is to be written about.
func (f *inFlightSet) answered(it *arrival) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.vacate(it)
}

func (f *inFlightSet) vacate(it *arrival) {
	if it.slot {
		it.slot = false
		f.taken--
		f.work.Signal()
	}
}

// decided takes a message off the workers' hands. Where it failed, those that wait behind it must not overtake it: they come
// back to be parked too. hold says that its key is blocked from now on.
func (f *inFlightSet) decided(it *arrival, hold bool) (behind []*arrival) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if hold {
		f.held[it.lane] = false
	}
	attempted := it.stage == running
	it.stage = settling
	if !attempted { // it never had a place in the lane
		return nil
	}
	f.open--
	if it.lane == "" {
		return nil
	}
	queue := f.lanes[it.lane]
	if hold {
		delete(f.lanes, it.lane)
		for _, b := range queue {
			b.stage = settling
			f.open--
		}
		return queue
	}
	f.setLane(it.lane, queue)
	if len(queue) > 0 {
		f.ready = append(f.ready, queue[0])
		f.work.Signal()
	}
	return nil
}

// forgetHeld comes before a look-up of blocked keys, which sees the blocks that are durable by itself.
func (f *inFlightSet) forgetHeld() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, durable := range f.held {
		if durable {
			delete(f.held, key)
		}
	}
}

// blocked reports whether this session parked something of a key since the last look-up began.
func (f *inFlightSet) blocked(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, held := f.held[key]
	return held
}

// durable notes that what was parked of these keys is written.
func (f *inFlightSet) durable(keys []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, key := range keys {
		if _, held := f.held[key]; held {
			f.held[key] = true
		}
	}
}

// seal ends the time in which copies may follow these messages, and returns all of them.
func (f *inFlightSet) seal(list []*arrival) (all []*arrival) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, it := range list {
		if f.known[it.identity] == it {
			delete(f.known, it.identity)
		}
		for _, copied := range it.followers {
			copied.dead = it.dead
		}
		all = append(append(all, it), it.followers...)
	}
	return all
}

// done forgets messages that were acknowledged or given back.
func (f *inFlightSet) done(all []*arrival) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, it := range all {
		f.vacate(it)
		delete(f.items, it)
		f.bytes -= int64(len(it.message.Payload))
	}
	f.changed.Broadcast()
}

// withdraw takes back what no worker has begun of the messages that match; workers that wait with one give it up.
func (f *inFlightSet) withdraw(match func(*taken) bool) (back []*arrival) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for it := range f.items {
		it.dropped = it.dropped || match(it.taken)
	}
	var ready []*arrival
	for _, it := range f.ready {
		queue, dropped := f.sift(append([]*arrival{it}, f.lanes[it.lane]...))
		back = append(back, dropped...)
		if len(queue) > 0 {
			ready = append(ready, queue[0])
		}
		f.setLane(it.lane, queue)
	}
	f.ready = ready
	for key, queue := range f.lanes { // of those whose first is running
		queue, dropped := f.sift(queue)
		back, f.lanes[key] = append(back, dropped...), queue
	}
	close(f.kick)
	f.kick = make(chan struct{})
	f.changed.Broadcast()
	f.work.Broadcast()
	return back
}

// setLane keeps what waits behind the first of queue.
func (f *inFlightSet) setLane(key string, queue []*arrival) {
	switch {
	case key == "":
	case len(queue) == 0:
		delete(f.lanes, key)
	default:
		f.lanes[key] = queue[1:]
	}
}

// sift parts what waits from what was dropped. A copy of a dropped message that was not dropped takes its place.
func (f *inFlightSet) sift(queue []*arrival) (left, dropped []*arrival) {
	for _, it := range queue {
		if !it.dropped {
			left = append(left, it)
			continue
		}
		dropped = append(dropped, it)
		f.open--
		it.stage = settling
		if heir := f.heir(it); heir != nil {
			left = append(left, heir)
		}
	}
	return left, dropped
}

// heir makes the first copy of a message that may stay its successor, to be attempted in its place.
func (f *inFlightSet) heir(it *arrival) *arrival {
	var heir *arrival
	var gone []*arrival
	for _, copied := range it.followers {
		switch {
		case copied.dropped:
			gone = append(gone, copied)
		case heir == nil:
			heir = copied
		default:
			heir.followers = append(heir.followers, copied)
		}
	}
	it.followers = gone
	if heir == nil {
		return nil
	}
	heir.messageID, heir.deliveryID, heir.inbox, heir.lane, heir.begun = it.messageID, it.deliveryID, it.inbox, it.lane, it.begun
	heir.stage, it.begun = waiting, false
	f.known[it.identity] = heir
	f.open++
	return heir
}

// giveUp takes a message that was dropped off the hands of the worker that waits with it.
func (f *inFlightSet) giveUp(it *arrival) {
	f.mu.Lock()
	defer f.mu.Unlock()
	it.dropped = true
	queue, _ := f.sift(append([]*arrival{it}, f.lanes[it.lane]...))
	if len(queue) > 0 {
		f.ready = append(f.ready, queue[0])
	}
	f.setLane(it.lane, queue)
	f.work.Signal()
}

// kicked reports whether to give up a message that may not be sent yet, and else what is closed when to ask again.
func (f *inFlightSet) kicked(it *arrival) (giveUp bool, kick <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return it.dropped || f.closed, f.kick
}

func (f *inFlightSet) isDropped(it *arrival) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return it.dropped
}

// busy reports whether attempts are under way or about to be.
func (f *inFlightSet) busy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open > 0
}

// settled waits until nothing that matches is in our hands, or ctx ends.
func (f *inFlightSet) settled(ctx context.Context, match func(*taken) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stop := context.AfterFunc(ctx, f.wakeAll)
	defer stop()
	for ctx.Err() == nil && f.any(match) {
		f.changed.Wait()
	}
}

func (f *inFlightSet) any(match func(*taken) bool) bool {
	for it := range f.items {
		if match(it.taken) {
			return true
		}
	}
	return false
}

// close ends the workers, each after the message that it attempts.
func (f *inFlightSet) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	close(f.kick)
	f.kick = make(chan struct{})
	f.changed.Broadcast()
	f.work.Broadcast()
}
