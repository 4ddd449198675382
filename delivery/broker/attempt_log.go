package broker

import (
	"context"
	"runtime"
	"sync"

	"redrive/delivery"
)

// attemptLog notes attempts just before they start, those that start at about the same time together: after a crash exactly these
// have an outcome that nobody knows.
type attemptLog struct {
	begin func(keys []string) (map[string]delivery.InboxNote, error)

	mu      sync.Mutex
	writing bool
	next    *page
	doubts  map[string]bool // keys of writes whose answer was lost
}

// page is what is written at once.
type page struct {
	keys    []string
	written chan struct{}
	found   map[string]delivery.InboxNote
	err     error
}

// note returns delivery.InboxNew once it is durable that the attempt of a message starts, else what was known of it before.
func (n *attemptLog) note(key string) (delivery.InboxNote, error) {
	n.mu.Lock()
	if n.next == nil {
		n.next = &page{written: make(chan struct{})}
	}
	p := n.next
	p.keys = append(p.keys, key)
	if !n.writing {
		n.writing = true
		go n.write()
	}
	n.mu.Unlock()
	<-p.written
	return p.found[key], p.err
}

// write writes page after page until there is none.
func (n *attemptLog) write() {
	for {
		runtime.Gosched() // attempts that may start at the same moment, since outcomes were written, stand on one page
		n.mu.Lock()
		p := n.next
		n.next, n.writing = nil, p != nil
		n.mu.Unlock()
		if p == nil {
			return
		}
		p.found, p.err = n.begin(p.keys)
		n.settle(p)
		close(p.written)
	}
}

// settle tells a note of ours, written by a try whose answer was lost, from somebody else's.
func (n *attemptLog) settle(p *page) {
	for _, key := range p.keys {
		switch {
		case p.err != nil:
			if n.doubts == nil {
				n.doubts = map[string]bool{}
			}
			n.doubts[key] = true
		case n.doubts[key]:
			if p.found[key].State == delivery.InboxStarted {
				delete(p.found, key)
			}
			delete(n.doubts, key)
		}
	}
}

// toNote reports whether the attempt of a message is to be noted: its receiver keeps duplicates, and it can be recognised.
func (s *consumerSession) toNote(it *arrival) bool {
	return !s.c.in.Repeatable() && it.inbox != "" && !it.begun
}

func (s *consumerSession) noteAll(keys []string) (map[string]delivery.InboxNote, error) {
	ctx, cancel := context.WithTimeout(s.sends, queryTimeout)
	defer cancel()
	found, err := s.c.cfg.Store.Begin(ctx, s.c.in.Name, keys)
	if err != nil && s.sends.Err() == nil {
		s.c.log.ErrorContext(ctx, "noting attempts failed, will be tried again", "error", err)
	}
	return found, err
}

// takeBack strikes the note of an attempt that did not start; what fails is tried again when the message is given back.
func (s *consumerSession) takeBack(it *arrival) {
	if !it.begun {
		return
	}
	ctx, cancel := context.WithTimeout(s.sends, queryTimeout)
	defer cancel()
	if err := s.c.cfg.Store.Unbegin(ctx, s.c.in.Name, []string{it.inbox}); err == nil {
		it.begun = false
	}
}
