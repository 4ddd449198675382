package broker

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"redrive/delivery"
	"redrive/delivery/wire"
)

const (
	measureEvery = 10 * time.Second
)

// rabbitDriver consumes a queue on a connection of its own.
type rabbitDriver struct {
	dialer wire.Dialer
	source delivery.RabbitMQSource
	format delivery.WireFormat
	dead   bool
	vague  bool // see traits.nameless
	alone  bool // ordered: the broker must not share the queue's messages out to other consumers
}

func newRabbitMQ(cfg Config, source delivery.RabbitMQSource) *rabbitDriver {
	in := cfg.Integration
	return &rabbitDriver{
		dialer: cfg.Dialer,
		source: source,
		format: in.Broker.Format,
		dead:   in.Broker.DeadLetters,
		alone:  in.Ordered,
		vague:  !in.Repeatable() && !in.Broker.DeadLetters && in.Broker.Format != delivery.FormatCloudEvents,
	}
}

func (d *rabbitDriver) traits() traits { return traits{impatient: true, nameless: d.vague} }

func (d *rabbitDriver) connect(ctx context.Context, prefetch int, h holder) (session, error) {
	conn, err := d.dialer.DialRabbitMQ(ctx, d.source.RabbitMQServer)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.CloseDeadline(time.Now()) }) // the calls that follow know no context
	s := &rabbitSession{
		driver:    d,
		conn:      conn,
		tag:       "redrive",
		down:      make(chan struct{}),
		ended:     make(chan struct{}),
		cancelled: make(chan struct{}),
		stopped:   make(chan struct{}),
	}
	err = s.consume(prefetch)
	if !stop() {
		err = errors.Join(err, context.Cause(ctx))
	}
	if err != nil {
		_ = conn.CloseDeadline(time.Now().Add(finalWrites)) // err says more
		return nil, delivery.Fault("asking.queue", "queue", d.source.Queue, "why", err)
	}
	s.depth.Store(-1)
	var background sync.WaitGroup
	background.Go(s.watch)
	background.Go(s.measure)
	go func() { defer close(s.ended); background.Wait() }()
	return s, nil
}

type rabbitSession struct {
	driver     *rabbitDriver
	conn       *amqp091.Connection
	channel    *amqp091.Channel
	tag        string
	deliveries chan amqp091.Delivery // with room for all that the broker sends: what is there can be taken at once
	closes     chan *amqp091.Error
	cancels    chan string
	cancelled  chan struct{} // by the broker: the queue was deleted
	stopped    chan struct{} // by us
	down       chan struct{}
	ended      chan struct{}
	reason     error // why down; set before down is closed

	depth       atomic.Int64 // of the queue; -1: not known
	mu          sync.Mutex
	outstanding []uint64 // delivery tags, ascending, not acknowledged
}

func (s *rabbitSession) consume(prefetch int) (err error) {
	if s.channel, err = s.conn.Channel(); err != nil {
		return err
	}
	if err = s.channel.Qos(prefetch, 0, false); err != nil {
		return err
	}
	s.closes = s.channel.NotifyClose(make(chan *amqp091.Error, 1))
	s.cancels = s.channel.NotifyCancel(make(chan string, 1))
	incoming, err := s.channel.Consume(s.driver.source.Queue, s.tag, false, s.driver.alone, false, false, nil)
	if err != nil {
		return err
	}
	s.deliveries = make(chan amqp091.Delivery, prefetch)
	go func() { // ends with the consumer, see stop and close
		defer close(s.deliveries)
		for d := range incoming {
			s.deliveries <- d
		}
	}()
	return nil
}

// watch notices the end of the channel and the broker's cancellation of the consumer.
func (s *rabbitSession) watch() {
	for {
		select {
		case _, ok := <-s.cancels:
			if ok {
				close(s.cancelled)
			}
			s.cancels = nil
		case why := <-s.closes:
			s.reason = delivery.Fault("source.closed")
			if why != nil {
				s.reason = why
			}
			close(s.down)
			return
		}
	}
}

func (s *rabbitSession) receive(ctx context.Context, n int) (list []*taken, err error) {
	select {
	case d, ok := <-s.deliveries:
		if !ok {
			return nil, s.over()
		}
		list = append(list, s.take(d))
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for len(list) < n {
		select {
		case d, ok := <-s.deliveries:
			if !ok {
				return list, nil
			}
			list = append(list, s.take(d))
		default:
			return list, nil
		}
	}
	return list, nil
}

// over says why no more deliveries come.
func (s *rabbitSession) over() error {
	select {
	case <-s.stopped:
		return io.EOF
	case <-s.cancelled:
		return delivery.Fault("source.cancelled", "queue", s.driver.source.Queue)
	case <-s.down:
		return s.reason
	case <-time.After(finalWrites):
		return delivery.Fault("source.ended")
	}
}

func (s *rabbitSession) take(d amqp091.Delivery) *taken {
	s.mu.Lock()
	s.outstanding = append(s.outstanding, d.DeliveryTag)
	s.mu.Unlock()
	t := s.driver.decode(&d)
	t.receipt = d.DeliveryTag
	return t
}

// acknowledge confirms everything up to the oldest message that is still in our hands at once, and the rest one by one.
func (s *rabbitSession) acknowledge(list []*taken) error {
	upTo, single := s.settle(list)
	if upTo > 0 {
		if err := s.channel.Ack(upTo, true); err != nil {
			return err
		}
	}
	for _, tag := range single {
		if err := s.channel.Ack(tag, false); err != nil {
			return err
		}
	}
	return nil
}

func (s *rabbitSession) settle(list []*taken) (upTo uint64, single []uint64) {
	if len(list) == 0 {
		return 0, nil
	}
	done := make(map[uint64]bool, len(list))
	for _, t := range list {
		done[t.receipt.(uint64)] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first := slices.IndexFunc(s.outstanding, func(tag uint64) bool { return !done[tag] })
	if first < 0 {
		first = len(s.outstanding)
	}
	if first > 0 {
		upTo = s.outstanding[first-1]
	}
	left := s.outstanding[first:first]
	for _, tag := range s.outstanding[first:] {
		if done[tag] {
			single = append(single, tag)
		} else {
			left = append(left, tag)
		}
	}
	s.outstanding = left
	return upTo, single
}

func (s *rabbitSession) giveBack(list []*taken) error {
	s.settleEach(list)
	for _, t := range list {
		if err := s.channel.Nack(t.receipt.(uint64), false, true); err != nil {
			return err
		}
	}
	return nil
}

// settleEach takes tags off the list without regard to their order.
func (s *rabbitSession) settleEach(list []*taken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range list {
		if i, found := slices.BinarySearch(s.outstanding, t.receipt.(uint64)); found {
			s.outstanding = slices.Delete(s.outstanding, i, i+1)
		}
	}
}

func (s *rabbitSession) lost() <-chan struct{} { return s.down }
func (*rabbitSession) registered()             {}

// stop cancels the consumer. What the library holds beyond what was received goes back, unless it would come again as something
// that may have been attempted: then it can still be received.
func (s *rabbitSession) stop() error {
	defer close(s.stopped)
	if err := s.channel.Cancel(s.tag, false); err != nil || s.driver.vague {
		return err
	}
	for d := range s.deliveries {
		if err := s.channel.Nack(d.DeliveryTag, false, true); err != nil {
			return err
		}
	}
	return nil
}

func (s *rabbitSession) close(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	err := s.conn.CloseDeadline(deadline)
	<-s.ended
	if errors.Is(err, amqp091.ErrClosed) { // it was lost, and the reason says how
		return s.reason
	}
	return err
}

// measure looks up how much the queue holds, on a channel of its own: one that may not look is closed for it.
func (s *rabbitSession) measure() {
	channel, err := s.conn.Channel()
	for err == nil {
		var queue amqp091.Queue
		if queue, err = channel.QueueDeclarePassive(s.driver.source.Queue, false, false, false, false, nil); err != nil {
			return
		}
		s.depth.Store(int64(queue.Messages))
		select {
		case <-s.down:
			return
		case <-time.After(measureEvery):
		}
	}
}

func (s *rabbitSession) facts(_ context.Context, f *delivery.SourceFacts) {
	if depth := s.depth.Load(); depth >= 0 {
		f.Waiting = &depth
	}
}

func (d *rabbitDriver) decode(m *amqp091.Delivery) *taken {
	e := newEnvelope(append([]byte{}, m.Body...), "cloudevents:") // RabbitMQ knows no null
	e.kind = m.Type
	e.origin = delivery.Origin{
		Broker:   delivery.BrokerRabbitMQ,
		Place:    d.source.Queue,
		Exchange: delivery.Storable(m.Exchange),
		Routing:  delivery.Storable(m.RoutingKey),
		At:       m.Timestamp,
	}
	if m.Timestamp.IsZero() {
		e.origin.At = time.Now()
	}
	e.origin.Properties, e.typed = wire.RabbitMQProperties(m), true
	if expiration := diedWith(m.Headers); d.dead && m.Expiration == "" && expiration != "" {
		e.origin.Properties = append(e.origin.Properties,
			delivery.Field{Name: wire.PropertyExpiration, Value: []byte(expiration)})
	}
	e.fields = wire.RabbitMQHeaders(m.Headers)
	var death *delivery.DeadOrigin
	var trace []byte
	if d.dead {
		e.fields, death, trace = died(e.origin, e.fields, m.Headers)
	}
	for _, f := range e.origin.Properties {
		if name := delivery.HeaderOf(f.Name); name != "" {
			e.header(name, f.Value)
		}
	}
	for _, f := range e.fields {
		if !f.Nested() && !has(e.headers, f.Name) { // letter case tells no two headers of HTTP apart
			e.header(f.Name, f.Value)
		}
	}
	if m.MessageId != "" {
		e.origin.ID = m.MessageId
		e.identity = "message " + d.source.Queue + " " + m.AppId + " " + m.MessageId
	}
	t := e.read(d.format)
	t.redelivered = m.Redelivered
	if d.dead {
		t.message.Origin.Dead, t.trace = death, trace
		t.firstTime = !m.Redelivered
		if t.identity != "" {
			t.identity = short(deathIdentity(t.identity, t.message.Origin.Dead), maxIdentity)
		}
	}
	return t
}
