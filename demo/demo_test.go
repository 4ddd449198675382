package demo

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/delivery/config"
	"redrive/delivery/outbox"
	"redrive/store"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
)

func TestMain(m *testing.M) { storetest.Main(m) }

type harness struct {
	*testing.T
	shop    *Shop
	db      *pgx.Conn
	woken   chan struct{}
	offered chan delivery.Message
}

func start(t *testing.T, background bool) *harness {
	t.Helper()
	h := &harness{T: t, woken: make(chan struct{}, 100), offered: make(chan delivery.Message, 100)}
	dsn := storetest.New(t)
	var err error
	if h.db, err = pgx.Connect(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.db.Close(context.Background()) })
	db, err := store.Open(t.Context(), dsn, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	storetest.Relay(t, db, outbox.Config{Poll: 5 * time.Millisecond})
	h.exec(`INSERT INTO redrive.integrations (name, method, destination, subscribe) VALUES ('seller-push', 'outbox', 'http', '{order.placed}'),
		('grant-points', 'outbox', 'http', '{}'), ('search-index', 'outbox', 'http', '{article.published}'), ('login-sms', 'outbox', 'http', '{}')`)
	h.shop, err = New(t.Context(), Config{DSN: dsn, Background: background, Wake: func() { h.woken <- struct{}{} },
		Offer: func(_ context.Context, m delivery.Message) (delivery.Accepted, error) {
			h.offered <- m
			return delivery.Accepted{ID: "0198c0de-0000-7000-8000-000000000001"}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.shop.Close)
	return h
}

func (h *harness) exec(sql string) {
	h.Helper()
	if _, err := h.db.Exec(h.Context(), sql); err != nil {
		h.Fatal(err)
	}
}

func (h *harness) count(sql string, args ...any) (n int) {
	h.Helper()
	if err := h.db.QueryRow(h.Context(), sql, args...).Scan(&n); err != nil {
		h.Fatal(err)
	}
	return n
}

func (h *harness) eventually(complaint string, condition func() bool) {
	h.Helper()
	for deadline := time.Now().Add(patience.Limit); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.Fatal(complaint)
		}
	}
}

func (h *harness) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	h.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.shop.Handler().ServeHTTP(w, req)
	return w
}

const formType = "application/x-www-form-urlencoded"

func typed(r *room) url.Values {
	form := url.Values{}
	for _, f := range r.fields {
		form.Set(f.Name, "서울 12345 <b>")
		if f.Phone {
			form.Set(f.Name, "010-1234-5678")
		}
	}
	return form
}

func TestButtonsWriteRowAndMessage(t *testing.T) {
	h := start(t, false)
	for _, r := range outboxRooms {
		w := h.do("POST", r.Path(), typed(r).Encode(), "Content-Type", formType)
		_, id, _ := strings.Cut(w.Header().Get("Location"), "?sent=")
		if w.Code != http.StatusSeeOther || id == "" {
			t.Fatalf("%s: %d %s", r.path, w.Code, w.Body)
		}
		h.eventually(r.path+": no row with a message that waits for "+r.receiver, func() bool { // an event waits once it is fanned out
			return h.count(`SELECT count(*) FROM redrive_demo.`+r.table+` d JOIN redrive.messages m ON m.id = d.message_id
				JOIN redrive.queue q ON q.message_id = m.id WHERE m.id = $1 AND q.integration = $2`, id, r.receiver) == 1
		})
		if n := h.count(`SELECT count(*) FROM redrive_demo.` + r.table + ` d JOIN redrive.messages m ON m.id = d.message_id WHERE m.xid::xid = d.xmin`); n != 1 {
			t.Errorf("%s: row and message are of different transactions", r.path)
		}
		<-h.woken
		if page := h.do("GET", w.Header().Get("Location"), "").Body.String(); !strings.Contains(page, `href="/messages/`+id) || strings.Contains(page, "<b>") {
			t.Errorf("%s: no link to the message, or text that is not escaped", r.path)
		}
	}
	if n := h.count(`SELECT count(*) FROM redrive.messages WHERE expires_at BETWEEN now() + interval '1 minute' AND now() + interval '2 minutes'`); n != 1 {
		t.Errorf("%d messages expire, want the SMS alone", n)
	}
}

func TestNoRowWithoutMessage(t *testing.T) {
	h := start(t, false)
	h.exec(`DELETE FROM redrive.integrations`)
	for _, r := range []*room{outboxRooms[1], outboxRooms[3]} {
		w := h.do("POST", r.Path(), typed(r).Encode(), "Content-Type", formType)
		if n := h.count(`SELECT count(*) FROM redrive_demo.` + r.table); w.Code != http.StatusServiceUnavailable || n != 0 {
			t.Errorf("%s: %d and %d rows", r.path, w.Code, n)
		}
	}
	if len(h.woken) != 0 {
		t.Error("woken for nothing")
	}
}

func TestBadInputIsRefusedAndKept(t *testing.T) {
	h := start(t, false)
	for _, bad := range []string{"", "  ", "a\x00b", "a\xffb", strings.Repeat("가", 101)} {
		form := url.Values{"item": {bad}, "customer": {"Ada \"Q\""}, "address": {"1"}}
		w := h.do("POST", "/demo/shop", form.Encode(), "Content-Type", formType)
		if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "Ada &#34;Q&#34;") {
			t.Errorf("%.10q: %d", bad, w.Code)
		}
	}
	if w := h.do("POST", "/demo/login", "phone=call+me", "Content-Type", formType); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("a phone of letters: %d", w.Code)
	}
	if w := h.do("POST", "/demo/shop", typed(outboxRooms[0]).Encode(), "Content-Type", formType, "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
		t.Errorf("another site's form: %d", w.Code)
	}
	if n := h.count(`SELECT count(*) FROM redrive_demo.orders`); n != 0 {
		t.Errorf("%d orders", n)
	}
}

func TestKnobs(t *testing.T) {
	h := start(t, false)
	const r = "/demo/receivers/seller-push"
	for knobs, want := range map[string]int{`{"failure_percent":100}`: 500, `{"outage":true}`: 503, `{"refuse":true}`: 422,
		`{"retry_after_seconds":7}`: 429, `{"latency_ms":1}`: 200, `{}`: 200} {
		if w := h.do("PUT", r+"/knobs", knobs); w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", knobs, w.Code, w.Body)
		}
		w := h.do("POST", r+"/deliver", `{"address":"1"}`)
		if w.Code != want || (want == 429 && w.Header().Get("Retry-After") != "7") {
			t.Errorf("%s: %d, want %d", knobs, w.Code, want)
		}
	}
	for body, want := range map[string]int{`{"failure_percent":101}`: 422, `{"latency_ms":-1}`: 422, `{"odd":1}`: 400, `{`: 400, `{} {}`: 400} {
		if w := h.do("PUT", r+"/knobs", body); w.Code != want {
			t.Errorf("%s: %d, want %d", body, w.Code, want)
		}
	}
	h.do("PUT", r+"/knobs", `{}`)
	if w := h.do("POST", r+"/deliver", `{"address":"주소 미정"}`); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("an address without number: %d", w.Code)
	}
	h.do("PUT", r+"/knobs", `{"outage":true}`)
	if h.do("POST", r+"/repair", ""); h.shop.receivers["seller-push"].current() != (Knobs{}) {
		t.Error("not repaired")
	}
	if w := h.do("GET", "/demo/receivers/nobody", ""); w.Code != http.StatusNotFound {
		t.Errorf("unknown receiver: %d", w.Code)
	}
}

func TestDuplicatesAndBounds(t *testing.T) {
	h := start(t, false)
	for name, want := range map[string]int{"seller-push": 1, "search-index": 1, "grant-points": 250, "login-sms": 250} {
		for range 250 {
			h.do("POST", "/demo/receivers/"+name+"/deliver", `{"student":"a","address":"1"}`, "Idempotency-Key", "k1")
		}
		var s state
		if err := json.Unmarshal(h.do("GET", "/demo/receivers/"+name, "").Body.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if s.Effects != want || s.Requests != 250 || len(s.Received) != keepReceived || s.Received[0].Key != "k1" {
			t.Errorf("%s: %d effects, %d requests, %d kept", name, s.Effects, s.Requests, len(s.Received))
		}
		if name == "grant-points" && s.Points["a"] != 250*lessonPoints {
			t.Errorf("points: %v", s.Points)
		}
	}
}

func TestHangAndDropGiveNoAnswerButTakeEffect(t *testing.T) {
	h := start(t, false)
	server := httptest.NewServer(h.shop.Handler())
	defer server.Close()
	r := h.shop.receivers["grant-points"]
	for _, k := range []Knobs{{Hang: true}, {DropPercent: 100}} {
		r.set(k)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		req, _ := http.NewRequestWithContext(ctx, "POST", server.URL+"/demo/receivers/grant-points/deliver", strings.NewReader(`{"student":"a"}`))
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			t.Errorf("%+v answered %d", k, res.StatusCode)
		}
		cancel()
	}
	if s := r.state(); s.Effects != 2 || s.Points["a"] != 2*lessonPoints {
		t.Errorf("got %+v", s)
	}
}

func TestIntegrationsFileParses(t *testing.T) {
	for _, capture := range []bool{true, false} {
		f, err := config.Parse("demo/integrations.yaml", Integrations("http://127.0.0.1:8080", "/tmp", Brokers{}, capture), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		if in := f.Integrations[2]; in.Name != "search-index" || (in.Method == delivery.MethodCDC) != capture || (len(in.Subscribe) == 1) == capture {
			t.Errorf("capture %v: %+v", capture, in)
		}
	}
	for _, brokers := range []Brokers{{}, {Redis: "127.0.0.1:6379", RabbitMQ: "amqp://guest:guest@127.0.0.1:5672/", Kafka: "127.0.0.1:9092,127.0.0.1:9093"}} {
		f, err := config.Parse("demo/integrations.yaml", Integrations("http://127.0.0.1:8080", `/tmp/a "b"`, brokers, true), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		want := append([]*room{&poolRoom}, outboxRooms...)
		for _, name := range brokers.given() {
			r := brokerRooms[name]
			want = append(want, &r)
		}
		urls := map[string]string{}
		for _, in := range f.Integrations {
			if in.Batch == nil {
				urls[in.Name] = in.Destination.To.(*delivery.HTTPDestination).URL
			} else if in.Destination.To.(*delivery.FileDestination).Dir != `/tmp/a "b"` {
				t.Errorf("files go to %s", in.Destination.To.(*delivery.FileDestination).Dir)
			}
		}
		for _, r := range want {
			if urls[r.receiver] != "http://127.0.0.1:8080/demo/receivers/"+r.receiver+"/deliver" {
				t.Errorf("%s goes to %s", r.receiver, urls[r.receiver])
			}
		}
		if len(urls) != len(want) {
			t.Errorf("%d integrations for %d rooms", len(urls), len(want))
		}
	}
}

func TestTheSchoolShowsTheFilesOfItsPoints(t *testing.T) {
	h := start(t, false)
	h.shop.config.Files = t.TempDir()
	for name, content := range map[string]string{"points-file_2026-01-31_1.csv": "id,student\r\n1,<kim>\r\n", ".part.csv": "x", "points-file_2026-01-31_1.csv.manifest.json": "{}"} {
		if err := os.WriteFile(h.shop.config.Files+"/"+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	page := h.do("GET", "/demo/school", "").Body.String()
	for text, want := range map[string]int{"points-file_2026-01-31_1.csv</td>": 1, "1,&lt;kim&gt;": 1, "/integrations/points-file/runs": 1, ".part.csv": 0, "manifest": 0} {
		if n := strings.Count(page, text); n != want {
			t.Errorf("%s stands there %d times", text, n)
		}
	}
	if page := h.do("GET", "/demo/shop", "").Body.String(); strings.Contains(page, "points-file") {
		t.Error("the shop shows the school's files")
	}
}

// Where changes of the table are read, the program writes its row and nothing else.
func TestACapturedArticleIsOnlyARow(t *testing.T) {
	h := start(t, false)
	shop, err := New(t.Context(), Config{DSN: h.db.Config().ConnString(), Capture: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shop.Close)
	h.shop = shop
	content := shop.rooms[2]
	w := h.do("POST", content.Path(), typed(content).Encode(), "Content-Type", formType)
	if w.Code != http.StatusSeeOther || h.count(`SELECT count(*) FROM redrive_demo.articles`) != 1 || h.count(`SELECT count(*) FROM redrive.messages`) != 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if body := h.do("GET", w.Header().Get("Location"), "").Body.String(); !strings.Contains(body, "Article published. Only its row was written") {
		t.Error(body)
	}
}

func TestTheSignUpIsHandedOverAfterTheCommit(t *testing.T) {
	h := start(t, false)
	w := h.do("POST", poolRoom.Path(), typed(&poolRoom).Encode(), "Content-Type", formType)
	if w.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	m := <-h.offered
	if n := h.count(`SELECT count(*) FROM redrive_demo.members WHERE 'member-' || id = $1`, m.Key); n != 1 || m.Integration != "welcome-mail" || m.Kind != delivery.KindCommand {
		t.Errorf("offered %+v, %d rows", m, n)
	}
	h.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END';
		CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON redrive_demo.members DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`)
	if w := h.do("POST", poolRoom.Path(), typed(&poolRoom).Encode(), "Content-Type", formType); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a commit that fails: %d", w.Code)
	}
	if len(h.offered) != 0 {
		t.Error("a member that does not exist was told of")
	}
}

func TestPagesHoldNoInlineCode(t *testing.T) {
	h := start(t, true)
	for _, path := range []string{"/demo", "/demo/", "/demo/shop", "/demo/school", "/demo/content", "/demo/login", "/demo/receivers"} {
		w := h.do("GET", path, "")
		body := w.Body.String()
		if w.Code != http.StatusOK || !strings.Contains(body, "</html>") {
			t.Errorf("%s: %d", path, w.Code)
		}
		for _, bad := range []string{"<script", "<style", "style=", "onclick", "javascript:"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s has %s", path, bad)
			}
		}
	}
	if w := h.do("GET", "/demo/style.css", ""); w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/css") {
		t.Errorf("style: %d", w.Code)
	}
}

func TestRunMakesWorkAndStops(t *testing.T) {
	h := start(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.shop.Run(ctx) }()
	<-h.woken
	<-h.woken
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestPruneKeepsTheLatest(t *testing.T) {
	h := start(t, false)
	h.exec(`INSERT INTO redrive_demo.lessons (student, lesson) SELECT 's', 'l' FROM generate_series(1, 10007)`)
	if err := h.shop.prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := h.count(`SELECT count(*) FROM redrive_demo.lessons WHERE id > 7`); n != keepRows || n != h.count(`SELECT count(*) FROM redrive_demo.lessons`) {
		t.Errorf("%d rows", n)
	}
}
