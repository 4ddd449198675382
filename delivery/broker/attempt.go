package broker

import (
	"time"

	"redrive/delivery"
)

// work attempts messages until the session ends.
func (s *consumerSession) work() {
	for it := s.inFlight.next(); it != nil; it = s.inFlight.next() {
		s.attempt(it)
	}
}

// attempt makes the first attempt of a message and decides what follows.
func (s *consumerSession) attempt(it *arrival) {
	request := delivery.Request{
		DeliveryID:     it.deliveryID,
		IdempotencyKey: it.message.IdempotencyKey,
		Integration:    s.c.in.Name,
		Attempt:        1,
		Message:        s.message(it),
	}
	if request.IdempotencyKey == "" {
		request.IdempotencyKey = it.deliveryID
	}
	for {
		wait, done := s.try(it, request)
		if done {
			return
		}
		if !s.waitWith(it, wait) {
			s.inFlight.giveUp(it)
			s.handBack(it)
			return
		}
	}
}

// try makes the attempt if it may start now, else answers after how long to ask again. Without done nothing was sent.
func (s *consumerSession) try(it *arrival, r delivery.Request) (wait time.Duration, done bool) {
	if s.toNote(it) {
		if wait, ok := s.c.cfg.Attempter.Admits(s.c.in.Name); !ok { // a note is for what really starts
			return s.refused(it, wait)
		}
		note, err := s.notes.note(it.inbox)
		if err != nil {
			return maxAsk, false // the log of attempts said so
		}
		if note.State != delivery.InboxNew { // another process was faster
			s.foundNoted(it, note)
			return 0, true
		}
		it.begun = true
	}
	tried, wait, ok := s.c.cfg.Attempter.Try(s.sends, r)
	if !ok {
		s.takeBack(it)
		return s.refused(it, wait)
	}
	s.admitted(true)
	s.judge(it, tried)
	return 0, true
}

// refused is what becomes of a message that may not be sent now: it waits, unless it may not wait in our hands.
func (s *consumerSession) refused(it *arrival, wait time.Duration) (ask time.Duration, done bool) {
	s.admitted(false)
	if s.c.traits.forgets || s.unmatched(it) && !s.isLost() {
		s.keep(it)
		return 0, true
	}
	return patience(wait), false
}

// waitWith waits with a message that may not be sent yet; false: give it up.
func (s *consumerSession) waitWith(it *arrival, wait time.Duration) bool {
	dropped, kick := s.inFlight.kicked(it)
	if dropped {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-kick:
	}
	dropped, _ = s.inFlight.kicked(it)
	return !dropped
}

func (s *consumerSession) judge(it *arrival, tried delivery.Tried) {
	verdict := s.c.in.Judge(tried.Result, 1)
	if verdict.Next == delivery.StateDelivered {
		s.inFlight.decided(it, false)
		if s.c.traits.forgets { // nobody brings it again: what is left to write is a count
			s.inFlight.answered(it)
		}
		s.out.add(outcome{item: it, kind: confirmed})
		return
	}
	p := s.parked(it, verdict.Next)
	p.Attempts, p.RetryIn = []delivery.Attempt{tried.Attempt(1)}, verdict.RetryIn
	s.park(it, p)
}

// message is what is sent and stored.
func (s *consumerSession) message(it *arrival) delivery.Message {
	m := it.message
	m.ID, m.Kind, m.Integration = it.messageID, delivery.KindCommand, s.c.in.Name
	return m
}

func (s *consumerSession) parked(it *arrival, next delivery.State) delivery.Parked {
	p := delivery.Parked{
		DeliveryID:  it.deliveryID,
		Integration: s.c.in.Name,
		Message:     s.message(it),
		InboxKey:    it.inbox,
		Next:        next,
	}
	if s.c.in.Holds(next) {
		p.Lane = it.lane
	}
	return p
}

// park hands a message that is not delivered to the settler, and those of its key behind it.
func (s *consumerSession) park(it *arrival, p delivery.Parked) {
	behind := s.inFlight.decided(it, p.Lane != "")
	s.out.add(outcome{item: it, kind: kept, parked: &p})
	for _, b := range behind {
		s.out.add(outcome{item: b, kind: kept, parked: new(s.parked(b, delivery.StatePending))})
	}
}

// keep makes a message durable without an attempt: the engine makes it.
func (s *consumerSession) keep(it *arrival) { s.park(it, s.parked(it, delivery.StatePending)) }

// bury makes a message a dead letter.
func (s *consumerSession) bury(it *arrival, a delivery.Attempt) {
	if a.StartedAt.IsZero() {
		a.StartedAt = time.Now()
	}
	p := s.parked(it, delivery.StateDead)
	p.Attempts = []delivery.Attempt{a.Conceal(p.Message.Payload, s.c.cfg.Masks.For(p.Message, s.c.in.Name))}
	s.park(it, p)
}

// uncertain is for a person: an attempt of this message started, and nobody knows how it ended. Where no note says when, it is dated
// when it is found.
func (s *consumerSession) uncertain(it *arrival, started time.Time) {
	s.bury(it, delivery.Attempt{
		Number:     1,
		StartedAt:  started,
		Outcome:    delivery.OutcomeUnknown,
		ErrorClass: delivery.ClassLeaseLost,
		Error:      delivery.ErrorRedelivered,
	})
}

// foundNoted decides about a message that somebody else attempted, or attempts.
func (s *consumerSession) foundNoted(it *arrival, note delivery.InboxNote) {
	if note.State == delivery.InboxDone {
		s.recognised(it)
	} else {
		s.uncertain(it, note.At)
	}
}

// recognised acknowledges what was dealt with before.
func (s *consumerSession) recognised(it *arrival) {
	s.inFlight.decided(it, false)
	s.out.add(outcome{item: it, kind: known})
}

// unmatched says of a message that was not attempted whether it would be taken for one that was, when it comes again.
func (s *consumerSession) unmatched(it *arrival) bool {
	return it.inbox == "" && !s.c.in.Repeatable() && !it.redelivered && it.message.Origin.Dead == nil && it.problem == ""
}

// handBack gives a message back to its source; what has no other place to be, or could not be recognised when it comes again, is
// made durable instead. What a lost connection brought comes again whatever we do.
func (s *consumerSession) handBack(it *arrival) {
	if s.c.traits.forgets || it.last || s.unmatched(it) && !s.isLost() {
		s.keep(it)
		return
	}
	s.inFlight.decided(it, false)
	s.out.add(outcome{item: it, kind: returned})
}
