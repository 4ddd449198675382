// Package kafkasend produces deliveries to Kafka topics. It says what happened; what comes next is the engine's decision.
//
// The client is an idempotent producer with acknowledgements of all replicas. Within one attempt it may send a record again:
// the broker recognises producer, epoch and sequence, so that no second copy is written. That ends with the attempt: the
// engine's next one is a new record, which is why an acknowledgement that stays away is an unknown outcome.
package kafkasend

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// heldGrace is how long the client may take to let go of a record whose attempt has ended.
const heldGrace = 500 * time.Millisecond

// errHeld says that the client did not let go in time: it may send the record yet.
var errHeld = errors.New("the client still holds the record")

// Sender produces to one topic, or back to the topics that dead letters came from.
type Sender struct {
	to      delivery.KafkaDestination
	timeout time.Duration
	crowd   *producer // everything, in batches
	alone   *producer // one record at a time: what was refused together with its neighbours, or is larger than a batch
	turn    chan struct{}
}

var _ delivery.Sender = (*Sender)(nil)

// New checks the destination; nothing is dialled yet.
func New(d delivery.KafkaDestination, dialer wire.Dialer) (*Sender, error) {
	options, err := dialer.KafkaOptions(d.KafkaServer)
	if err != nil {
		return nil, err
	}
	s := &Sender{to: d, timeout: delivery.Destination{To: &d}.Timeout(), turn: make(chan struct{}, 1)}
	if s.crowd, err = newProducer(options, d.SASL != nil, s.timeout, batchBytes); err != nil {
		return nil, err
	}
	if s.alone, err = newProducer(options, d.SASL != nil, s.timeout, aloneBytes); err != nil {
		s.crowd.client.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the connections. What is under way ends without an acknowledgement.
func (s *Sender) Close() error {
	s.crowd.client.Close()
	s.alone.client.Close()
	return nil
}

// Send makes one attempt within the destination's timeout.
func (s *Sender) Send(ctx context.Context, r delivery.Request) (result delivery.Result) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	record, failed := s.record(r)
	if failed != nil {
		return *failed
	}
	began := time.Now()
	defer func() {
		result.Exchange = r.Told(result, began, func() []delivery.HeaderLine { return told(record, result) })
	}()
	err, seen := s.crowd.send(ctx, record)
	if !suspicious(err) || seen.lost {
		return judge(ctx, err, seen)
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return judge(ctx, ctx.Err(), evidence{})
	}
	err, seen = s.alone.send(ctx, record)
	return judge(ctx, err, seen)
}

// suspicious errors are about a batch: whether they are about this record shows when it is alone.
func suspicious(err error) bool {
	for _, batch := range []error{kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.CorruptMessage, kerr.InvalidRecord, kerr.InvalidTimestamp} {
		if errors.Is(err, batch) {
			return true
		}
	}
	return false
}

// send produces one record and says what was seen meanwhile. The client gives up all records of a partition when the attempt
// of the first one ends: a record of which nothing was sent and whose own attempt goes on is simply handed over again. So is, once,
// one that was meant for a topic which is no more: there may be another one under its name.
func (p *producer) send(ctx context.Context, record *kgo.Record) (error, evidence) {
	for madeAgain := false; ; {
		before := p.watch.mark()
		err := p.produce(ctx, record)
		seen := p.watch.since(before)
		gone := errors.Is(err, kerr.UnknownTopicID)
		if gone {
			p.forget(record.Topic, before.at)
		}
		switch {
		case gone && !seen.lost && !madeAgain:
			madeAgain = true
		case !isContextError(err) || ctx.Err() != nil || seen.staged:
			return err, seen
		}
	}
}

// forget lets the client look for a topic anew, unless that was done since: by itself it never goes on to one that was made again.
func (p *producer) forget(topic string, since time.Time) {
	p.forgetting.Lock()
	defer p.forgetting.Unlock()
	if p.forgotten[topic].Before(since) {
		p.client.PurgeTopicsFromProducing(topic)
		p.forgotten[topic] = time.Now()
	}
}

func (p *producer) produce(ctx context.Context, record *kgo.Record) error {
	done := make(chan error, 1)
	fresh := *record // the client writes into it
	p.client.Produce(ctx, &fresh, func(_ *kgo.Record, err error) { done <- err })
	select {
	case err := <-done:
		return confirmedAt(record, fresh, err)
	case <-ctx.Done():
	}
	timer := time.NewTimer(heldGrace)
	defer timer.Stop()
	select {
	case err := <-done:
		return confirmedAt(record, fresh, err)
	case <-timer.C:
		return errHeld
	}
}

// confirmedAt notes where the log has a record that was confirmed.
func confirmedAt(record *kgo.Record, confirmed kgo.Record, err error) error {
	if err == nil {
		record.Partition, record.Offset = confirmed.Partition, confirmed.Offset
	}
	return err
}

// told says where a record went: its partition and offset are known once it was confirmed.
func told(record *kgo.Record, r delivery.Result) []delivery.HeaderLine {
	facts := []delivery.HeaderLine{{delivery.FactTopic, record.Topic}}
	if r.Outcome == delivery.OutcomeOK {
		facts = append(facts, delivery.HeaderLine{delivery.FactPartition, strconv.Itoa(int(record.Partition))},
			delivery.HeaderLine{delivery.FactOffset, strconv.FormatInt(record.Offset, 10)})
	}
	return facts
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
