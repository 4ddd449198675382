// Package kafkasend produces deliveries to Kafka topics. It says what happened; what comes next is the engine's decision.
//
// The client is an idempotent producer with acknowledgements of all replicas. Within one attempt it may send a record again:
// the broker recognises producer, epoch and sequence, so that no second copy is written. That ends with the attempt: the
// engine's next one is a new record, which is why an acknowledgement that stays away is an unknown outcome.
package kafkasend

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// heldGrace is how long the client may take to let go of a record whose attempt has ended.
const heldGrace = 500 * time.Millisecond

// maxRenewals bounds how often one attempt finds that its topic is another one.
const maxRenewals = 3

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
func (s *Sender) Send(ctx context.Context, r delivery.Request) delivery.Result {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	record, failed := s.record(r)
	if failed != nil {
		return *failed
	}
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
// of the first one ends: a record of which nothing was sent and whose own attempt goes on is simply handed over again.
func (p *producer) send(ctx context.Context, record *kgo.Record) (error, evidence) {
	for renewals := 0; ; {
		before, renewed := p.watch.mark(), p.renewed.Load()
		err := p.produce(ctx, record)
		seen := p.watch.since(before)
		switch {
		case err == nil || ctx.Err() != nil:
			return err, seen
		case renewals < maxRenewals && p.renew(record.Topic, err, seen.staged, renewed) && !seen.lost:
			renewals++
		case !isContextError(err) || seen.staged || seen.lost:
			return err, seen
		}
	}
}

// renew lets go of a topic that was deleted and made again, or whose cluster was replaced: the client holds on to the topic's first id
// and would refuse every record until it is made anew itself. It reports whether to hand the record over again: the broker knows no
// topic of the old id, so that it has not written the record.
func (p *producer) renew(topic string, err error, staged bool, seen int64) bool {
	p.renewing.Lock()
	defer p.renewing.Unlock()
	unknown := errors.Is(err, kerr.UnknownTopicID)
	if p.renewed.Load() != seen { // another record did, and ours went with it
		return unknown || !staged
	}
	if unknown {
		p.client.PurgeTopicsFromProducing(topic)
		p.renewed.Add(1)
	}
	return unknown
}

func (p *producer) produce(ctx context.Context, record *kgo.Record) error {
	done := make(chan error, 1)
	fresh := *record // the client writes into it
	p.client.Produce(ctx, &fresh, func(_ *kgo.Record, err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(heldGrace)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errHeld
	}
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
