package find

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"redrive/store/pg"
)

// little is the quick predicate that finds the least, when that is little.
func (f *finder) little() (*predicate, error) {
	var columns []string
	var args []any
	var quick []predicate
	for _, n := range f.predicates {
		if n.quick {
			columns = append(columns, fmt.Sprintf("(SELECT count(*) FROM (%s LIMIT %d) n)", n.driver, f.effort.little+1))
			args = append(args, n.driverArgs...)
			quick = append(quick, n)
		}
	}
	if len(quick) == 0 {
		return nil, nil
	}
	counts := make([]int, len(quick))
	pointers := make([]any, len(quick))
	for i := range counts {
		pointers[i] = &counts[i]
	}
	if err := f.tx.Raw("SELECT "+strings.Join(columns, ", "), args...).Row().Scan(pointers...); err != nil {
		return nil, fmt.Errorf("estimating a search: %w", err)
	}
	least := slices.Index(counts, slices.Min(counts))
	if counts[least] > f.effort.little {
		return nil, nil
	}
	return &quick[least], nil
}

// drivenSQL looks at what indexes answer record by record through its key, whatever Postgres thinks of the numbers; and at what costs
// more than that only in the list's order, until there is enough.
const drivenSQL = `WITH driven(id) AS MATERIALIZED (%[1]s)
SELECT r.id::text, r.changed_at, true, true, 0, 1 FROM (
    SELECT r.id, r.changed_at FROM driven CROSS JOIN LATERAL (SELECT r.* FROM redrive.deliveries r WHERE r.id = driven.id OFFSET 0) r%[2]s
    ORDER BY r.changed_at %[3]s, r.id %[3]s OFFSET 0) r%[4]s ORDER BY r.changed_at %[3]s, r.id %[3]s LIMIT %[5]d`

// driven returns what the drivers find and everything else fits.
func (f *finder) driven(drivers []predicate, list []branch, after *pg.Where) (result, error) {
	order, _, _ := f.direction()
	var args []any
	texts := make([]string, len(drivers))
	for i, d := range drivers {
		texts[i], args = "("+d.driver+")", append(args, d.driverArgs...)
	}
	record, rest := byCost(f.predicates)
	facetConditions(record, f.filter, "r.group_id")
	states := make([]string, len(list))
	for i, b := range list {
		states[i] = b.state
		for _, n := range b.wait {
			states[i] += " AND " + n.walk
		}
	}
	record.Add("(" + strings.Join(states, " OR ") + ")")
	record.Add(strings.Join(after.Conditions, " AND "), after.Args...)
	query := fmt.Sprintf(drivenSQL, strings.Join(texts, " INTERSECT "), record.Sql(), order, rest.Sql(), f.need)
	args = slices.Concat(args, record.Args, rest.Args)
	if f.counts {
		n, err := pg.ReadOne(f.tx, pg.Single[int], "SELECT count(*) FROM ("+query+") d", args...)
		return result{n: n}, err
	}
	places, err := pg.Read(f.tx, listPositionPointers, query, args...)
	return result{places: places, n: len(places)}, err
}

// walk is what was seen of a branch so far.
type walk struct{ walked, found, cost, total int }

// isLong says that a walk has been long enough to judge, and that it may go on for longer than it should.
func (f *finder) isLong(seen walk) bool {
	spent := seen.walked * seen.cost
	return spent >= f.effort.enough && spent*f.need > f.effort.worth*max(seen.found, 1)
}

// ahead is what walking on until need are found may cost, if what comes is as what was seen.
func (w walk) ahead(need int) int {
	return min(w.walked*need/max(w.found, 1), max(w.total-w.walked, 0)) * w.cost
}

// total is how many failures of a branch its facets leave.
func (f *finder) total(b branch) (int, error) {
	w := pg.NewWhere()
	facetConditions(w, f.filter, "g.id")
	with, from, counter := summed(f.filter)
	return pg.ReadOne(f.tx, pg.Single[int], with+"SELECT coalesce(sum("+counter(b.counter)+"), 0)::bigint FROM "+from+w.Sql(), w.Args...)
}

// estimate is how many rows Postgres expects of a driver.
func (f *finder) estimate(n predicate) (int, error) {
	text, err := pg.ReadOne(f.tx, pg.Single[string], "EXPLAIN (FORMAT JSON) "+n.driver, n.driverArgs...)
	if err != nil {
		return 0, fmt.Errorf("estimating a search: %w", err)
	}
	var plans []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		}
	}
	if err := json.Unmarshal([]byte(text), &plans); err != nil || len(plans) != 1 {
		return 0, fmt.Errorf("not one plan: %s", text)
	}
	return int(plans[0].Plan.Rows), nil
}

// driversOf chooses where to begin when that costs less than walking on: at all indexes that are read as a whole, or at any other.
func (f *finder) driversOf(narrowed []predicate, b branch, seen walk) (whole []predicate, err error) {
	if seen.total == 0 {
		if seen.total, err = f.total(b); err != nil {
			return nil, err
		}
	}
	var quick []predicate
	expected := 0
	for _, n := range narrowed {
		switch {
		case n.driver == "" || n.open && b.counter != "dead" && b.counter != "pending":
		case n.quick:
			quick = append(quick, n)
		default:
			rows, err := f.estimate(n)
			if err != nil {
				return nil, err
			}
			whole, expected = append(whole, n), max(expected, rows)
		}
	}
	most := min(f.effort.most, seen.ahead(f.need)/costOfDriven)
	if len(whole) > 0 && expected <= most {
		return whole, nil
	}
	for _, n := range quick {
		found, err := pg.ReadOne(f.tx, pg.Single[int],
			fmt.Sprintf("SELECT count(*) FROM (%s LIMIT %d) n", n.driver, most+1), n.driverArgs...)
		if err != nil || found <= most {
			return []predicate{n}, err
		}
	}
	return nil, nil
}
