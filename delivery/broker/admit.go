package broker

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"redrive/delivery"
)

const (
	firstRetry   = 50 * time.Millisecond
	lastRetry    = 5 * time.Second
	queryTimeout = 30 * time.Second
)

// arrived registers what was received and decides what becomes of it: attempted, kept, or recognised.
func (s *consumerSession) arrived(ctx context.Context, list []*taken, spilling bool) {
	items := make([]*arrival, len(list))
	for i, t := range list {
		items[i] = s.newItem(t)
	}
	s.c.facts.change(func(f *delivery.SourceFacts) { f.Received += int64(len(list)) })
	fresh := s.wanted(s.inFlight.arrive(items))
	s.session.registered()
	states, blocked, ok := s.lookUp(ctx, fresh)
	for _, it := range fresh {
		if !ok || s.inFlight.isDropped(it) {
			s.handBack(it)
			continue
		}
		s.place(it, states[it.inbox], blocked[it.lane], spilling)
	}
}

// wanted lets messages pass that the integration does not subscribe to; what cannot be read is for a person to see.
func (s *consumerSession) wanted(list []*arrival) []*arrival {
	types := s.c.in.Subscribe
	if len(types) == 0 {
		return list
	}
	kept := list[:0]
	for _, it := range list {
		if it.problem == "" && !slices.Contains(types, it.message.Type) {
			s.inFlight.decided(it, false)
			s.out.add(outcome{item: it, kind: unwanted})
			continue
		}
		kept = append(kept, it)
	}
	return kept
}

func (s *consumerSession) newItem(t *taken) *arrival {
	it := &arrival{taken: t, inbox: t.identity}
	it.messageID, it.deliveryID = ids(s.c.in.Name, t.identity)
	if s.c.in.Ordered && t.message.Origin.Dead == nil {
		it.lane = t.message.Key
	}
	if t.identity == "" {
		s.c.unmatched()
	}
	return it
}

// lookUp asks the database about all of them at once, and again until it answers; without ok ctx has ended.
func (s *consumerSession) lookUp(
	ctx context.Context,
	list []*arrival,
) (states map[string]delivery.InboxNote, blocked map[string]bool, ok bool) {
	var keys, lanes []string
	for _, it := range list {
		if it.inbox != "" {
			keys = append(keys, it.inbox)
		}
		if it.lane != "" {
			lanes = append(lanes, it.lane)
		}
	}
	store, name := s.c.cfg.Store, s.c.in.Name
	if len(keys) > 0 {
		ok = s.insist(ctx, "looking up messages", func(ctx context.Context) (err error) {
			states, err = store.Inbox(ctx, name, keys)
			return err
		})
		if !ok {
			return nil, nil, false
		}
	}
	if len(lanes) > 0 {
		s.inFlight.forgetHeld()
		ok = s.insist(ctx, "looking up blocked keys", func(ctx context.Context) (err error) {
			blocked, err = store.BlockedKeys(ctx, name, lanes)
			return err
		})
		return states, blocked, ok
	}
	return states, blocked, true
}

// insist repeats a query until it succeeds; false: ctx has ended.
func (s *consumerSession) insist(ctx context.Context, what string, query func(context.Context) error) bool {
	for wait := firstRetry; ; wait = min(wait*2, lastRetry) {
		limited, cancel := context.WithTimeout(ctx, queryTimeout)
		err := query(limited)
		cancel()
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.c.log.ErrorContext(ctx, what+" failed, will be tried again", "error", err)
		if !delivery.Pause(ctx, wait) {
			return false
		}
	}
}

// place decides what becomes of one message.
func (s *consumerSession) place(it *arrival, note delivery.InboxNote, blocked, spilling bool) {
	dead, state := it.message.Origin.Dead, note.State
	if state == delivery.InboxDone && it.firstTime { // it died once more, and looks the same
		it.inbox += " " + rand.Text()
		it.messageID, it.deliveryID = ids(s.c.in.Name, it.inbox)
		state = delivery.InboxNew
	}
	switch {
	case state == delivery.InboxDone:
		s.recognised(it)
	case it.problem != "":
		s.bury(it, delivery.Attempt{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassBadRequest, Error: it.problem})
	case dead != nil:
		s.bury(it, delivery.Attempt{
			StartedAt:  buried(it.message.Origin),
			Outcome:    delivery.OutcomePermanent,
			ErrorClass: delivery.ClassForeign,
			Error:      dead.Error,
			Response:   it.trace,
		})
	case state == delivery.InboxStarted, it.inbox == "" && it.redelivered && !s.c.in.Repeatable():
		s.uncertain(it, note.At)
	case it.lane != "" && (s.c.traits.forgets || blocked || s.inFlight.blocked(it.lane)), spilling, it.last:
		s.keep(it)
	case s.c.traits.forgets:
		if !s.inFlight.start(it) {
			s.keep(it)
		}
	default:
		s.inFlight.enqueue(it)
	}
}

// buried is when an entry of a foreign dead-letter queue got there.
func buried(o *delivery.Origin) time.Time {
	if o.Broker == delivery.BrokerRabbitMQ && !o.Dead.At.IsZero() {
		return o.Dead.At
	}
	return o.At
}
