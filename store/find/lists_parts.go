package find

import (
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/record"
)

// facet is what an index in the lists' order begins with.
type facet string

const (
	byEverything  facet = ""
	byIntegration facet = "integration"
	byGroup       facet = "group_id"
	byKey         facet = "key"
	byActor       facet = "actor"
	byAssignee    facet = "assignee"
	byAttempts    facet = "attempts"
	byTags        facet = "tags" // those that have some
)

// parts are the equal-ranking pieces of a list, each of which one index serves in the list's order: all of a state, or those of
// some integrations, groups, keys …
type parts struct {
	by    facet
	keys  []string
	extra []predicate // what the index does not know of the facets
	total int         // failures in all parts; 0: nobody has counted
}

// mostParts of a list are merged; with more, one walk through everything is cheaper than beginning that often.
const mostParts = 500

// mostGroups are looked up to begin at their failures; more are so common that a walk through everything finds enough of them.
const mostGroups = 2_000

// everything is one part, walked with all facets looked at.
func everything(f scoped) parts { return parts{keys: []string{""}, extra: facetPredicate(f)} }

func facetPredicate(f scoped) []predicate {
	w := pg.NewWhere()
	if facetConditions(w, f, "r.group_id"); len(w.Conditions) == 0 {
		return nil
	}
	return []predicate{{walk: strings.Join(w.Conditions, " AND "), walkArgs: w.Args}}
}

// facetOf is what the parts of a branch are made by, unless few are in its groups.
func facetOf(f scoped, b branch) facet {
	settled := b.counter != "pending" // or dead: only these are in the indexes by key and people
	switch {
	case acknowledgedOnly(f):
		return byEverything
	case f.Key != "" && settled:
		return byKey
	case settled && len(f.Assignees) > 0 && !slices.Contains(f.Assignees, delivery.NoAssignee):
		return byAssignee
	case len(f.Tags) > 0:
		return byTags
	case len(f.Actors) > 0 && settled:
		return byActor
	case len(f.ErrorClasses)+len(f.Groups)+len(f.GroupMessages)+len(f.Types) > 0:
		return byGroup
	case len(f.Integrations)+len(f.Methods)+len(f.Destinations) > 0:
		return byIntegration
	case (f.Attempts.Min != nil || f.Attempts.Max != nil) && settled && b.counter != "delivered":
		return byAttempts
	}
	return byEverything
}

// acknowledgedOnly: these are few, and have an index in the list's order.
func acknowledgedOnly(f scoped) bool { return f.Acknowledged != nil && *f.Acknowledged }

// partsOf finds the parts of a branch that can have rows. Where its groups have at most few, these are looked at one by one rather
// than to walk through everything of a key, of somebody or with tags.
func partsOf(tx *gorm.DB, f scoped, b branch, few int) (p parts, err error) {
	by := facetOf(f, b)
	if by != byIntegration && !acknowledgedOnly(f) && len(facetPredicate(f)) > 0 {
		p, err = groupParts(tx, f, b)
		if err != nil || by == byGroup || p.total <= few {
			return p, err
		}
	}
	switch by {
	case byKey:
		return parts{by: byKey, keys: []string{f.Key}, extra: facetPredicate(f)}, nil
	case byActor:
		return peopleParts(f, byActor, f.Actors), nil
	case byAssignee:
		return peopleParts(f, byAssignee, f.Assignees), nil
	case byTags:
		return parts{by: byTags, keys: []string{""}, extra: facetPredicate(f)}, nil
	case byIntegration:
		return integrationParts(tx, f)
	case byAttempts:
		return attemptParts(tx, f, b)
	}
	return everything(f), nil
}

func peopleParts(f scoped, by facet, people []string) parts {
	people = slices.Clone(people)
	slices.Sort(people)
	return parts{by: by, keys: slices.Compact(people), extra: facetPredicate(f)}
}

func attemptParts(tx *gorm.DB, f scoped, b branch) (parts, error) {
	condition := "state = '" + b.counter + "'"
	if f.Attempts.Min != nil {
		condition += fmt.Sprintf(" AND attempts >= %d", *f.Attempts.Min)
	}
	if f.Attempts.Max != nil {
		condition += fmt.Sprintf(" AND attempts <= %d", *f.Attempts.Max)
	}
	numbers, err := pg.Read(tx, pg.Single[string],
		"SELECT v::text FROM "+eachValue("redrive.deliveries", "attempts", condition)+" a(v)")
	if err != nil {
		return parts{}, fmt.Errorf("looking up numbers of attempts: %w", err)
	}
	if len(numbers) >= mostValues {
		return everything(f), nil
	}
	return parts{by: byAttempts, keys: numbers}, nil
}

func integrationParts(tx *gorm.DB, f scoped) (p parts, err error) {
	w := pg.NewWhere()
	if len(f.Integrations) > 0 {
		w.Add("i.name = ANY(?)", &f.Integrations)
	}
	if len(f.Methods) > 0 {
		names := methodNames(f.Methods)
		w.Add("i.method = ANY(?)", &names)
	}
	if len(f.Destinations) > 0 {
		w.Add("i.destination = ANY(?)", &f.Destinations)
	}
	names, err := pg.Read(tx, pg.Single[string], "SELECT i.name FROM redrive.integrations i"+w.Sql(), w.Args...)
	if err != nil {
		return p, fmt.Errorf("looking up integrations: %w", err)
	}
	if len(names) > mostParts {
		return everything(f), nil
	}
	return parts{by: byIntegration, keys: names}, nil
}

// groupParts takes the groups from the counters: those without a failure in this state are left out.
func groupParts(tx *gorm.DB, f scoped, b branch) (p parts, err error) {
	count := "coalesce(c." + b.counter + ", 0) + coalesce(d." + b.counter + ", 0)"
	if f.Acknowledged != nil {
		count = "coalesce(c.dead - c.acknowledged, 0) + coalesce(d.dead - d.acknowledged, 0)"
	}
	w, args := pg.NewWhere(), []any{&f.Types}
	facetConditions(w, f, "g.id")
	w.Add(count + " > 0")
	type counted struct {
		ID    string
		N     int
		Mixed bool // failures of other types, too
	}
	groups, err := pg.Scan[counted](tx, WithChanges+"SELECT g.id, "+count+
		" AS n, coalesce(NOT g.types <@ ?, true) OR "+record.TypesFull+" AS mixed FROM redrive.groups g "+CountJoins+w.Sql()+fmt.Sprintf(" LIMIT %d", mostGroups+1), append(args, w.Args...)...)
	if err != nil {
		return p, fmt.Errorf("looking up groups: %w", err)
	}
	if len(groups) > mostGroups {
		return everything(f), nil
	}
	mixed := false
	for _, g := range groups {
		p.keys = append(p.keys, g.ID)
		p.total += g.N
		mixed = mixed || g.Mixed
	}
	if len(p.keys) > mostParts {
		many := everything(f)
		many.extra[0].driver, many.extra[0].driverArgs, many.extra[0].quick = "SELECT o.id FROM redrive.deliveries o WHERE o.group_id = ANY(?) AND "+
			strings.ReplaceAll(b.state, "r.", "o."), []any{
			&p.keys,
		}, true
		return many, nil
	}
	if p.by = byGroup; mixed && len(f.Types) > 0 {
		p.extra = []predicate{{walk: "r.type = ANY(?)", walkArgs: []any{&f.Types}}}
	}
	return p, nil
}
