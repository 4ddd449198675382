package find

import (
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// predicate is a condition on failures that the lists' own indexes do not know. Lists either walk along such an index and look at
// each row, or begin at what an index of the condition finds.
type predicate struct {
	walk     string // a condition on a record r of redrive.deliveries; with a cost, on nothing of it but r.id
	walkArgs []any
	cost     int   // of looking, beside reading the record, which counts as one
	facet    facet // that some lists have an index in their order for

	driver     string // selects the ids of all deliveries that fit, by an index of its own, and may answer others too; empty: none
	driverArgs []any
	quick      bool // the driver answers its first rows at once, so that a limit bounds what it costs
	open       bool // the driver knows dead and pending ones only
}

// Costs of looking, roughly: how many records could be read instead.
const (
	costOfProbe = 3 // one row of another table by its key
	costOfText  = 5
	costOfDoc   = 6
)

// predicatesOf are what a filter asks beside states, facets and times.
func predicatesOf(f delivery.Filter) ([]predicate, error) {
	list, err := identityPredicates(f)
	if err != nil {
		return nil, err
	}
	list = append(list, attemptPredicates(f)...)
	list = append(list, casePredicates(f)...)
	searched, err := searchPredicates(f)
	return append(list, searched...), err
}

// identityPredicates are those that name deliveries or messages.
func identityPredicates(f delivery.Filter) (list []predicate, err error) {
	if len(f.IDs) > 0 {
		if i := slices.IndexFunc(f.IDs, func(id string) bool { return !delivery.IsUUID(id) }); i >= 0 {
			return nil, delivery.Mistake("bad_id.delivery", "id")
		}
		list = append(list, predicate{walk: "r.id = ANY(?::uuid[])", walkArgs: []any{&f.IDs},
			driver: "SELECT i.id FROM unnest(?::uuid[]) i(id)", driverArgs: []any{&f.IDs}, quick: true})
	}
	if f.MessageID != "" {
		if !delivery.IsUUID(f.MessageID) {
			return nil, delivery.Mistake("bad_id.message", "message")
		}
		list = append(list, predicate{
			walk:       "r.message_id = ?::uuid",
			walkArgs:   []any{f.MessageID},
			driver:     "SELECT o.id FROM redrive.deliveries o WHERE o.message_id = ?::uuid",
			driverArgs: []any{f.MessageID},
			quick:      true,
		})
	}
	if f.Key != "" {
		n := ofRecord(f, byKey, triedAgain, "%s.key = ?", f.Key)
		if n.driver == "" {
			n.driver, n.driverArgs, n.quick = keyDriverSQL, []any{f.Key, f.Key}, true
		}
		list = append(list, n)
	}
	return list, nil
}

// keyDriverSQL also finds what is tried again.
const keyDriverSQL = `SELECT o.id FROM redrive.deliveries o WHERE o.key = ? AND o.state <> 'pending'
	UNION ALL SELECT o.id FROM (SELECT m.id FROM redrive.messages m WHERE m.key = ?) m CROSS JOIN LATERAL
		(SELECT o.id FROM redrive.deliveries o WHERE o.message_id = m.id AND o.state = 'pending' OFFSET 0) o`

// States that no index by a column of the record has, see facetOf: what is tried again, and of attempts what was delivered as well.
var (
	triedAgain    = []delivery.State{delivery.StatePending, delivery.StateSending}
	notByAttempts = append([]delivery.State{delivery.StateDelivered}, triedAgain...)
)

func onlyOpen(states []delivery.State) bool {
	return !slices.ContainsFunc(states,
		func(s delivery.State) bool { return s != delivery.StateDead && !slices.Contains(triedAgain, s) })
}

// ofRecord fits deliveries by a column that an index of other states begins with.
func ofRecord(f delivery.Filter, by facet, others []delivery.State, condition string, args ...any) predicate {
	n := predicate{facet: by, walk: strings.ReplaceAll(condition, "%s", "r"), walkArgs: args}
	if slices.ContainsFunc(f.States, func(s delivery.State) bool { return slices.Contains(others, s) }) {
		return n
	}
	n.driver = "SELECT o.id FROM redrive.deliveries o WHERE " + strings.ReplaceAll(condition, "%s", "o") +
		" AND o.state <> 'pending'"
	if by == byAttempts {
		n.driver += " AND o.state IN ('dead', 'ignored', 'resolved')"
	}
	n.driverArgs, n.quick = args, true
	return n
}

func attemptPredicates(f delivery.Filter) (list []predicate) {
	w := pg.NewWhere()
	if f.Attempts.Min != nil {
		w.Add("%s.attempts >= ?", *f.Attempts.Min)
	}
	if f.Attempts.Max != nil {
		w.Add("%s.attempts <= ?", *f.Attempts.Max)
	}
	if len(w.Conditions) == 0 {
		return nil
	}
	return []predicate{ofRecord(f, byAttempts, notByAttempts, strings.Join(w.Conditions, " AND "), w.Args...)}
}

// knownPeople adds to the names of people in a filter the ids of all who are called so: records keep the ids, and names where an earlier
// version kept nothing else.
func knownPeople(db *gorm.DB, f delivery.Filter) (delivery.Filter, error) {
	for _, names := range []*[]string{&f.Actors, &f.Assignees} {
		if len(*names) == 0 {
			continue
		}
		given := *names
		ids, err := pg.Read(db, pg.Single[string], "SELECT id FROM redrive.actors WHERE name = ANY(?)", &given)
		if err != nil {
			return f, fmt.Errorf("looking who is called so: %w", err)
		}
		*names = slices.Concat(given, ids)
	}
	return f, nil
}

// casePredicates are about what people decided, and keep beside the state.
func casePredicates(f delivery.Filter) (list []predicate) {
	if len(f.Actors) > 0 {
		list = append(list, ofRecord(f, byActor, triedAgain, "%s.actor = ANY(?)", &f.Actors))
	}
	if len(f.Assignees) > 0 {
		list = append(list, assigneePredicate(f))
	}
	if len(f.Tags) > 0 {
		n := ofCase("c.tags @> ?", &f.Tags)
		n.walk, n.cost = "r.tags @> ?", 0
		list = append(list, n)
	}
	if f.Ticket != "" {
		list = append(list, ofCase("c.ticket = ?", f.Ticket))
	}
	if f.Acknowledged != nil {
		list = append(list, acknowledgedPredicate(*f.Acknowledged))
	}
	return list
}

// ofCase fits deliveries whose case fulfils a condition on c, which an index of the cases serves.
func ofCase(condition string, arg any) predicate {
	return predicate{
		walk:       "(SELECT " + condition + " FROM redrive.cases c WHERE c.delivery_id = r.id)",
		walkArgs:   []any{arg},
		cost:       costOfProbe,
		driver:     "SELECT c.delivery_id FROM redrive.cases c WHERE " + condition,
		driverArgs: []any{arg},
		quick:      true,
	}
}

func assigneePredicate(f delivery.Filter) predicate {
	if slices.Contains(f.Assignees, delivery.NoAssignee) {
		return predicate{walk: "(r.assignee = ANY(?) OR r.assignee IS NULL)", walkArgs: []any{&f.Assignees}}
	}
	return ofRecord(f, byAssignee, triedAgain, "%s.assignee = ANY(?)", &f.Assignees)
}

func acknowledgedPredicate(wanted bool) predicate {
	if wanted {
		return predicate{walk: "r.state = 'dead' AND r.acknowledged_at IS NOT NULL"}
	}
	return predicate{walk: "r.state = 'dead' AND r.acknowledged_at IS NULL"}
}
