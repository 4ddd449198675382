package mapping

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

func raws(pairs ...string) map[string]json.RawMessage {
	row := map[string]json.RawMessage{}
	for i := 0; i < len(pairs); i += 2 {
		row[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return row
}

// update is a change whose text was too long to be sent.
func update() *delivery.Change {
	return &delivery.Change{Op: delivery.OpUpdate, Schema: "public", Table: "articles", Key: []string{"id", "lang"},
		Row: raws("id", "9007199254740993", "lang", `"de/at"`, "title", `"<Café> \"x\""`, "price", "12345678901234567890.1200", "count", "7", "views", "null",
			"meta", `{"z": 1.50, "a": [1, 2.0]}`),
		Old: raws("id", "9007199254740993", "lang", `"de/at"`, "title", `"Old"`, "count", "7"), Unchanged: []string{"body"},
		LSN: 0x16B3748, Index: 3, XID: 812, CommitTime: time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.FixedZone("", 3600))}
}

func mapped(t *testing.T, rule delivery.CDCRule, change *delivery.Change, subscribe ...string) []delivery.Captured {
	t.Helper()
	rule.Schema, rule.Table, rule.Line = "public", "articles", 10
	m, err := New("search", delivery.CDCSource{Rules: []delivery.CDCRule{rule}}, subscribe)
	if err != nil {
		t.Fatal(err)
	}
	return m.Map(change)
}

func one(t *testing.T, rule delivery.CDCRule, change *delivery.Change) delivery.Captured {
	t.Helper()
	list := mapped(t, rule, change)
	if len(list) != 1 {
		t.Fatalf("%d messages", len(list))
	}
	return list[0]
}

func TestWithoutExpressionsAChangeIsItself(t *testing.T) {
	got := one(t, delivery.CDCRule{}, update())
	want := `{"op":"update","schema":"public","table":"articles","key":{"id":9007199254740993,"lang":"de/at"},"row":{"count":7,"id":9007199254740993,` +
		`"lang":"de/at","meta":{"z": 1.50, "a": [1, 2.0]},"price":12345678901234567890.1200,"title":"<Café> \"x\"","views":null},` +
		`"old":{"count":7,"id":9007199254740993,"lang":"de/at","title":"Old"},"unchanged":["body"],"lsn":"0/16B3748","xid":812,"committed_at":"2026-03-01T11:00:00.123456Z"}`
	m := got.Message
	if string(m.Payload) != want {
		t.Errorf("got  %s\nwant %s", m.Payload, want)
	}
	if got.Error != "" || m.Type != "public.articles.update" || m.Key != "9007199254740993/de/at" || m.Kind != delivery.KindCommand ||
		strings.Join(got.To, " ") != "search" || m.Origin.Place != "public.articles" || m.Origin.ID != "0/16B3748/3" {
		t.Errorf("got %+v", got)
	}
}

func TestExpressions(t *testing.T) {
	for payload, want := range map[string]string{
		`{"id": row.id, "price": row.price, "n": [row.count, op, nil, true]}`: `{"id":9007199254740993,"n":[7,"update",null,true],"price":12345678901234567890.1200}`,
		`row`:                     `{"count":7,"id":9007199254740993,"lang":"de/at","meta":{"a":[1,2.0],"z":1.50},"price":12345678901234567890.1200,"title":"<Café> \"x\"","views":null}`,
		`changed`:                 `["title"]`,
		`unchanged`:               `["body"]`,
		`row.count + 1`:           `8`,
		`row.meta.z * 2`:          `3`,
		`row.meta.z > 1.4`:        `true`,
		`row.price > row.count`:   `true`,
		`-row.meta.z`:             `-1.5`,
		`round(row.meta.z)`:       `2`,
		`row.nothing`:             `null`,
		`row.body == nil`:         `false`,
		`old.title + "→"`:         `"Old→"`,
		`key`:                     `{"id":9007199254740993,"lang":"de/at"}`,
		`committed_at`:            `"2026-03-01T11:00:00.123456Z"`,
		`lsn + " " + string(xid)`: `"0/16B3748 812"`,
		`map(row.meta.a, # * 2)`:  `[2,4]`,
		`"body" in unchanged ? {"id": row.id} : row.body`: `{"id":9007199254740993}`,
		`string(row.price)`: `"12345678901234567890.1200"`,
	} {
		if got := one(t, delivery.CDCRule{Payload: payload}, update()); got.Error != "" || string(got.Message.Payload) != want {
			t.Errorf("%s: got %s %s, want %s", payload, got.Message.Payload, got.Error, want)
		}
	}
	got := one(t, delivery.CDCRule{When: `"title" in changed && row.count == 7`, Type: "{{ table }}.{{ op }}d", Key: "row.id", To: []string{"a", "b"}}, update())
	if got.Message.Type != "articles.updated" || got.Message.Key != "9007199254740993" || strings.Join(got.To, " ") != "a b" {
		t.Errorf("got %+v", got)
	}
	event := one(t, delivery.CDCRule{Publish: true}, update())
	if event.Message.Kind != delivery.KindEvent || event.To != nil {
		t.Errorf("got %+v", event)
	}
}

// What cannot be mapped keeps the whole change, so that nothing is lost.
func TestAFailureKeepsTheChange(t *testing.T) {
	for name, tc := range map[string]struct {
		rule delivery.CDCRule
		want string
	}{
		"unsent column":   {delivery.CDCRule{Payload: `{"b": row.body}`}, "payload: column body did not change and its value was not sent"},
		"wrong type":      {delivery.CDCRule{Payload: `row.title * 2`}, "payload: "},
		"text for a bool": {delivery.CDCRule{When: `row.title`}, "when: "},
		"list as key":     {delivery.CDCRule{Key: `[1]`}, "key: it must be one value, not a list"},
		"long key":        {delivery.CDCRule{Key: `repeat("k", 2000)`}, "key: it has 2000 bytes"},
		"type of nothing": {delivery.CDCRule{Type: `a.{{ row.views }}`}, "type: an expression in it yields nothing"},
		"too much":        {delivery.CDCRule{Payload: `repeat("x", 100000000)`}, "payload: memory budget exceeded"},
		"no JSON":         {delivery.CDCRule{Payload: `groupBy([1, 2], #)`}, "payload: "},
		"not a number":    {delivery.CDCRule{Payload: `1 / 0`}, "payload: JSON has no number"},
	} {
		got := one(t, tc.rule, update())
		if !strings.Contains(got.Error, "line 10 of the integrations file: "+tc.want) || strings.Join(got.To, "") != "search" || got.Message.Kind != delivery.KindCommand {
			t.Errorf("%s: got %q, want %q", name, got.Error, tc.want)
		}
		if !strings.HasPrefix(string(got.Message.Payload), `{"op":"update"`) || got.Message.Type != "public.articles.update" {
			t.Errorf("%s: the change is not kept: %s", name, got.Message.Payload)
		}
	}
}

func TestWhatIsPassedOver(t *testing.T) {
	for name, rule := range map[string]delivery.CDCRule{
		"another operation": {Operations: []delivery.RowOperation{delivery.OpInsert}}, "a filter": {When: "row.count > 7"}, "null": {When: "row.views"},
	} {
		if got := mapped(t, rule, update()); len(got) != 0 {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if got := mapped(t, delivery.CDCRule{}, &delivery.Change{Op: delivery.OpTruncate, Schema: "public", Table: "articles"}); len(got) != 0 {
		t.Error("truncate without being asked for")
	}
	if got := mapped(t, delivery.CDCRule{}, update(), "other.type"); len(got) != 0 {
		t.Error("a type that is not subscribed to")
	}
	if got := mapped(t, delivery.CDCRule{To: []string{"search", "b"}}, update(), "other.type"); len(got) != 1 || strings.Join(got[0].To, " ") != "b" {
		t.Errorf("the subscription is of the integration itself: %+v", got)
	}
	if got := mapped(t, delivery.CDCRule{}, &delivery.Change{Op: delivery.OpInsert, Schema: "public", Table: "others"}); len(got) != 0 {
		t.Error("another table")
	}
}

func TestColumns(t *testing.T) {
	change := update()
	change.Old["body"] = json.RawMessage(`"long"`)
	got := one(t, delivery.CDCRule{Columns: []string{"body"}}, change)
	if want := `"row":{"body":"long","id":9007199254740993,"lang":"de/at"},"old":{"body":"long","id":9007199254740993,"lang":"de/at"},"unchanged":[]`; !strings.Contains(string(got.Message.Payload), want) {
		t.Errorf("got %s", got.Message.Payload)
	}
	if got := one(t, delivery.CDCRule{Columns: []string{"count"}}, update()); !strings.Contains(string(got.Message.Payload), `"unchanged":[]`) {
		t.Errorf("got %s", got.Message.Payload)
	}
	if _, there := change.Row["body"]; there {
		t.Error("the change itself was changed")
	}
}

func TestMistakesAreFoundAtTheStart(t *testing.T) {
	for name, tc := range map[string]struct {
		rule delivery.CDCRule
		want string
	}{
		"name":     {delivery.CDCRule{When: "rwo.id == 1"}, `line 7: when: unknown name rwo at column 1 in "rwo.id == 1"`},
		"bool":     {delivery.CDCRule{When: "1 + 1"}, "line 7: when: expected bool, but got int"},
		"syntax":   {delivery.CDCRule{Key: "row.id +"}, "line 7: key: unexpected token EOF"},
		"types":    {delivery.CDCRule{Payload: `op + 1`}, "line 7: payload: invalid operation: + (mismatched types string and int)"},
		"template": {delivery.CDCRule{Type: "a.{{ op"}, "line 7: type: a {{ has no closing }}"},
		"nothing":  {delivery.CDCRule{Type: "a.{{ }}"}, "line 7: type: there is nothing"},
		"now":      {delivery.CDCRule{Payload: "now()"}, "line 7: payload: unknown name now"},
		"nodes":    {delivery.CDCRule{Payload: "1" + strings.Repeat("+xid", 1000)}, "line 7: payload: "},
	} {
		tc.rule.Line = 7
		_, err := New("search", delivery.CDCSource{Rules: []delivery.CDCRule{tc.rule}}, nil)
		var mistake *Error
		if !errors.As(err, &mistake) || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s", name, err, tc.want)
		}
	}
}

func BenchmarkDefault(b *testing.B) { benchmark(b, delivery.CDCRule{}) }
func BenchmarkExpression(b *testing.B) {
	benchmark(b, delivery.CDCRule{When: "row.count > 1", Type: "article.{{ op }}", Key: "row.id", Payload: `{"id": row.id, "title": row.title}`})
}

func benchmark(b *testing.B, rule delivery.CDCRule) {
	rule.Schema, rule.Table = "public", "articles"
	m, err := New("search", delivery.CDCSource{Rules: []delivery.CDCRule{rule}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	change := update()
	for b.Loop() {
		m.Map(change)
	}
}
