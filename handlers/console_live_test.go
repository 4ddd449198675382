package handlers

import (
	"bufio"
	"context"
	"crypto/sha256"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/store/storetest/patience"
	"redrive/views"
)

// events is an open stream, read line by line.
type events struct {
	t     *testing.T
	lines chan string // closed at the end
	close context.CancelFunc
}

func (b *browser) listen(base, path string) (*events, *http.Response) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	b.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	b.must(err)
	r.Header.Set("Accept", "text/event-stream")
	response, err := b.client.Do(r)
	b.must(err)
	b.t.Cleanup(func() { _ = response.Body.Close() })
	e := &events{t: b.t, lines: make(chan string, 1000), close: cancel}
	go func() {
		defer close(e.lines)
		for in := bufio.NewScanner(response.Body); in.Scan(); {
			e.lines <- in.Text()
		}
	}()
	return e, response
}

// await returns the next line that begins so; ok is false when the stream ends before.
func (e *events) await(beginning string) (line string, ok bool) {
	e.t.Helper()
	deadline := time.After(patience.Limit)
	for {
		select {
		case line, ok := <-e.lines:
			if !ok || strings.HasPrefix(line, beginning) {
				return line, ok
			}
		case <-deadline:
			e.t.Fatalf("no line %q came, and no end", beginning)
		}
	}
}

func TestNewFailuresAnnounceThemselves(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleViewer)
	live := views.FailuresSince(views.FailuresLive, delivery.Filter{Integrations: []string{"push"}}, time.Now())
	stream, response := b.listen(s.url, live)
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" || response.Header.Get("Set-Cookie") != "" {
		t.Errorf("%v", response.Header)
	}
	stream.await(": hello")
	s.fail(delivery.Message{Integration: "sms", Payload: []byte("{}")}, "") // is not listened to
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	if line, _ := stream.await("data:"); line != `data: {"text":"1 new – show"}` {
		t.Error(line)
	}
	b.shows(b.open(strings.Replace(live, views.FailuresLive, views.FailuresNews, 1)), http.StatusOK, `{"text":"1 new – show"}`)
	_, err := s.store.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionResolve, ID: id, Actor: "bob", Reason: "done"})
	s.must(err)
	if line, _ := stream.await("data:"); line != `data: {"text":""}` {
		t.Error(line)
	}
	b.shows(b.open(views.FailuresLive+"?color=red"), http.StatusBadRequest)
}

func TestStreamsEndWithTheProgram(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleViewer)
	stream, _ := b.listen(s.url, views.FailuresLive)
	stream.await(": hello")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx, t.Context()) }()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if line, ok := stream.await("never"); ok {
		t.Error(line)
	}
	late := b.open(views.FailuresLive)
	if late.StatusCode != http.StatusServiceUnavailable || late.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v", late.StatusCode, late.Header)
	}
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	s := newSite(t, func(c *Config) { c.LiveBeat = 20 * time.Millisecond })
	b := s.signedIn("alice", delivery.RoleViewer)
	other := s.signedIn("bob", delivery.RoleViewer)
	stream, _ := b.listen(s.url, views.FailuresLive)
	kept, _ := other.listen(s.url, views.FailuresLive)
	stream.await(": beat")
	b.submit("/sign-out")
	if line, ok := stream.await("never"); ok {
		t.Error(line)
	}
	if _, ok := kept.await(": beat"); !ok {
		t.Error("the other stream ended as well")
	}
	robot := "robot"
	sum := sha256.Sum256([]byte(robot))
	token, err := s.store.CreateToken(t.Context(), delivery.Token{Name: robot, Role: delivery.RoleViewer}, sum[:], "setup")
	s.must(err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+views.FailuresLive, nil)
	s.must(err)
	r.Header.Set("Authorization", "Bearer "+robot)
	watched, err := http.DefaultClient.Do(r)
	s.must(err)
	defer watched.Body.Close()
	s.person("root", delivery.RoleAdmin)
	s.ends(s.operatorNow("bob"), "disabled")
	if line, ok := kept.await("never"); ok {
		t.Error(line)
	}
	s.must(s.store.RevokeToken(t.Context(), token.ID, "setup"))
	if _, err := io.Copy(io.Discard, watched.Body); err != nil { // until it ends
		t.Error(err)
	}
}

// The server's limits are for requests that end; a stream has its own.
func TestAStreamOutlivesTheServersLimits(t *testing.T) {
	s := newSite(t, func(c *Config) { c.LiveBeat = 50 * time.Millisecond })
	b := s.signedIn("alice", delivery.RoleViewer)
	server := httptest.NewUnstartedServer(s.Handler())
	server.Config.ReadTimeout, server.Config.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	stream, _ := b.listen(server.URL, views.FailuresLive)
	for n := range 12 {
		if _, ok := stream.await(": beat"); !ok {
			t.Fatalf("cut off after %d beats", n)
		}
	}
	stream.close()
}
