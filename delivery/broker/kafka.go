package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"redrive/delivery"
)

const (
	kafkaFetchBytes   = 16 << 20 // read ahead by the client, beside what is in our hands
	kafkaPerPartition = 1 << 20
	kafkaFetchWait    = 500 * time.Millisecond
	kafkaCommitEvery  = 50 * time.Millisecond
	kafkaMembership   = 30 * time.Second // without heartbeats the group gives our partitions to others
	kafkaRebalance    = time.Minute      // members have so long to finish what they hold
	kafkaLook         = 5 * time.Second  // between two questions whether the topic is still there, each of which may take as long
)

// kafkaDriver consumes a topic as a member of a group.
type kafkaDriver struct {
	options []kgo.Opt
	source  delivery.KafkaSource
	format  delivery.WireFormat
	dead    bool
}

func newKafka(cfg Config, source delivery.KafkaSource) (*kafkaDriver, error) {
	options, err := cfg.Dialer.KafkaOptions(source.KafkaServer)
	if err != nil {
		return nil, err
	}
	return &kafkaDriver{
		options: options,
		source:  source,
		format:  cfg.Integration.Broker.Format,
		dead:    cfg.Integration.Broker.DeadLetters,
	}, nil
}

func (*kafkaDriver) traits() traits { return traits{} }

func (d *kafkaDriver) connect(ctx context.Context, prefetch int, h holder) (session, error) {
	s := &kafkaSession{
		driver:    d,
		holder:    h,
		positions: newPositions(),
		down:      make(chan struct{}),
		wake:      make(chan struct{}, 1),
		committed: make(chan struct{}),
		look:      make(chan struct{}, 1),
	}
	client, err := kgo.NewClient(append(d.options[:len(d.options):len(d.options)], s.options()...)...)
	if err != nil {
		return nil, err
	}
	s.client = client
	if err := s.ask(ctx); err != nil {
		client.CloseAllowingRebalance()
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopCommits = stop
	go s.commits(running)
	s.watched.Go(func() { s.watch(running) })
	return s, nil
}

// kafkaSession is one membership in the group.
type kafkaSession struct {
	driver      *kafkaDriver
	client      *kgo.Client
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
}

// ask asks the brokers for the topic: the client itself waits for one that is not there without a word.
func (s *kafkaSession) ask(ctx context.Context) error {
	request := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &s.driver.source.Topic
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(ctx, s.client)
	if err != nil {
		return fmt.Errorf("asking the brokers: %w", err)
	}
	for _, t := range answer.Topics {
		if err := kerr.ErrorForCode(
			t.ErrorCode,
		); err != nil && !kerr.IsRetriable(err) ||
			errors.Is(err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("topic %s: %w", s.driver.source.Topic, err)
		}
	}
	return nil
}

// watch asks again and again, because a connection that stands says little about the topic behind it.
func (s *kafkaSession) watch(ctx context.Context) {
	tick := time.NewTicker(kafkaLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.look:
		}
		limited, cancel := context.WithTimeout(ctx, kafkaLook)
		err := s.ask(limited)
		cancel()
		if ctx.Err() == nil {
			s.seen(err)
		}
	}
}

// seen tells people whether the brokers are there.
func (s *kafkaSession) seen(err error) {
	s.connected.Lock()
	defer s.connected.Unlock()
	switch {
	case err != nil:
		s.away = true
		s.holder.status(delivery.SourceReconnecting, err.Error())
	case s.away:
		s.away = false
		s.holder.status(delivery.SourceConnected, "")
	}
}

// options are those of a member. What was polled belongs to us until registered is called: no rebalance comes between.
func (s *kafkaSession) options() []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumerGroup(
			s.driver.source.Group,
		),
		kgo.ConsumeTopics(s.driver.source.Topic),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), // a new group misses nothing
		kgo.FetchIsolationLevel(
			kgo.ReadCommitted(),
		),
		kgo.FetchMaxBytes(kafkaFetchBytes),
		kgo.FetchMaxPartitionBytes(kafkaPerPartition),
		kgo.FetchMaxWait(kafkaFetchWait),
		kgo.SessionTimeout(kafkaMembership),
		kgo.RebalanceTimeout(kafkaRebalance),
		kgo.OnPartitionsAssigned(
			s.assigned,
		),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.partitionsLost),
		kgo.WithHooks(s),
	}
}

// OnBrokerConnect is called by the client; it reconnects by itself, so this is what people see of it.
func (s *kafkaSession) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	switch {
	case err == nil: // one that is there may not be all that are needed
		select {
		case s.look <- struct{}{}:
		default:
		}
	case !errors.Is(err, context.Canceled):
		s.seen(err)
	}
}

func (s *kafkaSession) assigned(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	s.positions.assign(partitions[s.driver.source.Topic])
}

// revoked hands partitions over in good order: what was not attempted is dropped, what is under way is awaited and written, and
// how far it came is committed before another member begins there.
func (s *kafkaSession) revoked(ctx context.Context, _ *kgo.Client, partitions map[string][]int32) {
	gone := s.positions.revoke(partitions[s.driver.source.Topic])
	if len(gone) == 0 {
		return
	}
	limited, cancel := context.WithTimeout(ctx, kafkaRebalance*3/4)
	defer cancel()
	s.holder.release(limited, func(t *taken) bool { return gone[t.receipt.(*recordInFlight).at] })
	if err := s.commit(limited); err != nil {
		s.holder.status(delivery.SourceConnected, "committing before handing over: "+err.Error())
	}
	s.positions.forget(gone)
}

// partitionsLost: others have them already. What we still write about them must not move their positions.
func (s *kafkaSession) partitionsLost(ctx context.Context, _ *kgo.Client, partitions map[string][]int32) {
	gone := s.positions.revoke(partitions[s.driver.source.Topic])
	s.positions.forget(gone)
	limited, cancel := context.WithTimeout(ctx, kafkaRebalance/4)
	defer cancel()
	s.holder.release(limited, func(t *taken) bool { return gone[t.receipt.(*recordInFlight).at] })
}

func (s *kafkaSession) receive(ctx context.Context, n int) (list []*taken, err error) {
	fetches := s.client.PollRecords(ctx, n)
	if cause := context.Cause(ctx); cause != nil && fetches.Empty() {
		s.registered()
		return nil, cause
	}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		at := s.positions.find(p.Partition)
		if at == nil { // cannot be: no rebalance comes between
			return
		}
		at.end.Store(p.HighWatermark)
		for _, record := range p.Records {
			t := s.driver.decode(record)
			t.receipt = s.positions.take(at, record)
			list = append(list, t)
		}
	})
	for _, failed := range fetches.Errors() {
		err = errors.Join(err, s.failure(failed.Err))
	}
	if len(list) == 0 {
		s.registered()
	}
	return list, err
}

// failure is nil for what the client gets over by itself; the rest ends the session.
func (s *kafkaSession) failure(err error) error {
	var lost *kgo.ErrDataLoss
	switch {
	case errors.As(err, &lost):
		s.holder.gap(
			delivery.SourceGap{
				What: fmt.Sprintf(
					"partition %d lost records: consumed to %d, the log goes on at %d",
					lost.Partition,
					lost.ConsumedTo,
					lost.ResetTo,
				),
			},
		)
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil
	}
	return err
}

func (s *kafkaSession) registered() { s.client.AllowRebalance() }

// acknowledge notes how far each partition is done; the loop commits it soon after.
func (s *kafkaSession) acknowledge(list []*taken) error {
	for _, t := range list {
		s.positions.done(t.receipt.(*recordInFlight))
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
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
	if leaving := s.client.LeaveGroupContext(ctx); err == nil && !errors.Is(leaving, context.DeadlineExceeded) {
		err = leaving
	}
	s.client.CloseAllowingRebalance()
	return err
}

func (s *kafkaSession) facts(_ context.Context, f *delivery.SourceFacts) { s.positions.facts(f) }

func (d *kafkaDriver) decode(r *kgo.Record) *taken {
	e := newEnvelope(r.Value, "ce_")
	e.key = keyText(r.Key)
	partition, offset := r.Partition, r.Offset
	e.origin = delivery.Origin{
		Broker:    delivery.BrokerKafka,
		Place:     r.Topic,
		Partition: &partition,
		Offset:    &offset,
		At:        r.Timestamp,
	}
	// the time tells a record from another one at the same place of a topic that was deleted and made again
	e.identity = "record " + r.Topic + "/" + strconv.Itoa(
		int(r.Partition),
	) + "/" + strconv.FormatInt(
		r.Offset,
		10,
	) + "@" + strconv.FormatInt(
		r.Timestamp.UnixMilli(),
		10,
	)
	for _, h := range r.Headers {
		e.fields = append(e.fields, delivery.Field{Name: h.Key, Value: h.Value})
	}
	var death *delivery.DeadOrigin
	var trace []byte
	if d.dead {
		e.fields, death, trace = died(e.origin, e.fields, nil)
	}
	for _, f := range e.fields { // of one that stands twice the last is seen
		e.header(f.Name, f.Value)
	}
	e.typed, e.inOrder, e.origin.Properties = true, true, []delivery.Field{}
	own := e.identity
	t := e.read(d.format)
	if key := t.message.RecordKey(); string(key) != string(r.Key) || (key == nil) != (r.Key == nil) {
		t.message.Origin.Properties = append(
			t.message.Origin.Properties,
			delivery.Field{Name: delivery.PropertyKey, Value: r.Key},
		)
	}
	if d.dead {
		t.identity = short(own, maxIdentity) // the same event may die more than once
		t.message.Origin.Dead, t.trace = death, trace
	}
	return t
}
