package broker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
)

const (
	shareFetchWait = 100 * time.Millisecond // one broker is asked after the other: an empty one must not hold up the rest for long
	shareConnIdle  = 2 * time.Minute        // the broker gives what we hold to others when the connection closes
	shareAckEvery  = 50 * time.Millisecond
	shareMinRenew  = 200 * time.Millisecond
)

// shareDriver consumes a topic as a member of a share group: each record is acknowledged by itself, and several members may work
// on one partition.
type shareDriver struct {
	*kafkaDriver
	log *slog.Logger
}

func (d *shareDriver) connect(ctx context.Context, prefetch int, h holder) (_ session, err error) {
	s := &shareSession{
		kafkaSession: kafkaSession{driver: d.kafkaDriver, holder: h, down: make(chan struct{}), look: make(chan struct{}, 1),
			originals: originals{options: d.options}},
		log:   d.log,
		held:  map[*kgo.Record]time.Time{},
		flush: make(chan struct{}, 1),
	}
	s.lag.Store(-1)
	if s.client, err = d.client(kgo.RetryBackoffFn(kafkaRetry)); err != nil {
		return nil, err
	}
	err = s.prepare(ctx)
	s.client.Close()
	if err != nil {
		return nil, err
	}
	if s.member, err = d.newMember(ctx); err != nil {
		return nil, err
	}
	if s.client, err = d.client(s.options(prefetch)...); err != nil { // it joins the group
		s.member.end()
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopLoops = stop
	for _, loop := range []func(context.Context){s.watch, s.succeed, s.acknowledgements, s.renew, s.measure} {
		s.watched.Go(func() { loop(running) })
	}
	return s, nil
}

// shareSession is one membership in the share group.
type shareSession struct {
	kafkaSession // its client, and what it knows of the brokers

	log       *slog.Logger
	group     shareSettings
	spare     []*taken // taken from the broker and not yet asked for; of receive alone
	flush     chan struct{}
	stopLoops context.CancelFunc
	lag       atomic.Int64 // -1: not known

	mu   sync.Mutex
	held map[*kgo.Record]time.Time // what the broker waits for our word about, and until when it does
}

func (s *shareSession) options(prefetch int) []kgo.Opt {
	return []kgo.Opt{
		kgo.ShareGroup(s.driver.source.ShareGroup),
		kgo.ClientID(s.member.name), // by which the group knows who is gone: its name in the group is the client's secret
		kgo.RetryBackoffFn(kafkaRetry),
		kgo.ConsumeTopics(s.driver.source.Topic),
		kgo.ShareMaxRecords(int32(max(prefetch/2, 1))),
		kgo.ShareMaxRecordsStrict(), // and nothing is fetched before it is asked for: what waits in the client cannot be renewed
		kgo.FetchMaxBytes(kafkaFetchBytes),
		kgo.FetchMaxWait(shareFetchWait),
		kgo.ConnIdleTimeout(shareConnIdle),
		kgo.ShareAckCallback(s.acknowledged),
		kgo.WithHooks(s),
	}
}

// acquired hides a record's lock from the client, which accepts whatever it gave out and has no word about when it is asked for
// more: nothing is accepted here before it is durable.
type acquired struct {
	context.Context
	lock context.Context
}

// Value implements context.Context: nothing is known of a lock.
func (acquired) Value(any) any { return nil }

// OnFetchRecordBuffered is called by the client before it gives a record out.
func (s *shareSession) OnFetchRecordBuffered(r *kgo.Record) {
	r.Context = acquired{Context: context.Background(), lock: r.Context}
}

func (s *shareSession) receive(ctx context.Context, n int) ([]*taken, error) {
	if len(s.spare) == 0 {
		fetches := s.client.PollFetches(ctx)
		if cause := context.Cause(ctx); cause != nil && fetches.Empty() {
			return nil, cause
		}
		err := s.failures(fetches, lacksShareGroups)
		var letters []*lostLetter
		fetches.EachRecord(func(r *kgo.Record) {
			t := s.take(r)
			if l := s.driver.letterOf(r, t); l != nil {
				letters = append(letters, l)
			} else {
				s.spare = append(s.spare, t)
			}
		})
		s.spare = append(s.spare, s.originalsAtOnce(ctx, letters)...)
		if err != nil && len(s.spare) == 0 {
			return nil, err
		}
	}
	return s.asked(n), nil
}

// asked are the next n of what was taken, and all that must be made durable whatever comes.
func (s *shareSession) asked(n int) (list []*taken) {
	var left []*taken
	for _, t := range s.spare {
		if len(list) < n || t.last {
			list = append(list, t)
		} else {
			left = append(left, t)
		}
	}
	s.spare = left
	return list
}

func (s *shareSession) take(r *kgo.Record) *taken {
	if hidden, ok := r.Context.(acquired); ok {
		r.Context = hidden.lock
	}
	t := s.driver.decode(r)
	count := int(r.DeliveryCount())
	t.message.Origin.Deliveries = count
	t.redelivered, t.last = count > 1, count >= s.group.lastDeliveries()
	t.receipt = r
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[r] = r.AcquisitionDeadline()
	return t
}

func (*shareSession) registered() {}

// acknowledge accepts what is dealt with, and rejects what is a dead letter here.
func (s *shareSession) acknowledge(list []*taken) error {
	for _, t := range list {
		word := kgo.AckAccept
		if t.dead {
			word = kgo.AckReject
		}
		s.say(t, word)
	}
	s.hurry()
	return nil
}

func (s *shareSession) giveBack(list []*taken) error {
	for _, t := range list {
		s.say(t, kgo.AckRelease)
	}
	s.hurry()
	return nil
}

// say tells the broker about a record, unless it has given it to others meanwhile: they, or we, recognise it.
func (s *shareSession) say(t *taken, word kgo.AckStatus) {
	r := t.receipt.(*kgo.Record)
	s.mu.Lock()
	until := s.held[r]
	delete(s.held, r)
	s.mu.Unlock()
	if time.Now().Before(until) {
		r.Ack(word)
	}
}

func (s *shareSession) hurry() {
	select {
	case s.flush <- struct{}{}:
	default:
	}
}

// acknowledgements sends what was said, until ctx ends.
func (s *shareSession) acknowledgements(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.flush:
		}
		if err := s.client.FlushAcks(ctx); err != nil || !delivery.Pause(ctx, shareAckEvery) {
			return
		}
	}
}

// acknowledged is told by the client what the broker made of it. What failed comes again and is recognised.
func (s *shareSession) acknowledged(_ *kgo.Client, results kgo.ShareAckResults) {
	for _, r := range results {
		if r.Err != nil {
			s.log.Warn("acknowledging failed: the broker will bring messages again, and they will be recognised",
				"partition", r.Partition, "error", r.Err)
		}
	}
}

// renew keeps the locks of what is in our hands for long, until ctx ends.
func (s *shareSession) renew(ctx context.Context) {
	tick := time.NewTicker(max(s.group.lock/6, shareMinRenew))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, renewed := time.Now(), false
		s.mu.Lock()
		for r, until := range s.held {
			if left := until.Sub(now); left > 0 && left < s.group.lock*2/3 {
				r.Ack(kgo.AckRenew)
				s.held[r], renewed = now.Add(s.group.lock), true
			}
		}
		s.mu.Unlock()
		if renewed {
			s.hurry()
		}
	}
}

// stop gives back what nobody asked for.
func (s *shareSession) stop() error {
	spare := s.spare
	s.spare = nil
	return s.giveBack(spare)
}

func (s *shareSession) close(ctx context.Context) error {
	s.stopLoops()
	s.watched.Wait()
	err := s.client.FlushAcks(ctx)
	leaving := s.client.LeaveGroupContext(ctx)
	if err == nil && !errors.Is(leaving, context.DeadlineExceeded) {
		err = leaving
	}
	s.client.Close()
	s.originals.close()
	s.member.end()
	if leaving == nil { // else it counts as gone, and whoever may makes it leave
		_ = s.driver.store.ForgetMember(ctx, s.member.name)
	}
	return err
}

// measure looks up how much the group has left to do, until ctx ends.
func (s *shareSession) measure(ctx context.Context) {
	for {
		limited, cancel := context.WithTimeout(ctx, measureEvery)
		lag, _, err := shareOffsets(limited, s.client, s.driver.source)
		cancel()
		if err != nil {
			lag = -1
		}
		s.lag.Store(lag)
		if !delivery.Pause(ctx, measureEvery) {
			return
		}
	}
}

func (s *shareSession) facts(_ context.Context, f *delivery.SourceFacts) {
	if lag := s.lag.Load(); lag >= 0 {
		f.Waiting = &lag
	}
}

// lacksShareGroups says what to do where a broker does not know share groups.
func lacksShareGroups(err error) error {
	if errors.Is(err, kerr.UnsupportedVersion) {
		return delivery.Fault("source.no_share_groups")
	}
	return err
}
