package store_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/store/pg"
)

// kinds are the kinds of fields that are scanned by name.
type kinds struct {
	ID     string
	State  delivery.State
	N      int
	Done   bool
	Ratio  float64
	At     time.Time
	Until  *time.Time
	Never  *time.Time
	Took   time.Duration
	LSN    delivery.LSN
	Closed *delivery.LSN
	Open   *delivery.LSN
	Bytes  []byte
	None   []byte
	Pace   delivery.Pace  `gorm:"embedded;embeddedPrefix:pace_"`
	List   []string       `gorm:"serializer:json"`
	Empty  []string       `gorm:"serializer:json"`
	Map    map[string]int `gorm:"serializer:json"`
	Null   *delivery.Pace `gorm:"serializer:json"`
}

const kindsSQL = `SELECT '0197f000-0000-7000-8000-000000000001'::uuid AS id, 'dead' AS state, 7 AS n, true AS done, 0.5::float8 AS ratio,
	timestamptz '2026-01-31 10:00:00.123456+05' AS at, timestamptz '2026-01-31 10:00:00Z' AS until, NULL::timestamptz AS never,
	1500 * bigint '1000000' AS took, pg_lsn '1/2' - pg_lsn '0/0' AS lsn, (pg_lsn '1/2' - pg_lsn '0/0')::bigint AS closed, NULL::bigint AS open,
	'\xff00'::bytea AS bytes, NULL::bytea AS none, 5.0::float8 AS pace_rate, 0 AS pace_ramp_to, 60 * bigint '1000000000' AS pace_ramp_over,
	3 AS pace_canary, 0 AS pace_stop_above, to_json('{a,"b,c"}'::text[]) AS list, to_json(NULL::text[]) AS empty, jsonb '{"a": 1}' AS map, NULL::jsonb AS "null"`

func TestRowsAreScannedByNames(t *testing.T) {
	d := open(t)
	until, closed := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC), delivery.LSN(1<<32|2)
	want := kinds{ID: "0197f000-0000-7000-8000-000000000001", State: delivery.StateDead, N: 7, Done: true, Ratio: .5, At: until.Add(123456*time.Microsecond - 5*time.Hour),
		Until: &until, Took: 1500 * time.Millisecond, LSN: closed, Closed: &closed, Bytes: []byte{255, 0},
		Pace: delivery.Pace{Rate: 5, RampOver: time.Minute, Canary: 3}, List: []string{"a", "b,c"}, Map: map[string]int{"a": 1}}
	list, err := pg.Scan[kinds](d.Gorm, kindsSQL+" UNION ALL "+kindsSQL)
	d.must(err)
	if len(list) != 2 {
		t.Fatalf("%d rows", len(list))
	}
	for _, got := range list {
		at := got.Until.UTC()
		got.At, got.Until = got.At.UTC(), &at
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if &list[0].Bytes[0] == &list[1].Bytes[0] {
		t.Error("two rows share their bytes")
	}
}

func TestWhatDoesNotFitIsNotScanned(t *testing.T) {
	d := open(t)
	type pair struct{ A, B string }
	for query, want := range map[string]string{
		"SELECT 'x' AS b, 'y' AS a":             "",
		"SELECT 'x' AS a, 'y' AS b, 'z' AS c":   "no field for column c",
		"SELECT 'x' AS a, 'y'":                  "no field for column ?column?",
		"SELECT 'x' AS a":                       "no column b for a field",
		"SELECT 'x' AS a, 'y' AS a":             "no column b for a field",
		"SELECT 'x' AS \"A\", 'y' AS b":         "no field for column A",
		"SELECT 'x' AS a, 'y' AS c WHERE false": "no field for column c",
		"SELECT 'x' AS a, (1 / (2 - n))::text AS b FROM generate_series(1, 3) n": "division by zero",
		"SELECT nothing": "does not exist",
	} {
		p, err := pg.ScanOne[pair](d.Gorm, query)
		if want == "" && (err != nil || p != pair{"y", "x"}) || want != "" && (err == nil || !strings.Contains(err.Error(), want) || p != pair{}) {
			t.Errorf("%s: %+v, %v", query, p, err)
		}
	}
	if _, err := pg.ScanOne[pair](d.Gorm, "SELECT 'x' AS a, 'y' AS b WHERE false"); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("without a row: %v", err)
	}
	if _, err := pg.Scan[delivery.Edit](d.Gorm, "SELECT 1 AS number"); err == nil {
		t.Error("a map was taken for a column")
	}
}
