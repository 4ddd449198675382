package filesend

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// got is a request that arrived.
type got struct {
	method, uri string
	header      http.Header
	length      int64
	body        string
	err         error
}

func receiver(t *testing.T, status int) (url string, arrived func() []got) {
	t.Helper()
	var mu sync.Mutex
	var all []got
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, got{r.Method, r.RequestURI, r.Header, r.ContentLength, string(body), err})
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []got {
		server.CloseClientConnections()
		server.Close() // waits for the handlers
		return all
	}
}

func digestOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

func TestUploads(t *testing.T) {
	const content = "a,b\r\n1,2\r\n"
	spaced := "points & more_7.csv"
	f := describe(spaced, []byte(content))
	url, arrived := receiver(t, http.StatusCreated)
	d := delivery.FileDestination{Manifest: true, Upload: &delivery.HTTPDestination{URL: url + "/in/{name}?as={name}", Method: http.MethodPut,
		Headers: map[string]string{"Authorization": "Bearer b"}}}
	expect(t, newSender(t, d, keep(f.ID, []byte(content))).Send(t.Context(), request(f, 2)), delivery.OutcomeOK, "")
	all := arrived()
	if len(all) != 2 {
		t.Fatalf("%d requests", len(all))
	}
	file, about := all[0], all[1]
	const escaped = "points%20%26%20more_7.csv"
	if file.method != "PUT" || file.uri != "/in/"+escaped+"?as="+escaped || file.body != content || file.length != int64(len(content)) {
		t.Errorf("%s %s, %d bytes: %q", file.method, file.uri, file.length, file.body)
	}
	for name, want := range map[string]string{"Idempotency-Key": "key-" + spaced, "Content-Digest": digestOf(content), "Content-Type": "text/csv",
		"Redrive-Attempt": "2", "Redrive-Integration": "points", "Redrive-File": escaped, "Redrive-Sequence": "7", "Redrive-Rows": "3", "Redrive-Business-Date": "2026-11-25", "Authorization": "Bearer b"} {
		if got := file.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if !strings.HasPrefix(about.uri, "/in/"+escaped+".manifest.json") || about.body != string(manifestOf(f)) || about.header.Get("Content-Type") != "application/json" ||
		about.header.Get("Idempotency-Key") == file.header.Get("Idempotency-Key") || about.header.Get("Content-Digest") != digestOf(about.body) {
		t.Errorf("the manifest: %+v", about)
	}
}

func TestAnUploadOfWrongBytesIsNeverComplete(t *testing.T) {
	content := noise(200_000)
	f := describe(name, content)
	flipped := append([]byte(nil), content...)
	flipped[0] ^= 1
	url, arrived := receiver(t, http.StatusOK)
	d := delivery.FileDestination{Upload: &delivery.HTTPDestination{URL: url}}
	for _, stored := range [][]byte{flipped, content[1:], append(content[:len(content):len(content)], 1)} {
		expect(t, newSender(t, d, keep(f.ID, stored)).Send(t.Context(), request(f, 1)), delivery.OutcomePermanent, delivery.ClassCorrupt)
	}
	expect(t, newSender(t, d, keep("another", nil)).Send(t.Context(), request(f, 1)), delivery.OutcomePermanent, delivery.ClassSource)
	for _, r := range arrived() {
		if r.err == nil {
			t.Errorf("a request of %d bytes arrived whole", len(r.body))
		}
	}
}

// An answer before the body is judged as such when it is a refusal; a confirmation of what was not sent is none.
func TestEarlyAnswers(t *testing.T) {
	content := noise(8 << 20)
	f := describe(name, content)
	for status, want := range map[int]delivery.Result{http.StatusRequestEntityTooLarge: permanent(delivery.ClassHTTP4xx, ""), http.StatusServiceUnavailable: transient(delivery.ClassHTTP5xx, ""),
		http.StatusOK: {Outcome: delivery.OutcomeUnknown, ErrorClass: delivery.ClassProtocol}} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		d := delivery.FileDestination{Upload: &delivery.HTTPDestination{URL: server.URL}}
		slow := keep(f.ID, content)
		slow.reads = func() { time.Sleep(time.Millisecond) } // not waiting for anything: the file takes longer than the answer
		expect(t, newSender(t, d, slow).Send(t.Context(), request(f, 1)), want.Outcome, want.ErrorClass)
		server.Close()
	}
}

func TestUploadsThatCannotBe(t *testing.T) {
	for _, d := range []delivery.FileDestination{{Upload: &delivery.HTTPDestination{URL: "http://h/", Secret: "x"}}, {Manifest: true, Upload: &delivery.HTTPDestination{URL: "http://h/in"}},
		{Upload: &delivery.HTTPDestination{URL: "h"}}, {}} {
		if s, err := New(d, keep("", nil), wire.Dialer{}); err == nil {
			t.Errorf("%+v is taken: %v", d, s)
		}
	}
	own := delivery.FileDestination{Upload: &delivery.HTTPDestination{URL: "http://h/", Headers: map[string]string{"content-type": "text/x"}}}
	s, err := New(own, keep("", nil), wire.Dialer{})
	if err != nil {
		t.Fatal(err)
	}
	if header := s.(*Upload).header(delivery.BatchFile{}, item{name: name}); header[contentType] != "" {
		t.Error("the destination's own content type is replaced")
	}
}
