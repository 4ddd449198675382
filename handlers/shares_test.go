package handlers

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/store/storetest/patience"
	"redrive/views"
)

// slow makes every look at saved views wait until it is called.
func (s *site) slow() (release func()) {
	s.t.Helper()
	conn, err := pgx.ConnectConfig(context.Background(), s.store.Config)
	s.must(err)
	_, err = conn.Exec(context.Background(), "BEGIN; LOCK TABLE redrive.saved_views IN ACCESS EXCLUSIVE MODE")
	s.must(err)
	release = sync.OnceFunc(func() { _ = conn.Close(context.Background()) })
	timer := time.AfterFunc(patience.Limit, func() { // and nothing hangs
		s.t.Error("something waited for the looks that should not")
		release()
	})
	s.t.Cleanup(func() { timer.Stop(); release() })
	return release
}

// looks sends requests for saved views that wait, and returns when as many wait in the database; all of them have their answers after end.
func (s *site) looks(all *sync.WaitGroup, n, waiting int, role string) {
	s.t.Helper()
	for range n {
		all.Go(func() {
			if a := s.send(role, http.MethodGet, "/api/v1/views", ""); a.StatusCode != http.StatusOK {
				s.t.Errorf("a slow look got %d: %s", a.StatusCode, a.body)
			}
		})
	}
	conn, err := pgx.ConnectConfig(s.t.Context(), s.store.Config)
	s.must(err)
	defer conn.Close(context.Background())
	patience.Until(s.t, fmt.Sprintf("%d looks wait", waiting), func() bool {
		var count int
		s.must(conn.QueryRow(s.t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&count))
		return count >= waiting
	})
}

// Slow looks take the connections that people have, and a person's those that one has: deliveries go on, and so do others.
func TestWhoLooksAtMuchHoldsUpNoDeliveryAndNobodyElse(t *testing.T) {
	s := newSite(t)
	s.send("operator", http.MethodPost, "/api/v1/messages", `{"integration": "push", "type": "t", "payload": 1}`)
	release := s.slow()
	var all sync.WaitGroup
	defer all.Wait()
	defer release()
	s.looks(&all, 4, 4, "viewer")
	refused := s.send("viewer", http.MethodGet, "/api/v1/groups", "")
	if refused.StatusCode != http.StatusTooManyRequests || refused.Header.Get("Retry-After") == "" {
		t.Errorf("a fifth look at once: %d %v", refused.StatusCode, refused.Header)
	}
	s.wants("a fifth look", refused, http.StatusTooManyRequests, "too_many_requests")
	if other := s.send("operator", http.MethodGet, "/api/v1/groups", ""); other.StatusCode != http.StatusOK {
		t.Errorf("somebody else gets %d: %s", other.StatusCode, other.body)
	}
	for n, role := range []string{"operator", "on-call", "reviewer", "auditor", "admin"} {
		s.looks(&all, 4, min(4*n+8, 12), role) // all that people have, and more than the engine has
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience.Limit)
	defer cancel()
	claimed, err := s.store.Claim(ctx, "worker", []delivery.Quota{{Integration: "push", Limit: 1, Lease: time.Minute}})
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %d: %v", len(claimed), err)
	}
	if a := s.send("operator", http.MethodPost, "/api/v1/messages", `{"integration": "push", "type": "t", "payload": 2}`); a.StatusCode != http.StatusAccepted {
		t.Errorf("a producer gets %d: %s", a.StatusCode, a.body)
	}
}

func TestOnePersonCannotTakeAllStreams(t *testing.T) {
	s := newSite(t)
	alice, bob := s.signedIn("alice", delivery.RoleViewer), s.signedIn("bob", delivery.RoleViewer)
	for range 10 {
		stream, _ := alice.listen(s.url, views.FailuresLive)
		stream.await(": hello")
	}
	if _, late := alice.listen(s.url, views.FailuresLive); late.StatusCode != http.StatusTooManyRequests || late.Header.Get("Retry-After") == "" {
		t.Errorf("an eleventh stream: %d %v", late.StatusCode, late.Header)
	}
	stream, _ := bob.listen(s.url, views.FailuresLive)
	stream.await(": hello")
	alice.shows(alice.open(views.Overview), http.StatusOK)
}
