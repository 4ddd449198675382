package engine

import (
	"context"
	"sync"
	"sync/atomic"

	"redrive/delivery"
)

// workerPool keeps the goroutines in which a sender is called, with all that an attempt needs of its own: it makes neither a goroutine,
// whose stack would have to grow, nor a channel.
type workerPool struct {
	mu     sync.Mutex
	idle   []*worker // who worked last stands last
	unused int       // of idle, from the beginning: not taken since prune
	closed bool
}

// worker makes one attempt after the other.
type worker struct {
	ctx     context.Context
	request delivery.Request
	begin   chan struct{}        // closed when it is to end
	answer  chan delivery.Result // has room for one
	settled atomic.Bool          // this attempt has an answer, or nobody waits for it any more
}

// take never waits: when nobody is free, one more joins the pool, who does work.
func (p *workerPool) take(work func(*worker)) *worker {
	p.mu.Lock()
	last := len(p.idle) - 1
	if last < 0 {
		p.mu.Unlock()
		w := &worker{begin: make(chan struct{}, 1), answer: make(chan delivery.Result, 1)}
		go work(w)
		return w
	}
	w := p.idle[last]
	p.idle[last] = nil
	p.idle, p.unused = p.idle[:last], min(p.unused, last)
	p.mu.Unlock()
	return w
}

// put takes back one that has answered.
func (p *workerPool) put(w *worker) {
	w.ctx, w.request = nil, delivery.Request{} // a payload must not stay
	w.settled.Store(false)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		close(w.begin)
		return
	}
	p.idle = append(p.idle, w)
}

// prune ends those that were not needed since it was called last.
func (p *workerPool) prune() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(p.unused)
	p.unused = len(p.idle)
}

// close ends all that are idle, and the others when they are.
func (p *workerPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.end(len(p.idle))
}

func (p *workerPool) end(n int) {
	for _, w := range p.idle[:n] {
		close(w.begin)
	}
	p.idle = append([]*worker(nil), p.idle[n:]...)
}
