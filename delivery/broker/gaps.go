package broker

import (
	"context"
	"sync"
	"time"

	"redrive/delivery"
)

const (
	beatEvery  = 2 * time.Second // how exactly the end of a process that was killed is known
	lookEvery  = 5               // beats between two looks at what others noted
	goodbye    = 3 * time.Second
	gapTimeout = 10 * time.Second
)

// listener is whether this process listens to a source that forgets.
type listener struct {
	worker string

	mu           sync.Mutex
	since, heard time.Time // zero since: it does not
}

func (e *listener) set(since, heard time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.since, e.heard = since, heard
}

// listening returns what to note of it; a process that stopped to listen still knows when it last heard something.
func (e *listener) listening(in delivery.Integration) (l delivery.Listening, now bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l = delivery.Listening{Integration: in.Name, Place: in.Broker.Address(), Worker: e.worker, Heard: time.Since(e.heard)}
	if e.since.IsZero() {
		return l, false
	}
	l.Since = time.Since(e.since)
	return l, true
}

// gaps are the times and places where messages may have been lost: what the database knows, and what is to be written there.
type gaps struct {
	changed chan struct{}

	mu      sync.Mutex
	known   int64
	last    delivery.SourceGap
	unsaved []delivery.SourceGap
}

func (g *gaps) seen() (n int64, last delivery.Phrase) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.unsaved); n > 0 {
		return g.known + int64(n), g.unsaved[n-1].Phrase()
	}
	return g.known, g.last.Phrase()
}

// gap notes that the source may have dropped messages.
func (c *Consumer) gap(g delivery.SourceGap) {
	c.gaps.mu.Lock()
	c.gaps.unsaved = append(c.gaps.unsaved, g)
	c.gaps.mu.Unlock()
	select {
	case c.gaps.changed <- struct{}{}:
	default:
	}
	c.log.Warn("messages may have been lost at the source", "what", g.Phrase().English())
}

// watchGaps writes gaps down, shows that this process listens, and finds out for how long none did.
func (c *Consumer) watchGaps(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for beats := 0; ; beats++ {
		c.saveGaps(ctx)
		if c.traits.forgets {
			c.listen(ctx)
		}
		if beats%lookEvery == 0 {
			c.lookAtGaps(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.gaps.changed:
		}
	}
}

// listen shows that this process listens.
func (c *Consumer) listen(ctx context.Context) {
	l, ok := c.listener.listening(c.in)
	if !ok {
		return
	}
	limited, cancel := context.WithTimeout(ctx, gapTimeout)
	defer cancel()
	gap, err := c.cfg.Store.Listen(limited, l)
	switch {
	case err != nil && ctx.Err() == nil:
		c.log.WarnContext(ctx, "noting that the source is listened to failed, will be tried again", "error", err)
	case gap != nil:
		c.log.WarnContext(ctx, "messages may have been lost at the source", "what", gap.Phrase().English())
		c.lookAtGaps(ctx)
	}
}

// unlisten says goodbye: from now on nobody listens, as far as this process knows.
func (c *Consumer) unlisten(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	c.saveGaps(limited)
	if l, _ := c.listener.listening(c.in); c.traits.forgets {
		if err := c.cfg.Store.Unlisten(limited, l); err != nil {
			c.log.WarnContext(ctx, "noting the end of listening failed: the gap will seem longer than it is", "error", err)
		}
	}
}

// saveGaps writes down what was noted; what fails stays for the next time.
func (c *Consumer) saveGaps(ctx context.Context) {
	for {
		c.gaps.mu.Lock()
		if len(c.gaps.unsaved) == 0 {
			c.gaps.mu.Unlock()
			return
		}
		g := c.gaps.unsaved[0]
		c.gaps.mu.Unlock()
		limited, cancel := context.WithTimeout(ctx, gapTimeout)
		err := c.cfg.Store.NoteGap(limited, c.in.Name, c.in.Broker.Address(), g)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				c.log.WarnContext(ctx, "writing a gap down failed, will be tried again", "error", err)
			}
			return
		}
		c.gaps.mu.Lock()
		c.gaps.unsaved, c.gaps.known, c.gaps.last = c.gaps.unsaved[1:], c.gaps.known+1, g
		c.gaps.mu.Unlock()
	}
}

// lookAtGaps reads what was noted so far, by whomever.
func (c *Consumer) lookAtGaps(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, gapTimeout)
	defer cancel()
	n, last, err := c.cfg.Store.SourceGaps(limited, c.in.Name)
	if err != nil {
		return // the beat said so
	}
	c.gaps.mu.Lock()
	defer c.gaps.mu.Unlock()
	c.gaps.known, c.gaps.last = n, last
}
