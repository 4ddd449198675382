package broker

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"redrive/delivery"
)

// positions knows for each partition that is ours how far everything is dealt with, without a gap.
type positions struct {
	mu     sync.Mutex
	parts  map[int32]*partition
	since  time.Time // these are ours
	joined bool      // the group has given us what it has for us
	spare  bool      // see delivery.SourcePartitions
}

// partition is one assignment: the same partition assigned again is another one, so that late outcomes cannot move it.
type partition struct {
	number  int32
	order   []*recordInFlight // taken and not yet passed, in the order of the log
	next    kgo.EpochOffset
	moved   bool // next is to be committed
	revoked bool // nothing more is taken
	gone    bool // belongs to somebody else: nothing is committed
	started bool
	end     atomic.Int64

	read      int64 // the next offset that is expected of the log; -1: reading has not begun
	dealt     int64 // as it is committed
	noted     delivery.SourcePosition
	suspected bool // the log seems to begin behind read
}

// recordInFlight is one record in our hands.
type recordInFlight struct {
	at     *partition
	offset kgo.EpochOffset // what to commit once it is passed
	done   bool
}

func newPositions() *positions { return &positions{parts: map[int32]*partition{}, since: time.Now()} }

func (p *positions) assign(numbers []int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.joined = true
	if len(numbers) > 0 {
		p.since, p.spare = time.Now(), false
	}
	for _, n := range numbers {
		p.parts[n] = &partition{number: n, read: -1}
	}
}

func (p *positions) find(number int32) *partition {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.parts[number]; at != nil && !at.revoked {
		return at
	}
	return nil
}

func (p *positions) take(at *partition, r *kgo.Record) *recordInFlight {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := &recordInFlight{at: at, offset: kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}}
	if !at.started {
		at.started, at.next = true, kgo.EpochOffset{Epoch: -1, Offset: r.Offset}
	}
	at.order = append(at.order, m)
	return m
}

// done passes a record, and those after it that were only waiting for it.
func (p *positions) done(m *recordInFlight) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.done = true
	at := m.at
	passed := 0
	for passed < len(at.order) && at.order[passed].done {
		at.next, at.moved = at.order[passed].offset, true
		passed++
	}
	at.order = at.order[passed:]
}

// revoke ends the taking from partitions and answers those that were ours.
func (p *positions) revoke(numbers []int32) map[*partition]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	gone := map[*partition]bool{}
	for _, n := range numbers {
		if at := p.parts[n]; at != nil {
			at.revoked, gone[at] = true, true
		}
	}
	return gone
}

// forget ends the committing for partitions.
func (p *positions) forget(gone map[*partition]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for at := range gone {
		at.gone = true
		if p.parts[at.number] == at {
			p.since = time.Now()
			delete(p.parts, at.number)
		}
	}
}

// left notes that we are no member any more.
func (p *positions) left() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.joined, p.spare = false, false
}

// none reports whether the group has given us nothing, although it gives out partitions.
func (p *positions) none() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.joined && len(p.parts) == 0
}

// others notes whether other members have all partitions.
func (p *positions) others(have bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spare = have && p.joined && len(p.parts) == 0
}

// held are the partitions that are ours; nil: none are given out.
func (p *positions) held() *delivery.SourcePartitions {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return &delivery.SourcePartitions{Numbers: slices.Sorted(maps.Keys(p.parts)), Since: p.since, Spare: p.spare}
}

// toCommit returns what has moved since it was asked last.
func (p *positions) toCommit() map[int32]kgo.EpochOffset {
	p.mu.Lock()
	defer p.mu.Unlock()
	offsets := map[int32]kgo.EpochOffset{}
	for n, at := range p.parts {
		if at.moved && !at.gone {
			offsets[n], at.moved = at.next, false
		}
	}
	return offsets
}

// notCommitted takes back toCommit.
func (p *positions) notCommitted(offsets map[int32]kgo.EpochOffset) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := range offsets {
		if at := p.parts[n]; at != nil && at.started && len(offsets) > 0 {
			at.moved = true
		}
	}
}

func (p *positions) facts(f *delivery.SourceFacts) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lag := int64(0)
	for _, n := range slices.Sorted(maps.Keys(p.parts)) {
		at := p.parts[n]
		position := delivery.SourcePosition{Partition: n, Next: -1, End: at.end.Load()}
		if at.started {
			position.Next = at.next.Offset
			lag += max(position.End-position.Next, 0)
		}
		f.Positions = append(f.Positions, position)
	}
	f.Waiting = &lag
}

// commits commits what has moved, until ctx ends.
func (s *kafkaSession) commits(ctx context.Context) {
	defer close(s.committed)
	troubled := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		err := s.commit(ctx)
		if err == nil && troubled {
			troubled = false
			s.holder.status(delivery.SourceConnected, delivery.Phrase{})
		}
		if err != nil && ctx.Err() == nil {
			troubled = true
			s.holder.status(delivery.SourceConnected, delivery.Say("source.committing", "why", err))
			select {
			case s.wake <- struct{}{}:
			default:
			}
		}
		if !delivery.Pause(ctx, kafkaCommitEvery) { // what moves meanwhile is committed together
			return
		}
	}
}

// commit tells Kafka how far everything is dealt with.
func (s *kafkaSession) commit(ctx context.Context) error {
	offsets := s.positions.toCommit()
	if len(offsets) == 0 {
		return nil
	}
	var failed error
	s.client.CommitOffsetsSync(s.marked(ctx), map[string]map[int32]kgo.EpochOffset{s.driver.source.Topic: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
			failed = err
			if err == nil {
				failed = refusal(response)
			}
		})
	if failed != nil {
		s.positions.notCommitted(offsets)
		return failed
	}
	s.positions.committed(offsets)
	return nil
}

func refusal(response *kmsg.OffsetCommitResponse) error {
	for _, topic := range response.Topics {
		for _, partition := range topic.Partitions {
			if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}
