// Package rabbitsend publishes messages to RabbitMQ with confirms: a message counts as delivered when the broker says that it
// has it. One goroutine per destination writes, so that many messages are under way on one channel without locks.
package rabbitsend

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"redrive/delivery"
	"redrive/delivery/wire"
)

const (
	closePatience = 2 * time.Second
	redialFirst   = 100 * time.Millisecond
	redialMost    = 5 * time.Second
)

// Sender publishes to one exchange.
type Sender struct {
	to     delivery.RabbitMQDestination
	dialer wire.Dialer
	jobs   chan *publication
	ctx    context.Context // ends with Close
	end    context.CancelFunc
	ended  chan struct{} // the writer has returned
	once   sync.Once
	link   atomic.Pointer[link] // the latest connection; only the writer replaces it

	// of the writer alone
	pause   *backoff.ExponentialBackOff
	redial  time.Time       // no connection is tried before
	refusal delivery.Result // why the last one failed
}

var _ delivery.Sender = (*Sender)(nil)

// New checks the destination; nothing is dialled before the first message.
func New(d delivery.RabbitMQDestination, dialer wire.Dialer) (*Sender, error) {
	if err := wire.CheckRabbitMQ(d.RabbitMQServer); err != nil {
		return nil, err
	}
	if len(d.Exchange) > maxShort || len(d.RoutingKey) > maxShort {
		return nil, errors.New("exchange and routing_key of a rabbitmq destination have at most 255 bytes")
	}
	if d.Timeout <= 0 {
		d.Timeout = delivery.DefaultTimeout
	}
	s := &Sender{
		to:     d,
		dialer: dialer,
		jobs:   make(chan *publication),
		ended:  make(chan struct{}),
		pause:  backoff.NewExponentialBackOff(),
	}
	s.pause.InitialInterval, s.pause.MaxInterval = redialFirst, redialMost
	s.ctx, s.end = context.WithCancel(context.Background())
	go s.write()
	return s, nil
}

// Close ends the connection. What is not confirmed by then has an unknown outcome.
func (s *Sender) Close() error {
	s.once.Do(func() {
		s.end()
		if l := s.link.Load(); l != nil {
			l.line.end() // also ends a write that the broker does not take
		}
		<-s.ended
	})
	return nil
}

// Send publishes once within the destination's timeout.
func (s *Sender) Send(ctx context.Context, r delivery.Request) (result delivery.Result) {
	ctx, cancel := context.WithTimeout(ctx, s.to.Timeout)
	defer cancel()
	p, err := s.publication(ctx, r)
	if err != nil {
		return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassBadRequest, Error: err.Error()}
	}
	defer func() {
		if r.Tells(result) {
			result.Exchange = p.told(result)
		}
	}()
	if err := ctx.Err(); err != nil {
		return wire.Unsent(wire.Broker, err)
	}
	select {
	case s.jobs <- p:
	case <-ctx.Done():
		return s.untaken(ctx)
	case <-s.ctx.Done():
		return wire.Unsent(wire.Broker, context.Canceled)
	}
	select {
	case result := <-p.result:
		return result
	case <-ctx.Done():
	}
	if p.abandon() {
		return s.untaken(ctx)
	}
	return s.unconfirmed(ctx, p)
}

// untaken is for what was not written in time.
func (s *Sender) untaken(ctx context.Context) delivery.Result {
	if l := s.link.Load(); l != nil && l.line.gate() != nil {
		return delivery.Result{
			Outcome:    delivery.OutcomeTransient,
			ErrorClass: delivery.ClassBrokerBlocked,
			Error:      blockedSentence,
		}
	}
	return wire.Unsent(wire.Broker, ctx.Err())
}

// unconfirmed is for what was written and not confirmed in time; the answer may just have come.
func (s *Sender) unconfirmed(ctx context.Context, p *publication) delivery.Result {
	select {
	case result := <-p.result:
		return result
	default:
	}
	result := wire.Unanswered(ctx, ctx.Err())
	if l := s.link.Load(); l != nil && l.line.gate() != nil {
		result.ErrorClass, result.Error = delivery.ClassBrokerBlocked, "the broker raised an alarm and holds publishers back; the message was already on its way"
	}
	return result
}

// write is the one goroutine that connects and publishes.
func (s *Sender) write() {
	defer close(s.ended)
	defer func() {
		if l := s.link.Load(); l != nil {
			l.line.end()
			<-l.down
		}
	}()
	for {
		select {
		case p := <-s.jobs:
			s.publish(p)
		case <-s.ctx.Done():
			return
		}
	}
}

// publish writes one message, on a new connection if need be: what a dead one did not take is no attempt.
func (s *Sender) publish(p *publication) {
	for p.waits() && p.ctx.Err() == nil {
		before, began := s.link.Load(), time.Now()
		l, failed := s.connected()
		if s.link.Load() != before {
			p.connecting.Store(int64(time.Since(began)))
		}
		if failed != nil {
			p.finish(*failed)
			return
		}
		if !l.ready(p) {
			continue
		}
		if taken := l.publish(p); taken {
			return
		}
	}
}

// connected returns a living connection, or why there is none.
func (s *Sender) connected() (*link, *delivery.Result) {
	l := s.link.Load()
	if l != nil && l.alive() {
		return l, nil
	}
	if time.Now().Before(s.redial) {
		return nil, &s.refusal
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.to.Timeout)
	defer cancel()
	l, err := open(ctx, s.dialer, s.to.RabbitMQServer, l)
	if err != nil {
		s.refusal = opening(s.to.RabbitMQServer, err)
		s.redial = time.Now().Add(s.pause.NextBackOff())
		return nil, &s.refusal
	}
	s.pause.Reset()
	s.link.Store(l)
	if s.ctx.Err() != nil { // Close did not see it
		l.line.end()
	}
	return l, nil
}
