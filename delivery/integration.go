package delivery

import "time"

// Method is how the hand-over is decoupled from the producer.
type Method string

// The five methods.
const (
	MethodPool   Method = "pool"
	MethodBroker Method = "broker"
	MethodOutbox Method = "outbox"
	MethodBatch  Method = "batch"
	MethodCDC    Method = "cdc"
)

// Methods lists all of them.
var Methods = []Method{MethodPool, MethodBroker, MethodOutbox, MethodBatch, MethodCDC}

// Integration is a named route: a method, a destination and a policy. It comes from the integrations file.
type Integration struct {
	Name        string // see IsName
	Description string
	Method      Method
	Subscribe   []string // event types
	Destination Destination
	Idempotent  bool // the receiver drops duplicates by key, see Repeatable
	Retry       RetryPolicy
	OnFailure   State  // StateDead (dead-letter) or StateIgnored (ignore)
	Ordered     bool   // strictly in order per key
	OnDead      OnDead // ordered only
	Concurrency int
	Mask        []string          // hidden from people and logs, see CheckMask
	Subject     string            // where a message says whose data it is, see CheckSubject; empty: nowhere
	Labels      map[string]string // that grants, lists and the overview may name, see CheckLabels
	Runbook     string            // URL of what to do when it fails; empty: none
	FourEyes    FourEyes          // what a second person approves
	Settings    string            // its part of the file as it is written, references unresolved: of use to see that it changed
	Pool        *PoolSettings     // method pool only
	Broker      *BrokerSource     // method broker only
	Outbox      *OutboxSettings   // method outbox only
	CDC         *CDCSource        // method cdc only
	Batch       *BatchSettings    // method batch only
}

// OnDead says what becomes of the later deliveries of a key when one of them dies.
type OnDead string

// What a dead letter does to its key.
const (
	OnDeadBlock OnDead = "block" // they wait until a person settles it; the default
	OnDeadSkip  OnDead = "skip"  // they go on: the order is kept among those that are delivered at first
)

// Holds reports whether a delivery that is in this state after an attempt holds up the later ones of its key.
func (i Integration) Holds(next State) bool {
	return i.Ordered && (next == StatePending || next == StateDead && i.OnDead != OnDeadSkip)
}

// Repeatable reports whether an attempt that may have had its effect is followed by another one without a person: the receiver drops
// duplicates, or the sender looks what is there. Every room asks here.
func (i Integration) Repeatable() bool { return i.Idempotent || i.Destination.Settles() }

// LeaseFor is how long a worker may hold a delivery without a heartbeat: always longer than one attempt.
func (i Integration) LeaseFor() time.Duration {
	return i.Destination.Timeout() + 10*time.Second
}

// IntegrationState is the part of an integration that changes at run time.
type IntegrationState struct {
	Name         string
	PausedAt     *time.Time
	PausedBy     string // as they are called now
	PausedByID   string
	PausedUntil  *time.Time // when it goes on by itself; nil: when somebody resumes it
	PauseReason  string     // of a person
	PauseSays    Phrase     // why the program paused it by itself
	Breaker      BreakerState
	BreakerUntil *time.Time
}

// BreakerState is the circuit breaker's position.
type BreakerState string

// Breaker positions.
const (
	BreakerClosed   BreakerState = "closed"
	BreakerOpen     BreakerState = "open"      // postponing without spending attempts
	BreakerHalfOpen BreakerState = "half-open" // letting single probes through
)

// IntegrationHealth is what the overview, the API and the metrics show of one integration.
type IntegrationHealth struct {
	IntegrationFigures
	Labels       map[string]string // of the file
	Runbook      string            // of the file
	Delivered24h int
	Failed24h    int
	Hours        []HourCount // last 24 hours, oldest first, always 24 entries
	Alarm        bool        // a figure of its method needs a person, see Fact
	Parts        []PartHealth
	Gaps         SourceGaps
	ReusedKeys   ReusedKeys
	TableGaps    []CaptureGap // cdc only: what is missing of tables that are stopped
}

// ReusedKeys are messages of the last 24 hours that an integration would have got, had their idempotency keys not been used for others.
type ReusedKeys struct {
	Count     int // at most MaxReusedKeys
	LastAt    time.Time
	Sender    string // of the last, as they are called now
	Differs   KeyReuse
	MessageID string // who had the key of the last
}

// MaxReusedKeys is how many of them are counted.
const MaxReusedKeys = 10_000

// IntegrationFigures are an integration and its failures at one moment.
type IntegrationFigures struct {
	IntegrationState
	Description   string
	Method        Method
	Destination   string // kind
	Address       string // redacted
	Pending       int    // waiting in the queue, due or not
	Sending       int
	Dead          int
	Acknowledged  int // of the dead: somebody looks after them, so that they are not red any more
	Ignored       int
	OldestPending *time.Time // since when the delivery that is due the longest waits
	NewGroups     int        // with the status new, and dead letters
}

// HourCount counts outcomes within one hour.
type HourCount struct {
	Start     time.Time
	Delivered int
	Failed    int // failed attempts
}
