package delivery

import "time"

// Fact is one figure of an integration's method, such as busy 3 of 50: shown to people, in the API and as a metric.
type Fact struct {
	Name  string // snake_case and stable: dashboards use it
	Value int64
	Limit int64  // 0: none
	Total bool   // counted since the start, only ever grows
	Says  Phrase // in words, where a figure alone does not say enough
	Alarm bool   // a person should look: shown as such, not only as a figure
}

// UnavailableError says why a message was not taken, although nothing is wrong with it, and when to offer it again.
type UnavailableError struct {
	Code       string // pool_full, pool_stopping, pool_unrecorded or busy
	Says       Phrase // the zero phrase: what the code says by itself
	RetryAfter time.Duration
}

// Phrase says what is not possible now.
func (e *UnavailableError) Phrase() Phrase {
	if e.Says.IsZero() {
		return Say(e.Code)
	}
	return e.Says
}

func (e *UnavailableError) Error() string { return e.Phrase().String() }

// SourceStatus is where a broker's consumer stands.
type SourceStatus string

// What a consumer does.
const (
	SourceConnecting   SourceStatus = "connecting"
	SourceConnected    SourceStatus = "connected"
	SourceJoining      SourceStatus = "joining"      // connected, and has no partition although one should be there for it
	SourceReconnecting SourceStatus = "reconnecting" // Why says what happened
	SourceWaiting      SourceStatus = "waiting"      // takes nothing: the integration is paused or its breaker is open
	SourceStopped      SourceStatus = "stopped"
)

// SourceFacts is a look at one consumer of this process. The counts start with the process.
type SourceFacts struct {
	Status      SourceStatus
	Since       time.Time // of the status
	Why         Phrase    // of the status; without secrets
	InFlight    int       // messages taken and not yet acknowledged
	Prefetch    int       // and how many there may be
	Received    int64
	Delivered   int64             // by their first attempt
	Parked      int64             // went to the failure store or its queue
	Unwanted    int64             // of types that are not subscribed to: acknowledged, not delivered
	Known       int64             // redelivered or published twice, recognised and not delivered again
	Waiting     *int64            // messages that the broker still holds: a queue's depth or a topic's lag; nil: not known
	Positions   []SourcePosition  // Kafka
	Partitions  *SourcePartitions // Kafka
	Gaps        int64             // how often messages may have been lost at the source, ever; see SourceGap
	LastGap     SourceGap         // the latest of these
	GapRecords  *int64            // records that these gaps took, as far as that is known; nil: the source has no positions
	CannotMatch bool              // messages without an identity came: a redelivery of theirs cannot be recognised
}

// Listening is one process that listens to a source which keeps nothing, as it says every few seconds.
type Listening struct {
	Integration, Place string
	Worker             string        // unique name of the process
	Since              time.Duration // so long ago it began
	Heard              time.Duration // so long ago the source last gave a sign of life
}

// SourcePartitions are those that a group has given to this process.
type SourcePartitions struct {
	Numbers []int32   // ascending
	Since   time.Time // since when it has these, or none
	Spare   bool      // it has none, since other members have all of them
}

// Fact is the figure for people, API and metrics.
func (p SourcePartitions) Fact() Fact {
	f := Fact{Name: "partitions", Value: int64(len(p.Numbers))}
	switch {
	case len(p.Numbers) > 0:
		f.Says = Say("source.partitions", "partitions", p.Numbers, "since", p.Since)
	case p.Spare:
		f.Says = Say("source.partitions_spare", "since", p.Since)
	default:
		f.Says = Say("source.partitions_awaited", "since", p.Since)
	}
	return f
}

// SourcePosition is how far one partition of a topic was dealt with.
type SourcePosition struct {
	Partition int32
	Next      int64 // the first offset that is not dealt with; -1: nothing was taken yet
	End       int64 // the partition's end when it was last read
}

// Facts are f as figures for people, API and metrics.
func (f SourceFacts) Facts() []Fact {
	connected := Fact{Name: "connected", Says: Say("source.status." + string(f.Status))}
	if f.Status == SourceConnected {
		connected.Value = 1
	}
	if !f.Why.IsZero() {
		connected.Says = Say("error.because", "what", connected.Says, "why", f.Why)
	}
	facts := []Fact{connected, {Name: "in_flight", Value: int64(f.InFlight), Limit: int64(f.Prefetch)}}
	if f.Partitions != nil {
		facts = append(facts, f.Partitions.Fact())
	}
	if f.Waiting != nil {
		facts = append(facts, Fact{Name: "waiting", Value: *f.Waiting})
	}
	facts = append(facts, Fact{Name: "received", Value: f.Received, Total: true},
		Fact{Name: "delivered", Value: f.Delivered, Total: true}, Fact{Name: "parked", Value: f.Parked, Total: true},
		Fact{Name: "known", Value: f.Known, Total: true})
	if f.Unwanted > 0 {
		facts = append(facts, Fact{Name: "unwanted", Value: f.Unwanted, Total: true})
	}
	if f.Gaps > 0 {
		facts = append(facts, Fact{Name: "gaps", Value: f.Gaps, Total: true, Says: f.LastGap.Phrase()})
	}
	if f.GapRecords != nil {
		facts = append(facts, Fact{Name: "gap_records", Value: *f.GapRecords, Total: true})
	}
	return facts
}
