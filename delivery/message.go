// Package delivery holds the words that every other package shares: messages, integrations, deliveries, attempts and the
// policy that connects them. It imports the standard library only.
package delivery

import (
	"encoding/json"
	"time"
)

// MaxPayload is the largest payload accepted, in bytes, and PayloadLimit the same for people.
const (
	MaxPayload   = 10 << 20
	PayloadLimit = "10 MiB"
)

// Kind reports whether a message announces something or asks for something.
type Kind string

// The two kinds of message.
const (
	KindCommand Kind = "command" // do this: exactly one addressee
	KindEvent   Kind = "event"   // this happened: any number of subscribers
)

// Message is what a producer wants delivered. It never changes once accepted; Payload is opaque bytes, and may be null: to have no
// payload is not the same as to have an empty one.
type Message struct {
	ID             string // uuid
	Kind           Kind
	Integration    string // addressee of a command, empty for an event
	Type           string
	Key            string // business or ordering key, may be empty
	Headers        map[string]string
	Payload        []byte     // nil: null
	IdempotencyKey string     // the producer's, may be empty
	DeliverAfter   *time.Time // not before
	ExpiresAt      *time.Time // not after; an expired message is never sent
	Origin         *Origin    // where a broker's message came from; nil for others
	CreatedAt      time.Time
	Dropped        bool   // it was older than what is kept: nothing but ID and CreatedAt is known
	Withheld       bool   // whoever asks may not look at payload and headers: all of them are hidden
	Sender         string // who handed it over, see SenderRole; empty: nobody knows
	SenderName     string // as they are called now
}

// Who handed a message over is the id of a person or token, the role of the database that called the functions for producers, or the
// integration whose source it came from. The program itself is ActorProgram.
const (
	SenderRole        = "role:"
	SenderIntegration = "integration:"
)

// KeyReuse is what tells a message from the first one with its idempotency key: it was not taken in, and is no repetition. Of another
// sender's message no more is told than that.
type KeyReuse string

// How a key was used before.
const (
	ReusedBySender  KeyReuse = "sender"  // by another sender
	ReusedByContent KeyReuse = "content" // by the same sender, for another type, key or payload
	ReusedByGone    KeyReuse = "gone"    // for a message that is kept no more
)

// Accepted is the answer to a message that was handed over.
type Accepted struct {
	ID         string   // message id
	Duplicate  bool     // the idempotency key was known: ID is the first message's
	Differs    KeyReuse // of a duplicate: empty where it is a repetition, or nobody knows
	Deliveries []DeliveryRef
}

// DeliveryRef names one delivery of a message.
type DeliveryRef struct {
	ID          string
	Integration string
	State       State
}

// State is where a delivery stands.
type State string

// States of a delivery. pending and sending belong to the engine, a person or a policy settles the rest.
const (
	StatePending   State = "pending"   // waits for its due time; set by the producer, a failed attempt or a retry
	StateSending   State = "sending"   // a worker holds the lease (derived from the queue, never stored)
	StateDelivered State = "delivered" // the receiver confirmed; final, unless a batch's receiver answers later that it rejects it
	StateDead      State = "dead"      // the engine gave up; a person decides
	StateIgnored   State = "ignored"   // a person or policy decided not to deliver; can be reopened
	StateResolved  State = "resolved"  // a person settled it by other means; can be reopened
)

// States lists every state in the order of a delivery's life.
var States = []State{StatePending, StateSending, StateDelivered, StateDead, StateIgnored, StateResolved}

// Outcome is how one attempt ended.
type Outcome string

// Outcomes of an attempt.
const (
	OutcomeOK        Outcome = "ok"        // confirmed by the receiver
	OutcomeTransient Outcome = "transient" // failed, another try may succeed
	OutcomePermanent Outcome = "permanent" // failed, the same try fails again
	OutcomeUnknown   Outcome = "unknown"   // sent, no answer: it may have had its effect
	OutcomeLate      Outcome = "late"      // arrived after the lease was lost; changed nothing
)

// LateConfirming stands in what is stored of the attempt that confirmed a delivery which had failed before, in the place of what a late
// outcome would have been: the record says that outcome, and how the attempt was made stands beside the failed ones.
const LateConfirming = "confirming"

// Attempt is one try, as shown to people.
type Attempt struct {
	Number     int
	StartedAt  time.Time
	Duration   time.Duration
	Outcome    Outcome
	ErrorClass string
	Error      string
	HTTPStatus int     // 0 when there was no HTTP answer
	Response   []byte  // excerpt of the answer
	Late       Outcome // for OutcomeLate: what the outcome would have been
	Edit       int     // number of the version that it sent, see Edit; 1: as accepted
	Exchange   *Exchange
}

// Delivery is one message on one integration: the identity of a failure for life.
type Delivery struct {
	ID               string
	MessageID        string
	Integration      string
	State            State
	Version          int // raised by every change of state; what a person's action is checked against
	Attempts         int
	ErrorClass       string
	Error            string // last error, redacted
	GroupID          string
	CreatedAt        time.Time  // the message's acceptance
	FailedAt         *time.Time // first failure
	LastAttemptAt    *time.Time
	NextAttemptAt    *time.Time // pending only
	DeadAt           *time.Time
	SettledAt        *time.Time // delivered, ignored or resolved
	ChangedAt        *time.Time // last change of state: its place in lists of failures
	RetryRequestedAt *time.Time // a person asked for a retry that is not settled yet
	Settlement       Settlement // who ignored or resolved it, and why
	ReopenedBecause  Phrase     // of a dead letter that was ignored until an end came: which

	Edit        int    // number of the version that is sent, see Edit; 1: as accepted
	OperationID string // the operation that last acted on it
	Repeated    bool   // answer to a form that had been carried out before: nothing was changed now
	Case        Case   // what people keep about it

	// Copied from the message for lists.
	Type string
	Key  string
}

// Settlement is a person's (or policy's) decision on a dead letter.
type Settlement struct {
	Actor    string // as they are called now
	ActorID  string // see Actor…
	Reason   string
	Category string // ignore: one of IgnoreCategories or a word of the caller's own
	End             // ignore: when it comes back
	Evidence string // resolve: link or text
	RuleID   string // ignore: the rule that swallowed it, see IgnoreRule; empty: none did
}

// Detail is everything known about one delivery.
type Detail struct {
	Delivery
	Method      Method
	Message     Message
	Timeline    []Attempt // oldest first
	History     []AuditEntry
	KeySiblings []Delivery // other deliveries of the same integration and key, newest first, at most 20
	GroupCount  int        // open dead letters in the same group
	Remedies    []Remedy   // how failures of the group were settled before, the latest first
	Lane        Lane       // ordered integrations
	Edits       []Edit     // oldest first; empty while it was never edited
	Notes       []Note     // oldest first
}

// Lane is where a delivery stands in the order of its key.
type Lane struct {
	BehindID string     // the unsettled delivery that goes first; empty when it is this one, or there is no order
	Waiting  int        // later deliveries that wait until this one is settled
	Blocked  []Delivery // the first of these in the order of their turn, at most 20
}

// IgnoreCategories are the reasons that the console offers.
var IgnoreCategories = []string{"duplicate", "test-data", "obsolete", "receiver-bug", "producer-bug", "accepted-loss", "other"}

// AuditEntry is one link of the audit chain.
type AuditEntry struct {
	Seq         int64
	At          time.Time
	Actor       string // to be recorded: the actor; as it is kept: what they were called then
	ActorID     string // as it is kept: of a person or token
	Action      string // e.g. delivery.retry, integration.pause, session.sign-in
	SubjectType string // delivery, integration, operator, token, message
	Subject     string
	Reason      string
	Details     json.RawMessage // JSON object
	PrevHash    []byte
	Hash        []byte // SHA-256
	About       AuditSubject
}

// AuditSubject is what the subject of an entry is known as beside its id, as far as the reader sees it and it is still kept. It is no part
// of the chain.
type AuditSubject struct {
	Key, Type, Integration string // of a failure; of a message without the integration
	Done                   int    // of an operation: how many it has acted on
}

// AuditActor is somebody whom the audit tells of.
type AuditActor struct{ ID, Name string }

// Why is the reason of what the program did by itself. Such an entry has no text as its reason: it names the phrase among its details.
func (e AuditEntry) Why() Phrase {
	var details struct{ Why Phrase }
	if e.Reason == "" {
		_ = json.Unmarshal(e.Details, &details) // details that are no object have no members
	}
	return details.Why
}
