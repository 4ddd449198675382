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
	Bare     bool // without Hours, the trend of the hour, assignees and the last retry
}

// GroupSort is the order of a group list.
type GroupSort string

// Orders of groups.
const (
	GroupsLargest GroupSort = "count"  // default
	GroupsLatest  GroupSort = "latest" // last seen first
	GroupsNewest  GroupSort = "newest" // first seen last, first
	GroupsGrowing GroupSort = "growth" // what grew most since yesterday first; of what grew alike, the largest
)

// GroupSorts lists them all.
var GroupSorts = []GroupSort{GroupsGrowing, GroupsLargest, GroupsLatest, GroupsNewest}

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
	Trend        Trend
	Assignees    []Assignee  // of the dead, who has most first; only of a fingerprint
	Retried      *GroupRetry // only of a fingerprint
}

// Trend is how many failures came into a group: a failure comes when it first fails, and again when it fails for another reason.
type Trend struct {
	Hour TrendCount // this clock hour
	Day  TrendCount // it and the 23 before
	Week TrendCount // it and the 167 before
}

// TrendCount is a number, and the same of as long a time before.
type TrendCount struct{ Count, Before int }

// Diff is by how much it changed.
func (c TrendCount) Diff() int { return c.Count - c.Before }

// Assignee is who looks after so many failures.
type Assignee struct {
	Name, ID string
	Count    int
}

// GroupRetry is the latest retry of several failures at once in which a group was. Numbers are of the group.
type GroupRetry struct {
	OperationID       string
	At                time.Time
	Actor, ActorID    string
	State             OperationState
	Selected          int
	Succeeded, Failed int
	Counted           bool // false: it is under way, and too large to be counted meanwhile
}

// FilterFor selects what a group that was made with these keys has, in the states of within.
func (g Group) FilterFor(by []GroupKey, within Filter) Filter {
	f := Filter{
		States:       within.States,
		Integrations: within.Integrations,
		Methods:      within.Methods,
		Destinations: within.Destinations,
		ErrorClasses: within.ErrorClasses,
		Query:        within.Query, // of other keys' values only a part has the text
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
