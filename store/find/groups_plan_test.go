package find_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/store"
	"redrive/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// Of so many groups a list may read some thousand rows: those of its page, or of a condition that few fulfil.
const rowsAllowed = 8_000

// manyGroupsSQL makes 40,000 groups of 40 integrations and 10 classes; each state, status and text has many or few. Of 200 something is not folded.
const manyGroupsSQL = `
INSERT INTO redrive.integrations (name, method, destination) SELECT 'i' || n, CASE n WHEN 7 THEN 'pool' ELSE 'outbox' END, CASE n WHEN 7 THEN 'redis' ELSE 'http' END
    FROM generate_series(0, 39) n;
CREATE TEMP TABLE made AS SELECT md5(n::text) AS id, CASE WHEN n % 4 = 0 THEN 'i0' ELSE 'i' || n % 40 END AS integration,
        CASE WHEN n % 1000 = 0 THEN 'gone' ELSE 'class' || n % 9 END AS class, 'the receiver answered 503: node ' || n || CASE WHEN n % 500 = 1 THEN ' zq' ELSE ' is out' END AS message,
        now() - n * interval '1 minute' AS first, now() - (n * 7919 % 40000) * interval '10 seconds' AS last, n
    FROM generate_series(1, 40000) n;
INSERT INTO redrive.groups (id, integration, error_class, message, first_seen, last_seen, types)
    SELECT id, integration, class, message, first, last, CASE WHEN n % 1000 = 3 THEN '{rare}' ELSE '{usual}'::text[] END FROM made;
INSERT INTO redrive.group_counts (group_id, integration, error_class, first_seen, last_seen, dead, pending, ignored, resolved, delivered, died, settled_at, regressed_at, day, day_before)
    SELECT id, integration, class, first, last, CASE WHEN n % 10 > 0 THEN 1 + n % 90 ELSE 0 END, CASE WHEN n % 50 = 1 THEN 3 ELSE 0 END, CASE WHEN n % 700 = 0 THEN n % 6 ELSE 0 END,
        n % 3, n % 70, 9, CASE WHEN n % 10 = 0 OR n % 300 = 7 THEN now() END, CASE WHEN n % 300 = 7 THEN now() END, n % 41, n % 37 FROM made;
INSERT INTO redrive.group_hours (group_id, hour, failed, came) SELECT id, date_trunc('hour', now(), 'UTC') - n % 9 * interval '1 hour', 3, 1 FROM made;
INSERT INTO redrive.group_sum_hours (integration, error_class, hour, failed, came) SELECT integration, class, date_trunc('hour', now(), 'UTC') - n % 9 * interval '1 hour', sum(3), sum(1)
    FROM made GROUP BY 1, 2, 3;
INSERT INTO redrive.group_deltas (group_id, dead, acknowledged, pending, ignored, resolved, delivered, failed, died, came)
    SELECT id, 1, 0, 0, 0, 0, 0, 1, 1, 1 FROM made WHERE n % 200 = 3;
`

// Every list of groups that the pages offer walks an index, or reads the few that a condition leaves.
func TestListsOfGroupsReadFewRows(t *testing.T) {
	dsn := storetest.New(t)
	s, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	session := storetest.Session(t, dsn)
	for _, statement := range []string{manyGroupsSQL, "VACUUM ANALYZE redrive.groups, redrive.group_counts, redrive.group_sums, redrive.group_deltas"} {
		if _, err := session.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	filters := map[string]func(*delivery.GroupFilter){
		"everything":            func(*delivery.GroupFilter) {},
		"an integration":        func(f *delivery.GroupFilter) { f.Integrations = []string{"i7"} },
		"a large integration":   func(f *delivery.GroupFilter) { f.Integrations = []string{"i0"} },
		"some integrations":     func(f *delivery.GroupFilter) { f.Integrations = []string{"i1", "i2", "i3"} },
		"a rare method":         func(f *delivery.GroupFilter) { f.Methods = []delivery.Method{delivery.MethodPool} },
		"a usual destination":   func(f *delivery.GroupFilter) { f.Destinations = []string{"http"} },
		"a class":               func(f *delivery.GroupFilter) { f.ErrorClasses = []string{"class4"} },
		"a rare class":          func(f *delivery.GroupFilter) { f.ErrorClasses = []string{"gone"} },
		"a usual text":          func(f *delivery.GroupFilter) { f.Query = "answered" },
		"a rare text":           func(f *delivery.GroupFilter) { f.Query = "node 31415" },
		"a text of two letters": func(f *delivery.GroupFilter) { f.Query = "zq" },
		"an absent text":        func(f *delivery.GroupFilter) { f.Query = "nowhere to be found" },
	}
	for _, status := range delivery.GroupStatuses {
		filters[string(status)] = func(f *delivery.GroupFilter) { f.Statuses = []delivery.GroupStatus{status} }
	}
	for _, key := range delivery.GroupKeys {
		if key != delivery.ByMessage { // these are as many as the groups
			filters["by "+string(key)] = func(f *delivery.GroupFilter) { f.By = []delivery.GroupKey{key} }
			filters["two keys with "+string(key)] = func(f *delivery.GroupFilter) { f.By = []delivery.GroupKey{key, delivery.ByIntegration} }
		}
	}
	for _, states := range [][]delivery.State{nil, {delivery.StatePending, delivery.StateSending}, delivery.States} {
		for _, sort := range delivery.GroupSorts {
			for name, set := range filters {
				f := delivery.GroupFilter{Sort: sort, Filter: delivery.Filter{States: states, Limit: 50}}
				set(&f)
				plan, err := s.GroupsPlan(t.Context(), f)
				if err != nil {
					t.Fatal(err)
				}
				if n := read(t, plan); n > rowsAllowed {
					t.Errorf("%s of %v, %s first: %d rows are read", name, states, sort, n)
				}
			}
		}
	}
	for name, f := range map[string]delivery.Filter{"all": {}, "of an integration": {Integrations: []string{"i0"}}} {
		plan, err := s.CountPlan(t.Context(), f)
		if n := read(t, plan); err != nil || n > rowsAllowed {
			t.Errorf("counting %s: %d rows are read: %v", name, n, err)
		}
	}
}

// read is how many rows of tables a plan read.
func read(t *testing.T, plan string) int {
	t.Helper()
	type node struct {
		Relation string  `json:"Relation Name"`
		Rows     float64 `json:"Actual Rows"`
		Loops    float64 `json:"Actual Loops"`
		Removed  float64 `json:"Rows Removed by Filter"`
		Checked  float64 `json:"Rows Removed by Index Recheck"`
		Plans    []json.RawMessage
	}
	var sum func(raw json.RawMessage) int
	sum = func(raw json.RawMessage) int {
		var n node
		if err := json.Unmarshal(raw, &n); err != nil {
			t.Fatal(err)
		}
		total := 0
		if n.Relation != "" {
			total = int((n.Rows + n.Removed + n.Checked) * n.Loops)
		}
		for _, below := range n.Plans {
			total += sum(below)
		}
		return total
	}
	var plans []struct{ Plan json.RawMessage }
	if err := json.NewDecoder(strings.NewReader(plan)).Decode(&plans); err != nil || len(plans) != 1 {
		t.Fatalf("%q: %v", plan, err)
	}
	return sum(plans[0].Plan)
}
