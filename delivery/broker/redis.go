package broker

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"redrive/delivery"
)

const (
	redisBuffer  = 63               // messages read and not yet taken over, and one more waits to be; they count beside the prefetch
	redisSilence = 5 * time.Second  // after so long without a word the server is asked, and has as long to answer
	redisStuck   = 10 * time.Second // not reading for longer than this is suspected to have cost messages when Redis hangs up
)

// redisDriver listens to a channel. Pub/sub has no memory: what is published while nobody listens is lost.
type redisDriver struct {
	options *redis.Options
	source  delivery.RedisSource
	format  delivery.WireFormat
}

func newRedis(cfg Config, source delivery.RedisSource) (*redisDriver, error) {
	options, err := cfg.Dialer.RedisOptions(source.RedisServer)
	if err != nil {
		return nil, err
	}
	options.PoolSize, options.ReadTimeout = 1, 2*redisSilence
	return &redisDriver{options: options, source: source, format: cfg.Integration.Broker.Format}, nil
}

func (*redisDriver) traits() traits { return traits{forgets: true} }

func (d *redisDriver) connect(ctx context.Context, _ int, h holder) (session, error) {
	client := redis.NewClient(d.options)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &redisSession{
		driver:      d,
		client:      client,
		holder:      h,
		messages:    make(chan *redis.Message, redisBuffer),
		ended:       make(chan struct{}),
		running:     running,
		stopRunning: stop,
	}
	if err := s.subscribe(ctx); err != nil {
		stop()
		return nil, errors.Join(err, client.Close())
	}
	go s.read()
	return s, nil
}

// redisSession lives as long as the consumer takes: it listens again by itself, because each moment that nobody listens may
// cost messages.
type redisSession struct {
	driver      *redisDriver
	client      *redis.Client
	holder      holder
	messages    chan *redis.Message
	running     context.Context
	stopRunning context.CancelFunc
	ended       chan struct{} // reading has ended

	mu        sync.Mutex
	listening *redis.PubSub
	since     time.Time // when it began
	heard     time.Time // when the connection last gave a sign of life
	away      bool      // nobody listens, after somebody did
}

// subscribe listens; what is published after it has returned is not missed.
func (s *redisSession) subscribe(ctx context.Context) error {
	listening := s.client.Subscribe(s.running)
	err := listening.Subscribe(ctx, s.driver.source.Channel)
	if err == nil {
		_, err = listening.ReceiveTimeout(ctx, redisSilence)
	}
	if err != nil {
		return delivery.Fault("asking.channel", "channel", s.driver.source.Channel, "why", errors.Join(err, listening.Close()))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listening = listening
	if s.running.Err() != nil { // stopped meanwhile
		return errors.Join(context.Canceled, listening.Close())
	}
	now := time.Now()
	if s.away {
		from := s.heard
		s.holder.gap(delivery.SourceGap{From: &from, To: &now})
	}
	s.since, s.heard, s.away = now, now, false
	s.holder.listens(s.since, s.heard)
	return nil
}

// read passes messages on until the session is stopped, and listens again when the connection is lost.
func (s *redisSession) read() {
	defer close(s.ended)
	defer close(s.messages)
	wait := newBackOff()
	for {
		stuck, err := s.passOn()
		if s.running.Err() != nil {
			return
		}
		s.gone(err, stuck)
		for again := true; again; again = err != nil {
			if !delivery.Pause(s.running, wait.NextBackOff()) {
				return
			}
			limited, cancel := context.WithTimeout(s.running, connectTimeout)
			err = s.subscribe(limited)
			cancel()
			if err != nil && s.running.Err() == nil {
				s.holder.status(delivery.SourceReconnecting, delivery.Heard(err))
			}
		}
		wait.Reset()
		s.holder.status(delivery.SourceConnected, delivery.Phrase{})
	}
}

func (s *redisSession) alive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = time.Now()
	s.holder.listens(s.since, s.heard)
}

// gone notes that nobody listens.
func (s *redisSession) gone(err error, stuck time.Duration) {
	s.mu.Lock()
	s.away = true
	s.holder.listens(time.Time{}, s.heard)
	_ = s.listening.Close() // it is lost anyway
	s.mu.Unlock()
	why := delivery.Heard(err)
	if errors.Is(err, io.EOF) {
		why = delivery.Say("source.redis_closed")
	}
	s.holder.status(delivery.SourceReconnecting, why)
	if stuck > redisStuck {
		s.holder.gap(delivery.SourceGap{What: delivery.Say("gap.hung_up", "waited", stuck.Round(time.Second))})
	}
}

// passOn hands over what comes until the connection is lost. It never drops a message: while nobody takes any it does not read,
// and the server holds the rest as long as its own limits allow. stuck is how long the last one had to wait.
func (s *redisSession) passOn() (stuck time.Duration, err error) {
	for asked := false; ; {
		message, err := s.listening.ReceiveTimeout(context.WithoutCancel(s.running), redisSilence)
		if err == nil {
			s.alive()
		}
		if m, ok := message.(*redis.Message); ok && err == nil {
			began := time.Now()
			s.messages <- m // stopping drains what is there
			stuck = time.Since(began)
		}
		var timeout net.Error
		switch {
		case err == nil:
			asked = false
		case !asked && errors.As(err, &timeout) && timeout.Timeout() && s.listening.Ping(s.running) == nil:
			asked = true
		default:
			return stuck, err
		}
	}
}

func (s *redisSession) receive(ctx context.Context, n int) (list []*taken, err error) {
	select {
	case m, ok := <-s.messages:
		if !ok {
			return nil, io.EOF
		}
		list = append(list, s.driver.decode(m))
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for len(list) < n {
		select {
		case m, ok := <-s.messages:
			if !ok {
				return list, nil
			}
			list = append(list, s.driver.decode(m))
		default:
			return list, nil
		}
	}
	return list, nil
}

func (d *redisDriver) decode(m *redis.Message) *taken {
	e := newEnvelope([]byte(m.Payload), "")
	e.origin = delivery.Origin{Broker: delivery.BrokerRedis, Place: d.source.Channel, At: time.Now()}
	return e.read(d.format)
}

func (*redisSession) acknowledge([]*taken) error { return nil }
func (*redisSession) giveBack([]*taken) error    { return nil }
func (*redisSession) lost() <-chan struct{}      { return nil } // there is nothing to acknowledge; receive says so
func (*redisSession) registered()                {}

func (s *redisSession) stop() error {
	s.stopRunning()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listening.Close() // ends the read; what was read is still received
}

func (s *redisSession) close(context.Context) error {
	for range s.messages { // nobody takes them any more, after the grace period
	}
	<-s.ended
	return s.client.Close()
}

func (*redisSession) facts(context.Context, *delivery.SourceFacts) {}
