package delivery

import (
	"errors"
	"fmt"
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
	Sort         Sort
	After        string // cursor of the previous page
	Limit        int    // 1..500, default 50
}

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
	From, To               *time.Time
	After                  string // cursor
	Limit                  int    // 1..500, default 50
}

// Group is a set of failures with one fingerprint.
type Group struct {
	ID          string
	Integration string
	ErrorClass  string
	Message     string // normalised error text
	Count       int    // failures in the states that were asked for
	FirstSeen   time.Time
	LastSeen    time.Time
	Status      string // open while there is a dead letter, else settled
}

// Action is what a person does to a dead letter.
type Action string

// Actions of a person.
const (
	ActionRetry   Action = "retry"
	ActionIgnore  Action = "ignore"
	ActionResolve Action = "resolve"
	ActionReopen  Action = "reopen"
)

// ActionFrom lists the states in which an action is allowed.
func (a Action) From() []State {
	if a == ActionReopen {
		return []State{StateIgnored, StateResolved}
	}
	return []State{StateDead}
}

// To is the state that an action leads to.
func (a Action) To() State {
	switch a {
	case ActionRetry:
		return StatePending
	case ActionIgnore:
		return StateIgnored
	case ActionResolve:
		return StateResolved
	default:
		return StateDead
	}
}

// ActionRequest is one action of one person on one delivery.
type ActionRequest struct {
	Action   Action
	ID       string
	Version  int // 0: whatever the version is
	Actor    string
	Reason   string
	Category string     // ignore
	Until    *time.Time // ignore
	Evidence string     // resolve
}

// ConflictError says that somebody or something was faster.
type ConflictError struct {
	ID      string
	State   State
	Version int
	Actor   string    // who changed it; "engine" for a delivery outcome
	Action  string    // what they did
	At      time.Time // when
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("delivery is already %s: %s did %s at %s", e.State, e.Actor, e.Action, e.At.UTC().Format(time.RFC3339))
}

// ErrNotFound is returned for an id that does not exist.
var ErrNotFound = errors.New("not found")

// InputError is a mistake of the caller: Code is stable, Message says what to do.
type InputError struct {
	Code    string // e.g. unknown_integration, reason_required, bad_cursor, payload_too_large
	Field   string // may be empty
	Message string
}

func (e *InputError) Error() string { return e.Message }
