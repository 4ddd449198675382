package find

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// How a list is found. Without predicates its parts are merged, each read by its own index in the list's order, as far as the page
// goes. With predicates: what an index of one of them finds, when that is little; else the newest rows of the parts are walked
// and looked at; and when few of them fit, what the predicates' indexes find after all.
type searchBudget struct {
	little int // ids from which a list rather begins than walks
	most   int // ids at which a list begins, when walking does not pay
	enough int // records, or as much as they cost, to be walked before it is judged whether that pays
	worth  int // the same, that a page may take
	few    int // failures of groups that are looked at one by one

	patience time.Duration // after which a search is too broad
	counting time.Duration // the same for a count, which is not worth more of a page's time
}

var usualEffort = searchBudget{
	little:   500,
	most:     30_000,
	enough:   1500,
	worth:    8000,
	few:      2000,
	patience: 3 * time.Second,
	counting: 5 * time.Millisecond,
}

// SetPatience says how long a search may look at failures before it is too broad, and a count before it is capped, instead of three
// seconds and five milliseconds. Call it before the store is used: tests do, which are not about them and may run on a slow machine.
func (s *Lists) SetPatience(most time.Duration) { s.effort.patience, s.effort.counting = most, most }

// SetEffort makes lists begin at indexes as early as told: tests do, so that few rows are enough to try every way.
func (s *Lists) SetEffort(little, enough, worth, few int) {
	s.effort.little, s.effort.enough, s.effort.worth, s.effort.few = little, enough, worth, few
}

// SetCounting says how long counts may look at failures.
func (s *Lists) SetCounting(most time.Duration) { s.effort.counting = most }

const (
	firstStep    = 120 // rows
	countStep    = 500
	stepGrowth   = 4
	largestStep  = 20_000
	costOfDriven = 6 // of looking at one that an index of its own answers, in records read in a walk
	// sendingAtOnce is how many more rows of what waits are read, because some are being sent
	sendingAtOnce = 20
	outOfTime     = "57014" // SQLSTATE query_canceled
)

var errTooBroad = delivery.Mistake("too_broad", "")

// listPosition is where a failure stands in a list.
type listPosition struct {
	pg.Cursor
	fits bool // the predicates
	done bool // no more rows after this step
	n    int  // rows of the step
	fit  int  // how many of them, when the finder counts
}

func listPositionPointers(p *listPosition) []any {
	return []any{&p.Id, &p.At, &p.fits, &p.done, &p.n, &p.fit}
}

// result is what fits: places, or their number alone when that is what was asked for.
type result struct {
	places []listPosition
	n      int
}

func (f *result) add(more result) {
	f.places, f.n = append(f.places, more.places...), f.n+more.n
}

// finder finds the first places of a filter's list within one snapshot.
type finder struct {
	tx         *gorm.DB
	filter     scoped
	predicates []predicate
	need       int
	counts     bool // places are only counted
	effort     searchBudget
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

func (s *Lists) newFinder(tx *gorm.DB, filter delivery.Filter, need int) (*finder, error) {
	filter, err := knownPeople(tx, filter)
	if err != nil {
		return nil, err
	}
	plain := filter
	plain.Acknowledged = nil // part of the branches
	list, err := predicatesOf(plain)
	for i := range list {
		list[i].walk = strings.TrimPrefix(list[i].walk, payloadStates) // see branches
	}
	return &finder{
		tx:         tx,
		filter:     within(tx, filter),
		predicates: list,
		need:       need,
		effort:     s.effort,
		begun:      time.Now(),
		patience:   s.effort.patience,
	}, err
}

// find returns at most need places; as many as it had found together with an error that the search is too broad.
func (f *finder) find() (found result, err error) {
	after, err := timeLimits(f.filter.Filter)
	if err != nil {
		return found, err
	}
	list := f.branches()
	if len(list) > 0 && f.looks(list) {
		err := f.tx.Exec("SELECT set_config('statement_timeout', ?, true), set_config('enable_seqscan', 'off', true)",
			fmt.Sprint(f.patience.Milliseconds())).Error
		if err != nil {
			return found, err
		}
		little, err := f.little()
		if err != nil {
			return found, tooBroad(err)
		}
		if little != nil {
			found, err = f.driven([]predicate{*little}, list, after)
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

// looks reports whether there is more than indexes in the list's order tell.
func (f *finder) looks(list []branch) bool {
	return slices.ContainsFunc(list, func(b branch) bool { return len(f.narrowed(facetOf(f.filter, b))) > 0 })
}

// narrowed are the predicates that parts by a facet do not stand for.
func (f *finder) narrowed(by facet) (list []predicate) {
	for _, n := range f.predicates {
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
func (f *finder) first(found result) result {
	slices.SortFunc(found.places, func(a, b listPosition) int {
		order := a.At.Compare(b.At)
		if order == 0 {
			order = strings.Compare(a.Id, b.Id)
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

// timeLimits are the conditions on a record's place in the list.
func timeLimits(f delivery.Filter) (*pg.Where, error) {
	w := pg.NewWhere()
	w.Add("true")
	return w, timeConditions(w, f)
}

// after replaces the page's beginning by a later place.
func (f *finder) after(w *pg.Where, c pg.Cursor) *pg.Where {
	filter := f.filter.Filter
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
