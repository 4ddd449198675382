package find

import (
	"fmt"
	"slices"
	"strings"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/record"
)

// branch is one state's part of a list. The state stands in the text: as a parameter it would keep a generic plan from the partial
// index.
type branch struct {
	state   string // condition on r
	counter string // column of the counters
	wait    []predicate
}

// waiting is no EXISTS, which Postgres may answer by reading all of the queue first.
const waiting = "coalesce((SELECT w.token IS %sNULL FROM redrive.queue w WHERE w.id = r.id), false)"

// branches are one for each index that the wanted states need, dead letters when none is named.
func branches(states []delivery.State) (list []branch) {
	if len(states) == 0 {
		states = []delivery.State{delivery.StateDead}
	}
	wanted := func(s delivery.State) bool { return slices.Contains(states, s) }
	for _, state := range delivery.States {
		switch {
		case !wanted(state):
		case state == delivery.StatePending:
			b := branch{state: "r.state = 'pending'", counter: "pending"}
			if !wanted(delivery.StateSending) {
				b.wait = []predicate{{walk: fmt.Sprintf(waiting, ""), cost: costOfProbe}}
			}
			list = append(list, b)
		case state == delivery.StateSending:
			if !wanted(delivery.StatePending) {
				list = append(list, branch{
					state:   "r.state = 'pending'",
					counter: "pending",
					wait: []predicate{{walk: fmt.Sprintf(waiting, "NOT "), cost: costOfProbe,
						driver: "SELECT w.id FROM redrive.queue w WHERE w.token IS NOT NULL"}},
				})
			}
		case state == delivery.StateDelivered:
			list = append(list, branch{state: "r.state = 'delivered' AND r.failed_at IS NOT NULL", counter: "delivered"})
		default:
			// one of ours, never the caller's text
			list = append(list, branch{state: "r.state = '" + string(state) + "'", counter: string(state)})
		}
	}
	return list
}

// StateConditions are one condition for each wanted state, dead when none is named.
func StateConditions(states []delivery.State) (list []string) {
	for _, b := range branches(states) {
		condition := b.state
		for _, n := range b.wait {
			condition += " AND " + n.walk
		}
		list = append(list, condition)
	}
	return list
}

// facetConditions are what a filter says about the group of a record r, or with name g about a group itself.
func facetConditions(w *pg.Where, f scoped, group string) {
	texts := func(condition string, values []string) {
		if len(values) > 0 {
			w.Add(condition, &values)
		}
	}
	name := strings.SplitN(group, ".", 2)[0]
	texts(name+".integration = ANY(?)", f.Integrations)
	if len(f.Methods) > 0 {
		texts(name+".integration IN (SELECT i.name FROM redrive.integrations i WHERE i.method = ANY(?))", methodNames(f.Methods))
	}
	texts(name+".integration IN (SELECT i.name FROM redrive.integrations i WHERE i.destination = ANY(?))", f.Destinations)
	texts(name+".error_class = ANY(?)", f.ErrorClasses)
	texts(group+" = ANY(?)", f.Groups)
	if name == "g" {
		texts("g.message = ANY(?)", f.GroupMessages)
		texts("(g.types && ? OR "+record.TypesFull+")", f.Types)
	} else {
		texts("r.type = ANY(?)", f.Types)
		texts(group+" IN (SELECT g.id FROM redrive.groups g WHERE g.message = ANY(?))", f.GroupMessages)
	}
}

func methodNames(methods []delivery.Method) []string {
	names := make([]string, len(methods))
	for i, m := range methods {
		names[i] = string(m)
	}
	return names
}
