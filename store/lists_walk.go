package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"redrive/delivery"
)

// How a list is found. Without narrowings its parts are merged, each read by its own index in the list's order, as far as the page
// goes. With narrowings: what an index of one of them finds, when that is little; else the newest rows of the parts are walked
// and looked at; and when few of them fit, what the narrowings' indexes find after all.
type effort struct {
	little int // ids from which a list rather begins than walks
	most   int // ids at which a list begins, when walking does not pay
	enough int // records, or as much as they cost, to be walked before it is judged whether that pays
	worth  int // the same, that a page may take
	few    int // failures of groups that are looked at one by one
}

var usualEffort = effort{little: 500, most: 30_000, enough: 1500, worth: 8000, few: 2000}

const (
	firstStep    = 120 // rows
	countStep    = 500
	stepGrowth   = 4
	largestStep  = 20_000
	costOfDriven = 6 // of looking at one that an index of its own answers, in records read in a walk
	// sendingAtOnce is how many more rows of what waits are read, because some are being sent
	sendingAtOnce = 20
	patience      = 3 * time.Second
	outOfTime     = "57014" // SQLSTATE query_canceled
)

var errTooBroad = &delivery.InputError{Code: "too_broad",
	Message: "too many failures had to be looked at one by one: narrow the search by time, integration or group"}

// place is where a failure stands in a list.
type place struct {
	cursor
	fits bool // the narrowings
	done bool // no more rows after this step
	n    int  // rows of the step
	fit  int  // how many of them, when the finder counts
}

func placePointers(p *place) []any { return []any{&p.id, &p.at, &p.fits, &p.done, &p.n, &p.fit} }

// finds is what fits: places, or their number alone when that is what was asked for.
type finds struct {
	places []place
	n      int
}

func (f *finds) add(more finds) {
	f.places, f.n = append(f.places, more.places...), f.n+more.n
}

// finder finds the first places of a filter's list within one snapshot.
type finder struct {
	tx         *gorm.DB
	filter     delivery.Filter
	narrowings []narrowing
	need       int
	counts     bool // places are only counted
	effort     effort
	begun      time.Time
	patience   time.Duration // after which errTooBroad comes with what was found
}

// direction of the order, and what stands after a place in it.
func (f *finder) direction() (order, after, upTo string) {
	if f.filter.Sort == delivery.SortOldest {
		return "ASC", ">", "<="
	}
	return "DESC", "<", ">="
}

func (s *Store) newFinder(tx *gorm.DB, filter delivery.Filter, need int) (*finder, error) {
	plain := filter
	plain.Acknowledged = nil // part of the branches
	list, err := narrowings(plain)
	for i := range list {
		list[i].walk = strings.TrimPrefix(list[i].walk, payloadStates) // see branches
	}
	return &finder{tx: tx, filter: filter, narrowings: list, need: need, effort: s.effort, begun: time.Now(), patience: patience}, err
}

// find answers at most need places; as many as it had found together with an error that the search is too broad.
func (f *finder) find() (found finds, err error) {
	after, err := timeLimits(f.filter)
	if err != nil {
		return found, err
	}
	list := f.branches()
	if len(list) > 0 && f.looks(list) {
		if err := f.tx.Exec("SELECT set_config('statement_timeout', ?, true), set_config('enable_seqscan', 'off', true)",
			fmt.Sprint(f.patience.Milliseconds())).Error; err != nil {
			return found, err
		}
		little, err := f.little()
		if err != nil {
			return found, tooBroad(err)
		}
		if little != nil {
			found, err = f.driven([]narrowing{*little}, list, after)
			return found, tooBroad(err)
		}
	}
	for _, b := range list {
		more, err := f.branch(b, after)
		found.add(more)
		if err != nil {
			return found, tooBroad(err)
		}
	}
	return f.first(found), nil
}

// looks says whether there is more than indexes in the list's order tell.
func (f *finder) looks(list []branch) bool {
	return slices.ContainsFunc(list, func(b branch) bool { return len(f.narrowed(facetOf(f.filter, b))) > 0 })
}

// narrowed are the narrowings that parts by a facet do not stand for.
func (f *finder) narrowed(by facet) (list []narrowing) {
	for _, n := range f.narrowings {
		if n.facet == byEverything || n.facet != by {
			list = append(list, n)
		}
	}
	return list
}

// branches leaves out those that a filter for dead letters only, or for the payloads of open failures, cannot have.
func (f *finder) branches() []branch {
	list := branches(f.filter.States)
	if len(f.filter.Paths) > 0 || f.filter.Words != "" {
		list = slices.DeleteFunc(list, func(b branch) bool { return b.counter != "dead" && b.counter != "pending" })
	}
	if f.filter.Acknowledged == nil {
		return list
	}
	list = slices.DeleteFunc(list, func(b branch) bool { return b.counter != "dead" })
	for i := range list {
		list[i].state += " AND r.acknowledged_at IS NULL"
		if *f.filter.Acknowledged {
			list[i].state = strings.Replace(list[i].state, "IS NULL", "IS NOT NULL", 1)
		}
	}
	return list
}

// first puts places of several branches into one order.
func (f *finder) first(found finds) finds {
	slices.SortFunc(found.places, func(a, b place) int {
		order := a.at.Compare(b.at)
		if order == 0 {
			order = strings.Compare(a.id, b.id)
		}
		if f.filter.Sort != delivery.SortOldest {
			return -order
		}
		return order
	})
	found.n = min(found.n, f.need)
	found.places = found.places[:min(len(found.places), f.need)]
	return found
}

// little is the quick narrowing that finds the least, when that is little.
func (f *finder) little() (*narrowing, error) {
	var columns []string
	var args []any
	var quick []narrowing
	for _, n := range f.narrowings {
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

// driven answers what the drivers find and everything else fits.
func (f *finder) driven(drivers []narrowing, list []branch, after *where) (finds, error) {
	order, _, _ := f.direction()
	var args []any
	texts := make([]string, len(drivers))
	for i, d := range drivers {
		texts[i], args = "("+d.driver+")", append(args, d.driverArgs...)
	}
	record, rest := byCost(f.narrowings)
	facetConditions(record, f.filter, "r.group_id")
	states := make([]string, len(list))
	for i, b := range list {
		states[i] = b.state
		for _, n := range b.wait {
			states[i] += " AND " + n.walk
		}
	}
	record.add("(" + strings.Join(states, " OR ") + ")")
	record.add(strings.Join(after.conditions, " AND "), after.args...)
	query := fmt.Sprintf(drivenSQL, strings.Join(texts, " INTERSECT "), record.sql(), order, rest.sql(), f.need)
	args = slices.Concat(args, record.args, rest.args)
	if f.counts {
		n, err := readOne(f.tx, single[int], "SELECT count(*) FROM ("+query+") d", args...)
		return finds{n: n}, err
	}
	places, err := read(f.tx, placePointers, query, args...)
	return finds{places: places, n: len(places)}, err
}

// byCost tells conditions on the record from those that look elsewhere.
func byCost(list []narrowing) (record, rest *where) {
	record, rest = newWhere(), newWhere()
	record.add("true")
	rest.add("true")
	for _, n := range list {
		looked := record
		if n.cost > 0 {
			looked = rest
		}
		looked.add("("+n.walk+")", n.walkArgs...)
	}
	return record, rest
}

// branch walks through one state's part of the list until it has what is needed.
func (f *finder) branch(b branch, after *where) (found finds, err error) {
	start, drove := after, false
	p, err := partsOf(f.tx, f.filter, b, f.effort.few)
	if err != nil || len(p.keys) == 0 {
		return found, err
	}
	narrowed := slices.Concat(f.narrowed(p.by), b.wait, p.extra)
	size, cost := f.need, 1
	for _, n := range narrowed {
		cost += n.cost
	}
	switch {
	case f.counts:
		size = countStep
	case len(narrowed) > len(b.wait):
		size = max(firstStep, f.need)
	case len(b.wait) > 0:
		size += sendingAtOnce
	}
	for walked := 0; ; size = f.nextStep(size, walked, found.n) {
		rows, err := f.step(b, p, narrowed, after, size)
		if err != nil || len(rows) == 0 {
			return found, err
		}
		found.add(f.fitting(rows))
		last := rows[len(rows)-1]
		if walked += last.n; last.done || found.n >= f.need {
			return f.first(found), nil
		}
		if !drove && walked*cost >= f.effort.enough && walked*cost*f.need > f.effort.worth*max(found.n, 1) {
			drove = true
			if p.total == 0 {
				if p.total, err = f.total(b); err != nil {
					return found, err
				}
			}
			drivers, err := f.driversOf(narrowed, b, walk{walked: walked, found: found.n, cost: cost, total: p.total})
			if err != nil {
				return found, err
			}
			if len(drivers) > 0 {
				return f.driven(drivers, []branch{b}, start)
			}
		}
		if time.Since(f.begun) > f.patience {
			return found, errTooBroad
		}
		after = f.after(after, last.cursor)
	}
}

func (f *finder) fitting(rows []place) (found finds) {
	for _, r := range rows {
		switch {
		case f.counts:
			found.n += r.fit
		case r.fits:
			found.places = append(found.places, r)
		}
	}
	found.n += len(found.places)
	return found
}

// nextStep is what is missing by the share that fitted so far, and a little more; at most so many times the step before.
func (f *finder) nextStep(size, walked, found int) int {
	if f.counts {
		return min(2*size, largestStep)
	}
	wanted := size * stepGrowth
	if found > 0 {
		wanted = min(wanted, (f.need-found)*walked*5/(found*4)+firstStep/4)
	}
	return min(wanted, largestStep)
}

// walk is what was seen of a branch so far.
type walk struct{ walked, found, cost, total int }

// ahead is what walking on until need are found may cost, if what comes is as what was seen.
func (w walk) ahead(need int) int {
	return min(w.walked*need/max(w.found, 1), max(w.total-w.walked, 0)) * w.cost
}

// total is how many failures of a branch its facets leave.
func (f *finder) total(b branch) (int, error) {
	w := newWhere()
	facetConditions(w, f.filter, "g.id")
	return readOne(f.tx, single[int], withChanges+"SELECT coalesce(sum("+counter(b.counter)+"), 0)::bigint FROM redrive.groups g "+countJoins+w.sql(), w.args...)
}

// estimate is how many rows Postgres expects of a driver.
func (f *finder) estimate(n narrowing) (int, error) {
	text, err := readOne(f.tx, single[string], "EXPLAIN (FORMAT JSON) "+n.driver, n.driverArgs...)
	if err != nil {
		return 0, fmt.Errorf("estimating a search: %w", err)
	}
	var plans []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		}
	}
	if err := json.Unmarshal([]byte(text), &plans); err != nil || len(plans) == 0 {
		return 0, fmt.Errorf("reading a plan: %w", err)
	}
	return int(plans[0].Plan.Rows), nil
}

// driversOf chooses where to begin when that costs less than walking on: at all indexes that are read as a whole, or at any other.
func (f *finder) driversOf(narrowed []narrowing, b branch, seen walk) (whole []narrowing, err error) {
	var quick []narrowing
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
		found, err := readOne(f.tx, single[int], fmt.Sprintf("SELECT count(*) FROM (%s LIMIT %d) n", n.driver, most+1), n.driverArgs...)
		if err != nil || found <= most {
			return []narrowing{n}, err
		}
	}
	return nil, nil
}

// stepSQL reads the next rows of all parts, which is exact up to the place where the first part may have more, and looks at them:
// what stands in the record while it is read, the rest afterwards.
const stepSQL = `
WITH rows AS MATERIALIZED (
    SELECT r.id, r.changed_at, r.fits, r.n FROM unnest(?::text[]) part(key) CROSS JOIN LATERAL (
        SELECT r.*, row_number() OVER () AS n FROM (SELECT r.id, r.changed_at, %[6]s AS fits FROM redrive.deliveries r
            WHERE %[1]s ORDER BY r.changed_at %[2]s, r.id %[2]s LIMIT %[3]d) r) r
), mark AS MATERIALIZED (
    SELECT changed_at, id FROM rows WHERE n = %[3]d ORDER BY changed_at %[2]s, id %[2]s LIMIT 1
), step AS MATERIALIZED (
    SELECT id, changed_at, fits, row_number() OVER (ORDER BY changed_at %[2]s, id %[2]s) AS n FROM rows
    WHERE NOT EXISTS (SELECT FROM mark) OR (changed_at, id) %[4]s (SELECT changed_at, id FROM mark)
    ORDER BY changed_at %[2]s, id %[2]s LIMIT %[5]d
), total AS MATERIALIZED (
    SELECT count(*) AS n, NOT EXISTS (SELECT FROM mark) AND count(*) = (SELECT count(*) FROM rows) AS done FROM step
), looked AS MATERIALIZED (
    SELECT r.id, r.changed_at, r.n, CASE WHEN r.fits THEN coalesce(%[7]s, false) ELSE false END AS fits FROM step r
)
SELECT s.id::text, s.changed_at, s.fits, t.done, t.n, %[8]s FROM total t CROSS JOIN looked s WHERE %[9]s s.n = t.n ORDER BY s.n`

func (f *finder) step(b branch, p parts, narrowed []narrowing, after *where, size int) ([]place, error) {
	order, _, upTo := f.direction()
	each := size
	if len(narrowed) > 0 && len(p.keys) > 1 {
		each = max(2*size/len(p.keys), f.need/2, 16)
	}
	w := newWhere()
	w.add(b.state)
	switch p.by {
	case byEverything:
	case byAttempts:
		w.add("r.attempts = part.key::int")
	case byTags:
		w.add("r.tags IS NOT NULL")
	default:
		w.add("r." + string(p.by) + " = part.key")
	}
	w.add(strings.Join(after.conditions, " AND "), after.args...)
	record, rest := byCost(narrowed)
	fit, wanted := "0", "s.fits OR"
	if f.counts {
		fit, wanted = "(SELECT count(*) FROM looked WHERE fits)", ""
	}
	return read(f.tx, placePointers, fmt.Sprintf(stepSQL, strings.Join(w.conditions, " AND "), order, each, upTo, size,
		strings.Join(record.conditions, " AND "), strings.Join(rest.conditions, " AND "), fit, wanted), slices.Concat([]any{&p.keys}, record.args, w.args, rest.args)...)
}

// timeLimits are the conditions on a record's place in the list.
func timeLimits(f delivery.Filter) (*where, error) {
	w := newWhere()
	w.add("true")
	return w, timeConditions(w, f)
}

// after replaces the page's beginning by a later place.
func (f *finder) after(w *where, c cursor) *where {
	filter := f.filter
	filter.After = c.String()
	limits, _ := timeLimits(filter) // the cursor is one of ours
	return limits
}

// tooBroad turns a search that took too long into words.
func tooBroad(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == outOfTime {
		return errTooBroad
	}
	return err
}
