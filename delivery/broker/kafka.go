package broker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
)

const (
	// kafkaPrefetch is more than other brokers have: a loop of the client alone is so fast that what is in our hands must last as long as
	// Postgres takes to look up and to note it (BenchmarkKafka).
	kafkaPrefetch = 1024

	kafkaFetchBytes   = 16 << 20 // read ahead by the client, beside what is in our hands
	kafkaPerPartition = 1 << 20
	kafkaFetchWait    = 500 * time.Millisecond
	kafkaCommitEvery  = 50 * time.Millisecond
	kafkaMembership   = 30 * time.Second // without heartbeats the group gives our partitions to others
	kafkaHeartbeat    = time.Second      // that the group gives us partitions, or takes them, is heard with the next one
	kafkaRebalance    = time.Minute      // members have so long to finish what they hold
	kafkaLook         = 5 * time.Second  // between two questions whether the topic is still there, each of which may take as long
	kafkaRetryLeast   = 100 * time.Millisecond
	kafkaRetryMost    = time.Second            // a broker that is back is noticed within this time
	kafkaMetadataAge  = 500 * time.Millisecond // and what it leads
)

// kafkaDriver consumes a topic as a member of a group.
type kafkaDriver struct {
	options []kgo.Opt
	source  delivery.KafkaSource
	format  delivery.WireFormat
	dead    bool

	original    delivery.Original
	integration string
	store       Store
	look        time.Duration
	absent      atomic.Pointer[time.Time] // since when the topic is not there
	again       atomic.Int64              // see delivery.SourceTopic.MadeAgain
}

func newKafka(cfg Config, source delivery.KafkaSource) (driver, error) {
	options, err := cfg.Dialer.KafkaOptions(source.KafkaServer)
	if err != nil {
		return nil, err
	}
	d := &kafkaDriver{
		options: options,
		source:  source,
		format:  cfg.Integration.Broker.Format,
		dead:    cfg.Integration.Broker.DeadLetters,

		original:    cfg.Integration.Broker.Original,
		integration: cfg.Integration.Name,
		store:       cfg.Store,
		look:        cfg.look,
	}
	if source.ShareGroup != "" {
		return &shareDriver{kafkaDriver: d, log: cfg.Log}, nil
	}
	return d, nil
}

func (*kafkaDriver) traits() traits { return traits{counted: true} }

func (d *kafkaDriver) connect(ctx context.Context, prefetch int, h holder) (_ session, err error) {
	s := &kafkaSession{
		driver:    d,
		holder:    h,
		positions: newPositions(),
		down:      make(chan struct{}),
		wake:      make(chan struct{}, 1),
		committed: make(chan struct{}),
		look:      make(chan struct{}, 1),
		originals: originals{options: d.options},
	}
	if s.client, err = d.client(kgo.RetryBackoffFn(kafkaRetry)); err != nil {
		return nil, err
	}
	err = s.ask(ctx)
	s.client.Close()
	if err != nil {
		return nil, err
	}
	if s.member, err = d.newMember(ctx); err != nil {
		return nil, err
	}
	if s.client, err = d.client(s.options()...); err != nil { // it joins the group
		s.member.end()
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopCommits = stop
	go s.commits(running)
	s.watched.Go(func() { s.watch(running) })
	s.watched.Go(func() { s.keeps(running) })
	s.watched.Go(func() { s.succeed(running) })
	return s, nil
}

func (d *kafkaDriver) client(more ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(d.options[:len(d.options):len(d.options)], more...)...)
}

// kafkaSession is one membership in the group.
type kafkaSession struct {
	driver      *kafkaDriver
	client      *kgo.Client
	member      *member
	holder      holder
	positions   *positions
	wake        chan struct{} // something may be committed
	committed   chan struct{} // the committing loop has ended
	stopCommits context.CancelFunc
	down        chan struct{}
	look        chan struct{} // a broker is there again
	watched     sync.WaitGroup
	connected   sync.Mutex
	away        bool // guarded by connected
	ended       sync.Once
	guarded     sync.Mutex
	guard       guard
	originals   originals
	waiting     []*lostLetter // of receive alone: letters whose originals are not read yet
}

func (s *kafkaSession) receive(ctx context.Context, n int) (list []*taken, err error) {
	fetches := s.poll(ctx, n)
	if cause := context.Cause(ctx); cause != nil && fetches.Empty() {
		s.registered()
		return nil, cause
	}
	if err := s.noted(ctx, s.missed(fetches)); err != nil { // what lies behind a gap is not taken before it is written down
		s.registered()
		return nil, err
	}
	var letters []*lostLetter
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		at := s.positions.find(p.Partition)
		if at == nil { // cannot be: no rebalance comes between
			return
		}
		at.end.Store(p.HighWatermark)
		for _, record := range p.Records {
			if record.Attrs.IsControl() {
				s.positions.done(s.positions.take(at, record))
				s.commitSoon()
				continue
			}
			t := s.driver.decode(record)
			t.receipt = s.positions.take(at, record)
			if l := s.driver.letterOf(record, t); l != nil {
				letters = append(letters, l)
			} else {
				list = append(list, t)
			}
		}
	})
	list = append(list, s.withOriginals(ctx, letters)...)
	if len(list) == 0 {
		s.registered()
	}
	return list, s.failures(fetches, func(err error) error { return err })
}

// poll waits for records, not for long while letters wait for their originals.
func (s *kafkaSession) poll(ctx context.Context, n int) kgo.Fetches {
	if len(s.waiting) == 0 {
		return s.client.PollRecords(ctx, n)
	}
	limited, cancel := context.WithTimeout(ctx, originalPoll)
	defer cancel()
	return s.client.PollRecords(limited, max(n-len(s.waiting), 1))
}

// failures are why the session ends, as say puts it: what several partitions have in common is said once.
func (s *kafkaSession) failures(fetches kgo.Fetches, say func(error) error) (all error) {
	said := map[string]bool{}
	for _, failed := range fetches.Errors() {
		if err := s.failure(say(failed.Err)); err != nil && !said[err.Error()] {
			said[err.Error()] = true
			all = errors.Join(all, err)
		}
	}
	return all
}

// failure is nil for what the client gets over by itself; the rest ends the session.
func (s *kafkaSession) failure(err error) error {
	var lost *kgo.ErrDataLoss
	switch {
	case errors.As(err, &lost):
		return nil // said already
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil
	}
	if group, of := errors.AsType[*kgo.ErrGroupSession](err); of && rejoins(group.Err) {
		return nil
	}
	if errors.Is(err, kerr.FencedInstanceID) {
		s.member.taken.Store(true)
	}
	return err
}

func (s *kafkaSession) registered() { s.client.AllowRebalance() }

// acknowledge notes how far each partition is done; the loop commits it soon after.
func (s *kafkaSession) acknowledge(list []*taken) error {
	for _, t := range list {
		s.positions.done(t.receipt.(*recordInFlight))
	}
	s.commitSoon()
	return nil
}

func (s *kafkaSession) commitSoon() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// giveBack has nothing to say to Kafka: what is not committed comes again with the next assignment.
func (*kafkaSession) giveBack([]*taken) error { return nil }

func (s *kafkaSession) lost() <-chan struct{} { return s.down }
func (*kafkaSession) stop() error             { return nil }

func (s *kafkaSession) close(ctx context.Context) error {
	s.stopCommits()
	<-s.committed
	s.watched.Wait()
	err := s.commit(ctx)
	_ = s.keep(ctx)
	if leaving := s.leave(ctx); err == nil && !errors.Is(leaving, context.DeadlineExceeded) {
		err = leaving
	}
	s.client.CloseAllowingRebalance()
	s.originals.close()
	return err
}

func (s *kafkaSession) facts(_ context.Context, f *delivery.SourceFacts) {
	f.Partitions = s.held()
	s.positions.facts(f)
}

func (s *kafkaSession) held() *delivery.SourcePartitions { return s.positions.held() }
