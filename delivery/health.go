package delivery

import (
	"net/http"
	"slices"
	"time"
)

// Part is a part of an integration that can fail by itself.
type Part string

// The parts. Which of them an integration has follows from its method.
const (
	PartSource      Part = "source"      // broker, cdc: what messages are taken from
	PartRelay       Part = "relay"       // outbox: who makes deliveries of events
	PartSchedule    Part = "schedule"    // batch: the runs
	PartPool        Part = "pool"        // pool: the workers
	PartDestination Part = "destination" // all that send: where messages go
)

// PartStatus is how a part stands.
type PartStatus string

// How a part stands. A part of which nothing is known yet has no status at all.
const (
	PartOK       PartStatus = "ok"
	PartDegraded PartStatus = "degraded" // it does not work, and has not for a while
)

// PartHealth is how one part of an integration stands, by what was really seen of it.
type PartHealth struct {
	Part        Part
	Status      PartStatus
	Since       time.Time  // of the status
	LastSuccess *time.Time // when it was last seen to work
	LastError   Phrase     // without secrets; it stays after the recovery
	LastErrorAt *time.Time
}

// Degraded are the parts that do not work.
func Degraded(parts []PartHealth) (out []PartHealth) {
	for _, p := range parts {
		if p.Status == PartDegraded {
			out = append(out, p)
		}
	}
	return out
}

// SeenHealth is what one process saw of a part.
type SeenHealth struct {
	Integration string
	PartHealth
	SeenAt time.Time // a destination is seen by attempts only
	Kept   bool      // Since is what the store said: this process began with the status and has not seen it change
}

// Condition is what a room says of a part at one moment. Whoever watches makes a status of it.
type Condition struct {
	Integration string
	Part        Part
	State       ConditionState
	Reason      Phrase    // ConditionFails: why, without secrets
	Since       time.Time // ConditionFails: since when; zero: since it was first seen
	Certain     bool      // ConditionFails: waiting does not mend it, it counts at once; also a finding that stays until somebody acts
	SeenAt      time.Time // zero: now
	LastSuccess time.Time // zero: not known
}

// ConditionState is what a part does.
type ConditionState int

// What a part does.
const (
	ConditionUnknown ConditionState = iota // this process does not use it now: paused, led by another process, no traffic
	ConditionWorks
	ConditionFails
)

// Trouble is what a failed attempt says about the destination itself.
type Trouble int

// What a failed attempt says about the destination.
const (
	TroubleNone      Trouble = iota // the message is to blame: the destination lives
	TroubleSuspected                // so answers a destination that refuses everything, or this message only
	TroubleSure                     // it cannot be reached, or not be used by us
)

var (
	sureClasses = []string{
		ClassDNS,
		ClassConnect,
		ClassTLS,
		ClassBlockedAddress,
		ClassTimeout,
		ClassConnectionLost,
		ClassProtocol,
		ClassNoSubscribers,
		ClassUnroutable,
		ClassRefused,
		ClassBrokerBlocked,
		ClassHostKey,
		ClassNoSpace,
		ClassNotFound,
		ClassDenied,
		ClassStorage,
	}
	suspectClasses  = []string{ClassHTTP5xx, ClassRateLimited, ClassGone, ClassRedirect, ClassPanic}
	suspectStatuses = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusRequestTimeout}
)

// Trouble says what a result tells of the destination.
func (r Result) Trouble() Trouble {
	switch {
	case r.Outcome == OutcomeOK:
		return TroubleNone
	case slices.Contains(sureClasses, r.ErrorClass):
		return TroubleSure
	case slices.Contains(suspectClasses, r.ErrorClass),
		r.ErrorClass == ClassHTTP4xx && slices.Contains(suspectStatuses, r.HTTPStatus):
		return TroubleSuspected
	}
	return TroubleNone
}

// ShortReason bounds a sentence that people and metrics read, and makes it storable.
func ShortReason(text string) string { return cut(Storable(text), maxWords) }
