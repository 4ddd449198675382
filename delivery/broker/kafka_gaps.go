package broker

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
)

// groupCommit is what the group has committed for a partition.
type groupCommit struct {
	next int64  // -1: nothing
	ours bool   // we have
	id   string // ours: of the topic that it was about
}

// span is what a partition's log holds.
type span struct{ start, end int64 }

// Of a gap there are other words where how many records it took is not known, and where none that was seen.
var (
	wordsOfCompacted = map[string]string{
		"gap.deleted_unread": "gap.deleted_unread.compacted",
		"gap.moved":          "gap.moved.compacted",
		"gap.topic_deleted":  "gap.topic_deleted.compacted",
		"gap.topic_replaced": "gap.topic_replaced.compacted",
	}
	wordsOfRead = map[string]string{"gap.topic_deleted": "gap.topic_deleted.read", "gap.topic_replaced": "gap.topic_replaced.read"}
)

// changes are what became of a topic since it was kept, and what was lost by it.
func changes(kept delivery.SourceTopic, seen topicSeen, compacted bool) (now delivery.SourceTopic, gaps []delivery.NotedGap) {
	now = kept
	now.ID, now.Partitions, now.Compacted, now.Gone = seen.id, seen.partitions, compacted, false
	notice := func(key string, args ...any) {
		args = append(args, "topic", kept.Topic, "partitions", now.Partitions)
		gaps = append(gaps, delivery.NotedGap{SourceGap: delivery.SourceGap{Notice: true, What: delivery.Say(key, args...)}})
	}
	switch added := seen.partitions - kept.Partitions; {
	case kept.Partitions == 0:
	case kept.ID != seen.id:
		now.MadeAgain++
		if gaps = lostWith(kept, "gap.topic_replaced"); kept.Gone {
			gaps = nil
			notice("gap.topic_made_again")
		}
	case kept.Gone:
		notice("gap.topic_back")
	case added > 0:
		notice("gap.partitions_added", "added", added)
	}
	return now, gaps
}

// lostWith are what a topic held, as far as was seen, that is not there any more.
func lostWith(kept delivery.SourceTopic, key string) (gaps []delivery.NotedGap) {
	for partition := range int32(kept.Partitions) {
		at := kept.Positions[partition]
		g := gapOf(partition, at.Next, max(at.End, at.Next), kept.Compacted)
		g.ToOffset, g.What = nil, delivery.Say(key, "topic", kept.Topic, "partition", partition, "from", at.Next, "records", at.End-at.Next)
		switch {
		case at.End <= at.Next:
			g.What.Key = wordsOfRead[key]
		case kept.Compacted:
			g.What.Key = wordsOfCompacted[key]
		}
		gaps = append(gaps, g)
	}
	return gaps
}

// gapOf is a gap between two offsets.
func gapOf(partition int32, from, to int64, compacted bool) delivery.NotedGap {
	g := delivery.NotedGap{SourceGap: delivery.SourceGap{Partition: &partition, FromOffset: &from, ToOffset: &to}}
	if records := to - from; !compacted {
		g.Records = &records
	}
	return g
}

// judgement is where one partition is read from, and what that tells.
type judgement struct {
	topic     delivery.SourceTopic
	partition int32
	kept      delivery.SourcePosition
	known     bool
	log       span

	base, from int64 // what was dealt with, as far as it is known, and where reading begins
	found      []delivery.NotedGap
}

func (j *judgement) judge(c groupCommit) {
	switch {
	case c.next >= 0 && c.ours && c.id == j.topic.ID:
		j.base = c.next
		if j.known {
			j.base = max(j.base, j.kept.Next) // what lies before was said to be lost
		}
		j.from = j.base
	case c.next >= 0 && !c.ours:
		j.others(c.next)
	case j.known && j.kept.Next > j.log.start && c.next < 0:
		j.base, j.from = j.kept.Next, j.log.start
		j.again("gap.forgotten", true)
	case j.known: // what is committed is of the topic that was here before, or nothing
		j.base, j.from = j.kept.Next, j.kept.Next
	default:
		j.base, j.from = j.log.start, j.log.start
	}
	if at := j.from; at < j.log.start {
		j.from = j.log.start
		j.gap("gap.deleted_unread", at, j.from)
	} else if at > j.log.end {
		j.base, j.from = at, j.log.start
		j.again("gap.cut", false)
	}
}

// others takes the position that somebody else has committed.
func (j *judgement) others(next int64) {
	j.base, j.from = next, next
	if !j.known || next == j.kept.Next {
		return
	}
	if j.base = j.kept.Next; next > j.base {
		j.gap("gap.moved", j.base, next)
	} else {
		j.again("gap.moved_back", true)
	}
}

// gap is one in front of where reading begins.
func (j *judgement) gap(key string, from, to int64) {
	g := gapOf(j.partition, from, to, j.topic.Compacted)
	if g.Records == nil {
		key = wordsOfCompacted[key]
	}
	g.Next, g.What = &to, delivery.Say(key, "partition", j.partition, "from", from, "to", to, "records", to-from)
	j.found = append(j.found, g)
}

// again: reading begins before what was dealt with.
func (j *judgement) again(key string, notice bool) {
	from, to := j.base, j.from
	g := gapOf(j.partition, from, to, true)
	g.Next, g.Again, g.Notice = &to, true, notice
	g.What = delivery.Say(key, "partition", j.partition, "from", from, "to", to, "end", j.log.end)
	j.found = append(j.found, g)
}

// The positions as far as gaps need them.

// begin notes where a partition is read from.
func (p *positions) begin(number int32, j judgement) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.parts[number]; at != nil {
		at.read, at.dealt = j.from, j.base
		at.end.Store(j.log.end)
	}
}

// goOn notes that the client reads on elsewhere.
func (p *positions) goOn(number int32, offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.parts[number]; at != nil {
		at.read = offset
	}
}

// skipped returns what lies between the last record of a partition and the next one and was deleted: other offsets that are missing
// were compacted or aborted.
func (p *positions) skipped(f kgo.FetchTopicPartition) (from, to int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.parts[f.Partition]
	if at == nil || at.read < 0 || len(f.Records) == 0 {
		return 0, 0
	}
	from, to = at.read, min(f.LogStartOffset, f.Records[0].Offset)
	at.read, at.suspected = f.Records[len(f.Records)-1].Offset+1, false
	return from, to
}

// read are the partitions that are read.
func (p *positions) read() map[int32]kgo.Offset {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := map[int32]kgo.Offset{}
	for n, at := range p.parts {
		if !at.revoked && at.read >= 0 {
			held[n] = kgo.Offset{}
		}
	}
	return held
}

// idle are the gaps in front of partitions from which nothing comes. What the client has read and we have not is none: only what two
// looks see with nothing in between is one.
func (p *positions) idle(logs map[int32]span, nothingRead, compacted bool) (found []delivery.NotedGap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, log := range logs {
		at := p.parts[n]
		if at == nil || at.revoked {
			continue
		}
		at.end.Store(log.end)
		suspect := nothingRead && at.read < log.start
		if suspect && at.suspected {
			j := judgement{partition: n, topic: delivery.SourceTopic{Compacted: compacted}}
			j.gap("gap.deleted_unread", at.read, log.start)
			found = append(found, j.found...)
			at.read, suspect = log.start, false
		}
		at.suspected = suspect
	}
	return found
}

// committed notes what the group has.
func (p *positions) committed(offsets map[int32]kgo.EpochOffset) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, offset := range offsets {
		if at := p.parts[n]; at != nil {
			at.dealt = offset.Offset
		}
	}
}

// toKeep are the partitions of which something else is kept.
func (p *positions) toKeep() (list []delivery.SourcePosition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, at := range p.parts {
		is := delivery.SourcePosition{Partition: n, Next: at.dealt, End: at.end.Load()}
		if at.read >= 0 && !at.gone && at.noted != is {
			list = append(list, is)
		}
	}
	return list
}

func (p *positions) kept(list []delivery.SourcePosition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, is := range list {
		if at := p.parts[is.Partition]; at != nil {
			at.noted = is
		}
	}
}
