package broker

import (
	"time"

	"redrive/delivery"
)

// work attempts messages until the shift ends.
func (s *shift) work() {
	for it := s.flight.next(); it != nil; it = s.flight.next() {
		s.attempt(it)
	}
}

// attempt makes the first attempt of a message and decides what follows.
func (s *shift) attempt(it *item) {
	request := delivery.Request{DeliveryID: it.deliveryID, IdempotencyKey: it.message.IdempotencyKey, Integration: s.c.in.Name, Attempt: 1, Message: s.message(it)}
	if request.IdempotencyKey == "" {
		request.IdempotencyKey = it.deliveryID
	}
	for {
		tried, wait, ok := s.c.cfg.Attempter.Try(s.sends, request)
		if ok {
			s.admitted(true)
			s.judge(it, tried)
			return
		}
		s.admitted(false)
		if s.c.traits.forgets {
			s.keep(it)
			return
		}
		if !s.waitWith(it, patience(wait)) {
			s.flight.giveUp(it)
			s.handBack(it)
			return
		}
	}
}

// waitWith waits with a message that may not be sent yet; false: give it up.
func (s *shift) waitWith(it *item, wait time.Duration) bool {
	dropped, kick := s.flight.kicked(it)
	if dropped {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-kick:
	}
	dropped, _ = s.flight.kicked(it)
	return !dropped
}

func (s *shift) judge(it *item, tried delivery.Tried) {
	verdict := s.c.in.Judge(tried.Result, 1)
	if verdict.Next == delivery.StateDelivered {
		s.flight.decided(it, false)
		s.out.add(outcome{item: it, kind: confirmed})
		return
	}
	p := s.parked(it, verdict.Next)
	tried.Result = tried.Conceal(it.message.Payload, s.c.in.Mask)
	p.Attempts, p.RetryIn = []delivery.Attempt{tried.Attempt(1)}, verdict.RetryIn
	s.park(it, p)
}

// message is what is sent and stored.
func (s *shift) message(it *item) delivery.Message {
	m := it.message
	m.ID, m.Kind, m.Integration = it.messageID, delivery.KindCommand, s.c.in.Name
	return m
}

func (s *shift) parked(it *item, next delivery.State) delivery.Parked {
	p := delivery.Parked{DeliveryID: it.deliveryID, Integration: s.c.in.Name, Message: s.message(it), InboxKey: it.inbox, Next: next}
	if s.c.in.Holds(next) {
		p.Lane = it.lane
	}
	return p
}

// park hands a message that is not delivered to the settler, and those of its key behind it.
func (s *shift) park(it *item, p delivery.Parked) {
	behind := s.flight.decided(it, p.Lane != "")
	s.out.add(outcome{item: it, kind: kept, parked: p})
	for _, b := range behind {
		s.out.add(outcome{item: b, kind: kept, parked: s.parked(b, delivery.StatePending)})
	}
}

// keep makes a message durable without an attempt: the engine makes it.
func (s *shift) keep(it *item) { s.park(it, s.parked(it, delivery.StatePending)) }

// bury makes a message a dead letter.
func (s *shift) bury(it *item, a delivery.Attempt) {
	if a.StartedAt.IsZero() {
		a.StartedAt = time.Now()
	}
	p := s.parked(it, delivery.StateDead)
	a.Error = delivery.Result{Error: a.Error}.Conceal(p.Message.Payload, s.c.in.Mask).Error
	p.Attempts = []delivery.Attempt{a}
	s.park(it, p)
}

// recognised acknowledges what was dealt with before.
func (s *shift) recognised(it *item) {
	s.flight.decided(it, false)
	s.out.add(outcome{item: it, kind: known})
}

// handBack gives a message back to its source; what has no other place to be, or could not be recognised when it comes again, is
// made durable instead.
func (s *shift) handBack(it *item) {
	unmatched := it.inbox == "" && !s.c.in.Repeatable() && !it.redelivered && it.message.Origin.Dead == nil && it.problem == ""
	if s.c.traits.forgets || unmatched {
		s.keep(it)
		return
	}
	s.flight.decided(it, false)
	s.out.add(outcome{item: it, kind: returned})
}
