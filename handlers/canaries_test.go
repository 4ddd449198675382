package handlers

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/delivery/engine"
	"redrive/delivery/search"
	"redrive/handlers/web"
)

// What every canary has in it: those that are words, and those that are numbers of cards.
const (
	canaryWord = "zq7x"
	canaryCard = "45390017"
)

const (
	canaryMessages = 10 // of each form
	canariesEach   = 20
)

// canaryForm is a form of rule, with a message that has canaries which only this rule hides.
type canaryForm struct {
	name    string
	rules   []string
	message func(values []string) delivery.Message
}

func canaryForms() []canaryForm {
	var headers []string
	for n := range canariesEach {
		headers = append(headers, fmt.Sprintf("header:X-Secret-%d", n))
	}
	joined := func(between string) func([]string) delivery.Message {
		return func(values []string) delivery.Message {
			return delivery.Message{Payload: []byte("first\n" + strings.Join(values, between))}
		}
	}
	return []canaryForm{
		{"path", []string{"$.s[*]"}, func(values []string) delivery.Message {
			return delivery.Message{Payload: []byte(`{"s":["` + strings.Join(values, `","`) + `"],"open":"yes"}`)}
		}},
		{"header", headers, func(values []string) delivery.Message {
			m := delivery.Message{Payload: []byte(`{"open":"yes"}`), Headers: map[string]string{}}
			for n, v := range values {
				m.Headers[fmt.Sprintf("X-Secret-%d", n)] = v
			}
			return m
		}},
		{"column", []string{"column:pin"}, func(values []string) delivery.Message {
			return delivery.Message{Payload: []byte("id,pin\n1," + strings.Join(values, "\n2,") + "\n")}
		}},
		{"pattern", []string{"pattern:zq7[x][0-9a-f]+"}, joined(" and ")},
		{"card", []string{"detect:card"}, joined(", ")},
	}
}

// cardOf is a number that is a card's.
func cardOf(n int) string {
	digits := fmt.Sprintf("%s%07d", canaryCard, n)
	for check := range 10 {
		number := fmt.Sprint(digits, check)
		if masked, _ := delivery.Mask([]byte(number), []string{"detect:card"}); strings.Contains(string(masked), delivery.Hidden) {
			return number
		}
	}
	panic("no card")
}

// repeatsAll says back all that it was sent, everywhere.
type repeatsAll struct{}

func (repeatsAll) Send(_ context.Context, r delivery.Request) delivery.Result {
	said := string(r.Message.Payload)
	e := &delivery.Exchange{Address: "http://receiver.example/"}
	for name, value := range r.Message.Headers {
		said += " " + value
		e.Sent, e.Answered = append(e.Sent, delivery.HeaderLine{name, value}), append(e.Answered, delivery.HeaderLine{"X-Echo", value})
	}
	e.Answered = append(e.Answered, delivery.HeaderLine{"X-All", said[:min(len(said), 400)]})
	return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "the receiver answered 422", Words: "refused " + said,
		HTTPStatus: 422, Response: []byte("refused " + said), Exchange: e}
}
func (repeatsAll) Close() error { return nil }

// TestAThousandCanariesAreNowhere hands over 1,000 secrets, in each form that a rule hides, to a receiver that says all of them back, and then reads
// everything that there is.
func TestAThousandCanariesAreNowhere(t *testing.T) {
	var list []delivery.Integration
	senders := map[string]delivery.Sender{}
	for _, f := range canaryForms() {
		in := testIntegrations()[0]
		in.Name, in.Subscribe, in.Mask, in.Retry, in.OnFailure = f.name, nil, f.rules, delivery.RetryPolicy{Attempts: 1}, delivery.StateDead
		list, senders[in.Name] = append(list, in), repeatsAll{}
	}
	s := newSite(t, func(c *web.Config) { c.Integrations = list })
	s.must(s.store.SyncIntegrations(t.Context(), list))
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	eng, err := engine.New(engine.Config{Store: s.store, Integrations: list, Log: log, Observer: s.Config.Metrics, Senders: senders})
	s.must(err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- eng.Run(ctx, ctx) }()
	t.Cleanup(func() { stop(); <-ended })

	ids, count := map[string]string{}, 0
	for _, f := range canaryForms() {
		for range canaryMessages {
			values := make([]string, canariesEach)
			for n := range values {
				values[n] = fmt.Sprintf("%s%06x", canaryWord, count)
				if f.name == "card" {
					values[n] = cardOf(count)
				}
				count++
			}
			m := f.message(values)
			m.Kind, m.Type, m.Integration = delivery.KindCommand, "canary", f.name
			accepted, err := s.store.Accept(t.Context(), m)
			s.must(err)
			ids[f.name] = accepted.Deliveries[0].ID
		}
	}
	dead := func(n int) {
		eng.Wake()
		s.until(func() bool {
			page, err := s.store.Failures(t.Context(), delivery.Filter{States: []delivery.State{delivery.StateDead}, Limit: 500})
			return err == nil && len(page.Items) == n
		})
	}
	dead(len(list) * canaryMessages)
	if count != 1000 {
		t.Fatalf("%d canaries", count)
	}
	edited := fmt.Sprintf(`{"payload":{"s":["%sffffff"]},"reason":"again"}`, canaryWord)
	if a := s.post("/api/v1/failures/"+ids["path"]+"/edit", edited); a.StatusCode != http.StatusOK {
		t.Fatalf("%s", a.body)
	}
	s.until(func() bool {
		d, err := s.store.Delivery(t.Context(), ids["path"])
		return err == nil && d.State == delivery.StateDead && d.Attempts == 2
	})
	for more := true; more; {
		_, more, err = s.store.Index(t.Context(), 100, search.Entry)
		s.must(err)
	}
	look := s.looker()
	s.readsAll(ids, look)
	s.readsTables()
	look("the log", s.log.String())
}

// looker finds canaries in texts.
func (s *site) looker() func(place, text string) {
	return func(place, text string) {
		s.t.Helper()
		for _, canary := range []string{canaryWord, canaryCard, hex.EncodeToString([]byte(canaryWord)), hex.EncodeToString([]byte(canaryCard))} {
			if at := strings.Index(text, canary); at >= 0 {
				s.t.Errorf("%s shows a canary: %s", place, text[max(at-100, 0):min(at+60, len(text))])
			}
		}
	}
}

// readsAll reads every page, answer and file about the failures.
func (s *site) readsAll(ids map[string]string, look func(place, text string)) {
	viewer, operator, auditor := s.signedIn("ann", delivery.RoleViewer), s.signedIn("bob", delivery.RoleOperator), s.signedIn("eve", delivery.RoleAuditor)
	for form, id := range ids {
		d, err := s.store.Delivery(s.t.Context(), id)
		s.must(err)
		for _, path := range []string{"/api/v1/deliveries/" + id, "/api/v1/messages/" + d.MessageID} {
			look(form+" "+path, string(s.get(path).body))
		}
		for _, path := range []string{"/failures/" + id, "/failures/" + id + "?tab=answer&try=1", "/failures/" + id + "?tab=answer", "/failures/" + id + "?try=1", "/messages/" + d.MessageID} {
			look(form+" "+path, string(viewer.open(path).body))
		}
		for _, path := range []string{"/failures/" + id + "/edit", "/failures/" + id + "/redirect", "/groups/" + d.GroupID} {
			look(form+" "+path, string(operator.open(path).body))
		}
	}
	for _, path := range []string{"/api/v1/failures?limit=500", "/api/v1/groups", "/api/v1/audit", "/api/v1/integrations", "/metrics"} {
		look(path, string(s.send("admin", http.MethodGet, path, "").body))
	}
	for _, path := range []string{"/", "/failures", "/groups", "/audit", "/failures/suggest?q=" + canaryWord, "/go?q=canary"} {
		look(path, string(viewer.open(path).body))
	}
	for _, path := range []string{"/failures/csv", "/failures/json", "/audit/csv", "/audit/json"} {
		look(path, string(auditor.open(path).body))
	}
	for _, word := range []string{canaryWord + "000000", cardOf(999)} {
		if body := s.get("/api/v1/failures?search=" + word).body; !strings.Contains(string(body), `"items":[]`) {
			s.t.Errorf("%s is found: %s", word, body)
		}
	}
}

// sentAsItIs are the columns of what is sent, which stays as it was handed over.
var sentAsItIs = map[string]string{"redrive.messages": "payload,headers", "redrive.edits": "payload,headers"}

// readsTables reads every column of every table but what is sent.
func (s *site) readsTables() {
	var tables []string
	s.must(s.store.Gorm.Raw("SELECT 'redrive.' || relname FROM pg_class WHERE relnamespace = 'redrive'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition").Scan(&tables).Error)
	if len(tables) < 50 {
		s.t.Errorf("%d tables", len(tables))
	}
	for _, table := range tables {
		var columns []string
		s.must(s.store.Gorm.Raw("SELECT DISTINCT c.name FROM "+table+" x, jsonb_each_text(to_jsonb(x) - string_to_array(?, ',')) AS c(name, content) WHERE c.content LIKE ANY (ARRAY[?, ?, ?, ?])",
			sentAsItIs[table], "%"+canaryWord+"%", "%"+canaryCard+"%", "%"+hex.EncodeToString([]byte(canaryWord))+"%", "%"+hex.EncodeToString([]byte(canaryCard))+"%").Scan(&columns).Error)
		if len(columns) > 0 {
			s.t.Errorf("%s has canaries in %v", table, columns)
		}
	}
}
