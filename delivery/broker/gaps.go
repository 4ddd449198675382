package broker

import (
	"context"
	"errors"
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
	known   delivery.SourceGaps
	unsaved []delivery.SourceGap
}

// seen are those that are written down and those that are not yet.
func (g *gaps) seen() delivery.SourceGaps {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.known
	if n := len(g.unsaved); n > 0 {
		all.Count, all.Last = all.Count+int64(n), g.unsaved[n-1]
	}
	return all
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
		_, err := c.cfg.Store.NoteGap(limited, delivery.NotedGap{Integration: c.in.Name, Place: c.in.Broker.Address(), SourceGap: g})
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				c.log.WarnContext(ctx, "writing a gap down failed, will be tried again", "error", err)
			}
			return
		}
		c.gaps.mu.Lock()
		c.gaps.unsaved, c.gaps.known.Last = c.gaps.unsaved[1:], g
		c.gaps.known.Count++
		c.gaps.mu.Unlock()
	}
}

// lookAtGaps reads what was noted so far, by whomever.
func (c *Consumer) lookAtGaps(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, gapTimeout)
	defer cancel()
	known, err := c.cfg.Store.SourceGaps(limited, c.in.Name)
	if err != nil {
		return // the beat said so
	}
	c.gaps.mu.Lock()
	defer c.gaps.mu.Unlock()
	c.gaps.known = known
}

// errHeld ends a session whose integration a gap has paused.
var errHeld = errors.New("a gap was found: the integration is paused")

// noteGaps writes gaps of a source with positions down before anything behind them is read. Each is noted once, whoever finds it.
func (c *Consumer) noteGaps(ctx context.Context, list []delivery.NotedGap) error {
	ctx, cancel := context.WithTimeout(ctx, gapTimeout)
	defer cancel()
	noted := list[:0]
	for _, g := range c.ofThis(list) {
		is, err := c.cfg.Store.NoteGap(ctx, g)
		if err != nil {
			return err
		}
		if is {
			noted = append(noted, g)
		}
	}
	return c.wereNoted(ctx, noted)
}

// keepTopic keeps what a topic is like, with what was lost by that.
func (c *Consumer) keepTopic(ctx context.Context, was, now delivery.SourceTopic, list []delivery.NotedGap) (kept bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, gapTimeout)
	defer cancel()
	list = c.ofThis(list)
	if kept, err = c.cfg.Store.KeepTopic(ctx, was, now, list); err != nil || !kept {
		return kept, err
	}
	return true, c.wereNoted(ctx, list)
}

func (c *Consumer) ofThis(list []delivery.NotedGap) []delivery.NotedGap {
	for n := range list {
		g := &list[n]
		g.Integration, g.Place, g.Hold = c.in.Name, c.in.Broker.Address(), c.in.Broker.OnGap == delivery.OnGapStop
	}
	return list
}

// wereNoted says what was found, and reports whether the integration is paused by it.
func (c *Consumer) wereNoted(ctx context.Context, list []delivery.NotedGap) (held error) {
	for _, g := range list {
		c.log.WarnContext(ctx, "the source is not as it was left", "what", g.Phrase())
		if g.Hold && !g.Notice {
			c.held.Store(true)
			held = errHeld
		}
	}
	if len(list) > 0 {
		c.lookAtGaps(ctx)
	}
	return held
}

// stillHeld asks whether a person has let the integration go on after a gap.
func (c *Consumer) stillHeld(ctx context.Context) bool {
	if !c.held.Load() {
		return false
	}
	limited, cancel := context.WithTimeout(ctx, gapTimeout)
	defer cancel()
	states, err := c.cfg.Store.IntegrationStates(limited)
	if err == nil && states[c.in.Name].PausedAt == nil {
		c.held.Store(false)
	}
	return c.held.Load()
}

// regardless reports whether messages are taken although nothing may be sent: what would be lost otherwise, and somebody else's dead
// letters, which are not sent. Where a gap is to stop the reading, a pause stops it too.
func (c *Consumer) regardless() bool {
	return c.traits.forgets || c.in.Broker.DeadLetters && c.in.Broker.OnGap != delivery.OnGapStop
}
