package store_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/store"
)

// rival is another program's transaction. It never finds out about a deadlock: Postgres always ends the other one.
type rival struct {
	d    desk
	conn *pgx.Conn
	pid  uint32
}

func (d desk) rival() rival {
	d.t.Helper()
	conn, err := pgx.Connect(d.t.Context(), d.dsn)
	d.must(err)
	d.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	r := rival{d: d, conn: conn, pid: conn.PgConn().PID()}
	r.does("BEGIN")
	r.does("SET LOCAL deadlock_timeout = '1h'")
	return r
}

func (r rival) does(statement string, args ...any) {
	r.d.t.Helper()
	_, err := r.conn.Exec(r.d.t.Context(), statement, args...)
	r.d.must(err)
}

// wants begins a statement and comes back when it waits.
func (r rival) wants(statement string, args ...any) <-chan error {
	r.d.t.Helper()
	got := make(chan error, 1)
	go func() {
		_, err := r.conn.Exec(r.d.t.Context(), statement, args...)
		got <- err
	}()
	await(r.d.t, func() bool { return value[bool](r.d, "SELECT cardinality(pg_blocking_pids($1)) > 0", r.pid) })
	return got
}

// hinders comes back when somebody waits for it, or has done with it.
func (r rival) hinders(done <-chan error) {
	r.d.t.Helper()
	await(r.d.t, func() bool {
		return len(done) > 0 || value[bool](r.d, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid)))", r.pid)
	})
}

// deadlocked has one rival stop work in its middle, when it holds what a second one wants, and lets it go on to what that one holds.
// The second gets what it wants only when work's transaction is rolled back. Then it goes away.
func (d desk) deadlocked(middle, held, wanted string, args []any, work func() error) {
	d.t.Helper()
	stops, other := d.rival(), d.rival()
	stops.does(middle, args...)
	other.does(held)
	done := make(chan error, 1)
	go func() { done <- work() }()
	stops.hinders(done)
	got := other.wants(wanted, args...)
	stops.does("ROLLBACK")
	d.must(<-got)
	other.hinders(done) // who was rolled back is at it again
	other.does("ROLLBACK")
	if err := <-done; err != nil {
		d.t.Error(err)
	}
}

func TestADeadlockIsNotThePersonsBusiness(t *testing.T) {
	const (
		detail = "SELECT FROM redrive.failure_details WHERE delivery_id = $1 FOR UPDATE"
		record = "SELECT FROM redrive.deliveries WHERE id = $1 FOR UPDATE"
		audit  = "INSERT INTO redrive.audit (actor, action, subject_type, subject) VALUES ('eve', 'x', 'x', 'x')"
	)
	yes := true
	for name, c := range map[string]struct {
		middle, held, wanted string
		action               string // as it is audited
		work                 func(d desk, id string) error
	}{
		"act": {detail, audit, record, "delivery.resolve", func(d desk, id string) error {
			_, err := d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionResolve, ID: id, Actor: "ann", Reason: "r",
				Token: "0190a0a0-0000-7000-8000-00000000000a"})
			return err
		}},
		"edit": {detail, audit, record, "delivery.edit", func(d desk, id string) error {
			_, err := d.Edit(t.Context(), delivery.EditRequest{ID: id, Payload: []byte("2"), Actor: "ann", Reason: "r"})
			return err
		}},
		"redirect into a new lane": {detail, "INSERT INTO redrive.lanes (integration, key, head, next) VALUES ('pay', 'k', gen_random_uuid(), 1)",
			"SELECT FROM redrive.lanes WHERE head = $1 FOR UPDATE", "delivery.redirect", func(d desk, id string) error { _, err := d.redirect(id, "pay"); return err }},
		"case": {"SELECT FROM redrive.cases WHERE delivery_id = $1 FOR UPDATE", audit, record, "case.change", func(d desk, id string) error {
			_, err := d.ChangeCase(t.Context(), delivery.CaseChange{ID: id, Version: -1, Actor: "ann", Acknowledge: &yes})
			return err
		}},
		"operation": {"SELECT $1::uuid FROM (SELECT pg_advisory_xact_lock(7)) x", audit, "INSERT INTO redrive.operations (id, action, actor) VALUES ($1, 'retry', 'eve')",
			"operation.start", func(d desk, id string) error {
				o, err := d.StartOperation(t.Context(), delivery.OperationRequest{ID: id, Action: delivery.ActionRetry, Filter: &delivery.Filter{}, Actor: "ann"})
				if o.Selected != 1 {
					d.t.Errorf("started %+v", o)
				}
				return err
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openMany(t)
			m := numbered(1)
			m.Key = "k"
			d.accept(m)
			d.place()
			claimed := d.claimOne("push")
			d.complete(completion(claimed, answered, delivery.StateDead))
			id := claimed.DeliveryID
			d.must(d.sql("INSERT INTO redrive.cases (delivery_id) VALUES ($1)", id))
			d.must(d.sql("CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(7); RETURN NULL; END $$"))
			d.must(d.sql("CREATE TRIGGER stop AFTER INSERT ON redrive.operation_items FOR EACH STATEMENT EXECUTE FUNCTION stop()"))
			d.deadlocked(c.middle, c.held, c.wanted, []any{id}, func() error { return c.work(d, id) })
			entries, err := d.Audit(t.Context(), delivery.AuditFilter{})
			if err != nil || len(entries.Items) != 1 || entries.Items[0].Action != c.action || entries.Items[0].Subject != id {
				t.Errorf("audited %+v: %v", entries.Items, err)
			}
			d.verified()
		})
	}
}

// Under a stricter isolation than ours whoever waited for a change in vain is told to begin again.
func TestASerializationFailureIsNotThePersonsBusiness(t *testing.T) {
	d := open(t)
	dead := d.dead(numbered(1))
	d.must(d.sql("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = ''repeatable read''', current_database()); END $$"))
	strict, err := store.Open(t.Context(), d.dsn, slog.New(slog.DiscardHandler))
	d.must(err)
	t.Cleanup(strict.Close)
	other := d.rival()
	other.does("UPDATE redrive.deliveries SET http_status = 502 WHERE id = $1", dead.ID)
	done := make(chan error, 1)
	go func() {
		_, err := strict.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: dead.ID, Version: dead.Version, Actor: "ann"})
		done <- err
	}()
	other.hinders(done)
	other.does("COMMIT")
	d.must(<-done)
	if after := d.read(dead.ID); after.State != delivery.StatePending || len(after.History) != 1 {
		t.Errorf("%s, audited %+v", after.State, after.History)
	}
}

// It is not tried for ever, and what is said then is no riddle.
func TestWhoIsAlwaysInTheWay(t *testing.T) {
	for _, state := range []string{"40P01", "40001"} {
		d := open(t)
		dead := d.dead(numbered(1))
		d.must(d.sql("CREATE SEQUENCE tried")) // it counts also what is rolled back
		d.must(d.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('public.tried'); RAISE EXCEPTION USING ERRCODE = '" +
			state + "'; END $$"))
		d.must(d.sql("CREATE TRIGGER refuse BEFORE INSERT ON redrive.audit FOR EACH STATEMENT EXECUTE FUNCTION refuse()"))
		_, err := d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: dead.ID, Actor: "ann"})
		var busy *delivery.UnavailableError
		if !errors.As(err, &busy) || busy.Code != "busy" || busy.RetryAfter <= 0 {
			t.Errorf("%s: %v", state, err)
		}
		if n := value[int](d, "SELECT last_value FROM tried"); n != 5 {
			t.Errorf("%s: tried %d times", state, n)
		}
		if after := d.read(dead.ID); after.State != delivery.StateDead || after.Version != dead.Version || len(after.History) != 0 {
			t.Errorf("%s: changed to %+v", state, after.Delivery)
		}
	}
}
