package desk_test

import (
	"log/slog"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/store"
	"redrive/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// A new decision is one row: the store needs no other word about it.
func TestTheStoreCarriesOutAnyRow(t *testing.T) {
	dsn := storetest.New(t)
	s, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	session := storetest.Session(t, dsn)
	var id string
	if err := session.QueryRow(t.Context(), `INSERT INTO redrive.deliveries (id, message_id, integration, state, created_at, failed_at, dead_at)
		VALUES (redrive.new_id(), redrive.new_id(), 'push', 'dead', now(), now(), now()) RETURNING id::text`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	row := delivery.Transition{Action: "shelve", From: []delivery.State{delivery.StateDead}, To: delivery.StateIgnored, FreesLane: true}
	if err := s.Decide(t.Context(), id, "ann", row); err != nil {
		t.Fatal(err)
	}
	var left string
	if err := session.QueryRow(t.Context(), `SELECT concat_ws(' ', r.state, r.version, r.settled_at = f.acted_at, f.action, f.actor, a.action, a.details->>'from', a.details->>'to')
		FROM redrive.deliveries r JOIN redrive.failure_details f ON f.delivery_id = r.id JOIN redrive.audit a ON a.subject = r.id::text`).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if want := "ignored 2 t shelve ann delivery.shelve dead ignored"; left != want {
		t.Errorf("left %q, want %q", left, want)
	}
	if err := s.Decide(t.Context(), id, "bob", row); err == nil || !strings.Contains(err.Error(), "action=shelve actor=ann") {
		t.Errorf("the second: %v", err)
	}
}
