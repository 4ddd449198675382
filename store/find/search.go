package find

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"redrive/delivery"
	"redrive/store/record"
)

// searchPredicates is the condition on error text and payload: one, so that Postgres chooses among their indexes. Only open failures are
// indexed.
func searchPredicates(f delivery.Filter) (list []predicate, err error) {
	if err := searchable(f); err != nil {
		return nil, err
	}
	switch {
	case f.Words != "" || len(f.Paths) > 0:
		n, err := payloadPredicate(f)
		return []predicate{n}, err
	case f.Query != "":
		return []predicate{errorPredicate(f)}, nil
	}
	return nil, nil
}

// searchable refuses what Postgres would.
func searchable(f delivery.Filter) error {
	texts := []string{f.Query, f.Words}
	for _, p := range f.Paths {
		texts = append(texts, p.Path, p.Value)
	}
	if f.Words != "" && len(strings.Fields(f.Words)) == 0 {
		return delivery.Mistake("bad_search.no_word", "payload")
	}
	if slices.ContainsFunc(texts, func(s string) bool { return !utf8.ValidString(s) || strings.ContainsRune(s, 0) }) {
		return delivery.Mistake("invalid_text.search", "")
	}
	return nil
}

// errorPredicate looks at what is stored; where the failure is indexed, what is hidden there is not found here either. The driver also
// looks at what is not indexed yet.
func errorPredicate(f delivery.Filter) predicate {
	like := record.Anywhere(f.Query)
	n := predicate{
		walk: `coalesce((SELECT s.error ILIKE ? FROM redrive.search s WHERE s.delivery_id = r.id), true)
			AND coalesce((SELECT f.error ILIKE ? FROM redrive.failure_details f WHERE f.delivery_id = r.id), false)`,
		walkArgs: []any{like, like},
		cost:     costOfText,
		driver: `SELECT s.delivery_id FROM redrive.search s WHERE s.error ILIKE ? UNION ALL SELECT DISTINCT u.delivery_id FROM redrive.unindexed u
			WHERE EXISTS (SELECT FROM redrive.failure_details f WHERE f.delivery_id = u.delivery_id AND f.error ILIKE ?)
				AND NOT EXISTS (SELECT FROM redrive.search s WHERE s.delivery_id = u.delivery_id)`,
		driverArgs: []any{like, like},
		open:       true,
	}
	switch {
	case trigram.MatchString(f.Query):
	case utf8.RuneCountInString(f.Query) > 1:
		// the index of trigrams, which would be read as a whole, must not be thought of
		n.driver = strings.Replace(n.driver, "s.error ILIKE",
			"redrive.pairs(s.error) @> redrive.pairs(?) AND s.error || '' ILIKE", 1)
		n.driverArgs = slices.Insert(n.driverArgs, 0, any(f.Query))
	default:
		n.driver = "" // no index knows single letters
	}
	return n
}

// trigram is what the index of error texts needs to find in a text.
var trigram = regexp.MustCompile(`[\p{L}\p{N}]{3}`)

// payloadStates are those of failures whose payloads can be searched.
const payloadStates = "r.state IN ('dead', 'pending') AND "

// payloadPredicate finds open failures only: of others nothing is kept, and what is still there is about to be forgotten.
func payloadPredicate(f delivery.Filter) (n predicate, err error) {
	w, err := record.SearchConditions(f)
	if err != nil {
		return n, err
	}
	fits := strings.Join(w.Conditions, " AND ")
	return predicate{
		walk:       payloadStates + "coalesce((SELECT " + fits + " FROM redrive.search s WHERE s.delivery_id = r.id), false)",
		walkArgs:   w.Args,
		cost:       costOfDoc,
		driver:     "SELECT s.delivery_id FROM redrive.search s WHERE " + fits,
		driverArgs: w.Args,
		open:       true,
	}, nil
}
