package broker

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"redrive/delivery"
)

const (
	originalBytes    = 1 << 20                // that one answer brings, or one batch of records
	originalMost     = 64 << 20               // no answer is larger
	originalRound    = 2 * time.Second        // for all letters that wait, before others are read on
	originalPatience = time.Minute            // for one letter; then it is taken as it is
	originalLocked   = 20 * time.Second       // the same of a share group, whose locks last a little longer
	originalYounger  = 5 * time.Second        // clocks differ: a record is no original of a letter that is older by more
	originalPoll     = 500 * time.Millisecond // while letters wait, others are waited for no longer
)

// lostLetter is an entry of a dead-letter topic whose original is to be read.
type lostLetter struct {
	record   *kgo.Record
	taken    *taken
	at       delivery.DeadOrigin
	copies   bool // key and value, where the letter has them, are the original's
	since    time.Time
	original *kgo.Record
	missing  delivery.Phrase // why there is no original
	obstacle error           // why it could not be read yet
}

// originals reads records by their places, with a client of its own, which is opened when the first is asked for.
type originals struct {
	options []kgo.Opt
	client  *kgo.Client
	topics  map[string]kmsg.MetadataResponseTopic
}

func (o *originals) close() {
	if o.client != nil {
		o.client.Close()
	}
}

// letterOf reports whether the original of a dead letter is to be read. Where it is not, and the letter is not all of it, the message says so.
func (d *kafkaDriver) letterOf(r *kgo.Record, t *taken) *lostLetter {
	dead := t.message.Origin.Dead
	if dead == nil {
		return nil
	}
	by := familyNamed(dead.Family)
	if by == nil || d.original != delivery.OriginalFetch && !by.lost {
		return nil
	}
	l := &lostLetter{record: r, taken: t, at: *dead, copies: by.copies, since: time.Now()}
	switch {
	case d.original == delivery.OriginalAsIs:
		l.missing = delivery.Say("original.as_is")
	case dead.Place == "" || dead.Partition == nil || dead.Offset == nil:
		l.missing = delivery.Say("original.no_place")
	default:
		return l
	}
	d.without(l, by)
	return nil
}

// without notes that a message is the letter alone, and why.
func (d *kafkaDriver) without(l *lostLetter, by *family) {
	if by.lost {
		l.taken.message.Origin.Dead.Missing = &delivery.MissingOriginal{Record: l.record.Key == nil && l.record.Value == nil, Why: l.missing}
	}
}

// withOriginals reads the originals of letters, and returns those that are done with: one that cannot be read now is tried again while
// others are read, for a minute.
func (s *kafkaSession) withOriginals(ctx context.Context, list []*lostLetter) (done []*taken) {
	s.waiting = slices.DeleteFunc(append(s.waiting, list...), func(l *lostLetter) bool {
		return s.positions.isRevoked(l.taken.receipt.(*recordInFlight))
	})
	if len(s.waiting) == 0 {
		return nil
	}
	s.originals.read(ctx, s.waiting)
	s.waiting = slices.DeleteFunc(s.waiting, func(l *lostLetter) bool {
		if l.open() && time.Since(l.since) < originalPatience {
			return false
		}
		done = append(done, s.driver.whole(l, originalPatience))
		return true
	})
	return done
}

// originalsAtOnce is withOriginals where letters cannot wait for long: the locks of a share group end. Nothing else is read meanwhile.
func (s *kafkaSession) originalsAtOnce(ctx context.Context, list []*lostLetter) (done []*taken) {
	began := time.Now()
	for left := slices.Clone(list); len(left) > 0; {
		s.originals.read(ctx, left)
		left = slices.DeleteFunc(left, func(l *lostLetter) bool { return !l.open() })
		if len(left) == 0 || time.Since(began) > originalLocked || !delivery.Pause(ctx, originalPoll) {
			break
		}
	}
	for _, l := range list {
		done = append(done, s.driver.whole(l, originalLocked))
	}
	return done
}

// whole is the message of a letter with what its original had, which was looked for so long.
func (d *kafkaDriver) whole(l *lostLetter, waited time.Duration) *taken {
	if l.open() {
		l.missing = delivery.Say("original.unreadable", "seconds", int(waited.Seconds()), "why", l.obstacle)
	}
	if l.original == nil {
		d.without(l, familyNamed(l.at.Family))
		return l.taken
	}
	t := d.decodeAs(l.record, l.original)
	t.receipt, t.redelivered, t.last = l.taken.receipt, l.taken.redelivered, l.taken.last
	t.message.Origin.Deliveries = l.taken.message.Origin.Deliveries
	t.message.Origin.Dead.Fetched = true
	return t
}

// read reads what can be read of the originals, within a time that others can wait.
func (o *originals) read(ctx context.Context, list []*lostLetter) {
	ctx, cancel := context.WithTimeout(ctx, originalRound)
	defer cancel()
	fail := func(err error) {
		for _, l := range list {
			l.obstacle = err
		}
	}
	if o.client == nil {
		client, err := kgo.NewClient(append(o.options[:len(o.options):len(o.options)], kgo.BrokerMaxReadBytes(originalMost))...)
		if err != nil {
			fail(err)
			return
		}
		o.client = client
	}
	if err := o.locate(ctx, list); err != nil {
		fail(err)
		return
	}
	slices.SortFunc(list, func(a, b *lostLetter) int {
		return cmp.Or(cmp.Compare(a.at.Place, b.at.Place), cmp.Compare(*a.at.Partition, *b.at.Partition), cmp.Compare(*a.at.Offset, *b.at.Offset))
	})
	for n, l := range list {
		if l.obstacle = ctx.Err(); l.open() && l.obstacle == nil {
			l.obstacle = o.fetch(ctx, list[n:])
		}
	}
}

func (l *lostLetter) open() bool { return l.original == nil && l.missing.IsZero() }

func (l *lostLetter) lacks(key string, more ...any) {
	l.missing = delivery.Say(key, append(more, "topic", l.at.Place, "partition", *l.at.Partition, "offset", *l.at.Offset)...)
}

// locate asks where the topics of letters are.
func (o *originals) locate(ctx context.Context, list []*lostLetter) error {
	request := kmsg.NewPtrMetadataRequest()
	asked := map[string]bool{}
	for _, l := range list {
		if !asked[l.at.Place] {
			topic := kmsg.NewMetadataRequestTopic()
			topic.Topic = &l.at.Place
			request.Topics = append(request.Topics, topic)
			asked[l.at.Place] = true
		}
	}
	answer, err := request.RequestWith(ctx, o.client)
	if err != nil {
		return err
	}
	o.topics = map[string]kmsg.MetadataResponseTopic{}
	for _, t := range answer.Topics {
		if t.Topic != nil {
			o.topics[*t.Topic] = t
		}
	}
	return nil
}

// fetch reads the original of the first letter, and of those behind it that the same answer brings.
func (o *originals) fetch(ctx context.Context, list []*lostLetter) error {
	l := list[0]
	topic := o.topics[l.at.Place]
	at := slices.IndexFunc(topic.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Partition == *l.at.Partition })
	if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
		return l.refused(err)
	}
	if at < 0 {
		l.lacks("original.no_partition")
		return nil
	}
	if err := kerr.ErrorForCode(topic.Partitions[at].ErrorCode); err != nil {
		return l.refused(err)
	}
	request := fetchRequest(topic, *l.at.Partition, *l.at.Offset)
	answer, err := o.client.Broker(int(topic.Partitions[at].Leader)).RetriableRequest(ctx, request)
	if err != nil {
		return err
	}
	got := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return l.refused(err)
	}
	if len(got.Topics) != 1 || len(got.Topics[0].Partitions) != 1 {
		return kerr.UnknownServerError
	}
	part := got.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(part.ErrorCode); errors.Is(err, kerr.OffsetOutOfRange) {
		return o.outOfRange(ctx, l)
	} else if err != nil {
		return l.refused(err)
	}
	found, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: *l.at.Offset, IsolationLevel: kgo.ReadCommitted(),
		Topic: l.at.Place, Partition: *l.at.Partition}, &part, kgo.DefaultDecompressor(), nil)
	if found.Err != nil {
		return found.Err
	}
	switch {
	case next > *l.at.Offset:
		match(list, found.Records, next)
	case part.HighWatermark <= *l.at.Offset: // the end of the log, which the broker answers without an error
		l.lacks("original.beyond")
	default: // its transaction is open
		return kerr.OffsetNotAvailable
	}
	return nil
}

// match gives letters of one partition their records, out of all that there are from the first letter's offset to next.
func match(list []*lostLetter, records []*kgo.Record, next int64) {
	for _, l := range list {
		if l.at.Place != list[0].at.Place || *l.at.Partition != *list[0].at.Partition || *l.at.Offset >= next {
			return
		}
		n, there := slices.BinarySearchFunc(records, *l.at.Offset, func(r *kgo.Record, offset int64) int { return cmp.Compare(r.Offset, offset) })
		switch {
		case !l.open():
		case !there:
			l.lacks("original.hole")
		case !l.isOf(records[n]):
			l.lacks("original.another", "at", records[n].Timestamp)
		default:
			l.original = records[n]
		}
	}
}

// isOf reports whether a record may be the letter's original: at that place may be one of another topic of the same name.
func (l *lostLetter) isOf(r *kgo.Record) bool {
	same := func(kept, original []byte) bool { return !l.copies || kept == nil || bytes.Equal(kept, original) }
	return same(l.record.Key, r.Key) && same(l.record.Value, r.Value) && (l.at.At.IsZero() || l.at.At.Equal(r.Timestamp)) &&
		!r.Timestamp.After(l.record.Timestamp.Add(originalYounger))
}

// refused notes why a topic cannot be read; what may pass is returned.
func (l *lostLetter) refused(err error) error {
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		l.lacks("original.denied")
	case errors.Is(err, kerr.UnknownTopicOrPartition) && time.Since(l.since) > 2*originalRound: // a broker that has just started knows none
		l.lacks("original.no_topic")
	default:
		return err
	}
	return nil
}

// outOfRange says why the log does not have the offset.
func (o *originals) outOfRange(ctx context.Context, l *lostLetter) error {
	starts, err := listOffsets(ctx, o.client, l.at.Place, []int32{*l.at.Partition}, logStart)
	if err != nil {
		return err
	}
	if start := starts[*l.at.Partition]; *l.at.Offset < start {
		l.lacks("original.deleted", "from", start)
	} else {
		l.lacks("original.beyond")
	}
	return nil
}

// fetchRequest asks for one batch of records, without a session.
func fetchRequest(topic kmsg.MetadataResponseTopic, partition int32, offset int64) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.ReplicaID, r.SessionEpoch, r.IsolationLevel = -1, -1, 1
	r.MaxWaitMillis, r.MinBytes, r.MaxBytes = 0, 1, originalBytes
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = *topic.Topic, topic.TopicID
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, originalBytes
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

// isRevoked reports whether a record's partition is not ours any more.
func (p *positions) isRevoked(m *recordInFlight) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return m.at.revoked
}
