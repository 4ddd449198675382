package delivery

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Request is one attempt for a Sender.
type Request struct {
	DeliveryID     string
	IdempotencyKey string // the same on every attempt of one delivery
	Integration    string
	Attempt        int // from 1
	Message        Message
}

// Result is what a Sender says happened. The engine decides what comes next.
type Result struct {
	Outcome    Outcome
	ErrorClass string        // see the Class constants; empty for ok
	Error      string        // one sentence without secrets
	Words      string        // what the other side said of it, without secrets; Conceal puts them into Error
	HTTPStatus int           // 0 without an HTTP answer
	Response   []byte        // excerpt
	RetryAfter time.Duration // the receiver's wish, 0 for none
	Exchange   *Exchange     // of an attempt that failed; nil: nothing is known of it
}

// Storable is r as it can be stored: texts without what no column takes, the excerpt of bounded length, and an outcome that nobody
// knows as unknown. One bad byte would hold up a whole batch.
func (r Result) Storable() Result {
	if !slices.Contains(reportable, r.Outcome) {
		r.Outcome = OutcomeUnknown
	}
	r.Error, r.ErrorClass, r.Exchange = Storable(r.Error), Storable(r.ErrorClass), r.Exchange.Storable()
	if len(r.Response) > MaxExcerpt {
		r.Response = bytes.Clone(r.Response[:MaxExcerpt])
	}
	return r
}

// reportable are the outcomes that a Sender may report.
var reportable = []Outcome{OutcomeOK, OutcomeTransient, OutcomePermanent, OutcomeUnknown}

// Tried is one attempt that was made.
type Tried struct {
	Result
	StartedAt time.Time
	Duration  time.Duration
}

// Attempt is t as the number-th attempt of its delivery.
func (t Tried) Attempt(number int) Attempt {
	return Attempt{Number: number, StartedAt: t.StartedAt, Duration: t.Duration, Outcome: t.Outcome, ErrorClass: t.ErrorClass,
		Error: t.Error, HTTPStatus: t.HTTPStatus, Response: t.Response, Exchange: t.Exchange}
}

// Conceal hides in the error of an attempt that no sender made what is masked of the payload.
func (a Attempt) Conceal(payload []byte, k Masking) Attempt {
	shown, _ := k.Hider(payload).Attempt(a)
	return shown
}

// Storable replaces what no text column takes: bytes that are no UTF-8, and NUL.
func Storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// FirstBytes are at most so many bytes of a text, without a part of a character at the end.
func FirstBytes(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// Sender delivers to one destination. It never retries and never panics on hostile answers. It is safe for concurrent use.
type Sender interface {
	Send(ctx context.Context, r Request) Result
	Close() error
}

// Error classes. They are part of the public interface: filters, groups and dashboards use them.
const (
	ClassDNS            = "dns"             // name did not resolve
	ClassConnect        = "connect"         // refused, unreachable, connect timeout: nothing was sent
	ClassTLS            = "tls"             // certificate or handshake
	ClassBlockedAddress = "blocked_address" // refused by the network rules
	ClassTimeout        = "timeout"         // no complete answer in time after sending: unknown
	ClassConnectionLost = "connection_lost" // closed after sending: unknown
	ClassHTTP4xx        = "http_4xx"
	ClassHTTP5xx        = "http_5xx"
	ClassRateLimited    = "rate_limited"   // 429
	ClassGone           = "gone"           // 410
	ClassRedirect       = "redirect"       // 3xx is not followed
	ClassProtocol       = "protocol"       // not HTTP
	ClassBadRequest     = "bad_request"    // this message cannot be sent, e.g. a header value with a line break
	ClassExpired        = "expired"        // past expires_at, not sent
	ClassLeaseLost      = "lease_lost"     // the worker vanished without an outcome
	ClassPoison         = "poison"         // three workers vanished while holding it
	ClassNoIntegration  = "no_integration" // its integration left the file
	ClassPanic          = "panic"          // the sender panicked
	ClassNoSubscribers  = "no_subscribers" // Redis: fewer listeners than required
	ClassUnroutable     = "unroutable"     // RabbitMQ: no queue takes it; Kafka: no such topic
	ClassRefused        = "refused"        // the broker answered that it does not take it (nack, authorisation, policy)
	ClassTooLarge       = "too_large"      // larger than the broker, or a file's place, takes
	ClassBrokerBlocked  = "broker_blocked" // RabbitMQ holds publishers back: memory or disk alarm
	ClassForeign        = "foreign"        // died in somebody else's dead-letter queue
	ClassRunFailed      = "run_failed"     // a batch's run: its rows could not be read or written
	ClassRejected       = "rejected"       // the receiver of a batch's file answered later that it does not take the file, or the row
	ClassHostKey        = "host_key"       // SFTP: the server's key is not the one in known_hosts
	ClassNoSpace        = "no_space"       // the file's place is full, or a quota is
	ClassFileExists     = "file_exists"    // another file of that name is there
	ClassNotFound       = "not_found"      // the file's directory is missing
	ClassDenied         = "denied"         // no right to write the file, or a read-only place
	ClassStorage        = "storage"        // the file's place failed in another way
	ClassSource         = "source"         // the stored bytes of the file cannot be read
	ClassCorrupt        = "corrupt"        // the bytes of the file are not those that were recorded
	ClassMapping        = "mapping"        // a change of a table that an expression of the integrations file could not make a message of
)

// ErrorClasses lists every class, for filters.
var ErrorClasses = []string{ClassDNS, ClassConnect, ClassTLS, ClassBlockedAddress, ClassTimeout, ClassConnectionLost,
	ClassHTTP4xx, ClassHTTP5xx, ClassRateLimited, ClassGone, ClassRedirect, ClassProtocol, ClassBadRequest, ClassExpired,
	ClassLeaseLost, ClassPoison, ClassNoIntegration, ClassPanic, ClassNoSubscribers, ClassUnroutable, ClassRefused,
	ClassTooLarge, ClassBrokerBlocked, ClassForeign, ClassHostKey, ClassNoSpace, ClassFileExists, ClassNotFound, ClassDenied,
	ClassStorage, ClassSource, ClassCorrupt, ClassRejected, ClassRunFailed, ClassMapping}

// UnsureClasses tell of attempts after which nobody knows whether they had their effect.
var UnsureClasses = []string{ClassTimeout, ClassConnectionLost, ClassLeaseLost, ClassPoison}

// MayHaveHadEffect reports whether a dead letter may have had its effect on the receiver.
func (d Delivery) MayHaveHadEffect() bool {
	return d.State == StateDead && slices.Contains(UnsureClasses, d.ErrorClass)
}

// Twice reports whether to send a delivery again by i may have its effect a second time: whoever asks for that has to say so.
func (i Integration) Twice(d Delivery) bool { return d.MayHaveHadEffect() && !i.Repeatable() }

// Lease names one claim of one delivery. The token is unique over all claims ever made: the fence.
type Lease struct {
	DeliveryID string
	Token      int64
}

// Claimed is a delivery that this process holds a lease on.
type Claimed struct {
	Lease
	Integration string
	Attempt     int  // number of this attempt, counted at the claim
	RoundStart  int  // attempts made before the current round (a person's retry starts a new round)
	Crashes     int  // leases lost without an outcome in this round, including the one just found
	LostLease   bool // the previous holder vanished: its attempt has no outcome
	Expired     bool // past expires_at by the database's clock
	Message     Message
}

// Completed is what became of the attempt that began at started: next is the delivery's state from now on.
func (c Claimed) Completed(r Result, next State, started time.Time, took time.Duration) Completion {
	done := Completion{
		Lease:       c.Lease,
		MessageID:   c.Message.ID,
		Integration: c.Integration,
		Key:         c.Message.Key,
		Type:        c.Message.Type,
		ExpiresAt:   c.Message.ExpiresAt,
		CreatedAt:   c.Message.CreatedAt,
		Attempt:     c.Attempt,
		StartedAt:   started,
		Duration:    took,
		Result:      r,
		Next:        next,
	}
	if r.Outcome != OutcomeOK {
		done.GroupID, done.GroupText = Fingerprint(c.Integration, r.ErrorClass, r.Error)
	}
	return done
}

// IdempotencyKey is the producer's key, else the delivery id.
func (c Claimed) IdempotencyKey() string {
	if c.Message.IdempotencyKey != "" {
		return c.Message.IdempotencyKey
	}
	return c.DeliveryID
}

// Completion is what the engine decided about one claimed delivery. A completion whose token is no longer current changes
// nothing and is recorded as a late attempt.
type Completion struct {
	Lease
	MessageID    string
	Integration  string
	Key, Type    string     // of the message
	CreatedAt    time.Time  // the message's acceptance
	ExpiresAt    *time.Time // the message's
	Attempt      int
	StartedAt    time.Time
	Duration     time.Duration
	Result       Result
	Next         State         // delivered, pending, dead or ignored (by policy)
	RetryIn      time.Duration // pending: from the database's now
	NotAttempted bool          // nothing was sent (expired)
	Vanished     bool          // nothing was sent either: this is what follows from the attempt of a worker that vanished, which the claim noted
	GroupID      string        // fingerprint, for failures
	GroupText    string        // normalised error text of the group
}

// Quota asks for up to Limit deliveries of one integration under a lease of the given length.
type Quota struct {
	Integration string
	Limit       int
	Bytes       int64 // of payloads, in all; 0: any
	AnyFirst    bool  // the first delivery may be larger than that
	Lease       time.Duration
}
