package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"redrive/delivery"
)

// sumsWronglySQL are the sums that differ from the groups, and the copies of what a group is that differ from it.
const sumsWronglySQL = `
SELECT coalesce(string_agg(what, '; '), '') FROM (
    SELECT format('%s %s %s', integration, error_class, pattern) AS what FROM (
        SELECT integration, error_class, pattern, count(*) AS groups, sum(dead) AS dead, sum(acknowledged) AS acknowledged, sum(pending) AS pending,
            sum(ignored) AS ignored, sum(resolved) AS resolved, sum(delivered) AS delivered, sum(day) AS day, sum(week) AS week FROM redrive.group_counts GROUP BY 1, 2, 3) c
    FULL JOIN redrive.group_sums s USING (integration, error_class, pattern)
    WHERE (c.groups, c.dead, c.acknowledged, c.pending, c.ignored, c.resolved, c.delivered, c.day, c.week)
        IS DISTINCT FROM (s.groups, s.dead, s.acknowledged, s.pending, s.ignored, s.resolved, s.delivered, s.day, s.week) AND coalesce(s.groups, 1) > 0
    UNION ALL SELECT group_id FROM redrive.group_counts c JOIN redrive.groups g ON g.id = c.group_id
    WHERE (c.integration, c.error_class, c.first_seen, c.last_seen) IS DISTINCT FROM (g.integration, g.error_class, g.first_seen, g.last_seen)
        AND NOT EXISTS (SELECT FROM redrive.group_deltas d WHERE d.group_id = g.id)
    UNION ALL SELECT format('%s %s at %s', integration, error_class, hour) FROM (
        SELECT g.integration, g.error_class, hour, sum(failed) AS failed, sum(came) AS came FROM redrive.group_hours h JOIN redrive.groups g ON g.id = h.group_id GROUP BY 1, 2, 3) h
    FULL JOIN redrive.group_sum_hours s USING (integration, error_class, hour) WHERE (h.failed, h.came) IS DISTINCT FROM (s.failed, s.came)) w`

// groupFilters returns filters of every kind, the same ones each time.
func groupFilters(n int) (list []delivery.GroupFilter) {
	r := rand.New(rand.NewPCG(17, 42))
	one := func(n int) bool { return r.IntN(n) == 0 }
	pick := func(list ...string) []string { return []string{list[r.IntN(len(list))]} }
	for range n {
		f := delivery.GroupFilter{Sort: delivery.GroupSorts[r.IntN(len(delivery.GroupSorts))]}
		for _, i := range r.Perm(len(delivery.States))[:r.IntN(4)] {
			f.States = append(f.States, delivery.States[i])
		}
		if one(5) {
			f.States = delivery.States
		}
		if one(3) {
			f.Integrations = [][]string{{"push"}, {"sms"}, {"push", "sms"}, {"none"}}[r.IntN(4)]
		}
		if one(4) {
			f.ErrorClasses = pick("http_5xx", "timeout", "dns", "auth")
		}
		if one(4) {
			f.Methods = []delivery.Method{delivery.MethodOutbox, delivery.MethodPool}[r.IntN(2):][:1]
		}
		if one(6) {
			f.Destinations = pick("http", "redis")
		}
		if one(4) {
			f.Query = pick("message", "message 1", "ge", "x", "nothing")[0]
		}
		if one(3) {
			for _, i := range r.Perm(len(delivery.GroupStatuses))[:1+r.IntN(2)] {
				f.Statuses = append(f.Statuses, delivery.GroupStatuses[i])
			}
		}
		if one(2) {
			f.By = delivery.GroupKeys[r.IntN(len(delivery.GroupKeys)):]
			f.By = f.By[:1+r.IntN(len(f.By))]
		}
		list = append(list, f)
	}
	return list
}

// However a list of groups is found (along an index, by what is added up, one by one), it is the same list.
func TestGroupsAreTheSameHoweverTheyAreFound(t *testing.T) {
	d := open(t)
	d.manyFailures()
	all := value[[]string](d, "SELECT array_agg(id) FROM redrive.groups")
	d.must(d.sql("UPDATE redrive.groups SET first_seen = first_seen - (('x' || left(md5(id), 2))::bit(8)::int % 3) * interval '20 hours'"))
	for _, moved := range []string{
		"UPDATE redrive.deliveries SET state = 'resolved', dead_at = NULL, acknowledged_at = NULL, settled_at = now() WHERE group_id IN ('g3', 'g6') AND state = 'dead'",
		"UPDATE redrive.deliveries SET state = 'resolved', settled_at = now() WHERE group_id IN ('g3', 'g5') AND state = 'pending'",
		`UPDATE redrive.deliveries SET state = 'dead', dead_at = now(), settled_at = NULL, version = version + 1 WHERE group_id IN ('g3', 'g7') AND state = 'delivered';
			UPDATE redrive.queue SET token = 1 WHERE id IN (SELECT id FROM redrive.deliveries WHERE group_id IN ('g1', 'g2') ORDER BY id LIMIT 40)`,
		"",
	} {
		if moved == "" {
			d.fold()
		}
		d.must(d.sql(moved)) // and folded after the next one
		for _, f := range groupFilters(60) {
			named := f
			named.Groups = all // which are looked at one by one
			want := d.groupPages(named, 100)
			for _, size := range []int{3, 100} {
				if got := d.groupPages(f, size); !slices.Equal(got, want) {
					t.Fatalf("%+v by %d:\n%v, want\n%v", f, size, got, want)
				}
			}
			n, _, err := d.CountFailures(t.Context(), f.Filter, 10_000)
			if wanted, _, err2 := d.CountFailures(t.Context(), named.Filter, 10_000); n != wanted || err != nil || err2 != nil {
				t.Errorf("%+v: counted %d, want %d: %v, %v", f.Filter, n, wanted, err, err2)
			}
		}
		if moved != "" {
			d.fold()
		}
		if wrong := value[string](d, sumsWronglySQL); wrong != "" {
			t.Fatal(wrong)
		}
	}
}

func describe(g delivery.Group) string {
	return fmt.Sprint(g.ID, g.Integration, g.Method, g.Destination, g.ErrorClass, g.Message, " ", g.Count, g.Dead, g.Acknowledged, g.Groups, g.Status, g.Trend, g.Hours,
		g.FirstSeen.UnixMicro(), g.LastSeen.UnixMicro())
}
