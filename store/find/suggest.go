package find

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"redrive/delivery"
	"redrive/store/pg"
)

const (
	mostSuggested = 10
	mostValues    = 200 // of one index
)

// suggestions are statements that answer values of a field, the most useful first. Each looks at a bounded number of rows: the
// latest dead letters, or each value of an index once.
var suggestions = map[string]string{
	"integration": "SELECT name FROM redrive.integrations ORDER BY active DESC, name LIMIT 1000",
	"assignee": `SELECT v FROM (` + called(eachValue("redrive.deliveries", "assignee", "state <> 'pending'")) + ` UNION ALL
		SELECT name FROM redrive.operators WHERE disabled_at IS NULL ORDER BY 1 LIMIT 500) a(v) GROUP BY v ORDER BY v`,
	"by": called(eachValue("redrive.deliveries", "actor", "actor <> 'policy' AND state <> 'pending'")) + " ORDER BY 1",
	"tag": `SELECT t.tag FROM (SELECT tags FROM redrive.cases LIMIT 5000) c CROSS JOIN LATERAL unnest(c.tags) t(tag)
		GROUP BY t.tag ORDER BY count(*) DESC, t.tag LIMIT 500`,
	"type": `SELECT t.type FROM (SELECT unnest(subscribe) AS type, 0 AS n FROM redrive.integrations WHERE active
		UNION ALL SELECT unnest(types), 1 FROM redrive.groups) t GROUP BY t.type ORDER BY sum(t.n) DESC, t.type LIMIT 500`,
	"key": `SELECT k.key FROM (
		SELECT r.key, 0 AS n FROM (SELECT key FROM redrive.deliveries WHERE state = 'dead' ORDER BY changed_at DESC, id DESC LIMIT 300) r
		UNION ALL
		(SELECT v, 1 FROM ` + eachValue("redrive.deliveries", "key", "key >= @typed AND state <> 'pending'") + ` e WHERE starts_with(v, @typed)
			AND EXISTS (SELECT FROM redrive.deliveries r WHERE r.key = e.v AND r.state = 'dead') LIMIT 10)) k
		WHERE starts_with(k.key, @typed) GROUP BY k.key ORDER BY min(n), k.key LIMIT 10`,
}

// seenSuggestions are the same for whoever sees some integrations only: the latest failures of those are looked at.
var seenSuggestions = map[string]string{
	"integration": "SELECT name FROM redrive.integrations WHERE name = ANY(CAST(@seen AS text[])) ORDER BY active DESC, name",
	"assignee":    called(ofSeen("assignee", "")) + " ORDER BY 1",
	"by":          called(ofSeen("actor", " AND actor <> 'policy'")) + " ORDER BY 1",
	"tag":         "SELECT t.tag FROM " + ofSeen("tags", "") + " e(tags) CROSS JOIN LATERAL unnest(e.tags) t(tag) GROUP BY t.tag ORDER BY count(*) DESC, t.tag LIMIT 500",
	"type": `SELECT t.type FROM (SELECT unnest(subscribe) AS type, 0 AS n FROM redrive.integrations WHERE active AND name = ANY(CAST(@seen AS text[]))
		UNION ALL SELECT unnest(types), 1 FROM redrive.groups WHERE integration = ANY(CAST(@seen AS text[]))) t GROUP BY t.type ORDER BY sum(t.n) DESC, t.type LIMIT 500`,
	"key": "SELECT e.v FROM " + ofSeen("key", "") + " e(v) WHERE starts_with(e.v, @typed) GROUP BY e.v ORDER BY e.v LIMIT 10",
}

// ofSeen is a column of the latest dead letters of the integrations @seen.
func ofSeen(column, condition string) string {
	return fmt.Sprintf(`(SELECT r.%[1]s FROM unnest(CAST(@seen AS text[])) s(name) CROSS JOIN LATERAL (SELECT * FROM redrive.deliveries r
		WHERE r.integration = s.name AND r.state = 'dead' ORDER BY r.changed_at DESC, r.id DESC LIMIT 500) r WHERE r.%[1]s IS NOT NULL%[2]s)`, column, condition)
}

// eachValue steps from value to value of an index that begins with the column.
func eachValue(table, column, condition string) string {
	const statement = `(WITH RECURSIVE each(v, n) AS (
		(SELECT %[2]s, 1 FROM %[1]s WHERE %[2]s IS NOT NULL AND %[3]s ORDER BY %[2]s LIMIT 1)
		UNION ALL
		SELECT (SELECT t.%[2]s FROM %[1]s t WHERE t.%[2]s > each.v AND t.%[2]s IS NOT NULL AND %[3]s ORDER BY t.%[2]s LIMIT 1), n + 1
		FROM each WHERE each.v IS NOT NULL AND n < %[4]d
	) SELECT v FROM each WHERE v IS NOT NULL)`
	return fmt.Sprintf(statement, table, column, condition, mostValues)
}

// called are the present names of actors, each once.
func called(actors string) string {
	return "SELECT DISTINCT " + pg.Called("e.v") + " FROM " + actors + " e(v)"
}

// Suggest returns values of a field of the search bar that begin with what was typed, the most useful first, at most 10. A field
// whose values cannot be listed has none.
func (s *Lists) Suggest(ctx context.Context, field, typed string) ([]string, error) {
	fixed := delivery.SearchValues(field)
	db := s.Gorm.WithContext(ctx)
	seen := pg.Seen(db)
	statement, known := suggestions[field]
	if !seen.All {
		statement = seenSuggestions[field]
	}
	if len(typed) > 200 || field == "key" && typed == "" {
		known = false
	}
	if known {
		var args []any
		if strings.Contains(statement, "@") {
			args = []any{map[string]any{"typed": delivery.Storable(typed), "seen": pg.Names(seen)}}
		}
		found, err := pg.Read(db, pg.Single[string], statement, args...)
		if err != nil {
			return nil, fmt.Errorf("suggesting values of %s: %w", field, err)
		}
		fixed = append(fixed, found...)
	}
	fixed = slices.DeleteFunc(fixed, func(v string) bool {
		return len(v) < len(typed) || !strings.EqualFold(v[:len(typed)], typed)
	})
	return fixed[:min(len(fixed), mostSuggested)], nil
}
