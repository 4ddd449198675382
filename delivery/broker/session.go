package broker

import (
	"context"
	"errors"
	"sync"
	"time"

	"redrive/delivery"
)

// errStalled ends a session whose messages may not be sent for longer than its broker bears.
var errStalled = errors.New("messages may not be sent")

// drained is how many messages are made durable at once when a session ends.
const drained = 256

// consumerSession is the work on one session. It ends with empty hands: nothing of it is attempted or written after it.
type consumerSession struct {
	c        *Consumer
	session  session
	inFlight *inFlightSet
	notes    attemptLog
	out      outbox
	sends    context.Context // attempts under way end with it
	writes   context.Context // outcomes are written until it ends
	stop     context.CancelCauseFunc
	stallsMu sync.Mutex
	stalled  time.Time // since when attempts have not been admitted; zero: they are
}

var _ holder = (*consumerSession)(nil)

func (c *Consumer) newSession(sends, writes context.Context) *consumerSession {
	slots, prefetch := 0, c.prefetch
	if !c.in.Repeatable() ||
		c.traits.forgets { // after a crash, attempts whose outcome is not written bother a person, or are lost
		slots = c.in.Concurrency
	}
	if c.traits.forgets {
		prefetch += slots // a message whose first attempt runs takes no place from one that is being stored
	}
	s := &consumerSession{c: c, inFlight: newInFlightSet(prefetch, slots), sends: sends, writes: writes}
	s.notes.begin = s.noteAll
	s.out.changed = sync.NewCond(&s.out.mu)
	return s
}

// run works until the session is lost, stalls, or taking ends, then empties its hands. left counts what could not be written.
func (s *consumerSession) run(taking context.Context) (left int, err error) {
	ctx, stop := context.WithCancelCause(taking)
	defer stop(nil)
	s.stop = stop
	s.c.watch(s)
	defer s.c.watch(nil)
	var workers, settler sync.WaitGroup
	for range s.c.in.Concurrency {
		workers.Go(s.work)
	}
	settler.Go(func() { left = s.settleLoop(s.writes) })
	lossNoticed := make(chan struct{})
	go func() {
		defer close(lossNoticed)
		select {
		case <-s.session.lost():
			stop(errLost)
		case <-ctx.Done():
		}
	}()
	err = s.take(ctx)
	stop(err)
	<-lossNoticed
	s.stopTaking()
	s.inFlight.close()
	workers.Wait()
	s.handBackAll()
	s.out.close()
	settler.Wait()
	closing, cancel := context.WithTimeout(context.WithoutCancel(taking), finalWrites)
	defer cancel()
	closeErr := s.session.close(closing)
	if errors.Is(err, errLost) && closeErr != nil {
		err = delivery.Fault("error.because", "what", errLost, "why", closeErr)
	}
	return left, err
}

// errLost is why a session ends that can acknowledge nothing more; the session knows better.
var errLost = delivery.Fault("source.lost")

// stopTaking stops the source and gives back at once what no worker has begun; where there is an order, what is under way is
// decided first.
func (s *consumerSession) stopTaking() {
	if err := s.session.stop(); err != nil {
		s.c.log.Debug("stopping to consume", "error", s.c.secrets.Replace(err.Error()))
	}
	if s.c.traits.forgets || s.c.traits.nameless && !s.isLost() {
		s.drain()
	}
	if !s.c.in.Ordered {
		s.handBackAll()
	}
}

func (s *consumerSession) handBackAll() {
	for _, it := range s.inFlight.withdraw(func(*taken) bool { return true }) {
		s.handBack(it)
	}
}

// isLost reports whether nothing more can be acknowledged.
func (s *consumerSession) isLost() bool {
	select {
	case <-s.session.lost():
		return true
	default:
		return false
	}
}

// drain takes what has been handed over already and would be lost, or not recognised when it comes again, and makes it durable.
func (s *consumerSession) drain() {
	for {
		list, err := s.session.receive(s.writes, drained)
		if len(list) > 0 {
			s.arrived(s.writes, list, true)
		}
		if err != nil {
			return
		}
	}
}

// take receives while there is room and attempts are admitted.
func (s *consumerSession) take(ctx context.Context) error {
	for {
		if err := s.mayTake(ctx); err != nil {
			return err
		}
		n := s.inFlight.room(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		list, err := s.session.receive(ctx, n)
		if len(list) > 0 {
			s.arrived(ctx, list, false)
		}
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if err != nil {
			return err
		}
	}
}

// mayTake waits while attempts are not admitted: messages stay at the source.
func (s *consumerSession) mayTake(ctx context.Context) error {
	if s.c.held.Load() {
		return errHeld
	}
	if s.c.regardless() {
		return nil
	}
	for {
		wait, ok := s.c.cfg.Attempter.Admits(s.c.in.Name)
		if ok {
			s.admitted(true)
			return nil
		}
		s.admitted(false)
		if !delivery.Pause(ctx, patience(wait)) {
			return context.Cause(ctx)
		}
	}
}

// admitted notes whether attempts may start, and ends the session when its broker has borne it for long enough that they may
// not.
func (s *consumerSession) admitted(ok bool) {
	s.stallsMu.Lock()
	defer s.stallsMu.Unlock()
	switch {
	case ok && s.stalled.IsZero():
	case ok:
		s.stalled = time.Time{}
		s.c.status(delivery.SourceConnected, delivery.Phrase{})
	case s.stalled.IsZero():
		s.stalled = time.Now()
		s.c.status(delivery.SourceWaiting, delivery.Say("source.held"))
		if s.c.traits.nameless { // after a crash, a message that only waited here could not be told from one that was attempted
			s.stop(errStalled)
		}
	case s.c.traits.impatient && time.Since(s.stalled) > s.c.cfg.Patience:
		s.stop(errStalled)
	}
}

// release implements holder.
func (s *consumerSession) release(ctx context.Context, match func(*taken) bool) {
	for _, it := range s.inFlight.withdraw(match) {
		s.handBack(it)
	}
	s.inFlight.settled(ctx, match)
}

// status implements holder.
func (s *consumerSession) status(status delivery.SourceStatus, why delivery.Phrase) {
	s.c.status(status, why.With(s.c.secrets.Replace))
}

// gap implements holder.
func (s *consumerSession) gap(g delivery.SourceGap) {
	g.What = g.What.With(s.c.secrets.Replace)
	s.c.gap(g)
}

// found implements holder.
func (s *consumerSession) found(ctx context.Context, list []delivery.NotedGap) error {
	return s.c.noteGaps(ctx, list)
}

// changed implements holder.
func (s *consumerSession) changed(ctx context.Context, was, now delivery.SourceTopic, list []delivery.NotedGap) (bool, error) {
	return s.c.keepTopic(ctx, was, now, list)
}

// listens implements holder.
func (s *consumerSession) listens(since, heard time.Time) { s.c.listener.set(since, heard) }
