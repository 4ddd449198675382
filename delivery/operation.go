package delivery

import (
	"time"
)

// OperationState is where an operation stands.
type OperationState string

// States of an operation.
const (
	OperationRunning   OperationState = "running"   // acting, or waiting for outcomes of what was released
	OperationPaused    OperationState = "paused"    // a person, or its own failure ratio, stopped it; nothing more is released
	OperationCancelled OperationState = "cancelled" // a person ended it; what was released before still gets its outcome
	OperationFinished  OperationState = "finished"  // every item has its outcome
)

// OperationRequest asks for an operation, or for a dry run of it. Either Filter or Chosen says on what.
type OperationRequest struct {
	ID       string // UUID; the same again answers the operation that was started first; empty: a new one
	Action   Action
	Filter   *Filter  // everything that matches at the click; After and Limit do not count
	Chosen   []Chosen // a list, at most MaxChosen
	Actor    string
	Reason   string
	Category string // ignore
	End             // ignore
	Evidence string // resolve
	Pace     Pace   // retry
}

// MaxChosen is the longest list of an operation; more is selected by a filter.
const MaxChosen = 10_000

// Chosen is one delivery of a list. Version 0 fits whatever it has.
type Chosen struct {
	ID      string
	Version int
}

// Reasons for which a failure is not selected, or is skipped later. They are part of the public interface.
const (
	ExcludedInFlight     = "in_flight"        // pending or being sent
	ExcludedSettled      = "already_settled"  // delivered, ignored or resolved (or, to reopen, a dead letter)
	ExcludedChanged      = "changed"          // another version than the one chosen
	ExcludedExpired      = "expired"          // retry: must not be sent any more
	ExcludedDropped      = "payload_dropped"  // retry: retention dropped its message
	ExcludedOriginal     = "original_missing" // retry: it is a dead letter without its record
	ExcludedBreaker      = "breaker_open"     // retry
	ExcludedPaused       = "paused"           // retry: its integration
	ExcludedNoRoute      = "no_integration"   // retry: its integration left the file
	ExcludedPermission   = "no_permission"
	ExcludedNotFound     = "not_found"            // of a list
	ExcludedAcknowledged = "already_acknowledged" // acknowledge
)

// ReasonWithdrawn is the reason of an item that failed because somebody took its retry back. It is part of the public interface.
const ReasonWithdrawn = "withdrawn"

// Keys of what is said about an operation, which are stored.
const (
	HeldPaused       = "held.paused"         // by
	HeldBreaker      = "held.breaker_open"   // no arguments
	HeldNoRoute      = "held.no_integration" // no arguments
	HeldProbing      = "held.probing"        // no arguments
	NotePaused       = "note.paused"         // actor
	NoteNoRight      = "note.no_right"       // actor, permission, integration
	NotePausedWhy    = "note.paused.why"     // actor, reason
	NoteCancelled    = "note.cancelled"      // actor
	NoteCancelledWhy = "note.cancelled.why"  // actor, reason
	NoteFailing      = "note.failing"        // integration; failed and most, in per cent; outcomes
)

// DryRun says what an operation would select.
type DryRun struct {
	Eligible     int
	Excluded     map[string]int // reason -> number
	Integrations map[string]int // eligible, by integration
	Unsure       int            // retry: eligible whose outcome is unknown: they may have had their effect
	UnsureOf     map[string]int // the same, by integration
}

// Operation is a durable bulk action on a set frozen at the click. Selected = Succeeded + Failed + Skipped + Cancelled + Remaining,
// always. Of a retry, succeeded means confirmed by the receiver.
type Operation struct {
	OperationTerms
	OperationProgress
	Filter    *Filter // nil: a list
	Pace      Pace
	Remaining int
	Excluded  map[string]int // at the freeze: reason -> number
	Wave      Wave           // of all its parts that are not done; zero without retries
	Parts     []OperationPart
	Steps     []AuditEntry // what people and the operation itself decided about it, the first first; of a list none
}

// Wave is what is sent together of a retry, and judged before more goes.
type Wave struct {
	Number int // 1 is the first; each resume begins another
	Size   int // so many are sent in it
	Good   int // of these: confirmed
	Bad    int // failed, or failing
}

// Ratio is the share of failures among the outcomes that there are.
func (w Wave) Ratio() float64 {
	if w.Bad == 0 {
		return 0
	}
	return float64(w.Bad) / float64(w.Good+w.Bad)
}

// OperationTerms are what an operation does, and for whom.
type OperationTerms struct {
	ID       string
	Action   Action
	State    OperationState
	Version  int    // raised by every change of state or pace
	Actor    string // as they are called now
	ActorID  string
	Reason   string
	Category string
	End
	Evidence string
}

// OperationProgress is how far an operation has come.
type OperationProgress struct {
	Selected   int
	Succeeded  int
	Failed     int
	Skipped    int
	Cancelled  int
	Released   int    // of the remaining: acted on, outcome not confirmed
	Failing    int    // of the released: failed at least once and tried again
	Note       Phrase // why it is paused, by whom
	CreatedAt  time.Time
	ChangedAt  time.Time
	FinishedAt *time.Time
}

// OperationPart is what an operation does to one integration.
type OperationPart struct {
	Wave        // zero without retries
	Integration string
	Phase       string // canary, ramp or done
	Selected    int
	Waiting     int // not acted on
	Released    int // without a confirmed outcome
	Failing     int
	Succeeded   int
	Failed      int
	Skipped     int
	Rate        float64 // at which it releases now, per second; 0: no limit
	Held        Phrase  // why it waits: a pause, an open breaker; zero: it does not
}

// OperationItem is one delivery of an operation.
type OperationItem struct {
	N           int
	DeliveryID  string
	Key         string // business key; empty: it has none, or its record is gone
	Integration string // at the freeze: its part
	Version     int    // at the freeze
	Outcome     string // waiting, released, succeeded, failed, skipped or cancelled
	Reason      string // of a failure: its class; of a skip: why it is excluded
	Who         Phrase // of a skip: who was faster, if somebody was
}

// ItemFilter selects items of an operation, in their order; what is empty selects all.
type ItemFilter struct {
	Outcome     string
	Integration string // a part of the operation
	After       string
	Limit       int
}

// OperationFilter selects operations, newest first.
type OperationFilter struct {
	States []OperationState
	Actor  string
	After  string
	Limit  int // 1..500, default 50
}

// Steer is what a person changes of an operation. Exactly one of Pause, Resume, Cancel and Pace is set.
type Steer struct {
	ID      string
	Actor   string
	Reason  string
	Version int // 0: whatever it is
	Pause   bool
	Resume  bool // also after it paused itself: it begins with a new canary
	Canary  *int // with Resume: so many; 0: none, which takes PermitSkipCanary; nil: as many as before
	Cancel  bool
	Pace    *Pace
}

// Called is what the step is called.
func (s Steer) Called() string {
	switch {
	case s.Pause:
		return "pause"
	case s.Resume:
		return "resume"
	case s.Cancel:
		return "cancel"
	}
	return "pace"
}

// OperationConflictError says that an operation's state does not allow a step, or that somebody was faster.
type OperationConflictError struct {
	ID      string
	State   OperationState
	Version int
	Why     Phrase    // why the step is not possible
	Actor   string    // who made the present state; "engine" when its last outcome ended it
	Action  string    // what they did: start, pause, resume, cancel, pace or finish
	At      time.Time // when
}

// Phrase says who was faster, and what is now.
func (e *OperationConflictError) Phrase() Phrase {
	return Say("conflict.operation", "actor", e.Actor, "action", e.Action, "at", e.At, "state", e.State, "version", e.Version)
}

// Who says who was faster, what they did and when.
func (e *OperationConflictError) Who() Phrase {
	return faster(e.Actor, e.Action, e.At)
}

func (e *OperationConflictError) Error() string { return e.Why.String() + ": " + e.Phrase().String() }

// OperationStep is an operation that is being advanced, as it was found by the database's clock. A plan sets what is to be done.
type OperationStep struct {
	ID     string
	Action Action
	Pace   Pace
	Now    time.Time
	Parts  []PartStep
	Stop   Phrase // set by the plan: why the operation pauses itself
}

// PartStep is what a step finds of one integration's part. The plan changes Phase, the wave, RampAt, TickAt, Allowance, Held and Release.
type PartStep struct {
	Integration string
	First, Last int // item numbers
	Cursor      int // the last item acted on
	Succeeded   int
	Failed      int
	Failing     int
	Skipped     int
	Again       int    // failed, and to be sent again before others
	Obstacle    Phrase // a pause or an open breaker; zero: none
	Probing     bool   // the breaker has rested and is not closed yet

	Phase     string     // canary, ramp or done
	Wave      int        // number of the wave
	WaveSize  int        // so many are sent in it; 0: all that is left
	WaveSent  int        // so many have been
	WaveGood  int        // of these: confirmed
	WaveBad   int        // failed, or failing
	RampAt    *time.Time // when the ramp began, moved on by the time that it was held
	TickAt    *time.Time // up to when the allowance is counted
	Allowance float64
	Held      Phrase
	Release   int // so many more are acted on now
}

// Phases of a part.
const (
	PhaseCanary = "canary"
	PhaseRamp   = "ramp"
	PhaseDone   = "done"
)

// Waiting is how many of the part have not been acted on.
func (p *PartStep) Waiting() int { return p.Last - p.Cursor }

// Left is how many are to be acted on: those and what is sent again.
func (p *PartStep) Left() int { return p.Waiting() + p.Again }

// Judged reports whether all of a wave is sent and each has an outcome: confirmed, dead, or failed once.
func (p *PartStep) Judged() bool {
	return p.WaveSize > 0 && (p.WaveSent >= p.WaveSize || p.Left() == 0) && p.WaveGood+p.WaveBad >= p.WaveSent
}

// Ratio is the share of failures among the outcomes of the wave.
func (p *PartStep) Ratio() float64 { return Wave{Good: p.WaveGood, Bad: p.WaveBad}.Ratio() }

// Outstanding is how many were acted on and have no final outcome.
func (p *PartStep) Outstanding() int {
	return p.Cursor - p.First + 1 - p.Succeeded - p.Failed - p.Skipped
}
