package handlers

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/delivery/schema"
	"redrive/delivery/search"
	"redrive/handlers/api"
	"redrive/handlers/web"
	"redrive/views"
)

// guessing is somebody who may edit and not reveal, a failure with something hidden, and a guess at that.
type guessing struct {
	*browser
	id, message, key, guess string
}

func (g guessing) asks(method, path, body string) string {
	return fmt.Sprint(g.do(method, path, body, "Content-Type", "application/json", "Accept", "application/json").text())
}

// text is what can be told of an answer.
func (a answer) text() string {
	return fmt.Sprint(a.StatusCode, " ", a.Header.Get("ETag"), " ", a.Header.Get("Location"), "\n", string(a.body))
}

// edits sends a payload by the API, with • for what is left alone, and reads what stands there then.
func (g guessing) edits(code, name string) string {
	body := fmt.Sprintf(`{"payload": {"code":%s,"name":%q}, "reason": "again"}`, code, name)
	return g.asks(http.MethodPost, "/api/v1/failures/"+g.id+"/edit", body) + g.asks(http.MethodGet, "/api/v1/deliveries/"+g.id, "") +
		g.open(views.Failure(g.id)).text() + g.asks(http.MethodGet, "/api/v1/audit?subject="+g.id, "")
}

// types sends a payload by the form, to be looked at and then saved.
func (g guessing) types(from, to string) string {
	edit := views.FailureEdit(g.id)
	page := g.open(edit)
	form := fieldsOf(g.t, page, edit)
	review := g.sends(edit, form, "payload", strings.Replace(form.Get("payload"), from, to, 1), "reason", "again")
	out := page.text() + review.text()
	if review.StatusCode == http.StatusOK {
		out += g.sends(edit, fieldsOf(g.t, review, edit)).text() + g.open(views.Failure(g.id)).text()
	}
	return out
}

// oracles are all ways in which an answer could tell what is hidden, or whether a guess is right.
var oracles = map[string]func(g guessing) string{
	"what is shown of a failure":                 func(g guessing) string { return g.asks(http.MethodGet, "/api/v1/deliveries/"+g.id, "") },
	"what is shown of a message":                 func(g guessing) string { return g.asks(http.MethodGet, "/api/v1/messages/"+g.message, "") },
	"the page of a failure":                      func(g guessing) string { return g.open(views.Failure(g.id)).text() },
	"the page of a message":                      func(g guessing) string { return g.open("/messages/" + g.message).text() },
	"the exact bytes":                            func(g guessing) string { return g.open("/failures/" + g.id + "/versions/1/payload").text() },
	"an edit that leaves it alone, and a schema": func(g guessing) string { return g.edits(`"•••"`, "Lee") },
	"an edit with a guess":                       func(g guessing) string { return g.edits(`"`+g.guess+`"`, "Lee") },
	"an edit with nothing but a guess":           func(g guessing) string { return g.edits(`"`+g.guess+`"`, "Kim") },
	"an edit that does not fit elsewhere":        func(g guessing) string { return g.edits(`"•••"`, "") },
	"a form that leaves it alone":                func(g guessing) string { return g.types("Kim", "Lee") },
	"a form with nothing but a guess":            func(g guessing) string { return g.types("•••", g.guess) },
	"an edit of a header with a guess": func(g guessing) string {
		return g.asks(http.MethodPost, "/api/v1/failures/"+g.id+"/edit", `{"headers": {"X-Note": "`+g.guess+`"}, "reason": "again"}`) +
			g.asks(http.MethodGet, "/api/v1/deliveries/"+g.id, "") + g.open(views.Failure(g.id)).text()
	},
	"a conflict": func(g guessing) string {
		return g.asks(http.MethodPost, "/api/v1/failures/"+g.id+"/edit", `{"payload": {"code":"`+g.guess+`","name":"Kim"}, "reason": "again", "version": 77}`)
	},
	"a key that was used before": func(g guessing) string {
		body := fmt.Sprintf(`{"integration": "sms", "type": "code.requested", "payload": {"code":%q,"name":"Kim"}, "idempotency_key": %q}`, g.guess, g.key)
		return g.asks(http.MethodPost, "/api/v1/messages", body) + g.asks(http.MethodPost, "/api/v1/messages", strings.Replace(body, "Kim", "Lee", 1))
	},
	"a search by a word":    func(g guessing) string { return g.asks(http.MethodGet, "/api/v1/failures?q="+g.guess, "") },
	"a search by payload":   func(g guessing) string { return g.finds("payload:" + g.guess) },
	"a search by its place": func(g guessing) string { return g.finds("$.code=" + g.guess) },
	"a page of a search": func(g guessing) string {
		return g.open("/failures?search=" + url.QueryEscape("payload:"+g.guess)).text()
	},
	"suggestions": func(g guessing) string { return g.open("/failures/suggest?search=" + g.guess[:3]).text() },
	"groups":      func(g guessing) string { return g.asks(http.MethodGet, "/api/v1/groups?q="+g.guess, "") },
	"a dry run": func(g guessing) string {
		return g.asks(http.MethodPost, "/api/v1/operations", `{"action": "retry", "reason": "x", "dry_run": true, "filter": {"q": "`+g.guess+`"}}`)
	},
	"metrics": func(g guessing) string {
		var own []string
		for line := range strings.Lines(string(g.open("/metrics").body)) {
			if strings.Contains(line, g.guess) {
				own = append(own, line)
			}
		}
		return strings.Join(own, "")
	},
}

func (g guessing) finds(query string) string {
	return g.asks(http.MethodGet, "/api/v1/failures?search="+url.QueryEscape(query), "")
}

// alike takes out of a text what differs between any two requests.
var alike = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\d{4}-\d\d-\d\d[T ][0-9:.]+(Z| UTC)?|"(request_id|head|hash|previous|version|id|seq)":\s*("[^"]*"|\d+)|\b\d+(\.\d+)? ?(ms|s|seconds?)\b|[0-9a-f]{16,64}|>[0-9a-f]{8}<|"group_count":\d+|\d+ open dead letters?|key-\d+|\d\d:\d\d(:\d\d)?|(?s:aria-label="The list">.*?</nav>)`)

// neighbours is what a page tells of other failures of the group: there are more with each edit of this test.
var neighbours = regexp.MustCompile(`(?s)<h2>How this was settled before.*?</ol>`)

// Whoever may edit and not reveal learns nothing of a hidden value: no answer differs between two values, nor between a right guess and a
// wrong one. Each kind of answer that could is in the table.
func TestNoAnswerTellsWhatIsHidden(t *testing.T) {
	checker, err := schema.Compile([]byte(`{"type": "object", "properties": {"code": {"type": "string", "pattern": "^[0-9]{6}$"}, "name": {"minLength": 1}},
		"if": {"properties": {"code": {"const": "83"}}}, "then": {"properties": {"name": {"const": "Kim"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(c *web.Config) { c.Schemas = map[string]func([]byte) []string{"sms": checker.Sentences} })
	b := s.signedIn("eve", delivery.RoleOperator)
	const right, wrong = "471199", "640375"
	keys := 0
	fail := func(code string) guessing {
		t.Helper()
		keys++
		g := guessing{browser: b, key: fmt.Sprintf("key-%03d", keys), guess: right}
		g.id = s.fail(delivery.Message{Integration: "sms", Type: "code.requested", IdempotencyKey: g.key, Payload: []byte(`{"code":` + code + `,"name":"Kim"}`),
			Headers: map[string]string{"X-Note": "code " + strings.Trim(code, `"`)}}, "refused: code "+strings.Trim(code, `"`))
		g.message = read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+g.id), http.StatusOK).MessageID
		return g
	}
	tried := map[string][3]guessing{}
	for name := range oracles {
		it, another, missed := fail(`"`+right+`"`), fail(`"83"`), fail(`"`+right+`"`)
		missed.guess = wrong
		tried[name] = [3]guessing{it, another, missed}
	}
	for more := true; more; {
		_, more, err = s.store.Index(t.Context(), 100, search.Entry)
		s.must(err)
	}
	for _, name := range slices.Sorted(maps.Keys(oracles)) {
		var said [3]string
		for n, g := range tried[name] {
			said[n] = alike.ReplaceAllString(neighbours.ReplaceAllString(strings.ReplaceAll(oracles[name](g), g.guess, "GUESS"), ""), "~")
		}
		if said[0] == "" && name != "metrics" {
			t.Errorf("%s: nothing was said", name)
		}
		for n, what := range map[int]string{1: "another value", 2: "a wrong guess"} {
			if said[n] != said[0] {
				t.Errorf("%s tells %s:\n%s", name, what, difference(said[0], said[n]))
			}
		}
	}
}

// difference is where two texts part.
func difference(a, b string) string {
	at := 0
	for at < len(a) && at < len(b) && a[at] == b[at] {
		at++
	}
	near := func(text string) string { return text[max(at-80, 0):min(at+120, len(text))] }
	return fmt.Sprintf("…%s…\n…%s…", near(a), near(b))
}
