package store

import (
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"

	"redrive/delivery"
)

// branch is one state's part of a list. The state stands in the text: as a parameter it would keep a generic plan from the partial
// index.
type branch struct {
	state   string // condition on r
	counter string // column of the counters
	wait    []narrowing
}

const waiting = "EXISTS (SELECT FROM redrive.queue w WHERE w.id = r.id AND w.token IS %sNULL)"

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
				b.wait = []narrowing{{walk: fmt.Sprintf(waiting, "")}}
			}
			list = append(list, b)
		case state == delivery.StateSending:
			if !wanted(delivery.StatePending) {
				list = append(list, branch{state: "r.state = 'pending'", counter: "pending", wait: []narrowing{{walk: fmt.Sprintf(waiting, "NOT "),
					driver: "SELECT w.id FROM redrive.queue w WHERE w.token IS NOT NULL"}}})
			}
		case state == delivery.StateDelivered:
			list = append(list, branch{state: "r.state = 'delivered' AND r.failed_at IS NOT NULL", counter: "delivered"})
		default:
			list = append(list, branch{state: "r.state = '" + string(state) + "'", counter: string(state)}) // one of ours, never the caller's text
		}
	}
	return list
}

// stateConditions are one condition for each wanted state, dead when none is named.
func stateConditions(states []delivery.State) (list []string) {
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
func facetConditions(w *where, f delivery.Filter, group string) {
	texts := func(condition string, values []string) {
		if len(values) > 0 {
			w.add(condition, &values)
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
	} else {
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

// parts are the equal-ranking pieces of a list, each of which one index serves in the list's order: all of a state, or those of
// some integrations, or of some groups.
type parts struct {
	column string // of r; empty: one part, everything
	keys   []string
	extra  []narrowing
	filter *where // on the records of the part, whose index does not know it
}

// mostParts of a list are merged; with more, one walk through everything is cheaper than beginning that often.
const mostParts = 500

// partsOf finds the parts of a branch that can have rows.
func partsOf(tx *gorm.DB, f delivery.Filter, b branch) (parts, error) {
	byGroup := len(f.ErrorClasses)+len(f.Groups)+len(f.GroupMessages) > 0
	switch {
	case f.Acknowledged != nil && *f.Acknowledged: // these are few, and have an index in the list's order
		p := parts{keys: []string{""}, filter: newWhere()}
		p.filter.add("true")
		facetConditions(p.filter, f, "r.group_id")
		return p, nil
	case byGroup:
		return groupParts(tx, f, b)
	case len(f.Integrations)+len(f.Methods)+len(f.Destinations) > 0:
		return integrationParts(tx, f)
	}
	return parts{keys: []string{""}}, nil
}

func integrationParts(tx *gorm.DB, f delivery.Filter) (p parts, err error) {
	w := newWhere()
	if len(f.Integrations) > 0 {
		w.add("i.name = ANY(?)", &f.Integrations)
	}
	if len(f.Methods) > 0 {
		names := methodNames(f.Methods)
		w.add("i.method = ANY(?)", &names)
	}
	if len(f.Destinations) > 0 {
		w.add("i.destination = ANY(?)", &f.Destinations)
	}
	names, err := read(tx, single[string], "SELECT i.name FROM redrive.integrations i"+w.sql(), w.args...)
	if err != nil {
		return p, fmt.Errorf("looking up integrations: %w", err)
	}
	if len(names) > mostParts {
		return parts{keys: []string{""}, extra: []narrowing{{walk: "r.integration = ANY(?)", walkArgs: []any{&names}}}}, nil
	}
	return parts{column: "integration", keys: names}, nil
}

// groupParts takes the groups from the counters: those without a failure in this state are left out.
func groupParts(tx *gorm.DB, f delivery.Filter, b branch) (p parts, err error) {
	count := "coalesce(c." + b.counter + ", 0) + coalesce(d." + b.counter + ", 0)"
	if f.Acknowledged != nil {
		count = "coalesce(c.acknowledged, 0) + coalesce(d.acknowledged, 0)"
		if !*f.Acknowledged {
			count = "coalesce(c.dead - c.acknowledged, 0) + coalesce(d.dead - d.acknowledged, 0)"
		}
	}
	w := newWhere()
	facetConditions(w, f, "g.id")
	w.add(count + " > 0")
	type counted struct {
		id string
		n  int
	}
	groups, err := read(tx, func(c *counted) []any { return []any{&c.id, &c.n} }, withChanges+"SELECT g.id, "+count+" FROM redrive.groups g "+countJoins+w.sql(),
		w.args...)
	if err != nil {
		return p, fmt.Errorf("looking up groups: %w", err)
	}
	matching := 0
	for _, g := range groups {
		p.keys = append(p.keys, g.id)
		matching += g.n
	}
	if p.column = "group_id"; len(p.keys) <= mostParts {
		return p, nil
	}
	return parts{keys: []string{""}, extra: []narrowing{{walk: "r.group_id = ANY(?)", walkArgs: []any{&p.keys},
		driver:     "SELECT o.id FROM redrive.deliveries o WHERE o.group_id = ANY(?) AND " + strings.ReplaceAll(b.state, "r.", "o."),
		driverArgs: []any{&p.keys}, quick: true}}}, nil
}
