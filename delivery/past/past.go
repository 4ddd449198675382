// Package past is a history that is told at once: what had happened before the program was there. Each change follows the rules of the
// engine and of the desk, with times of its own; store/seed writes it down.
package past

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"redrive/delivery"
)

// History is all that had happened.
type History struct {
	People     []Person
	Views      []delivery.SavedView // OwnerID says whose
	Delivered  []Delivered
	Failures   []*Failure
	Operations []*Operation
	Entries    []delivery.AuditEntry // in any order, without number and hash; Actor is a name, ActorID an id where there is one
}

// Names of the people of the demo's week, by what they do.
const (
	OnCall   = "mina"
	Operator = "junho"
	Reviewer = "sora"
	Auditor  = "hana"
)

// Person is somebody who is there.
type Person struct {
	ID, Name string
	Role     delivery.Role
	Since    time.Time
}

// Delivered is a message that was delivered at the first try.
type Delivered struct {
	ID          string
	Integration string
	Message     delivery.Message
	At          time.Time
	Took        time.Duration
}

// Since is what people have done since a history was told.
type Since struct {
	Told      bool // there is a history
	Delivered bool // what was edited reached its receiver
	Canary    bool // a bulk retry began with a canary
	Exported  bool // what was ignored was taken away as a file
}

// ID returns the id of version 7 of a time; r makes it one of many.
func ID(at time.Time, r *rand.Rand) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(at.UnixMilli())<<16|0x7000|uint64(r.UintN(1<<12)))
	binary.BigEndian.PutUint64(b[8:], 1<<63|r.Uint64()>>2)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Failure is a delivery that failed, with all that became of it. Its methods happen to it one after the other.
type Failure struct {
	ID          string
	Integration delivery.Integration
	Message     delivery.Message
	State       delivery.State // empty: nothing has failed yet
	Version     int
	Attempts    int                // made, the one that delivered it among them
	Tries       []delivery.Attempt // that failed
	Edits       []delivery.Edit
	Decisions   []Decision
	Notes       []delivery.Note
	Case        delivery.Case // with ids in place of names
	Kept        []Kept        // how the case came about
	Moves       []Move
	GroupID     string
	GroupText   string
	ChangedAt   time.Time
	DueAt       time.Time // of what waits
	Delivery    delivery.Tried
	Requested   bool // a person asked for the retry that is not settled
	Operation   *Operation
	Item        int // number in Operation
	Round       int // attempts made before the present round
}

// Decision is what was decided about a failure.
type Decision struct {
	Action                     delivery.Action
	By                         Person // the zero person: the policy of the integration
	At                         time.Time
	Reason, Category, Evidence string
	Until                      *time.Time
	Operation                  *Operation     // it was a step of
	Edited                     *delivery.Edit // the version that goes with it
	Before                     []byte         // payload that Edited replaces

	Was     delivery.State // before it
	Version int            // of the failure, after it
	Class   string         // of the error before it
}

// Kept is one change of what people keep about a failure, with its details for the audit.
type Kept struct {
	By      Person
	At      time.Time
	Members map[string]any
}

// Move is how a change of a failure counts for its group.
type Move struct {
	At                                                                            time.Time
	Dead, Acknowledged, Pending, Ignored, Resolved, Delivered, Failed, Died, Came int
}

// Sender makes an attempt of a failure, as it is then, at a time.
type Sender func(f *Failure, number int, at time.Time) delivery.Tried

// Send makes attempts from a time on until the engine would have no other before now.
func (f *Failure) Send(at, now time.Time, send Sender) {
	for {
		f.Attempts++
		tried := send(f, f.Attempts, at)
		tried.StartedAt = at
		ended := at.Add(tried.Duration)
		verdict := f.Integration.Judge(tried.Result, f.Attempts-f.Round)
		if verdict.Next == delivery.StateDelivered {
			f.Delivery = tried
			f.change(ended, verdict.Next, false)
		} else {
			f.failed(ended, tried, verdict.Next)
		}
		if verdict.Next != delivery.StatePending {
			f.Round = f.Attempts
			return
		}
		if at = ended.Add(verdict.RetryIn); at.After(now) {
			f.DueAt = at
			return
		}
	}
}

// Sent returns what is sent for the failure now.
func (f *Failure) Sent() delivery.Message {
	return delivery.Detail{Message: f.Message, Edits: f.Edits}.Sent()
}

func (f *Failure) failed(at time.Time, tried delivery.Tried, next delivery.State) {
	try := tried.Attempt(f.Attempts)
	f.Tries = append(f.Tries, try)
	f.GroupID, f.GroupText = delivery.Fingerprint(f.Integration.Name, try.ErrorClass, try.Error)
	f.change(at, next, true)
	if next == delivery.StateIgnored {
		f.Decisions = append(f.Decisions, Decision{Action: delivery.ActionIgnore, At: at})
	}
}

// change is what the counters of groups hear of a change of state.
func (f *Failure) change(at time.Time, to delivery.State, failed bool) {
	m := Move{At: at}
	if f.Version > 0 {
		m.count(f.State, f.Case.AcknowledgedAt != nil, -1)
	} else {
		m.Came = 1
	}
	m.count(to, false, 1)
	if failed {
		m.Failed = 1
		m.Died = m.Dead
	}
	f.Moves = append(f.Moves, m)
	f.State, f.ChangedAt, f.Case.AcknowledgedAt = to, at, nil
	f.Version++
	if to != delivery.StatePending {
		f.Requested = false
	}
	if o := f.Operation; o != nil && to != delivery.StatePending {
		o.heard(f, at)
	}
}

func (m *Move) count(s delivery.State, acknowledged bool, n int) {
	switch s {
	case delivery.StateDead:
		m.Dead += n
		if acknowledged {
			m.Acknowledged += n
		}
	case delivery.StatePending:
		m.Pending += n
	case delivery.StateIgnored:
		m.Ignored += n
	case delivery.StateResolved:
		m.Resolved += n
	case delivery.StateDelivered:
		m.Delivered += n
	}
}

// Decide carries out a decision that the state permits.
func (f *Failure) Decide(d Decision) error {
	row := d.Action.Row()
	if !slices.Contains(row.From, f.State) {
		return fmt.Errorf("%s: %s is %s", d.Action, f.Message.Key, f.State)
	}
	d.Was, d.Class = f.State, f.last().ErrorClass
	f.Operation, f.Item = d.Operation, 0
	f.change(d.At, row.To, false)
	d.Version, f.Requested = f.Version, row.Queues
	f.Decisions = append(f.Decisions, d)
	return nil
}

// Edit sends another payload from a time on.
func (f *Failure) Edit(by Person, at time.Time, reason string, payload []byte) error {
	d := Decision{Action: delivery.ActionEdit, By: by, At: at, Reason: reason, Before: f.Sent().Payload}
	e := delivery.Edit{Number: len(f.Edits) + 2, Payload: payload, Headers: f.Message.Headers, ActorID: by.ID, Reason: reason, CreatedAt: at,
		AfterAttempt: f.Attempts}
	d.Edited, f.Edits = &e, append(f.Edits, e)
	return f.Decide(d)
}

// Acknowledge says that somebody looks after a dead letter.
func (f *Failure) Acknowledge(by Person, at time.Time) {
	f.Case.AcknowledgedAt, f.Case.AcknowledgedID = &at, by.ID
	f.Moves = append(f.Moves, Move{At: at, Acknowledged: 1})
	f.Kept = append(f.Kept, Kept{by, at, map[string]any{"acknowledged": true}})
}

// Assign gives the failure to somebody who has nothing of it yet, with a ticket and tags.
func (f *Failure) Assign(by, to Person, at time.Time, ticket string, tags ...string) {
	f.Case.AssigneeID, f.Case.Ticket, f.Case.Tags = to.ID, ticket, tags
	members, was := map[string]any{"assignee": to.Name, "assignee_id": to.ID}, map[string]any{"assignee": ""}
	if ticket != "" {
		members["ticket"], was["ticket"] = ticket, ""
	}
	if len(tags) > 0 {
		members["tags"], was["tags"] = tags, []string{}
	}
	members["was"] = was
	f.Kept = append(f.Kept, Kept{by, at, members})
}

// Note keeps what somebody writes about the failure.
func (f *Failure) Note(id string, by Person, at time.Time, text string) {
	f.Notes = append(f.Notes, delivery.Note{ID: id, At: at, AuthorID: by.ID, Text: text})
}

// last is the last try that failed.
func (f *Failure) last() delivery.Attempt { return f.Tries[len(f.Tries)-1] }
