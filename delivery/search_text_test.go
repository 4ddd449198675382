package delivery

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	searchNow  = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	searchZone = time.FixedZone("KST", 9*3600)
)

func at(text string) *time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	t = t.UTC()
	return &t
}

func number(n int) *int { return &n }

func init() { KnowDestinations([]string{"http", "kafka", "rabbitmq", "redis", "file", "table"}) }

func TestParseSearch(t *testing.T) {
	yes, no := true, false
	const id, other = "0192f0c1-0000-7000-8000-00000000000a", "0192f0c1-0000-7000-8000-00000000000b"
	for text, want := range map[string]Filter{
		"":                                  {},
		"  \t ":                             {},
		"connection   refused":              {Query: "connection refused"},
		`"connection  refused" again`:       {Query: "connection  refused again"},
		`"a \"quoted\" C:\\x C:\y"`:         {Query: `a "quoted" C:\x C:\y`},
		`"never closed`:                     {Query: "never closed"},
		"http://x.test/a?b=c failed":        {Query: "http://x.test/a?b=c failed"},
		"dial tcp 1.2.3.4:80: refused":      {Query: "dial tcp 1.2.3.4:80: refused"},
		"x509: certificate":                 {Query: "x509: certificate"},
		"port:5432 host:db code:500 kye:x":  {Query: "port:5432 host:db code:500 kye:x"},
		"failed: $.a is missing":            {Query: "failed: $.a is missing"},
		"it's 5\" long":                     {Query: "it's 5\" long"},
		"state:dead,pending state:resolved": {States: []State{StateDead, StatePending, StateResolved}},
		"State:ANY":                         {States: States},
		"state:dead state:any": {States: []State{StateDead, StatePending, StateSending, StateDelivered, StateIgnored,
			StateResolved}},
		"integration:seller-push,seller-push": {Integrations: []string{"seller-push"}},
		"method:outbox destination:http":      {Methods: []Method{MethodOutbox}, Destinations: []string{"http"}},
		"class:timeout error_class:dns":       {ErrorClasses: []string{"timeout", "dns"}},
		`groupmessage:"a, \"b\"","c"`:         {GroupMessages: []string{`a, "b"`, "c"}},
		"group:abc type:order.placed,x":       {Groups: []string{"abc"}, Types: []string{"order.placed", "x"}},
		"key:a,b":                             {Key: "a,b"},
		`key:"a b" rest`:                      {Key: "a b", Query: "rest"},
		"message:" + strings.ToUpper(id):      {MessageID: id},
		"id:" + id + "," + other:              {IDs: []string{id, other}},
		"attempts:3":                          {Attempts: Range{number(3), number(3)}},
		"attempts:>=3":                        {Attempts: Range{Min: number(3)}},
		"attempts:>3":                         {Attempts: Range{Min: number(4)}},
		"attempts:<=5":                        {Attempts: Range{Max: number(5)}},
		"attempts:<5":                         {Attempts: Range{Max: number(4)}},
		"attempts:3..5":                       {Attempts: Range{number(3), number(5)}},
		"attempts:>=3 attempts:<=5":           {Attempts: Range{number(3), number(5)}},
		"attempts:3..":                        {Attempts: Range{Min: number(3)}},
		"since:2h":                            {From: at("2026-11-25T10:00:00Z")},
		"from:1d12h":                          {From: at("2026-11-24T00:00:00Z")},
		"since:2026-11-24 until:2026-11-25":   {From: at("2026-11-24T00:00:00+09:00"), To: at("2026-11-26T00:00:00+09:00")},
		"before:2026-11-25":                   {To: at("2026-11-25T00:00:00+09:00")},
		"before:2026-11-25T10:30":             {To: at("2026-11-25T10:30:00+09:00")},
		`until:"2026-11-25 10:30"`:            {To: at("2026-11-25T10:30:00+09:00")},
		"until:2026-11-25T10:30:00-03:00":     {To: at("2026-11-25T13:30:00Z")},
		"since:yesterday until:yesterday":     {From: at("2026-11-24T00:00:00+09:00"), To: at("2026-11-25T00:00:00+09:00")},
		"by:anna,policy assignee:me,nobody":   {Actors: []string{"anna", "policy"}, Assignees: []string{"me", NoAssignee}},
		"tag:a tag:b ticket:OPS-12":           {Tags: []string{"a", "b"}, Ticket: "OPS-12"},
		"is:acknowledged":                     {Acknowledged: &yes},
		"is:unacknowledged sort:oldest":       {Acknowledged: &no, Sort: SortOldest},
		"payload:smith payload:\"john ja\"":   {Words: "smith john ja"},
		"payload.customer.id:4711":            {Paths: []PathValue{{"$.customer.id", "4711"}}},
		"$.customer.id:4711 $[0]:x":           {Paths: []PathValue{{"$.customer.id", "4711"}, {"$[0]", "x"}}},
		"payload.items[*].sku:X-1,Y":          {Paths: []PathValue{{"$.items[*].sku", "X-1,Y"}}},
		`payload['a: b']["c']d"]:"x y"`:       {Paths: []PathValue{{`$['a: b']["c']d"]`, "x y"}}},
		`payload..sku:""`:                     {Paths: []PathValue{{"$..sku", ""}}},
		"timeout class:timeout after":         {Query: "timeout after", ErrorClasses: []string{"timeout"}},
	} {
		got, err := ParseSearch(text, searchNow, searchZone)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %+v (%v), want %+v", text, got, err, want)
		}
		again, err := ParseSearch(got.SearchText(), searchNow, searchZone)
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Errorf("%q written as %q is %+v (%v)", text, got.SearchText(), again, err)
		}
	}
}

func TestParseSearchRefuses(t *testing.T) {
	for text, want := range map[string][2]string{ // field, part of the sentence
		"integraton:x":                      {"integraton", "Did you mean integration?"},
		"stat:dead":                         {"stat", "Did you mean state?"},
		"form:2h":                           {"form", "Did you mean since?"},
		"paylod.customer.id:4711":           {"paylod", "Did you mean payload?"},
		"groupmesage:x":                     {"groupmesage", "groupmessage"},
		"state:ded":                         {"state", "dead, "},
		"state: dead":                       {"state", "right after the colon"},
		`key:""`:                            {"key", "needs a value"},
		"tag:a,,b":                          {"tag", "needs a value"},
		"class:5xx":                         {"class", "http_5xx"},
		"method:smtp":                       {"method", "outbox"},
		"destination:ftp":                   {"destination", "rabbitmq"},
		"integration:Seller":                {"integration", "a-z"},
		"message:42":                        {"message", "UUID"},
		"id:42":                             {"id", "UUID"},
		"attempts:many":                     {"attempts", "3..5"},
		"attempts:5..3":                     {"attempts", "no number"},
		"attempts:<0":                       {"attempts", "3..5"},
		"attempts:..":                       {"attempts", "3..5"},
		"attempts:3 attempts:4":             {"attempts", "one number"},
		"since:2026-13-01":                  {"since", "duration"},
		"since:5y":                          {"since", "duration"},
		"since:99999999999999999w":          {"since", "duration"},
		"since:1h until:2h":                 {"until", "before its beginning"},
		"until:1h before:2h":                {"until", "only once"},
		"key:a key:b":                       {"key", "only once"},
		"is:red":                            {"is", "unacknowledged"},
		"is:acknowledged is:unacknowledged": {"is", "only once"},
		"sort:random":                       {"sort", "newest"},
		`payload:" "`:                       {"payload", "word"},
		"payload.a[x]:1":                    {"payload", "payload.items[0]"},
		"payload.a:":                        {"payload", "right after the colon"},
		"a\x00b":                            {"", "NUL"},
		"a\xffb":                            {"", "UTF-8"},
		strings.Repeat("x", MaxSearch+1):    {"", "16 KiB"},
	} {
		_, err := ParseSearch(text, searchNow, searchZone)
		var input *InputError
		if !errors.As(err, &input) || input.Code != "bad_search" || input.Field != want[0] || !strings.Contains(InEnglish(input.Phrase()), want[1]) {
			t.Errorf("%.40q answers %#v, want field %q and %q", text, err, want[0], want[1])
		}
	}
}

// TestSearchTextRoundTrip: whatever is selected can be written into the search bar and means the same there.
func TestSearchTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyFilter(t)
		text := want.SearchText()
		got, err := ParseSearch(text, searchNow, searchZone)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is %+v (%v), want %+v", text, got, err, want)
		}
	})
}

func anyFilter(t *rapid.T) Filter {
	anything := anyText()
	several := func(name string, of *rapid.Generator[string]) []string {
		list := rapid.SliceOfNDistinct(of, 0, 3, rapid.ID[string]).Draw(t, name)
		if len(list) == 0 {
			return nil
		}
		return list
	}
	optional := func(name string) string { return rapid.OneOf(rapid.Just(""), anything).Draw(t, name) }
	f := Filter{States: some(t, "states", States), Methods: some(t, "methods", Methods), Destinations: some(t, "destinations", DestinationKinds()),
		ErrorClasses: some(t, "classes", ErrorClasses), Integrations: several("integrations", rapid.StringMatching(`[a-z0-9-]{1,63}`)),
		Groups: several("groups", anything), GroupMessages: several("messages", anything), IDs: several("ids", anyUUID()), Types: several("types", anything),
		Actors: several("actors", anything), Assignees: several("assignees", anything), Tags: several("tags", anything),
		Key: optional("key"), Query: optional("query"), Ticket: optional("ticket"), Words: optional("words"),
		MessageID: rapid.OneOf(rapid.Just(""), anyUUID()).Draw(t, "message"), Sort: rapid.SampledFrom([]Sort{"", SortNewest, SortOldest}).Draw(t, "sort"),
		Attempts: anyRange(t), Acknowledged: rapid.Ptr(rapid.Bool(), true).Draw(t, "acknowledged"), Paths: anyPaths(t)}
	if strings.TrimSpace(f.Words) == "" {
		f.Words = ""
	}
	f.From, f.To = anyTime(t, "from"), anyTime(t, "to")
	if f.From != nil && f.To != nil && f.To.Before(*f.From) {
		f.From, f.To = f.To, f.From
	}
	return f
}

// anyText prefers what the syntax gives a meaning.
func anyText() *rapid.Generator[string] {
	piece := rapid.OneOf(rapid.SampledFrom([]string{`"`, `\`, ",", ":", " ", "\n", "key:", "state:", "payload.a:", "$.", "http://", "'", "[", "]", "any", "\u00a0"}),
		rapid.StringN(1, 5, 20).Filter(func(s string) bool { return !strings.ContainsRune(s, 0) }))
	return rapid.Map(rapid.SliceOfN(piece, 1, 6), func(pieces []string) string { return strings.Join(pieces, "") })
}

func anyUUID() *rapid.Generator[string] {
	return rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
}

func some[T comparable](t *rapid.T, name string, of []T) []T {
	list := rapid.SliceOfNDistinct(rapid.SampledFrom(of), 0, len(of), rapid.ID[T]).Draw(t, name)
	if len(list) == 0 {
		return nil
	}
	return list
}

func anyRange(t *rapid.T) (r Range) {
	r.Min = rapid.Ptr(rapid.IntRange(0, 20), true).Draw(t, "min")
	r.Max = rapid.Ptr(rapid.IntRange(0, 20), true).Draw(t, "max")
	if r.Min != nil && r.Max != nil && *r.Max < *r.Min {
		r.Min, r.Max = r.Max, r.Min
	}
	return r
}

func anyTime(t *rapid.T, name string) *time.Time {
	if rapid.Bool().Draw(t, "no "+name) {
		return nil
	}
	at := time.Unix(rapid.Int64Range(-60_000_000_000, 250_000_000_000).Draw(t, name), rapid.Int64Range(0, 999_999_999).Draw(t, name)).UTC()
	return &at
}

func anyPaths(t *rapid.T) (list []PathValue) {
	name := rapid.Map(anyText(), func(s string) step { return step{name: strings.ReplaceAll(s, `"]`, ""), index: -1} })
	steps := rapid.OneOf(name, rapid.Map(rapid.IntRange(0, 99), func(n int) step { return step{index: n} }),
		rapid.SampledFrom([]step{{any: true, index: -1}, {any: true, index: -1, bracket: true}, {name: "b", index: -1, deep: true}, {name: "a b", index: -1, deep: true}, {index: 3, deep: true}}))
	for range rapid.IntRange(0, 2).Draw(t, "paths") {
		path := pathText(rapid.SliceOfN(steps, 1, 4).Draw(t, "path"))
		list = append(list, PathValue{path, rapid.OneOf(rapid.Just(""), anyText()).Draw(t, "value")})
	}
	return list
}

// FuzzParseSearch: any text is read or refused with a sentence, and what was read can be written.
func FuzzParseSearch(f *testing.F) {
	for _, text := range []string{"", "a b", `state:dead,"x`, "payload['a", "$.a[*].b:1", "attempts:>=3", "since:2h", `k:"\"`, "payload:"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseSearch(text, searchNow, searchZone)
		if err != nil {
			var input *InputError
			if !errors.As(err, &input) || input.Code != "bad_search" || InEnglish(input.Phrase()) == input.Phrase().String() {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := ParseSearch(got.SearchText(), searchNow, searchZone)
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("%q is %+v, written %q, which is %+v (%v)", text, got, got.SearchText(), again, err)
		}
	})
}

func TestSearchFieldsSayHow(t *testing.T) {
	for _, field := range SearchFields {
		if _, err := ParseSearch(field.Example, searchNow, searchZone); err != nil && !strings.Contains(field.Example, "...") {
			t.Errorf("%+v: %v", field, err)
		}
	}
}

// What is not closed in the error text must not swallow the fields that are written behind it.
func TestWhatIsNotClosedSwallowsNothing(t *testing.T) {
	for _, query := range []string{"$.['", `$.["`, `"`, "'", "[", "$.a[", `say "`} {
		want, err := ParseSearch(`payload['"'][0]['-!']:x ticket:OPS-1`, searchNow, searchZone)
		if err != nil {
			t.Fatal(err)
		}
		want.Query = query
		if got, err := ParseSearch(want.SearchText(), searchNow, searchZone); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v, %v", want.SearchText(), got, err)
		}
	}
}
