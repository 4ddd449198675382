package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/engine"
	_ "redrive/delivery/kinds" // tells which destinations there are
	"redrive/delivery/search"
	"redrive/store"
)

var _ search.Store = (*store.Store)(nil)

// index makes everything searchable and returns how many failures it read.
func (d desk) index() (all int) {
	d.t.Helper()
	for {
		n, more, err := d.Index(d.t.Context(), 50, search.Entry)
		d.must(err)
		if all += n; !more {
			return all
		}
	}
}

// fails makes a dead letter of an error, and returns its delivery.
func (d desk) fails(m delivery.Message, text string) string {
	d.t.Helper()
	c := d.claimOne(d.accept(m).Deliveries[0].Integration)
	d.complete(completion(c, delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: text}, delivery.StateDead))
	return c.DeliveryID
}

func (d desk) found(f delivery.Filter) []string {
	d.t.Helper()
	f.Limit = 500
	ids := d.pages(f)
	slices.Sort(ids)
	return ids
}

func (d desk) finds(want bool, id string, f delivery.Filter) {
	d.t.Helper()
	if slices.Contains(d.found(f), id) != want {
		d.t.Errorf("%q: found is not %v", f.SearchText(), want)
	}
}

func typed(t *testing.T, text string) delivery.Filter {
	t.Helper()
	f, err := delivery.ParseSearch(text, time.Now(), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSearchByErrorWordsAndPaths(t *testing.T) {
	d := open(t)
	one := d.fails(delivery.Message{Payload: []byte(`{"customer": {"id": 4711, "name": "Anna Smith-Jones"}, "items": [{"sku": "X-1", "gift": true}, {"sku": "Y_2"}], "total": 12.50}`)},
		"dial tcp 10.0.0.7:80: connection REFUSED (100%)")
	two := d.fails(delivery.Message{Payload: []byte(`{"customer": {"id": "4711"}, "a b": {"c:d": null}}`)}, "unexpected token \"x\" at 1")
	text := d.fails(delivery.Message{Payload: []byte("name;amount\nGrün;12")}, "other")
	d.index()
	for search, want := range map[string][]string{
		"connection refused":                 {one},
		"100%":                               {one},
		"1_0":                                nil,
		"eD":                                 {one, two},
		"%)":                                 {one},
		"X\"":                                {two},
		"zq":                                 nil,
		"(":                                  {one},
		`"token \"x\""`:                      {two},
		"tcp 10.0.0.7:80: connection":        {one},
		"payload:smith":                      {one},
		"payload:SMI":                        {one},
		"payload:anna payload:jon":           {one},
		"payload:ann payload:jones":          nil, // only the last may be the beginning of a word
		"payload:smith-jo":                   {one},
		"payload:4711":                       {one, two},
		"payload:12.50":                      {one},
		"payload:customer":                   nil, // keys are no words
		"payload:grün":                       {text},
		"payload:\"' | ! & :* \\\"":          nil,
		"payload.customer.id:4711":           {one, two},
		"$.customer.id:4711.0":               {one},
		"payload.items[*].sku:X-1":           {one},
		"payload.items[0].sku:X-1":           {one},
		"payload.items[1].sku:X-1":           nil,
		"payload.items.sku:Y_2":              {one},
		"payload.items[*].gift:true":         {one},
		"payload['a b'][\"c:d\"]:null":       {two},
		"payload..sku:X-1":                   {one},
		"payload.*.id:4711":                  {one, two},
		"payload..gift:true":                 {one},
		"payload.customer.id:4711 refused":   {one},
		"payload.customer.name:\"' || '\\\"": nil,
		"refused payload:smith state:any":    {one},
	} {
		slices.Sort(want)
		for _, enough := range []int{1, 1500} { // begins at indexes early, or never
			d.SetEffort(0, enough, 1, 0)
			if got := d.found(typed(t, search)); !slices.Equal(got, want) {
				t.Errorf("%q finds %d, want %d", search, len(got), len(want))
			}
		}
		f := typed(t, search)
		f.States = nil // those of the action
		if dry, err := d.DryRun(t.Context(), delivery.OperationRequest{Action: delivery.ActionResolve, Filter: &f}); err != nil || dry.Eligible != len(want) {
			t.Errorf("%q selects %d for an operation, want %d: %v", search, dry.Eligible, len(want), err)
		}
	}
}

// What Postgres does not take, or nobody should read, is searched by what is left of it.
func TestOddPayloadsAreIndexed(t *testing.T) {
	d := open(t)
	large := strings.Repeat(" ", delivery.MaxSearched-9) + `"wordäö beyond"`
	file := delivery.TypeBatchFile
	for name, c := range map[string]struct {
		message delivery.Message
		finds   string
		want    bool
	}{
		"NUL":             {delivery.Message{Payload: []byte(`{"a": "\u0000", "b": "needle1"}`)}, "payload:needle1", true},
		"lone surrogate":  {delivery.Message{Payload: []byte(`{"a": "\ud800", "b": "needle2"}`)}, "payload:needle2", true},
		"long number":     {delivery.Message{Payload: []byte(`{"a": 1e999999, "b": "needle3"}`)}, "payload:needle3", true},
		"deep":            {delivery.Message{Payload: []byte(strings.Repeat("[", 9000) + `"needle4"` + strings.Repeat("]", 9000))}, "payload:needle4", true},
		"twice":           {delivery.Message{Payload: []byte(`{"a": "x", "a": "needle5"}`)}, "payload.a:needle5", true},
		"not UTF-8":       {delivery.Message{Payload: []byte("needle6 \xff")}, "payload:needle6", false},
		"binary":          {delivery.Message{Payload: []byte("needle7 \x00")}, "payload:needle7", false},
		"cut":             {delivery.Message{Payload: []byte(large)}, "payload:wordä", true},
		"beyond":          {delivery.Message{Payload: []byte(large)}, "payload:beyond", false},
		"file":            {delivery.Message{Type: file, Payload: []byte(`{"name": "needle8"}`)}, "payload:needle8", false},
		"file, its error": {delivery.Message{Type: file, Payload: []byte(`{"name": "needle9"}`)}, "the error of file, its error", true},
		"empty":           {delivery.Message{}, "the error of empty", true},
	} {
		id := d.fails(c.message, "the error of "+name)
		d.index()
		if got := slices.Contains(d.found(typed(t, c.finds)), id); got != c.want {
			t.Errorf("%s: found is %v", name, got)
		}
	}
}

// TestSearchFindsWhatALookFinds compares with looking at each failure, and also while nothing is indexed yet.
func TestSearchFindsWhatALookFinds(t *testing.T) {
	d := open(t)
	random := rand.New(rand.NewPCG(1, 2))
	docs, errorsOf := map[string]any{}, map[string]string{}
	for range 120 {
		doc := randomDocument(random, 0)
		raw, err := json.Marshal(doc)
		d.must(err)
		text := strings.Join(randomWords(random, 1+random.IntN(4)), " ")
		id := d.fails(delivery.Message{Payload: raw, Integration: []string{"push", "sms"}[random.IntN(2)]}, text)
		docs[id], errorsOf[id] = doc, text
	}
	look := func(f delivery.Filter) (ids []string) {
		for id, doc := range docs {
			if strings.Contains(strings.ToLower(errorsOf[id]), strings.ToLower(f.Query)) && hasWords(doc, f.Words) &&
				!slices.ContainsFunc(f.Paths, func(p delivery.PathValue) bool { return !hasValue(doc, p) }) {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		return ids
	}
	compare := func(payloads bool) (found int) {
		for range 150 {
			f := delivery.Filter{}
			if random.IntN(2) == 0 || !payloads {
				f.Query = strings.Join(randomWords(random, 1+random.IntN(2)), " ")[random.IntN(3):]
			}
			if random.IntN(3) == 0 && payloads {
				f.Words = strings.Join(randomWords(random, 1+random.IntN(2)), " ")
			}
			if random.IntN(2) == 0 && payloads {
				f.Paths = []delivery.PathValue{{Path: "$" + randomPath(random), Value: randomValue(random)}}
			}
			got, want := d.found(f), look(f)
			if !slices.Equal(got, want) {
				t.Fatalf("%q finds %d, a look finds %d", f.SearchText(), len(got), len(want))
			}
			found += len(want)
		}
		return found
	}
	compare(false)
	d.index()
	if found := compare(true); found < 150 {
		t.Errorf("the queries find only %d", found)
	}
}

var vocabulary = []string{"alpha", "Beta", "gamma", "100%", "a_b", "Delta7", "42", "4711"}

func randomWords(r *rand.Rand, n int) (words []string) {
	for range n {
		words = append(words, vocabulary[r.IntN(len(vocabulary))])
	}
	return words
}

func randomValue(r *rand.Rand) string {
	return []string{"alpha", "Beta", "42", "4711", "true", "null", "42.0", "x y"}[r.IntN(8)]
}

func randomPath(r *rand.Rand) (path string) {
	for range 1 + r.IntN(3) {
		path += []string{".a", ".b", "['c d']", "[*]", "[0]", "[1]", ".*", "..b"}[r.IntN(8)]
	}
	return path
}

func randomDocument(r *rand.Rand, depth int) any {
	kind := r.IntN(8)
	if depth == 0 {
		kind = 7
	} else if depth > 3 {
		kind = r.IntN(5)
	}
	switch kind {
	case 0:
		return json.Number([]string{"42", "4711", "42.0"}[r.IntN(3)])
	case 1:
		return []any{true, nil}[r.IntN(2)]
	case 2, 3, 4:
		return []string{"alpha", "Beta", "42", "4711", "x y", "gamma"}[r.IntN(6)]
	case 5, 6:
		list := []any{}
		for range r.IntN(3) {
			list = append(list, randomDocument(r, depth+1))
		}
		return list
	}
	object := map[string]any{}
	for range 1 + r.IntN(3) {
		object[[]string{"a", "b", "c d"}[r.IntN(3)]] = randomDocument(r, depth+1)
	}
	return object
}

func leaves(doc any) (list []string) {
	switch v := doc.(type) {
	case map[string]any:
		for _, child := range v {
			list = append(list, leaves(child)...)
		}
	case []any:
		for _, child := range v {
			list = append(list, leaves(child)...)
		}
	case string:
		list = strings.Fields(strings.ToLower(v))
	case json.Number:
		list = []string{v.String()}
	}
	return list
}

func hasWords(doc any, words string) bool {
	have := leaves(doc)
	list := strings.Fields(strings.ToLower(strings.NewReplacer("%", " ", "_", " ").Replace(words)))
	for i, w := range list {
		fits := func(h string) bool { return h == w || i == len(list)-1 && strings.HasPrefix(h, w) }
		if !slices.ContainsFunc(have, fits) {
			return false
		}
	}
	return true
}

// hasValue knows the lax rules: an object's member of a list is that of each of its elements, and what is no list has itself at 0.
func hasValue(doc any, p delivery.PathValue) bool {
	at := []any{doc}
	for _, step := range strings.FieldsFunc(strings.NewReplacer("..b", "|deep", ".", "|.", "[", "|[").Replace(p.Path[1:]), func(r rune) bool { return r == '|' }) {
		var next []any
		for _, v := range at {
			next = append(next, stepInto(v, step)...)
		}
		at = next
	}
	equal := func(v any) bool {
		candidates := append(elements(v), v) // the filter unwraps a list, and so does the comparison in it
		for _, e := range elements(v) {
			candidates = append(candidates, elements(e)...)
		}
		for _, v := range candidates {
			switch v := v.(type) {
			case string:
				if v == p.Value {
					return true
				}
			case json.Number:
				a, err := strconv.ParseFloat(p.Value, 64)
				b, _ := v.Float64()
				if err == nil && a == b {
					return true
				}
			case bool:
				if strconv.FormatBool(v) == p.Value {
					return true
				}
			case nil:
				if p.Value == "null" {
					return true
				}
			}
		}
		return false
	}
	return slices.ContainsFunc(at, equal)
}

func elements(v any) []any {
	list, _ := v.([]any)
	return list
}

func stepInto(v any, step string) (next []any) {
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	switch step {
	case "[*]":
		return list
	case "[0]", "[1]":
		if n := int(step[1] - '0'); n < len(list) {
			next = []any{list[n]}
		}
		return next
	case "deep":
		return append(stepInto(v, ".b"), deeper(v)...)
	}
	name := strings.Trim(step, ".[']")
	for _, e := range list {
		object, _ := e.(map[string]any)
		for key, child := range object {
			if step == ".*" || key == name {
				next = append(next, child)
			}
		}
	}
	return next
}

func deeper(v any) (found []any) {
	switch v := v.(type) {
	case map[string]any:
		for _, child := range v {
			found = append(found, stepInto(child, "deep")...)
		}
	case []any:
		for _, child := range v {
			found = append(found, stepInto(child, "deep")...)
		}
	}
	return found
}

// sender answers with an error made of the payload.
type sender func(delivery.Request) delivery.Result

func (s sender) Send(_ context.Context, r delivery.Request) delivery.Result { return s(r) }
func (s sender) Close() error                                               { return nil }

// TestMaskedFieldsAreNotFound: a receiver repeats a masked phone number, which is stored, grouped, indexed and searched without it.
func TestMaskedFieldsAreNotFound(t *testing.T) {
	d := open(t)
	in, other := integration("sms", "order.placed"), integration("push", "order.placed")
	in.Mask = []string{"$.customer.phone"}
	in.Retry, other.Retry = delivery.RetryPolicy{Attempts: 1}, delivery.RetryPolicy{Attempts: 1}
	list := []delivery.Integration{in, other}
	d.must(d.SyncIntegrations(t.Context(), list))
	repeats := sender(func(r delivery.Request) delivery.Result {
		var p struct{ Customer struct{ Phone string } }
		_ = json.Unmarshal(r.Message.Payload, &p)
		return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "cannot reach " + p.Customer.Phone}
	})
	eng, err := engine.New(engine.Config{Store: d.Store, Integrations: list, Log: slog.New(slog.DiscardHandler),
		Senders: map[string]delivery.Sender{"sms": repeats, "push": repeats}})
	d.must(err)
	for n := range 3 {
		d.must(d.sql("SELECT redrive.publish('order.placed', convert_to($1, 'UTF8'))",
			fmt.Sprintf(`{"customer": {"phone": "+8210555000%d", "name": "anna"}}`, n)))
	}
	d.fanOut()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- eng.Run(ctx, ctx) }()
	d.eventually("six dead letters", func() bool { return len(d.found(delivery.Filter{})) == 6 })
	stop()
	d.must(<-done)
	d.index()
	for _, text := range []string{"8210555", "+82105550001", "payload:82105550001", "payload:8210555", `payload.customer.phone:"+82105550001"`, "payload..phone:\"+82105550001\""} {
		if got := d.found(typed(t, text+" state:any")); len(got) != 0 {
			t.Errorf("%q finds %d", text, len(got))
		}
	}
	if got := d.found(typed(t, "cannot reach payload:anna")); len(got) != 6 {
		t.Errorf("what is not masked: %d found, want 6", len(got))
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.groups"); n != 2 {
		t.Errorf("%d groups, want one for each integration", n)
	}
	for _, where := range []string{"redrive.failure_details f", "redrive.attempts f", "redrive.groups f", "redrive.search f"} {
		if value[bool](d, "SELECT EXISTS (SELECT FROM "+where+" WHERE f::text LIKE '%8210555%')") {
			t.Errorf("%s has the number", where)
		}
	}
}

// TestOtherFieldsAreHiddenLater: what an integrations file hides from now on is not found from now on.
func TestOtherFieldsAreHiddenLater(t *testing.T) {
	d := open(t)
	id := d.fails(delivery.Message{Payload: []byte(`{"phone": "555777", "name": "anna"}`)}, "no 555777")
	plain := d.fails(delivery.Message{Integration: "sms", Payload: []byte(`{"phone": "555777"}`)}, "no")
	csv := d.fails(delivery.Message{Payload: []byte(`a;needle`)}, "text of a row")
	d.index()
	d.finds(true, id, typed(t, "payload:555777"))
	d.finds(true, csv, typed(t, "payload:needle"))
	hiding := integration("push", "order.placed")
	hiding.Mask = []string{"$.phone"}
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{hiding, integration("sms")}))
	d.finds(false, id, typed(t, "payload:555777"))
	if n := d.index(); n != 2 {
		t.Errorf("%d indexed anew, want the two of push", n)
	}
	d.finds(false, id, typed(t, "payload:555777"))
	d.finds(false, id, typed(t, "$.phone:555777"))
	d.finds(false, id, typed(t, "555777"))
	d.finds(true, id, typed(t, "payload:anna"))
	d.finds(true, plain, typed(t, "payload:555777"))
	d.finds(false, csv, typed(t, "payload:needle")) // nobody knows where it hides what
	d.finds(true, csv, typed(t, "text of a row"))
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{hiding, integration("sms")}))
	if n := d.index(); n != 0 {
		t.Errorf("%d indexed anew without a reason", n)
	}
}

// TestIndexersShareAndLoseNothing: several at once, and some that are killed in the middle.
func TestIndexersShareAndLoseNothing(t *testing.T) {
	d := open(t)
	ids := d.many(400)
	killed := errors.New("killed")
	for range 5 {
		func() {
			defer func() { _ = recover() }()
			_, _, err := d.Index(t.Context(), 50, func(delivery.Unindexed) delivery.SearchEntry { panic(killed) })
			t.Errorf("it survived: %v", err)
		}()
		ctx, cancel := context.WithCancel(t.Context())
		if _, _, err := d.Index(ctx, 50, func(u delivery.Unindexed) delivery.SearchEntry { cancel(); return search.Entry(u) }); err == nil {
			t.Error("it was not interrupted")
		}
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.search"); n != 0 {
		t.Fatalf("%d indexed by the killed", n)
	}
	var mu sync.Mutex
	seen := map[string]int{}
	var indexers sync.WaitGroup
	for range 4 {
		indexers.Go(func() {
			for more := true; more; {
				var err error
				_, more, err = d.Index(t.Context(), 30, func(u delivery.Unindexed) delivery.SearchEntry {
					mu.Lock()
					defer mu.Unlock()
					seen[u.DeliveryID]++
					return search.Entry(u)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	indexers.Wait()
	d.index() // those whose rows were locked when the others looked last
	if n := value[int](d, "SELECT count(*) FROM redrive.search"); n != len(ids) {
		t.Errorf("%d of %d indexed", n, len(ids))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was indexed %d times", id, n)
		}
	}
}

// TestTheLaterTextStays: an indexer that has read a failure before it failed again does not write what it has read.
func TestTheLaterTextStays(t *testing.T) {
	d := open(t)
	c := d.claimOne(d.accept(delivery.Message{Payload: []byte(`{"a": 1}`)}).Deliveries[0].Integration)
	first := delivery.Result{Outcome: delivery.OutcomeTransient, ErrorClass: delivery.ClassHTTP5xx, Error: "early"}
	d.complete(completion(c, first, delivery.StatePending))
	_, _, err := d.Index(t.Context(), 10, func(u delivery.Unindexed) delivery.SearchEntry {
		if u.Error == "early" {
			again := d.claimOne("push")
			first.Error = "later"
			d.complete(completion(again, first, delivery.StateDead))
			if n, _, err := d.Index(t.Context(), 10, search.Entry); n != 1 || err != nil {
				t.Errorf("%d indexed: %v", n, err)
			}
		}
		return search.Entry(u)
	})
	d.must(err)
	if got := value[string](d, "SELECT error FROM redrive.search"); got != "later" {
		t.Errorf("indexed is %q", got)
	}
	// known, and only the error is another one
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: c.DeliveryID})
	first.Error = "third"
	d.complete(completion(d.claimOne("push"), first, delivery.StateDead))
	if n := d.index(); n != 1 {
		t.Errorf("%d indexed", n)
	}
	d.finds(true, c.DeliveryID, typed(t, "third $.a:1"))
	d.finds(false, c.DeliveryID, typed(t, "later"))
}

// TestSettledFailuresAreForgotten, step by step, and found again when they are opened again.
func TestSettledFailuresAreForgotten(t *testing.T) {
	d := open(t)
	ids := d.many(25)
	d.index()
	for _, id := range ids[:20] {
		d.act(delivery.ActionRequest{Action: delivery.ActionResolve, ID: id, Reason: "r"})
	}
	steps, gone := 0, 0
	for after := ""; ; steps++ {
		last, n, err := d.ForgetSettled(t.Context(), after, 10)
		d.must(err)
		gone += n
		if after = last; last == "" {
			break
		}
	}
	if left := value[int](d, "SELECT count(*) FROM redrive.search"); steps != 3 || gone != 20 || left != 5 {
		t.Errorf("%d steps, %d forgotten, %d left", steps, gone, left)
	}
	d.act(delivery.ActionRequest{Action: delivery.ActionReopen, ID: ids[3], Reason: "r"})
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: ids[21]})
	if n := d.index(); n != 1 {
		t.Errorf("%d indexed, want what was opened again", n)
	}
	d.finds(true, ids[3], typed(t, "payload:x"))
	d.finds(true, ids[21], typed(t, "payload:x state:pending"))
}

func TestTheRoomIndexesAndForgets(t *testing.T) {
	d := open(t)
	room := search.New(search.Config{Store: d.Store, Poll: 10 * time.Millisecond, Step: 5 * time.Millisecond, Rounds: 5 * time.Millisecond, Batch: 7, Chunk: 3})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- room.Run(ctx, t.Context()) }()
	ids := d.many(20)
	d.eventually("all indexed", func() bool { return value[int](d, "SELECT count(*) FROM redrive.search") == 20 })
	d.act(delivery.ActionRequest{Action: delivery.ActionResolve, ID: ids[0], Reason: "r"})
	d.eventually("one forgotten", func() bool { return value[int](d, "SELECT count(*) FROM redrive.search") == 19 })
	stop()
	d.must(<-done)
}

func TestWithoutTrigramsSearchStillWorks(t *testing.T) {
	d := open(t)
	d.must(d.sql("DROP EXTENSION pg_trgm CASCADE"))
	id := d.fails(delivery.Message{}, "needle in the text")
	d.index()
	d.finds(true, id, typed(t, "needle"))
}

func TestBadSearchesAreRefused(t *testing.T) {
	d := open(t)
	for want, list := range map[string][]delivery.Filter{
		"invalid_text": {{Query: "a\x00"}, {Words: "\xff"}, {Paths: []delivery.PathValue{{Path: "$.a", Value: "\x00"}}}},
		"bad_search":   {{Paths: []delivery.PathValue{{Path: "a", Value: "b"}}}},
	} {
		for _, f := range list {
			_, err := d.Failures(t.Context(), f)
			if code := inputCode(t, err); code != want {
				t.Errorf("%+v answers %s", f, code)
			}
		}
	}
}

func TestSuggest(t *testing.T) {
	d := open(t)
	id := d.fails(delivery.Message{Type: "order.placed", Key: "order-1"}, "x")
	settled := d.fails(delivery.Message{Type: "order.changed", Key: "order-2"}, "x")
	d.accept(delivery.Message{Key: "order-3"})
	d.act(delivery.ActionRequest{Action: delivery.ActionResolve, ID: settled, Reason: "r", Actor: "bob"})
	d.must(d.sql("INSERT INTO redrive.cases (delivery_id, assignee, tags) VALUES ($1, 'carol', '{refund,late}')", id))
	for _, c := range []struct {
		field, typed string
		want         []string
	}{
		{"state", "re", []string{"resolved"}}, {"state", "", []string{"dead", "pending", "sending", "ignored", "resolved", "delivered", "any"}},
		{"integration", "", []string{"push", "sms"}}, {"integration", "S", []string{"sms"}}, {"method", "b", []string{"broker", "batch"}},
		{"class", "http", []string{"http_4xx", "http_5xx"}}, {"destination", "k", []string{"kafka"}}, {"type", "order.", []string{"order.changed", "order.placed"}},
		{"key", "order-", []string{"order-1"}}, {"key", "order-2", nil}, {"key", "", nil}, {"assignee", "", []string{"me", "nobody", "carol"}},
		{"by", "", []string{"policy", "bob"}}, {"by", "b", []string{"bob"}}, {"tag", "", []string{"late", "refund"}}, {"tag", "ref", []string{"refund"}},
		{"unknown", "", nil}, {"key", "a\x00\xff", nil},
	} {
		got, err := d.Suggest(t.Context(), c.field, c.typed)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s:%s suggests %q (%v), want %q", c.field, c.typed, got, err, c.want)
		}
	}
}
