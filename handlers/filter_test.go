package handlers

import (
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/handlers/web"
)

// maybeWord is a text of the payload to look for: not blank, which is refused.
func maybeWord(t *rapid.T, text *rapid.Generator[string]) string {
	return rapid.OneOf(rapid.Just(""), text.Filter(func(s string) bool { return strings.TrimSpace(s) != "" })).Draw(t, "payload")
}

// anyFilter draws a filter that an address can carry.
func anyFilter(t *rapid.T) delivery.Filter {
	text := rapid.StringMatching(`[ -~äß한🙂\n]{1,12}`)
	texts := func(name string) []string { return rapid.SliceOfN(text, 0, 3).Draw(t, name) }
	id := rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	maybe := func(name string) string { return rapid.OneOf(rapid.Just(""), text).Draw(t, name) }
	f := delivery.Filter{
		States: some(t, "state", delivery.States), Methods: some(t, "method", delivery.Methods), Destinations: some(t, "destination", delivery.DestinationKinds()),
		ErrorClasses: some(t, "class", delivery.ErrorClasses), Integrations: rapid.SliceOfN(rapid.StringMatching(`[a-z0-9-]{1,20}`), 0, 2).Draw(t, "integration"),
		Groups: texts("group"), GroupMessages: texts("group message"), Types: texts("type"), Actors: texts("operator"), Assignees: texts("assignee"),
		Tags: texts("tag"), Key: maybe("key"), Query: maybe("q"), Words: maybeWord(t, text), Ticket: maybe("ticket"), After: maybe("after"),
		MessageID: rapid.OneOf(rapid.Just(""), id).Draw(t, "message"), IDs: rapid.SliceOfN(id, 0, 2).Draw(t, "id"),
		Sort: rapid.SampledFrom([]delivery.Sort{delivery.SortNewest, delivery.SortOldest}).Draw(t, "sort"), Limit: rapid.IntRange(0, delivery.MaxPage).Draw(t, "limit"),
	}
	for range rapid.IntRange(0, 2).Draw(t, "paths") {
		path := rapid.SampledFrom([]string{"$.a", "$.a.b[0].c", "$['a=b'].c", `$["x'] =y"][*]`, "$..deep"}).Draw(t, "path")
		f.Paths = append(f.Paths, delivery.PathValue{Path: path, Value: maybe("value")})
	}
	if rapid.Bool().Draw(t, "acknowledged at all") {
		yes := rapid.Bool().Draw(t, "acknowledged")
		f.Acknowledged = &yes
	}
	low, high := rapid.IntRange(0, 9).Draw(t, "attempts"), rapid.IntRange(9, 99).Draw(t, "to attempts")
	f.Attempts = rapid.SampledFrom([]delivery.Range{{}, {Min: &low}, {Max: &low}, {Min: &low, Max: &high}, {Min: &low, Max: &low}}).Draw(t, "range")
	from := time.Unix(rapid.Int64Range(0, 1e10).Draw(t, "seconds"), rapid.Int64Range(0, 999_999).Draw(t, "micros")*1000).UTC()
	to := from.Add(time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "later")))
	f.From, f.To = rapid.SampledFrom([]*time.Time{nil, &from}).Draw(t, "from"), rapid.SampledFrom([]*time.Time{nil, &to}).Draw(t, "to")
	return f
}

func some[T any](t *rapid.T, name string, of []T) []T {
	return rapid.SliceOfN(rapid.SampledFrom(of), 0, 3).Draw(t, name)
}

// plainFilter makes no difference between no values and an empty list of them.
func plainFilter(f delivery.Filter) delivery.Filter {
	v := reflect.ValueOf(&f).Elem()
	for i := range v.NumField() {
		if field := v.Field(i); field.Kind() == reflect.Slice && field.Len() == 0 {
			field.SetZero()
		}
	}
	return f
}

func TestAFilterSurvivesItsAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyFilter(t)
		q, err := url.ParseQuery(want.Values().Encode())
		if err != nil {
			t.Fatal(err)
		}
		got, err := web.FailureFilter(q, web.FailureParams)
		if err != nil || !reflect.DeepEqual(plainFilter(got), plainFilter(want)) {
			t.Fatalf("%v\nwrote %+v\nread  %+v\nin    %s", err, want, got, q.Encode())
		}
	})
}

func TestAFilterSurvivesABody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyFilter(t)
		body, err := json.Marshal(api.FilterJSON(want))
		if err != nil {
			t.Fatal(err)
		}
		var got *delivery.Filter
		if err := api.FilterField(&got)(body); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		want.After, want.Limit, want.Sort = "", 0, delivery.SortNewest
		if !reflect.DeepEqual(plainFilter(*got), plainFilter(want)) {
			t.Fatalf("wrote %+v\nread  %+v\nin    %s", want, *got, body)
		}
	})
}

func TestAFilterInABodyIsReadStrictly(t *testing.T) {
	for body, code := range map[string]string{
		`[]`: "invalid_field", `"x"`: "invalid_field", `{"integraton":"push"}`: "unknown_field", `{"limit":3}`: "unknown_field",
		`{"state":"gone"}`: "invalid_field", `{"state":[]}`: "invalid_field", `{"integration":""}`: "invalid_field", `{"key":["a","b"]}`: "invalid_field",
		`{"state":null}`: "invalid_field", `{"state":{"a":1}}`: "invalid_field", `{"state":[["dead"]]}`: "invalid_field", `{"attempts":"5..3"}`: "invalid_field",
		`{"acknowledged":1}`: "invalid_field", `{"key":"a","key":"b"}`: "duplicate_field", `{"path":"$.a"}`: "invalid_field", `{"id":"4711"}`: "invalid_field",
	} {
		var f *delivery.Filter
		if p := web.ProblemOf(api.FilterField(&f)([]byte(body))); p.Code != code || f != nil || p.Status >= 500 {
			t.Errorf("%s: %d %s %s", body, p.Status, p.Code, p.Detail)
		}
	}
	var f *delivery.Filter
	if err := api.FilterField(&f)([]byte(`{"state":"dead","attempts":3,"acknowledged":true,"integration":["push"]}`)); err != nil || *f.Attempts.Max != 3 || !*f.Acknowledged {
		t.Errorf("%v %+v", err, f)
	}
}
