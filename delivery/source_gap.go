package delivery

import (
	"slices"
	"time"
)

// SourceGap is a time in which messages may have been lost at a source that keeps none, or a place where it lost some.
type SourceGap struct {
	From, To *time.Time // in which nobody listened; nil where What tells it
	What     Phrase     // what happened

	Partition            *int32 // Kafka: where it was, from the first offset that is missing to the first that is there again
	FromOffset, ToOffset *int64 // nil: nobody knows
	Records              *int64 // that are missing, at most: markers of transactions have offsets too; nil: nobody knows
	Notice               bool   // nothing is lost: it tells of a change
	NotedAt              time.Time
}

// Phrase says what may have been lost.
func (g SourceGap) Phrase() Phrase {
	if g.From == nil || g.To == nil {
		return g.What
	}
	return Say("gap.unheard", "from", g.From.UTC().Format(time.RFC3339Nano), "to", g.To.UTC().Format(time.RFC3339Nano))
}

// String is the gap for logs.
func (g SourceGap) String() string { return g.Phrase().String() }

// SourceGaps are those of an integration.
type SourceGaps struct {
	Count   int64       // without notices
	Records int64       // as far as their numbers are known
	Last    SourceGap   // that is no notice
	Latest  []SourceGap // of gaps and notices, newest first, at most MaxLatestGaps
}

// Others are the latest without the last gap, newest first.
func (g SourceGaps) Others() []SourceGap {
	return slices.DeleteFunc(slices.Clone(g.Latest), func(one SourceGap) bool { return !one.Notice && one.NotedAt.Equal(g.Last.NotedAt) })
}

// MaxLatestGaps bounds how many gaps are shown.
const MaxLatestGaps = 10

// OnGap says what an integration does when its source lost messages.
type OnGap string

// What is done about a gap.
const (
	OnGapGoOn OnGap = ""
	OnGapStop OnGap = "stop" // the program pauses the integration: it reads nothing more until a person resumes it
)

// NotedGap is a gap to be written down, with an entry in the audit.
type NotedGap struct {
	SourceGap
	Integration, Place string
	Hold               bool // the integration is paused with it, unless it is a notice

	// Of is whose kept position moves to Next; nil: none does. A gap that the kept position has passed is known already, and not noted
	// once more.
	Of    SourceName
	Next  *int64
	Again bool // Next lies behind: records are read again
}

// SourceName names a topic as a group reads it.
type SourceName struct{ Integration, Topic, Group string }

// SourceTopic is what is kept of a topic that is read.
type SourceTopic struct {
	SourceName
	ID         string // the broker's own; empty: it has none
	Partitions int    // 0: nothing is kept yet
	Compacted  bool   // as far as is known: how many records a gap took cannot be told
	MadeAgain  int    // how often another one came under its name
	Gone       bool   // it was deleted, and that is noted
	Positions  map[int32]SourcePosition
}
