package delivery

import (
	"errors"
	"time"
)

// Filter selects failures. Empty fields select everything; several values of one field are alternatives.
type Filter struct {
	States       []State // empty: dead
	Integrations []string
	Methods      []Method
	ErrorClasses []string
	Groups       []string
	Key          string
	MessageID    string
	Query        string     // substring of the error text, case-insensitive
	From, To     *time.Time // by the failure's position in the list's order

	IDs           []string    // deliveries
	Destinations  []string    // kinds, see Destination.Kind
	GroupMessages []string    // normalised error texts, of groups of any integration
	Types         []string    // of the message
	Attempts      Range       // made so far
	Words         string      // of the payload: each must be in it, the last may be the beginning of a word; open failures only
	Paths         []PathValue // of the payload, all must fit; open failures only
	Actors        []string    // who made the last decision
	Assignees     []string    // NoAssignee selects those without
	Tags          []string    // all of them
	Ticket        string
	Acknowledged  *bool // dead letters only
	Sort          Sort
	After         string // cursor of the previous page
	Limit         int    // 1..500, default 50
}

// NoAssignee stands among Filter.Assignees for nobody.
const NoAssignee = "nobody"

// Range bounds a number, both ends included; a nil end is open.
type Range struct{ Min, Max *int }

// PathValue selects payloads that have a value at a path: $.customer.id and "4711" fit the number as well as the string.
type PathValue struct{ Path, Value string }

// Sort is the order of a failure list.
type Sort string

// Orders; both end with the id so that no row is dropped or repeated between pages.
const (
	SortNewest Sort = "newest" // last change first (default)
	SortOldest Sort = "oldest"
)

// Page is one page of a list. Next is the cursor of the following page, empty on the last.
type Page[T any] struct {
	Items []T
	Next  string
}

// AuditFilter selects audit entries, newest first. Empty fields select everything.
type AuditFilter struct {
	Actor, Action, Subject string
	Deed                   string // an action, or the start of an operation that does it
	Integration            string // that an entry is about, be it among others
	Category               string
	SubjectType            string
	Operation              string // the entries of its items
	DataSubject            string // hash of whose data was looked at
	Decisions              bool   // without the entries of operations' items: the start of the operation stands for them
	From, To               *time.Time
	After                  string // cursor
	Limit                  int    // 1..500, default 50
}

// IgnoredFilter selects what is ignored: the last ignored first, of what ends at a time the soonest. Empty fields select everything.
type IgnoredFilter struct {
	Integrations []string
	Category     string
	Actor        string // id of who ignored it
	End          IgnoreEnd
	Rule         string     // id of the rule that swallowed it
	From, To     *time.Time // of when it was ignored
	After        string     // cursor
	Limit        int        // 1..500, default 50
}

// ByEnd reports whether the soonest end comes first.
func (f IgnoredFilter) ByEnd() bool { return f.End == EndsSoon || f.End == EndsLater }

// IgnoreEnd says when an ignored failure comes back.
type IgnoreEnd string

// Ends of ignored failures.
const (
	EndsSoon  IgnoreEnd = "soon"    // within SoonEnds
	EndsLater IgnoreEnd = "later"   // after that
	EndsCount IgnoreEnd = "counted" // when enough others have come
	EndsNever IgnoreEnd = "never"   // it is ignored for good
)

// IgnoreEnds are all of them.
var IgnoreEnds = []IgnoreEnd{EndsSoon, EndsLater, EndsCount, EndsNever}

// SoonEnds is how long before its end something ends soon.
const SoonEnds = 7 * 24 * time.Hour

// IgnoredCount is how many ignored failures have the same category, end and person.
type IgnoredCount struct {
	Category string
	Actor    string // id
	Name     string // what they are called now
	End      IgnoreEnd
	N        int
}

// ActionRequest is one action of one person on one delivery.
type ActionRequest struct {
	Action   Action
	ID       string
	Version  int // 0: whatever the version is
	Actor    string
	Reason   string
	Category string // ignore
	End             // ignore
	Evidence string // resolve
	Token    string // UUID of the form: carrying out the same token again changes nothing; empty: no protection
}

// ConflictError says that somebody or something was faster.
type ConflictError struct {
	ID      string
	State   State
	Version int
	Actor   string // who changed it, as they are called now; ActorEngine for a delivery outcome
	ActorID string
	Action  string    // what they did
	At      time.Time // when
	Asked   *Asking   // who had asked for the attempt that ActorEngine made; nil: nobody
}

// Asking is somebody's decision that sends something again.
type Asking struct {
	Actor, ActorID, Action string
	At                     time.Time
}

// Phrase says who was faster, and what is now.
func (e *ConflictError) Phrase() Phrase {
	if e.Asked != nil {
		return Say("conflict.delivery.asked", "actor", e.Asked.Actor, "action", e.Asked.Action, "asked_at", e.Asked.At, "at", e.At,
			"state", e.State, "version", e.Version)
	}
	return Say("conflict.delivery", "actor", e.Actor, "action", e.Action, "at", e.At, "state", e.State, "version", e.Version)
}

// Who says who was faster, what they did and when.
func (e *ConflictError) Who() Phrase { return faster(e.Actor, e.Action, e.At) }

func faster(actor, action string, at time.Time) Phrase {
	return Say("conflict.who", "actor", actor, "action", action, "at", at)
}

func (e *ConflictError) Error() string { return e.Phrase().String() }

// ErrNotFound is returned for an id that does not exist.
var ErrNotFound = errors.New("not found")

// InputError is a mistake of the caller. See Mistake.
type InputError struct {
	Code  string // public and stable, e.g. unknown_integration, reason_required, bad_cursor, payload_too_large
	Field string // may be empty
	Says  Phrase // what to do; the zero phrase: what the code says by itself
}

// Phrase says what to do.
func (e *InputError) Phrase() Phrase {
	if e.Says.IsZero() {
		return Say(e.Code)
	}
	return e.Says
}

func (e *InputError) Error() string {
	if e.Field == "" {
		return e.Phrase().String()
	}
	return e.Field + ": " + e.Phrase().String()
}
