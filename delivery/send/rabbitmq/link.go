package rabbitsend

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// confirmBuffer lets the library read on while confirms are handed out.
const confirmBuffer = 256

// line is a connection, which knows whether the broker holds publishers back.
type line struct {
	*amqp091.Connection
	mu      sync.Mutex
	blocked chan struct{} // closed when the broker takes messages again; nil while it does
	limit   atomic.Int64  // the largest message, once the broker said so; 0: not known
}

// link is one channel in confirm mode. It has the connection to itself.
type link struct {
	server  delivery.RabbitMQServer
	line    *line
	channel *amqp091.Channel
	down    chan struct{} // no confirm comes any more, and everybody was told

	mu       sync.Mutex
	pending  map[uint64]*publication // written, by delivery tag
	proven   chan struct{}           // closed with the first answer: the exchange is there and may be used
	isProven bool
	isLost   bool // nothing more becomes pending
}

func dial(ctx context.Context, dialer wire.Dialer, server delivery.RabbitMQServer) (*line, error) {
	conn, err := dialer.DialRabbitMQ(ctx, server)
	if err != nil {
		return nil, err
	}
	l := &line{Connection: conn}
	blocks := conn.NotifyBlocked(make(chan amqp091.Blocking, 1))
	go func() {
		for b := range blocks {
			l.block(b.Active)
		}
		l.block(false)
	}()
	return l, nil
}

func (l *line) block(active bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case active && l.blocked == nil:
		l.blocked = make(chan struct{})
	case !active && l.blocked != nil:
		close(l.blocked)
		l.blocked = nil
	}
}

// gate is closed when the broker takes messages again; nil while it does.
func (l *line) gate() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.blocked
}

// end closes the connection, also while the broker takes nothing from it.
func (l *line) end() { _ = l.CloseDeadline(time.Now().Add(closePatience)) } // closed in any case

// open dials, or opens another channel of a connection whose channel was closed.
func open(ctx context.Context, dialer wire.Dialer, server delivery.RabbitMQServer, before *link) (*link, error) {
	l := &link{server: server, pending: map[uint64]*publication{}, proven: make(chan struct{}), down: make(chan struct{})}
	var err error
	if before != nil && !before.line.IsClosed() {
		l.line = before.line
	} else if l.line, err = dial(ctx, dialer, server); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, l.line.end) // the calls below take no context
	defer stop()
	if l.channel, err = l.line.Channel(); err == nil {
		err = l.channel.Confirm(false)
	}
	if err != nil {
		l.line.end()
		return nil, errors.Join(err, ctx.Err())
	}
	confirms := l.channel.NotifyPublish(make(chan amqp091.Confirmation, confirmBuffer))
	returns := l.channel.NotifyReturn(make(chan amqp091.Return)) // no buffer: a return is handled before the ack that follows it
	closes := l.channel.NotifyClose(make(chan *amqp091.Error, 1))
	go l.listen(confirms, returns, closes)
	return l, nil
}

// listen hands out the broker's answers until the channel is closed.
func (l *link) listen(confirms chan amqp091.Confirmation, returns chan amqp091.Return, closes chan *amqp091.Error) {
	defer close(l.down)
	for {
		select {
		case c, ok := <-confirms:
			if !ok {
				l.lost(<-closes)
				return
			}
			l.confirmed(c)
		case r, ok := <-returns:
			if !ok {
				returns = nil
				continue
			}
			l.returned(r)
		}
	}
}

func (l *link) alive() bool { return !l.channel.IsClosed() }

// ready waits while the broker holds publishers back, and until the first message of the channel has its answer: if the
// broker closes the channel because of it, that is known to be its fault and nobody else's. False: the message or the
// channel is over.
func (l *link) ready(p *publication) bool {
	l.mu.Lock()
	proven := l.proven
	if len(l.pending) == 0 { // p is the first one
		proven = nil
	}
	l.mu.Unlock()
	for _, gate := range []chan struct{}{proven, l.line.gate()} {
		if gate == nil {
			continue
		}
		select {
		case <-gate:
		case <-p.ctx.Done():
			return false
		case <-l.down:
			return false
		}
	}
	return true
}

// publish writes the message; false: the channel was closed before, and nothing was written.
func (l *link) publish(p *publication) bool {
	switch limit := int(l.line.limit.Load()); {
	case p.headerSize > l.line.Config.FrameSize-frameReserve:
		p.finish(tooMuch)
		return true
	case limit > 0 && p.size > limit: // it would close the channel on the others
		p.finish(tooLarge)
		return true
	}
	tag := l.channel.GetNextPublishSeqNo()
	l.mu.Lock()
	if l.isLost {
		l.mu.Unlock()
		<-l.down
		return false
	}
	if !p.begin() {
		l.mu.Unlock()
		return true
	}
	l.pending[tag] = p
	l.mu.Unlock()
	p.written.Store(time.Now().UnixNano())
	err := l.channel.PublishWithContext(p.ctx, p.exchange, p.key, true, false, p.message)
	p.message.Body = nil // written: the confirm may be long in coming
	if err == nil {
		return true
	}
	l.mu.Lock()
	delete(l.pending, tag)
	l.mu.Unlock()
	if errors.Is(err, amqp091.ErrClosed) { // a frame of it was never written: the broker cannot have it
		p.finish(notSent)
		return true
	}
	p.finish(wire.Unanswered(context.Background(), nil))
	return true
}

func (l *link) prove() {
	if !l.isProven {
		l.isProven = true
		close(l.proven)
	}
}

// confirmed ends one message: it was taken, returned or refused.
func (l *link) confirmed(c amqp091.Confirmation) {
	l.mu.Lock()
	p := l.pending[c.DeliveryTag]
	delete(l.pending, c.DeliveryTag)
	l.prove()
	l.mu.Unlock()
	if p != nil {
		p.finish(p.answered(c.Ack))
	}
}

// returned marks the oldest message that it can be about; its ack follows.
func (l *link) returned(r amqp091.Return) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, _ := r.Headers[headerDelivery].(string)
	attempt, _ := r.Headers[headerAttempt].(string)
	for _, tag := range slices.Sorted(maps.Keys(l.pending)) {
		if p := l.pending[tag]; p.id == id && p.attempt == attempt && p.returned == 0 {
			p.returned, p.returnText = r.ReplyCode, r.ReplyText
			return
		}
	}
}

// lost ends everything that was written and not answered. reason is nil when we closed the channel ourselves.
func (l *link) lost(reason *amqp091.Error) {
	l.mu.Lock()
	l.isLost = true
	pending := l.pending
	l.pending = nil
	l.mu.Unlock()
	if _, limit := spokenSizes(reason); limit > 0 {
		l.line.limit.Store(int64(limit))
	}
	tags := slices.Sorted(maps.Keys(pending))
	culprit := blame(reason, l.line.IsClosed(), tags, pending)
	for _, tag := range tags {
		switch {
		case culprit == 0 || tag < culprit:
			pending[tag].finish(wire.Unanswered(context.Background(), nil))
		case tag == culprit:
			pending[tag].finish(closing(l.server, reason))
		default: // a broker ignores what follows on a channel that it closes
			pending[tag].finish(notTaken)
		}
	}
}
