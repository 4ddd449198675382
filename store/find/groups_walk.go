package find

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// planned sees to it that Postgres chooses for the values that are asked for, and knows of which integrations: whether a list's order or a
// condition is the shorter way depends on them.
func planned(tx *gorm.DB, f *scopedGroups) error {
	if err := tx.Exec("SET LOCAL plan_cache_mode = force_custom_plan").Error; err != nil {
		return err
	}
	if len(f.By) > 0 || len(f.seen.Methods)+len(f.seen.Destinations) == 0 {
		return nil
	}
	p, err := integrationParts(tx, f.seen)
	if err == nil && p.by == byIntegration {
		f.seen.Integrations = append(p.keys, "") // none is called so
		f.seen.Methods, f.seen.Destinations = nil, nil
	}
	return err
}

// walked reports whether a list is read along an index of its order. Others name the groups that they are about, or put them together.
func (f scopedGroups) walked() bool {
	return len(f.By) == 0 && len(f.Groups) == 0 && len(f.GroupMessages) == 0
}

// walkedSQL are the first groups of the order as they are folded, and all of which something is not folded yet: among them are the first ones.
const walkedSQL = `, walked AS MATERIALIZED (
    (SELECT c.group_id FROM redrive.group_counts c%[1]s%[2]s ORDER BY %[3]s DESC, c.group_id DESC LIMIT %[4]d)
    UNION ALL SELECT group_id FROM changes%[5]s
)`

func walkGroups(with string, f scopedGroups, sends bool, from *groupPlace, limit int) (string, []any) {
	order, w, join, others := groupOrder(f), pg.NewWhere(), "", ""
	w.Add("(" + strings.Join(f.listed(), " OR ") + ")")
	w.Add("c.group_id NOT IN (SELECT group_id FROM changes)") // which is hashed
	if sends {
		w.Add("c.group_id NOT IN (SELECT group_id FROM sending)")
		others = " UNION ALL SELECT group_id FROM sending"
	}
	if from != nil {
		w.Add("("+order+", c.group_id) < (?, ?)", from.of(f.Sort), from.tie)
	}
	f.narrow(w)
	if f.Query != "" || len(f.Types) > 0 {
		join = " JOIN redrive.groups g ON g.id = c.group_id"
		facets := groupFacets(f)
		w.Add(strings.Join(facets.Conditions, " AND "), facets.Args...)
	}
	return strings.TrimSpace(with) + fmt.Sprintf(walkedSQL, join, w.Sql(), order, limit, others), w.Args
}

// of is a place's value as the column of the order has it.
func (p groupPlace) of(order delivery.GroupSort) any {
	if order == delivery.GroupsLatest || order == delivery.GroupsNewest {
		return time.UnixMicro(p.value)
	}
	return p.value
}

// groupOrder is the expression that an index of the counters has in its order; several states that are not all of them have none.
func groupOrder(f scopedGroups) string {
	count := "c.total"
	if counters := countersOf(f.States); len(counters) > 0 && len(counters) < allCounters {
		count = "c." + strings.Join(counters, " + c.")
	}
	switch {
	case f.Sort == delivery.GroupsLatest:
		return "c.last_seen"
	case f.Sort == delivery.GroupsNewest:
		return "c.first_seen"
	case f.Sort == delivery.GroupsGrowing && count == "c.dead":
		return "c.growth"
	case f.Sort == delivery.GroupsGrowing:
		return "(c.grew + " + count + ")"
	}
	return "(" + count + ")"
}

// allCounters is how many counters a group has that add up to its total.
const allCounters = 5

// countersOf are the counters of states for a group of which nothing is being sent.
func countersOf(states []delivery.State) (list []string) {
	for _, b := range branches(states) {
		if len(b.wait) == 0 || b.wait[0].driver == "" {
			list = append(list, b.counter)
		}
	}
	return list
}

// listed are the conditions of which one holds of each group in the states that are asked for.
func (f scopedGroups) listed() (list []string) {
	counters := countersOf(f.States)
	switch len(counters) {
	case 0:
		return []string{"false"}
	case allCounters:
		return []string{"c.total > 0"}
	}
	for _, column := range counters {
		list = append(list, "c."+column+" > 0")
	}
	return list
}

// statusConditions are what a status says of the counters, as they are when nothing is to be folded.
var statusConditions = map[delivery.GroupStatus]string{
	delivery.GroupSettled:   "c.dead = 0 AND c.pending = 0",
	delivery.GroupRegressed: "c.regressed_at IS NOT NULL AND (c.dead > 0 OR c.pending > 0)",
	delivery.GroupNew:       "c.first_seen > statement_timestamp() - interval '24 hours' AND c.regressed_at IS NULL AND (c.dead > 0 OR c.pending > 0)",
	delivery.GroupKnown:     "c.first_seen <= statement_timestamp() - interval '24 hours' AND c.regressed_at IS NULL AND (c.dead > 0 OR c.pending > 0)",
}

// narrow adds what a filter says of the row of a group's counters.
func (f scopedGroups) narrow(w *pg.Where) {
	in := func(column string, values []string) {
		switch {
		case len(values) == 1:
			w.Add(column+" = ?", values[0]) // so that an index has its rows in order
		case len(values) > 1:
			w.Add(column+" = ANY(?)", &values)
		}
	}
	in("c.integration", f.seen.Integrations)
	in("c.error_class", f.seen.ErrorClasses)
	if len(f.Statuses) == 0 {
		return
	}
	open := !slices.ContainsFunc(countersOf(f.States), func(column string) bool { return column != "dead" && column != "pending" })
	var any []string
	for _, status := range f.Statuses {
		if status == delivery.GroupSettled && open {
			any = append(any, "false") // what is counted is open: Postgres need not look for it
			continue
		}
		any = append(any, "("+statusConditions[status]+")")
	}
	w.Add("(" + strings.Join(any, " OR ") + ")")
}

// addedUp reports whether the groups that are asked for need not be read one by one.
func (f scopedGroups) addedUp() bool {
	return len(f.By) > 0 && !slices.Contains(f.By, delivery.ByMessage) && f.Query == "" && f.seen.inCells()
}

// addedUpSQL are the numbers of groups that have integration, class and states in common.
const addedUpSQL = `
    SELECT g.integration, coalesce(i.method, '') AS method, coalesce(i.destination, '') AS destination, g.error_class, %[1]s AS tie,
        %[2]s AS count, g.dead, g.acknowledged, g.dead + g.pending AS open, g.day, g.day_before, g.week, g.week_before, g.first_seen, g.last_seen,
        CASE WHEN g.pattern & %[3]d <> 0 THEN g.groups ELSE 0 END AS groups,
        CASE WHEN g.pattern & 32 <> 0 AND g.pattern & 3 <> 0 THEN g.groups ELSE 0 END AS regressed
    FROM cells g LEFT JOIN redrive.integrations i ON i.name = g.integration%[4]s`

// beingSentSQL takes away what is being sent from what waits, or adds it where nothing else is asked for.
const beingSentSQL = `
    UNION ALL SELECT g.integration, coalesce(i.method, ''), coalesce(i.destination, ''), g.error_class, %[1]s, %[3]s s.n, 0, 0, 0, 0, 0, 0, 0,
        g.first_seen, g.last_seen, (%[2]s %[3]s s.n > 0)::integer - (%[2]s > 0)::integer, 0
    FROM sending s LEFT JOIN changes d ON d.group_id = s.group_id %[5]s LEFT JOIN redrive.integrations i ON i.name = g.integration%[4]s`

// patternBits are those of redrive.group_pattern.
var patternBits = map[string]int{"dead": 1, "pending": 2, "ignored": 4, "resolved": 8, "delivered": 16}

func addedUp(f scopedGroups) (with, one string, args []any) {
	bits, cells, each := 0, "0", "0"
	for _, column := range countersOf(f.States) {
		bits |= patternBits[column]
		cells, each = cells+" + g."+column, each+" + "+counter(column)
	}
	w := groupFacets(f)
	with, one, args = WithCells, fmt.Sprintf(addedUpSQL, groupTie(f.By), cells, bits, w.Sql()), w.Args
	if strings.Contains(groupCount(f.States), "sending.") {
		sign := "+"
		if bits&patternBits["pending"] != 0 {
			sign = "-"
		}
		with = strings.TrimSpace(with) + sendingSQL
		one += fmt.Sprintf(beingSentSQL, groupTie(f.By), each, sign, w.Sql(), groupsByID("s.group_id"))
		args = slices.Concat(args, w.Args)
	}
	return with, one, args
}
