package find

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/record"
)

// groupColumn is the column of each key in a group g of an integration i.
var groupColumn = map[delivery.GroupKey]string{delivery.ByIntegration: "g.integration", delivery.ByMethod: "i.method",
	delivery.ByDestination: "i.destination", delivery.ByClass: "g.error_class", delivery.ByMessage: "g.message"}

// groupValue is what each order sorts by, as a number.
var groupValue = map[delivery.GroupSort]string{
	"":                     "count",
	delivery.GroupsLargest: "count",
	delivery.GroupsLatest:  "(extract(epoch FROM last_seen) * 1000000)::bigint",
	delivery.GroupsNewest:  "(extract(epoch FROM first_seen) * 1000000)::bigint",
	// as group_counts.growth
	delivery.GroupsGrowing: "greatest(least(day - day_before, 1073741824), -1073741824) * 4294967296 + count",
}

// groupRow comes with its place in the list.
type groupRow struct {
	delivery.Group
	place groupPlace
}

// groupPlace is a place in a list of groups: the value of its order, and an id of the group or of its keys' values.
type groupPlace struct {
	value int64
	tie   string
}

// String returns the cursor as clients get it.
func (p groupPlace) String() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", p.value, p.tie))
}

func parseGroupPlace(text string) (p groupPlace, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return p, pg.BadCursor()
	}
	if n, err := fmt.Sscanf(string(raw), "%d %s", &p.value, &p.tie); n != 2 || err != nil {
		return p, pg.BadCursor()
	}
	return p, nil
}

// Groups returns groups with failures in the states named, dead letters when none is. The order is by numbers that move while
// people turn pages; what does not move is neither dropped nor repeated.
func (s *Lists) Groups(ctx context.Context, f delivery.GroupFilter) (page delivery.Page[delivery.Group], err error) {
	limit, err := delivery.PageSize(f.Limit)
	if err != nil {
		return page, err
	}
	if err := checkGroupFilter(f); err != nil {
		return page, err
	}
	from, conditions, err := groupConditions(f)
	if err != nil {
		return page, err
	}
	rows, err := s.groups(ctx, f, from, conditions, limit+1)
	if len(rows) > limit {
		rows, page.Next = rows[:limit], rows[limit-1].place.String()
	}
	for _, r := range rows {
		page.Items = append(page.Items, r.Group)
	}
	return page, err
}

// groupConditions are those on the groups as they are shown.
func groupConditions(f delivery.GroupFilter) (from *groupPlace, conditions *pg.Where, err error) {
	conditions = pg.NewWhere()
	conditions.Add("count > 0")
	if len(f.Statuses) > 0 {
		statuses := make([]string, len(f.Statuses))
		for i, status := range f.Statuses {
			statuses[i] = string(status)
		}
		conditions.Add("status = ANY(?)", &statuses)
	}
	if f.After != "" {
		after, err := parseGroupPlace(f.After)
		if err != nil {
			return nil, nil, err
		}
		conditions.Add("(value, tie) < (?::bigint, ?)", after.value, after.tie)
		from = &after
	}
	return from, conditions, nil
}

// Group returns one fingerprint's group, whatever the states of its failures; Count is its dead letters.
func (s *Lists) Group(ctx context.Context, id string) (delivery.Group, error) {
	rows, err := s.groups(ctx, delivery.GroupFilter{Filter: delivery.Filter{Groups: []string{id}}}, nil, pg.NewWhere(), 1)
	if err != nil {
		return delivery.Group{}, err
	}
	if len(rows) == 0 {
		return delivery.Group{}, delivery.ErrNotFound
	}
	return rows[0].Group, nil
}

func checkGroupFilter(f delivery.GroupFilter) error {
	if _, known := groupValue[f.Sort]; !known {
		return delivery.Mistake("bad_sort.groups", "sort")
	}
	for _, key := range f.By {
		if groupColumn[key] == "" {
			return delivery.Mistake("bad_group_key", "by")
		}
	}
	for _, status := range f.Statuses {
		if !slices.Contains(delivery.GroupStatuses, status) {
			return delivery.Mistake("bad_status", "status")
		}
	}
	return nil
}

func (s *Lists) groups(
	ctx context.Context,
	f delivery.GroupFilter,
	from *groupPlace,
	conditions *pg.Where,
	limit int,
) (rows []groupRow, err error) {
	err = s.Snapshot(ctx, func(tx *gorm.DB) error {
		f := scopedGroups{f, within(tx, f.Filter)}
		if err := planned(tx, &f); err != nil {
			return err
		}
		query, args := groupQuery(f, from, conditions, limit)
		rows, err = pg.Read(tx, groupPointers, query, args...)
		if err != nil {
			return fmt.Errorf("reading groups: %w", err)
		}
		if f.Bare {
			return nil
		}
		if err := groupHours(tx, f, rows); err != nil || len(f.By) > 0 {
			return err
		}
		return groupMarks(tx, rows)
	})
	return rows, err
}

func groupPointers(r *groupRow) []any {
	g := &r.Group
	return []any{
		&g.ID,
		&g.Integration,
		&g.Method,
		&g.Destination,
		&g.ErrorClass,
		&g.Message,
		&g.Count,
		&g.Dead,
		&g.Acknowledged,
		&g.Groups,
		&g.FirstSeen,
		&g.LastSeen,
		&g.Status,
		&g.Trend.Day.Count,
		&g.Trend.Day.Before,
		&g.Trend.Week.Count,
		&g.Trend.Week.Before,
		&r.place.value,
		&r.place.tie,
	}
}

// groupsSQL makes one row for each combination of the keys' values: of fingerprints, or of what is added up of them.
const groupsSQL = `, one AS (%[1]s
), made AS (
    SELECT %[2]s, sum(count)::bigint AS count, sum(dead)::bigint AS dead, sum(acknowledged)::bigint AS acknowledged,
        sum(groups)::bigint AS groups, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
        sum(day)::bigint AS day, sum(day_before)::bigint AS day_before, sum(week)::bigint AS week, sum(week_before)::bigint AS week_before,
        CASE WHEN sum(open) = 0 THEN 'settled' WHEN sum(regressed) > 0 THEN 'regressed'
            WHEN min(first_seen) > statement_timestamp() - interval '24 hours' THEN 'new' ELSE 'known' END AS status, tie
    FROM one GROUP BY tie
)`

// oneSQL are the numbers of each fingerprint.
const oneSQL = `
    SELECT *, (count > 0)::integer AS groups, (back AND open > 0)::integer AS regressed FROM (
        SELECT g.id, g.integration, coalesce(i.method, '') AS method, coalesce(i.destination, '') AS destination, g.error_class, g.message,
            g.first_seen, g.last_seen, %[1]s AS tie, %[2]s AS count, %[3]s AS dead, %[4]s AS acknowledged, %[3]s + %[5]s AS open,
            coalesce(c.day, 0) + coalesce(d.came, 0) AS day, coalesce(c.day_before, 0) AS day_before,
            coalesce(c.week, 0) + coalesce(d.came, 0) AS week, coalesce(c.week_before, 0) AS week_before,
            ` + RegressedSQL + ` AS back
        FROM %[6]s LEFT JOIN redrive.integrations i ON i.name = g.integration%[7]s) g`

const groupPageSQL = `
SELECT id, integration, method, destination, error_class, message, count, dead, acknowledged, groups, first_seen, last_seen, status,
    day, day_before, week, week_before, value, tie
FROM (SELECT *, %s AS value FROM made) m%s ORDER BY value DESC, tie DESC LIMIT %d`

// groupQuery reads limit groups; from is the place after which they begin, which stands among the conditions, too.
func groupQuery(f scopedGroups, from *groupPlace, conditions *pg.Where, limit int) (query string, args []any) {
	shown := []string{shownKey("id", len(f.By) == 0)}
	for _, column := range []string{"integration", "method", "destination", "error_class", "message"} {
		shown = append(shown, shownKey(column, len(f.By) == 0 || slices.Contains(f.By, delivery.GroupKey(column))))
	}
	with, one, args := "", "", []any(nil)
	if f.addedUp() {
		with, one, args = addedUp(f)
	} else {
		with, one, args = eachGroup(f, from, limit)
	}
	return with + fmt.Sprintf(groupsSQL, one, strings.Join(shown, ", ")) + fmt.Sprintf(groupPageSQL, groupValue[f.Sort], conditions.Sql(), limit),
		append(args, conditions.Args...)
}

// sendingSQL is how many of each group are being sent.
const sendingSQL = `, sending AS MATERIALIZED (SELECT r.group_id, count(*) AS n FROM redrive.queue w
    JOIN redrive.deliveries r ON r.id = w.id AND r.state = 'pending' WHERE w.token IS NOT NULL AND r.group_id IS NOT NULL GROUP BY r.group_id) `

// eachGroup reads the groups one by one: all that fit, or of a list that an index has in its order those of a page.
func eachGroup(f scopedGroups, from *groupPlace, limit int) (with, one string, args []any) {
	with, count := WithChanges, groupCount(f.States)
	sends := strings.Contains(count, "sending.")
	if sends {
		with = strings.TrimSpace(WithChanges) + sendingSQL
		count = strings.ReplaceAll(count, "sending.", "(SELECT n FROM sending WHERE group_id = g.id)")
	}
	w, groups := groupFacets(f), "redrive.groups g "+CountJoins
	if f.walked() {
		with, args = walkGroups(with, f, sends, from, limit)
		groups = "(SELECT DISTINCT group_id FROM walked) w LEFT JOIN changes d ON d.group_id = w.group_id " + groupsByID("w.group_id")
	}
	one = fmt.Sprintf(oneSQL, groupTie(f.By), count, counter("dead"), counter("acknowledged"), counter("pending"), groups, w.Sql())
	return with, one, append(args, w.Args...)
}

func shownKey(column string, isKey bool) string {
	if isKey {
		return "min(" + column + ") AS " + column
	}
	return "'' AS " + column
}

// groupTie is what makes a group one: the fingerprint, or the values of the keys.
func groupTie(by []delivery.GroupKey) string {
	if len(by) == 0 {
		return "g.id"
	}
	var columns []string
	for _, key := range by {
		columns = append(columns, groupColumn[key])
	}
	return "md5(ARRAY[" + strings.Join(columns, ", ") + "]::text)"
}

func groupFacets(f scopedGroups) *pg.Where {
	w := pg.NewWhere()
	facetConditions(w, f.seen, "g.id")
	if f.Query != "" {
		condition, args := causeCondition(f.Query)
		w.Add(condition, args...)
	}
	return w
}

// causeCondition is that a group's text contains another one, by the index that knows texts of this length.
func causeCondition(text string) (condition string, args []any) {
	like := record.Anywhere(text)
	if !trigram.MatchString(text) && utf8.RuneCountInString(text) > 1 {
		return "(redrive.pairs(g.message) @> redrive.pairs(?) AND g.message || '' ILIKE ?)", []any{text, like}
	}
	return "g.message ILIKE ?", []any{like}
}

// groupCount is the number in the wanted states. The counters do not tell what is being sent from what waits.
func groupCount(states []delivery.State) string {
	terms := []string{"0"}
	for _, b := range branches(states) {
		switch {
		case len(b.wait) == 0:
			terms = append(terms, counter(b.counter))
		case b.wait[0].driver == "":
			terms = append(terms, counter("pending")+" - coalesce(sending., 0)")
		default:
			terms = append(terms, "coalesce(sending., 0)")
		}
	}
	return "(" + strings.Join(terms, " + ") + ")"
}

// groupHoursSQL adds up by groups first: the tie of a group costs more than its hours.
const groupHoursSQL = `
WITH m AS MATERIALIZED (
    SELECT * FROM (SELECT %[1]s AS tie, g.* FROM %[2]s g LEFT JOIN redrive.integrations i ON i.name = g.integration%[3]s) m WHERE tie = ANY(?)
), hours AS (
    SELECT m.tie, h.hour, h.failed, h.came FROM m JOIN %[4]s
        AND h.hour > date_trunc('hour', statement_timestamp(), 'UTC') - interval '24 hours'
    UNION ALL
    SELECT m.tie, date_trunc('hour', d.at, 'UTC'), d.failed, d.came FROM redrive.group_deltas d JOIN redrive.groups g ON g.id = d.group_id JOIN m ON %[5]s
), summed AS (
    SELECT tie, hour, sum(failed)::bigint AS failed, sum(came)::bigint AS came FROM hours GROUP BY tie, hour
)
SELECT tie, (24 - extract(epoch FROM date_trunc('hour', statement_timestamp(), 'UTC') - hour) / 3600)::int AS n, failed, came FROM summed`

// hoursOf are the hours of each group, or what is added up of them.
func hoursOf(f scopedGroups) (groups, hours, deltas string) {
	if f.addedUp() {
		return `(SELECT integration, error_class FROM redrive.group_sums
				UNION SELECT x.integration, x.error_class FROM redrive.group_deltas d JOIN redrive.groups x ON x.id = d.group_id)`,
			"redrive.group_sum_hours h ON h.integration = m.integration AND h.error_class = m.error_class",
			"m.integration = g.integration AND m.error_class = g.error_class"
	}
	return "redrive.groups", "redrive.group_hours h ON h.group_id = m.id", "m.id = g.id"
}

// groupHours fills in the sparklines of a page.
func groupHours(tx *gorm.DB, f scopedGroups, rows []groupRow) error {
	if len(rows) == 0 {
		return nil
	}
	at, ties := map[string]int{}, make([]string, len(rows))
	for i := range rows {
		rows[i].Hours, ties[i] = make([]int, 24), rows[i].place.tie
		at[ties[i]] = i
	}
	type hour struct {
		Tie             string
		N, Failed, Came int
	}
	w := groupFacets(f)
	groups, by, deltas := hoursOf(f)
	hours, err := pg.Scan[hour](tx, fmt.Sprintf(groupHoursSQL, groupTie(f.By), groups, w.Sql(), by, deltas), append(w.Args, &ties)...)
	if err != nil {
		return fmt.Errorf("reading the groups' hours: %w", err)
	}
	for _, h := range hours {
		if h.N >= 1 && h.N <= 24 {
			rows[at[h.Tie]].Hours[h.N-1] += h.Failed
		}
		switch trend := &rows[at[h.Tie]].Trend.Hour; h.N {
		case 24:
			trend.Count = h.Came
		case 23:
			trend.Before = h.Came
		}
	}
	return nil
}
