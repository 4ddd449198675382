package rabbitsend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"redrive/delivery"
	"redrive/delivery/wire"
)

const (
	maxShort     = 255     // bytes of what AMQP calls a short string
	frameReserve = 4 << 10 // of the frame with the headers: everything in it but headers
)

// publication is one message on its way.
type publication struct {
	ctx           context.Context // ends with the attempt
	exchange, key string
	message       amqp091.Publishing
	id, attempt   string // delivery and attempt: what a return is recognised by
	size          int
	headerSize    int
	stage         atomic.Int32
	result        chan delivery.Result // takes one
	back          bool                 // RabbitMQ brought it: what it has, it takes
	returned      uint16               // reply code of a return; guarded by the link
	returnText    string               // its reply text
	connecting    atomic.Int64         // nanoseconds that a connection took which was opened for it
	written       atomic.Int64         // when it was written, in nanoseconds since 1970; 0: it was not
}

const (
	stageWaiting   = iota // nothing was written
	stageWritten          // it may have arrived
	stageAbandoned        // whoever asked has gone; it must not be written any more
)

func (p *publication) waits() bool   { return p.stage.Load() == stageWaiting }
func (p *publication) begin() bool   { return p.stage.CompareAndSwap(stageWaiting, stageWritten) }
func (p *publication) abandon() bool { return p.stage.CompareAndSwap(stageWaiting, stageAbandoned) }

// finish reports the outcome; the first one counts.
func (p *publication) finish(r delivery.Result) {
	select {
	case p.result <- r:
	default:
	}
}

// told is what is kept of an attempt.
func (p *publication) told(r delivery.Result) *delivery.Exchange {
	e := delivery.Exchange{Facts: []delivery.HeaderLine{{delivery.FactExchange, p.exchange}, {delivery.FactRoutingKey, p.key}}}
	if r.Outcome == delivery.OutcomeOK {
		e.Facts = append(e.Facts, delivery.HeaderLine{delivery.FactConfirm, "ack"})
	}
	e.Took(delivery.StepConnect, time.Duration(p.connecting.Load()))
	if written := p.written.Load(); written > 0 {
		e.Took(delivery.StepConfirm, time.Since(time.Unix(0, written)))
	}
	return &e
}

// publication makes the message. An error is about the message and says what AMQP does not allow; it repeats no value.
func (s *Sender) publication(ctx context.Context, r delivery.Request) (*publication, error) {
	m, id := r.Message, cmp.Or(r.Message.ID, r.DeliveryID)
	p := &publication{ctx: ctx, exchange: s.to.Exchange, key: s.to.RoutingKey, id: r.DeliveryID, attempt: strconv.Itoa(r.Attempt),
		size: len(m.Payload), result: make(chan delivery.Result, 1)}
	if p.exchange == "" && p.key == "" {
		if m.Origin == nil || m.Origin.Dead == nil || m.Origin.Dead.Where() == "" {
			return nil, errors.New("the destination has no exchange and no routing key, and the message did not die " +
				"in a queue that it could go back to")
		}
		p.exchange, p.key, id = m.Origin.Dead.Exchange, m.Origin.Dead.Place, cmp.Or(m.Origin.ID, id) // it goes back as it was
	}
	var err error
	if m.TypedBy(delivery.BrokerRabbitMQ) {
		p.back = true
		p.message, err = s.restore(m)
	} else {
		p.message, err = s.made(m, id), nil
	}
	if err == nil {
		err = s.address(&p.message, r)
	}
	if err != nil {
		return nil, err
	}
	p.message.Body = m.Payload
	p.headerSize = size(p.message.Headers)
	return p, p.check()
}

// made is a message that has no properties of RabbitMQ yet.
func (s *Sender) made(m delivery.Message, id string) amqp091.Publishing {
	headers := untyped(m)
	p := amqp091.Publishing{
		Headers:      headers,
		DeliveryMode: amqp091.Persistent,
		MessageId:    id,
		Type:         m.Type,
		ContentType:  wire.ContentType(m),
		Timestamp:    m.CreatedAt,
	}
	for name, property := range map[string]*string{"Content-Encoding": &p.ContentEncoding, "Correlation-Id": &p.CorrelationId, "Reply-To": &p.ReplyTo} {
		*property = takeShort(headers, name)
	}
	if p.Timestamp.IsZero() {
		p.Timestamp = time.Now()
	}
	return p
}

// check refuses what the library could not write: it would close the connection.
func (p *publication) check() error {
	for what, text := range map[string]string{"id": p.message.MessageId, "type": p.message.Type, "Content-Type": p.message.ContentType, "queue of origin": p.key,
		"exchange of origin": p.exchange, "Content-Encoding": p.message.ContentEncoding, "Correlation-Id": p.message.CorrelationId, "Reply-To": p.message.ReplyTo} {
		if len(text) > maxShort {
			return fmt.Errorf("the message's %s is longer than the 255 bytes that AMQP allows", what)
		}
	}
	for name := range p.message.Headers {
		if name == "" && !p.back || len(name) > maxShort {
			return errors.New("the message has a header name that AMQP does not allow: it is empty or longer than 255 bytes")
		}
	}
	return nil
}
