package handlers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redrive/delivery"
	_ "redrive/delivery/kinds" // tells which destinations there are
	"redrive/delivery/seal"
	"redrive/handlers/web"
	"redrive/store"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
)

// site is the whole web server on a database of its own, with a token for each role.
type site struct {
	*Server
	t     *testing.T
	store *store.Store
	url   string
	woken atomic.Int32
	log   *lockedWriter

	leased map[string]delivery.Claimed // by confirm
}

// integrations of the tests: "push" hides nothing, "sms" hides the code and the phone number.
func testIntegrations() []delivery.Integration {
	to := delivery.Destination{To: &delivery.HTTPDestination{URL: "http://user:secret@127.0.0.1:1/x?token=1"}}
	return []delivery.Integration{
		{Name: "push", Description: "Tell the seller", Method: delivery.MethodOutbox, Subscribe: []string{"order.placed"}, Destination: to},
		{Name: "sms", Method: delivery.MethodOutbox, Subscribe: []string{"code.requested"}, Destination: to, Mask: []string{"$.code", "$.to[*].phone"}},
	}
}

func newSite(t *testing.T, change ...func(*web.Config)) *site {
	t.Helper()
	s := siteOn(t, storetest.New(t), change...)
	for _, role := range delivery.Roles {
		sum := sha256.Sum256([]byte(role))
		_, err := s.store.CreateToken(t.Context(), delivery.Token{Name: "ci-" + string(role), Role: role}, sum[:], "setup")
		s.must(err)
	}
	return s
}

// siteOn is the same on a database that is there, without tokens.
func siteOn(t *testing.T, dsn string, change ...func(*web.Config)) *site {
	t.Helper()
	s := &site{t: t, log: &lockedWriter{}}
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	db, err := store.Open(t.Context(), dsn, log)
	s.must(err)
	t.Cleanup(db.Close)
	db.SetPatience(patience.Limit)
	s.store = db
	db.UseKeys(seal.Of(seal.New()))
	s.must(db.SyncIntegrations(t.Context(), testIntegrations()))
	cfg := web.Config{Integrations: testIntegrations(), Wake: func() { s.woken.Add(1) }, Log: log, Version: "test"}
	for _, c := range change {
		c(&cfg)
	}
	s.Server, err = New(db, cfg)
	s.must(err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Handler().ServeHTTP(dated{w, r, t}, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// dated lets no time through that is none: pages, the API and the streams leave it out.
type dated struct {
	http.ResponseWriter
	r *http.Request
	t *testing.T
}

// Write looks for it in one piece: no answer is flushed within a time. What is compressed is looked at where it is read.
func (d dated) Write(p []byte) (int, error) {
	checkTimes(d.t, d.r, p)
	return d.ResponseWriter.Write(p)
}

func checkTimes(t *testing.T, r *http.Request, body []byte) {
	if bytes.Contains(body, []byte("0001-01-01")) {
		t.Errorf("%s %s shows a time that is none: %s", r.Method, r.URL, body)
	}
}

// Unwrap lets streams flush.
func (d dated) Unwrap() http.ResponseWriter { return d.ResponseWriter }

// lockedWriter lets requests in flight log into one buffer.
type lockedWriter struct {
	mu sync.Mutex
	w  bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (l *lockedWriter) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.String()
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// answer is a response that was read to its end.
type answer struct {
	*http.Response
	body []byte
}

// send makes a request as the token of that role ("" for none); headers are pairs of name and value.
func (s *site) send(role, method, path, body string, headers ...string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	s.must(err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if role != "" {
		r.Header.Set("Authorization", "Bearer "+role)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	s.must(err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	s.must(err)
	a := answer{Response: response, body: raw}
	described, err := documented()
	s.must(err)
	described.check(s.t, a)
	checkTimes(s.t, r, raw)
	return a
}

func (s *site) get(path string) answer {
	s.t.Helper()
	return s.send("viewer", http.MethodGet, path, "")
}

func (s *site) post(path, body string) answer {
	s.t.Helper()
	return s.send("operator", http.MethodPost, path, body)
}

// read decodes an answer that must have that status.
func read[T any](s *site, a answer, status int) (v T) {
	s.t.Helper()
	if a.StatusCode != status {
		s.t.Fatalf("%s %s: status %d, want %d: %s", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, a.body)
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		s.t.Fatalf("%v in %s", err, a.body)
	}
	return v
}

// wants checks that an answer is a problem with that status and code.
func (s *site) wants(what string, a answer, status int, code string) web.Problem {
	s.t.Helper()
	var p web.Problem
	err := json.Unmarshal(a.body, &p)
	if err != nil || a.StatusCode != status || p.Code != code || p.Status != status || a.Header.Get("Content-Type") != web.ProblemType {
		s.t.Errorf("%s: status %d code %q (%s), want %d %s: %s", what, a.StatusCode, p.Code, a.Header.Get("Content-Type"), status, code, a.body)
	}
	if err == nil && (p.Detail == "" || p.RequestID == "" || p.RequestID != a.Header.Get("X-Request-Id") || p.Title == "") {
		s.t.Errorf("%s: no detail, title or request id: %s", what, a.body)
	}
	return p
}

// fail hands over a message and lets its first attempt fail for good; it answers the delivery's id.
func (s *site) fail(m delivery.Message, response string) string {
	s.t.Helper()
	if m.Kind == "" {
		m.Kind = delivery.KindCommand
	}
	if m.Type == "" {
		m.Type = "test"
	}
	a, err := s.store.Accept(s.t.Context(), m)
	s.must(err)
	s.engine(a.Deliveries[0].ID, m.Integration, delivery.StateDead, delivery.Result{Outcome: delivery.OutcomePermanent,
		ErrorClass: delivery.ClassHTTP4xx, Error: "the receiver answered 404", HTTPStatus: 404, Response: []byte(response)})
	return a.Deliveries[0].ID
}

// engine does one attempt on the delivery, which must be the only one that is due.
func (s *site) engine(id, integration string, next delivery.State, result delivery.Result) {
	s.t.Helper()
	claimed, err := s.store.Claim(context.Background(), "test", []delivery.Quota{{Integration: integration, Limit: 10, Lease: time.Minute}})
	s.must(err)
	if len(claimed) != 1 || claimed[0].DeliveryID != id {
		s.t.Fatalf("claimed %+v, want %s", claimed, id)
	}
	_, err = s.store.Complete(context.Background(), []delivery.Completion{claimed[0].Completed(result, next, time.Now(), 12*time.Millisecond)})
	s.must(err)
}

func unbase64(t *testing.T, text *string) []byte {
	t.Helper()
	if text == nil {
		t.Fatal("no base64")
	}
	raw, err := base64.StdEncoding.DecodeString(*text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
