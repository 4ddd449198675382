package store_test

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/engine"
	"redrive/store"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
)

var _ engine.Store = (*store.Store)(nil)

func TestMain(m *testing.M) { storetest.Main(m) }

// desk is a store with two integrations: "push" drops duplicates and subscribes to order.placed, "sms" does neither.
type desk struct {
	*store.Store
	t   *testing.T
	dsn string
}

func open(t *testing.T) desk {
	t.Helper()
	dsn := storetest.New(t)
	s, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.SetPatience(patience.Limit)
	d := desk{Store: s, t: t, dsn: dsn}
	d.must(s.SyncIntegrations(t.Context(), []delivery.Integration{integration("push", "order.placed"), integration("sms")}))
	return d
}

func integration(name string, subscribe ...string) delivery.Integration {
	return delivery.Integration{Name: name, Method: delivery.MethodOutbox, Subscribe: subscribe, Concurrency: 4,
		Destination: delivery.Destination{To: &delivery.HTTPDestination{URL: "http://user:secret@127.0.0.1:1/x?token=1"}}}
}

func (d desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// sql runs a statement as another program would.
func (d desk) sql(statement string, args ...any) error {
	d.t.Helper()
	_, err := storetest.Session(d.t, d.dsn).Exec(d.t.Context(), statement, args...)
	return err
}

// endOthers ends all other sessions of the database and waits until they are gone.
func (d desk) endOthers() {
	d.t.Helper()
	const others = "FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
	d.must(d.sql("SELECT pg_terminate_backend(pid) " + others))
	d.eventually("other sessions remain", func() bool { return value[int](d, "SELECT count(*) "+others) == 0 })
	d.must(d.sql("SELECT pg_stat_force_next_flush()")) // what this session did itself, say while it waited, is told too
}

func value[T any](d desk, query string, args ...any) (v T) {
	d.t.Helper()
	d.must(storetest.Session(d.t, d.dsn).QueryRow(d.t.Context(), query, args...).Scan(&v))
	return v
}

func (d desk) accept(m delivery.Message) delivery.Accepted {
	d.t.Helper()
	if m.Kind == "" {
		m.Kind = delivery.KindCommand
	}
	if m.Type == "" {
		m.Type = "test"
	}
	if m.Kind == delivery.KindCommand && m.Integration == "" {
		m.Integration = "push"
	}
	a, err := d.Accept(d.t.Context(), m)
	d.must(err)
	return a
}

func (d desk) claim(integration string, limit int, lease time.Duration) []delivery.Claimed {
	d.t.Helper()
	claimed, err := d.Claim(d.t.Context(), "worker", []delivery.Quota{{Integration: integration, Limit: limit, Lease: lease}})
	d.must(err)
	return claimed
}

func (d desk) claimOne(integration string) delivery.Claimed {
	d.t.Helper()
	claimed := d.claim(integration, 1, time.Minute)
	if len(claimed) != 1 {
		d.t.Fatalf("claimed %d deliveries, want 1", len(claimed))
	}
	return claimed[0]
}

// completion is what the engine would write about a claim.
func completion(c delivery.Claimed, r delivery.Result, next delivery.State) delivery.Completion {
	return c.Completed(r, next, time.Now(), 12*time.Millisecond)
}

var (
	confirmed = delivery.Result{Outcome: delivery.OutcomeOK, HTTPStatus: 200}
	answered  = delivery.Result{Outcome: delivery.OutcomeTransient, ErrorClass: delivery.ClassHTTP5xx, Error: "the receiver answered 503",
		HTTPStatus: 503, Response: []byte("no\x00\xff")}
)

func (d desk) complete(done ...delivery.Completion) (late int) {
	d.t.Helper()
	late, err := d.Complete(d.t.Context(), done)
	d.must(err)
	return late
}

// dead makes a dead letter and returns it.
func (d desk) dead(m delivery.Message) delivery.Detail {
	d.t.Helper()
	a := d.accept(m)
	c := d.claimOne(a.Deliveries[0].Integration)
	d.complete(completion(c, answered, delivery.StateDead))
	return d.read(c.DeliveryID)
}

func (d desk) read(id string) delivery.Detail {
	d.t.Helper()
	detail, err := d.Delivery(d.t.Context(), id)
	d.must(err)
	return detail
}

func (d desk) act(a delivery.ActionRequest) delivery.Delivery {
	d.t.Helper()
	if a.Actor == "" {
		a.Actor = "ann"
	}
	after, err := d.Act(d.t.Context(), a)
	d.must(err)
	return after
}

func inputCode(t *testing.T, err error) string {
	t.Helper()
	var input *delivery.InputError
	if !errors.As(err, &input) {
		t.Fatalf("got %v, want an input error", err)
	}
	return input.Code
}

func numbered(n int) delivery.Message { return delivery.Message{Payload: fmt.Appendf(nil, "%d", n)} }
