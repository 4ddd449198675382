package delivery

import "time"

// GroupKey is one thing that failures are grouped by.
type GroupKey string

// Keys of groups; they can be combined. Without any, failures are grouped by their fingerprint: integration, class and message.
const (
	ByIntegration GroupKey = "integration"
	ByMethod      GroupKey = "method"
	ByDestination GroupKey = "destination" // kind
	ByClass       GroupKey = "error_class"
	ByMessage     GroupKey = "message" // normalised error text
)

// GroupKeys lists them all, in the order in which they are shown.
var GroupKeys = []GroupKey{ByIntegration, ByMethod, ByDestination, ByClass, ByMessage}

// GroupFilter selects groups. Of the filter its states, integrations, methods, destinations, classes, groups, group messages, After
// and Limit count; Query selects those whose normalised text contains it.
type GroupFilter struct {
	Filter
	By       []GroupKey // none: fingerprint
	Statuses []GroupStatus
	Sort     GroupSort
	Bare     bool // without Hours
}

// GroupSort is the order of a group list.
type GroupSort string

// Orders of groups.
const (
	GroupsLargest GroupSort = "count"  // default
	GroupsLatest  GroupSort = "latest" // last seen first
	GroupsNewest  GroupSort = "newest" // first seen last, first
)

// GroupStatus reports whether people know a group.
type GroupStatus string

// Statuses of a group; the first that holds, in this order, is shown.
const (
	GroupSettled   GroupStatus = "settled"   // nothing of it is open
	GroupRegressed GroupStatus = "regressed" // all its dead letters were settled, then another came
	GroupNew       GroupStatus = "new"       // first seen in the last 24 hours
	GroupKnown     GroupStatus = "known"
)

// GroupStatuses lists them all.
var GroupStatuses = []GroupStatus{GroupNew, GroupKnown, GroupRegressed, GroupSettled}

// Group is a set of failures with one fingerprint, or with the same values of other keys: then the fields that are not among the
// keys are empty and ID is empty as well.
type Group struct {
	ID           string // of a fingerprint
	Integration  string
	Method       Method
	Destination  string // kind
	ErrorClass   string
	Message      string // normalised error text
	Count        int    // failures in the states that were asked for; exact
	Dead         int    // now
	Acknowledged int    // of the dead
	Groups       int    // fingerprints in it
	FirstSeen    time.Time
	LastSeen     time.Time
	Hours        []int // failed attempts in the last 24 hours, oldest first, always 24 entries
	Status       GroupStatus
}

// FilterFor selects what a group that was made with these keys has, in the states of within.
func (g Group) FilterFor(by []GroupKey, within Filter) Filter {
	f := Filter{
		States:       within.States,
		Integrations: within.Integrations,
		Methods:      within.Methods,
		Destinations: within.Destinations,
		ErrorClasses: within.ErrorClasses,
	}
	if len(by) == 0 {
		return Filter{States: within.States, Groups: []string{g.ID}}
	}
	for _, key := range by {
		switch key {
		case ByIntegration:
			f.Integrations = []string{g.Integration}
		case ByMethod:
			f.Methods = []Method{g.Method}
		case ByDestination:
			f.Destinations = []string{g.Destination}
		case ByClass:
			f.ErrorClasses = []string{g.ErrorClass}
		case ByMessage:
			f.GroupMessages = []string{g.Message}
		}
	}
	return f
}
