package broker

import (
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"redrive/delivery"
)

const (
	commitMark    = "redrive "  // begins the metadata of our commits; the topic's id follows
	kafkaKeep     = time.Second // between two notes of how far partitions are dealt with
	kafkaPatience = 10 * time.Second
)

// guard is what a session knows of its topic, to tell a gap from what is as it was left.
type guard struct {
	seen    topicSeen             // as the brokers described it last
	topic   delivery.SourceTopic  // as it is kept, of this session
	commits map[int32]groupCommit // as they were fetched last
}

// topicSeen is a topic as the brokers describe it.
type topicSeen struct {
	id         string
	partitions int
}

func (s *kafkaSession) name() delivery.SourceName {
	return delivery.SourceName{Integration: s.driver.integration, Topic: s.driver.source.Topic, Group: s.driver.source.Group}
}

// topic is what is kept of the topic, as this session reads it.
func (s *kafkaSession) topic() delivery.SourceTopic {
	s.guarded.Lock()
	defer s.guarded.Unlock()
	return s.guard.topic
}

// described notes what the brokers say of the topic.
func (s *kafkaSession) described(t kmsg.MetadataResponseTopic) {
	s.guarded.Lock()
	defer s.guarded.Unlock()
	s.guard.seen = topicSeen{partitions: len(t.Partitions)}
	if t.TopicID != [16]byte{} {
		s.guard.seen.id = hex.EncodeToString(t.TopicID[:])
	}
}

// marked makes commits tell that they are ours, and of which topic: a commit that comes late may land on another one of that name.
func (s *kafkaSession) marked(ctx context.Context) context.Context {
	mark := commitMark + s.topic().ID
	return kgo.PreCommitFnContext(ctx, func(r *kmsg.OffsetCommitRequest) error {
		for t := range r.Topics {
			for p := range r.Topics[t].Partitions {
				r.Topics[t].Partitions[p].Metadata = &mark
			}
		}
		return nil
	})
}

// offsetsFetched notes what the group has committed, by whom.
func (s *kafkaSession) offsetsFetched(_ context.Context, _ *kgo.Client, answer *kmsg.OffsetFetchResponse) error {
	commits := map[int32]groupCommit{}
	note := func(partition int32, offset int64, metadata *string) {
		c := groupCommit{next: offset}
		if metadata != nil {
			c.id, c.ours = strings.CutPrefix(*metadata, commitMark)
		}
		commits[partition] = c
	}
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			note(p.Partition, p.Offset, p.Metadata)
		}
	}
	for _, g := range answer.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				note(p.Partition, p.Offset, p.Metadata)
			}
		}
	}
	s.guarded.Lock()
	defer s.guarded.Unlock()
	s.guard.commits = commits
	return nil
}

// begin decides where partitions are read from that came to us, before anything of them is: what was kept and committed is compared with
// what the log holds.
func (s *kafkaSession) begin(ctx context.Context, all map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	given := all[s.driver.source.Topic]
	if len(given) == 0 {
		return all, nil
	}
	ctx, cancel := context.WithTimeout(ctx, kafkaRebalance/2)
	defer cancel()
	if err := s.ask(ctx); err != nil {
		return nil, err
	}
	topic, err := s.sameTopic(ctx)
	if err != nil {
		return nil, err
	}
	logs, err := s.spans(ctx, given)
	if err != nil {
		return nil, err
	}
	s.guarded.Lock()
	commits := s.guard.commits
	s.guarded.Unlock()
	var found []delivery.NotedGap
	var bases []delivery.SourcePosition
	for partition, offset := range given {
		kept, known := topic.Positions[partition]
		j := judgement{topic: topic, partition: partition, kept: kept, known: known, log: logs[partition]}
		j.judge(commits[partition])
		if offset.EpochOffset().Offset != j.from { // with its epoch, the client finds out what was cut back
			given[partition] = kgo.NewOffset().At(j.from)
		}
		s.positions.begin(partition, j)
		found = append(found, j.found...)
		bases = append(bases, delivery.SourcePosition{Partition: partition, Next: j.base, End: j.log.end})
	}
	if err := s.driver.store.KeepPositions(ctx, s.name(), topic.ID, bases); err != nil {
		return nil, err
	}
	return all, s.noted(ctx, found)
}

// noted writes gaps down. Where one of them holds the integration, the session ends.
func (s *kafkaSession) noted(ctx context.Context, found []delivery.NotedGap) error {
	if len(found) == 0 {
		return nil
	}
	for n := range found {
		found[n].Of = s.name()
	}
	err := s.holder.found(ctx, found)
	if errors.Is(err, errHeld) {
		s.end()
	}
	return err
}

// end ends the session: nothing more is read.
func (s *kafkaSession) end() { s.ended.Do(func() { close(s.down) }) }

// sameTopic compares the topic with what is kept of it, and keeps what it is now. Another one under its name is read from its first
// record, whatever is committed.
func (s *kafkaSession) sameTopic(ctx context.Context) (kept delivery.SourceTopic, err error) {
	s.guarded.Lock()
	seen := s.guard.seen
	s.guarded.Unlock()
	compacted := s.compacted(ctx)
	for range 10 { // others may keep the same at the same time
		if kept, err = s.driver.store.KeptTopic(ctx, s.name()); err != nil {
			return kept, err
		}
		now, gaps := changes(kept, seen, compacted)
		if now.ID == kept.ID && now.Partitions == kept.Partitions && now.Gone == kept.Gone && now.Compacted == kept.Compacted {
			return kept, s.stays(kept)
		}
		if _, err = s.holder.changed(ctx, kept, now, gaps); err != nil {
			if errors.Is(err, errHeld) {
				s.end()
			}
			return kept, err
		}
	}
	return kept, delivery.Fault("source.topic_unsteady", "topic", s.driver.source.Topic)
}

// compacted reports whether the topic is compacted, as far as we may ask: then offsets are missing without a gap.
func (s *kafkaSession) compacted(ctx context.Context) bool {
	request := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, s.driver.source.Topic
	resource.ConfigNames = []string{"cleanup.policy"}
	request.Resources = append(request.Resources, resource)
	answer, err := request.RequestWith(ctx, s.client)
	if err != nil {
		return false
	}
	for _, r := range answer.Resources {
		for _, c := range r.Configs {
			if c.Name == "cleanup.policy" && c.Value != nil {
				return strings.Contains(*c.Value, "compact")
			}
		}
	}
	return false
}

// The offsets that ListOffsets takes for a time.
const (
	logStart = -2
	logEnd   = -1
)

// spans asks what the logs of partitions hold. While a partition has no leader it asks again.
func (s *kafkaSession) spans(ctx context.Context, of map[int32]kgo.Offset) (map[int32]span, error) {
	numbers := slices.Sorted(maps.Keys(of))
	for deadline := time.Now().Add(kafkaPatience); ; {
		starts, err := listOffsets(ctx, s.client, s.driver.source.Topic, numbers, logStart)
		if err == nil {
			var ends map[int32]int64
			if ends, err = listOffsets(ctx, s.client, s.driver.source.Topic, numbers, logEnd); err == nil {
				spans := map[int32]span{}
				for _, n := range numbers {
					spans[n] = span{starts[n], ends[n]}
				}
				return spans, nil
			}
		}
		if !kerr.IsRetriable(err) || time.Now().After(deadline) || !delivery.Pause(ctx, firstRetry) {
			return nil, delivery.Fault("asking.topic_span", "topic", s.driver.source.Topic, "why", err)
		}
	}
}

func listOffsets(ctx context.Context, client *kgo.Client, topic string, partitions []int32, at int64) (map[int32]int64, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	asked := kmsg.NewListOffsetsRequestTopic()
	asked.Topic = topic
	for _, n := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = n, at
		asked.Partitions = append(asked.Partitions, p)
	}
	request.Topics = append(request.Topics, asked)
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	offsets := map[int32]int64{}
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, err
			}
			offsets[p.Partition] = p.Offset
		}
	}
	if len(offsets) != len(partitions) {
		return nil, kerr.UnknownTopicOrPartition
	}
	return offsets, nil
}

// stays ends the session where the topic is another one than before: what is in our hands is of that.
func (s *kafkaSession) stays(topic delivery.SourceTopic) error {
	s.guarded.Lock()
	defer s.guarded.Unlock()
	if was := s.guard.topic; was.Partitions > 0 && was.MadeAgain != topic.MadeAgain {
		s.end()
		return delivery.Fault("source.topic_replaced", "topic", topic.Topic)
	}
	s.guard.topic = topic
	s.driver.again.Store(int64(topic.MadeAgain))
	return nil
}

// survey looks for what reading alone does not show: another topic, more partitions, records that are gone while none come.
func (s *kafkaSession) survey(ctx context.Context) error {
	was := s.topic()
	if was.Partitions == 0 { // nothing is read yet
		return nil
	}
	now, err := s.sameTopic(ctx)
	if err != nil {
		return err
	}
	if now.Partitions != was.Partitions {
		s.client.ForceMetadataRefresh() // else they are found within minutes
	}
	held := s.positions.read()
	if len(held) == 0 {
		return nil
	}
	logs, err := s.spans(ctx, held)
	if err != nil {
		return err
	}
	return s.noted(ctx, s.positions.idle(logs, s.client.BufferedFetchRecords() == 0, now.Compacted))
}

// present notes whether the topic is there. One that was read and has been gone for a while was deleted.
func (s *kafkaSession) present(ctx context.Context, err error) error {
	d := s.driver
	if !errors.Is(err, kerr.UnknownTopicOrPartition) {
		d.absent.Store(nil)
		return err
	}
	since := time.Now()
	if !d.absent.CompareAndSwap(nil, &since) {
		since = *d.absent.Load()
	}
	if time.Since(since) < d.look {
		return err
	}
	kept, failed := d.store.KeptTopic(ctx, s.name())
	if failed != nil || kept.Partitions == 0 || kept.Gone {
		return errors.Join(err, failed)
	}
	now := kept
	now.Gone = true
	_, failed = s.holder.changed(ctx, kept, now, lostWith(kept, "gap.topic_deleted"))
	return errors.Join(err, failed)
}

// keep notes in Postgres up to where partitions are dealt with.
func (s *kafkaSession) keep(ctx context.Context) error {
	list := s.positions.toKeep()
	if len(list) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, gapTimeout)
	defer cancel()
	err := s.driver.store.KeepPositions(limited, s.name(), s.topic().ID, list)
	if err == nil {
		s.positions.kept(list)
	}
	return err
}

// keeps does so again and again; what fails is noted the next time.
func (s *kafkaSession) keeps(ctx context.Context) {
	for delivery.Pause(ctx, kafkaKeep) {
		_ = s.keep(ctx)
	}
}

// missed are the gaps that were found while records were read: what the client was told, and what lies before the first of them.
func (s *kafkaSession) missed(fetches kgo.Fetches) (found []delivery.NotedGap) {
	for _, failed := range fetches.Errors() {
		var lost *kgo.ErrDataLoss
		if errors.As(failed.Err, &lost) {
			j := judgement{partition: lost.Partition, base: lost.ConsumedTo, from: lost.ResetTo}
			j.again("gap.cut", false)
			found = append(found, j.found...)
			s.positions.goOn(lost.Partition, lost.ResetTo)
		}
	}
	compacted := s.topic().Compacted
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if from, to := s.positions.skipped(p); from < to {
			j := judgement{partition: p.Partition, topic: delivery.SourceTopic{Compacted: compacted}}
			j.gap("gap.deleted_unread", from, to)
			found = append(found, j.found...)
		}
	})
	return found
}
