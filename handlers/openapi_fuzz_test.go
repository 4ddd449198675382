package handlers

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http/httpguts"

	"redrive/delivery"
	"redrive/handlers/api"
)

// nasty are texts that trip up whoever hands them on unread: blanks, quotes, operators of every language below, control characters,
// what is no UTF-8, and much of it.
var nasty = []string{"", " ", "\t", "\n \r", "\u00a0", "\u3000\u2028", "\u200b\ufeff", "'", `"`, `\`, "`", "' OR 1=1 --", "';DROP TABLE x;--", "&", "| !", "a & ", "!(a", "<->", "a:*",
	"':*", "% _", "\\%", "*", "(?:", "[", "{", "$", "$.", "$.a", "$..*", "$[*] ? (@ == 1)", "$.a=\"", "$.a=1e999", "a=b", "a:b", "payload:\" \"", "-1", "0", "99999999999999999999", "1e999",
	"NaN", "1..", "null", "true", "2026-13-45", "0001-01-02T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "-infinity", "me", "\x00", "a\x00b", "\x01\x1f\x7f", "\xff\xfe", "\xed\xa0\x80", "\U0001F468\u200d\U0001F469", "e\u0301",
	"00000000-0000-0000-0000-000000000000", strings.Repeat("x", 3000), strings.Repeat("' ", 1500), strings.Repeat("(", 3000), strings.Repeat("가 ", 6000)}

// fuzzed is one request that has a nasty text in one place.
type fuzzed struct {
	method, path, body string
	header             []string
}

// A field that the document names is covered from the day it does.
func TestNoTextIsTooMuch(t *testing.T) {
	s := newSite(t)
	s.many("push", 3)
	described, err := documented()
	s.must(err)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte(`{"a": "b"}`)}, "x")
	operation := read[api.OperationJSON](s, s.post("/api/v1/operations", `{"action":"retry","filter":{},"canary":1}`), 202)
	values := map[string]string{"{id}": id, "{name}": "push", "operations/{id}": "operations/" + operation.ID}
	var all []fuzzed
	fields, seen := 0, map[string]int{}
	for path, methods := range at(described.doc, "paths").(map[string]any) {
		for method := range methods.(map[string]any) {
			for field, make := range described.places([]string{"paths", path, method}, path, values) {
				fields++
				seen[field]++
				for n, text := range nasty {
					if seen[field] > 1 && n%4 != seen[field]%4 { // the same field of other operations has a part of them
						continue
					}
					if f, ok := make(text); ok {
						f.method = strings.ToUpper(method)
						all = append(all, f)
					}
				}
				if testing.Verbose() {
					t.Log(method, path, field)
				}
			}
		}
	}
	t.Logf("%d fields, %d requests", fields, len(all))
	if fields < 150 || len(all) < 3000 {
		t.Errorf("%d fields, %d requests", fields, len(all))
	}
	s.all(all)
}

// all sends them, several at a time.
func (s *site) all(requests []fuzzed) {
	var running sync.WaitGroup
	next := make(chan fuzzed)
	for range 4 {
		running.Go(func() {
			for f := range next {
				if a := s.send("admin", f.method, f.path, f.body, f.header...); a.StatusCode >= 500 {
					s.t.Errorf("%s %.300s %.300s %.100q answers %d: %s", f.method, f.path, f.body, f.header, a.StatusCode, a.body)
				}
			}
		})
	}
	for _, f := range requests {
		next <- f
	}
	close(next)
	running.Wait()
	if s.t.Failed() {
		for line := range strings.Lines(s.log.String()) {
			if strings.Contains(line, "request failed") {
				s.t.Log(line)
			}
		}
	}
}

// places returns how to make a request with a text in each place of an operation that takes one.
func (s *answers) places(place []string, path string, values map[string]string) map[string]func(string) (fuzzed, bool) {
	operation, _ := s.follow(place)
	filled := strings.NewReplacer("operations/{id}", values["operations/{id}"], "{id}", values["{id}"], "{name}", values["{name}"]).Replace(path)
	body, schema := s.example(append(place, "requestBody", "content", "application/json"), operation)
	found := map[string]func(string) (fuzzed, bool){}
	parameters, _ := operation["parameters"].([]any)
	for _, p := range parameters {
		parameter, _ := s.resolve(p)
		name := parameter["name"].(string)
		switch parameter["in"] {
		case "query":
			found["?"+name] = func(text string) (fuzzed, bool) {
				return fuzzed{path: filled + "?" + url.Values{name: {text}}.Encode(), body: body}, true
			}
		case "header":
			found[name] = func(text string) (fuzzed, bool) {
				return fuzzed{path: filled, body: body, header: []string{name, text}}, httpguts.ValidHeaderFieldValue(text)
			}
		case "path":
			found["{"+name+"}"] = func(text string) (fuzzed, bool) {
				return fuzzed{path: strings.Replace(path, "{"+name+"}", url.PathEscape(text), 1), body: body}, text != "" && text != "/"
			}
		}
	}
	for name, with := range s.members(schema, body, "") {
		found[name] = func(text string) (fuzzed, bool) {
			return fuzzed{path: filled, body: with(quoted(text))}, true
		}
	}
	return found
}

// quoted is a JSON string of these bytes, also of those that are no UTF-8.
func quoted(text string) string {
	if strings.ToValidUTF8(text, "") != text {
		return `"` + text + `"`
	}
	raw, _ := json.Marshal(text)
	return string(raw)
}

// example is a body that would do, and its schema. What is required has a value; the rest is added by members.
func (s *answers) example(place []string, operation map[string]any) (string, map[string]any) {
	if operation["requestBody"] == nil {
		return "", nil
	}
	media, _ := at(s.doc, place...).(map[string]any)
	schema, _ := s.resolve(media["schema"])
	needed := map[string]any{"reason": "why", "category": "other", "payload": 1, "type": "t", "integration": "push", "name": "view", "text": "note", "action": "resolve", "filter": map[string]any{},
		"dry_run": true, "canary": 1, "acknowledged": true, "search": "x"}
	body := map[string]any{}
	for name := range properties(schema) {
		if value, ok := needed[name]; ok {
			body[name] = value
		}
	}
	if body["action"] != nil { // the pace is for retries
		delete(body, "canary")
	}
	raw, _ := json.Marshal(body)
	return string(raw), schema
}

func properties(schema map[string]any) map[string]any {
	p, _ := schema["properties"].(map[string]any)
	return p
}

// members returns how to put a value in the place of each member of a body, also of the objects in it and of the items of lists.
func (s *answers) members(schema map[string]any, body, prefix string) map[string]func(string) string {
	found := map[string]func(string) string{}
	for _, name := range slices.Sorted(maps.Keys(properties(schema))) {
		member, _ := s.resolve(properties(schema)[name])
		put := func(value string) string {
			var object map[string]json.RawMessage
			_ = json.Unmarshal([]byte(body), &object)
			delete(object, name)
			for other := range object {
				if name == "payload_base64" && other == "payload" || name == "ids" && other == "filter" {
					delete(object, other)
				}
			}
			raw, _ := json.Marshal(object)
			rest := strings.TrimSuffix(strings.TrimPrefix(string(raw), "{"), "}")
			return "{" + strings.TrimPrefix(rest+",", ",") + `"` + name + `":` + value + "}" // by hand: a value may be no UTF-8
		}
		found[prefix+name] = put
		if properties(member) != nil {
			for inner, with := range s.members(member, "{}", prefix+name+".") {
				found[inner] = func(value string) string { return put(with(value)) }
			}
		}
		if member["items"] != nil {
			found[prefix+name+"[]"] = func(value string) string { return put("[" + value + "]") }
		}
		if member["additionalProperties"] != nil {
			found[prefix+name+".*"] = func(value string) string { return put(`{"x":` + value + "}") }
			found[prefix+name+".name"] = func(value string) string { return put("{" + value + `:"x"}`) }
		}
	}
	return found
}

// Blanks are no words: they are refused in words, whichever way a search comes.
func TestASearchOfBlanksIsRefused(t *testing.T) {
	s := newSite(t)
	s.many("push", 1)
	for _, blank := range []string{" ", "\t", "\n", "\u00a0", " \u3000\r\n"} {
		for _, path := range []string{"failures", "failures/count"} {
			p := s.wants(fmt.Sprintf("%s %q", path, blank), s.get("/api/v1/"+path+"?payload="+url.QueryEscape(blank)), http.StatusBadRequest, "invalid_parameter")
			if p.Field != "payload" {
				t.Errorf("%s: field %q", path, p.Field)
			}
		}
		body, _ := json.Marshal(map[string]any{"action": "retry", "dry_run": true, "filter": map[string]string{"payload": blank}})
		s.wants("an operation", s.post("/api/v1/operations", string(body)), http.StatusUnprocessableEntity, "invalid_field")
		s.wants("a search", s.get("/api/v1/failures?search="+url.QueryEscape(`payload:"`+blank+`"`)), http.StatusBadRequest, "bad_search")
	}
}

func TestTimesThatAreNoneAreLeftOut(t *testing.T) {
	s := newSite(t)
	const id, message = "0192f0c1-0000-7000-8000-000000000001", "0192f0c1-0000-7000-8000-000000000002"
	_, err := s.store.Park(t.Context(), []delivery.Parked{{DeliveryID: id, Integration: "push", Next: delivery.StateDead, Message: delivery.Message{ID: message, Kind: delivery.KindCommand,
		Integration: "push", Type: "t", Payload: []byte("1"), Origin: &delivery.Origin{Broker: "rabbitmq", Place: "q", Dead: &delivery.DeadOrigin{Place: "x", Reason: "rejected"}}},
		Attempts: []delivery.Attempt{{Number: 1, Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassForeign, Error: "died elsewhere"}}}})
	s.must(err)
	for _, path := range []string{"deliveries/" + id, "messages/" + message, "failures", "groups", "integrations", "audit", "audit/head", "operations", "views"} {
		if a := s.get("/api/v1/" + path); a.StatusCode != 200 {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	if m := read[map[string]any](s, s.get("/api/v1/messages/"+message), 200); at(m, "origin", "dead", "place") != "x" {
		t.Errorf("origin %v", m["origin"])
	}
}
