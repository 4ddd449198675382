package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/delivery/outbox"
	"redrive/store"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
)

var _ outbox.Session = (*store.Leader)(nil)

const unread = `SELECT count(*) FROM redrive.messages m WHERE m.kind = 'event'
	AND EXISTS (SELECT FROM redrive.positions p WHERE NOT pg_visible_in_snapshot(m.xid, p.snapshot))`

// relayed waits until everything that is committed is fanned out and every subscriber has caught up.
func (d desk) relayed() {
	d.t.Helper()
	d.eventually("the relay did not come to the end", func() bool {
		return value[int](d, unread) == 0 && value[int](d, `SELECT count(*) FROM redrive.positions WHERE feed <> 'outbox'
			AND (since IS NULL OR since <= now())`) == 0 && value[int](d, "SELECT count(*) FROM redrive.queue WHERE lane IS NOT NULL AND position IS NULL") == 0
	})
}

func (d desk) eventually(complaint string, condition func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(patience.Limit); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatal(complaint)
		}
	}
}

// fanOut relays all that is committed and stops again.
func (d desk) fanOut() {
	d.t.Helper()
	_, stop := storetest.Relay(d.t, d.Store, outbox.Config{Poll: 5 * time.Millisecond})
	d.relayed()
	stop()
}

func (d desk) publish(kind string) string {
	d.t.Helper()
	return value[string](d, "SELECT redrive.publish($1, '{}')::text", kind)
}

// got are the types of the events that an integration has in its queue, in the order of acceptance.
func (d desk) got(integration string) string {
	d.t.Helper()
	return value[string](d, `SELECT coalesce(string_agg(m.type, ' ' ORDER BY m.id), '') FROM redrive.queue q JOIN redrive.messages m ON m.id = q.message_id
		WHERE q.integration = $1`, integration)
}

func starting(name string, s delivery.OutboxSettings, subscribe ...string) delivery.Integration {
	in := integration(name, subscribe...)
	in.Outbox = &s
	return in
}

func TestPublishingIsOneRowAndTheRelayDoesTheRest(t *testing.T) {
	d := open(t)
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("push", "a", "b"), integration("index", "a"), integration("sms")}))
	d.publish("a")
	d.publish("b")
	d.publish("nobody's")
	if n := value[int](d, "SELECT count(*) FROM redrive.queue"); n != 0 {
		t.Errorf("publishing made %d deliveries itself", n)
	}
	d.fanOut()
	if push, index, sms := d.got("push"), d.got("index"), d.got("sms"); push != "a b" || index != "a" || sms != "" {
		t.Errorf("push %q, index %q, sms %q", push, index, sms)
	}
	d.fanOut()
	if n := value[int](d, "SELECT count(*) FROM redrive.queue"); n != 3 {
		t.Errorf("%d deliveries after a second look", n)
	}
}

func TestLateCommittersAreNotPassedOver(t *testing.T) {
	d := open(t)
	slow, err := pgx.Connect(t.Context(), d.dsn)
	d.must(err)
	defer slow.Close(context.Background())
	_, err = slow.Exec(t.Context(), "BEGIN; SELECT redrive.publish('order.placed', 'slow'); SAVEPOINT s; SELECT redrive.publish('order.placed', 'undone'); ROLLBACK TO s")
	d.must(err)
	_, stop := storetest.Relay(t, d.Store, outbox.Config{Poll: 5 * time.Millisecond})
	for range 3 {
		d.publish("order.placed")
	}
	d.eventually("behind the slow one", func() bool { return d.got("push") == "order.placed order.placed order.placed" })
	_, err = slow.Exec(t.Context(), "COMMIT")
	d.must(err)
	d.eventually("the slow one is missed", func() bool { return strings.Count(d.got("push"), " ") == 3 })
	stop()
}

func TestSubscribersStartWhereTheySay(t *testing.T) {
	d := open(t)
	d.publish("old")
	old := value[time.Time](d, "SELECT clock_timestamp()")
	d.publish("newer")
	future := time.Now().Add(time.Hour)
	list := []delivery.Integration{integration("now", "old", "newer", "new"),
		starting("all", delivery.OutboxSettings{Start: delivery.StartBeginning}, "old", "newer", "new"),
		starting("since", delivery.OutboxSettings{Start: delivery.StartAt, StartTime: old}, "old", "newer", "new"),
		starting("later", delivery.OutboxSettings{Start: delivery.StartAt, StartTime: future}, "old", "newer", "new")}
	d.must(d.SyncIntegrations(t.Context(), list))
	d.must(d.SyncIntegrations(t.Context(), list)) // the second start of a program changes nothing
	d.publish("new")
	d.fanOut()
	for name, want := range map[string]string{"now": "new", "all": "old newer new", "since": "newer new", "later": ""} {
		if got := d.got(name); got != want {
			t.Errorf("%s got %q, want %q", name, got, want)
		}
	}
	if feeds := value[string](d, "SELECT string_agg(feed, ' ' ORDER BY feed) FROM redrive.positions"); feeds != "outbox outbox/later" {
		t.Errorf("feeds %q", feeds)
	}
	// its time has come
	d.must(d.sql("UPDATE redrive.positions SET since = now() WHERE feed = 'outbox/later'"))
	d.publish("new")
	d.fanOut()
	if got := d.got("later"); got != "new" {
		t.Errorf("later got %q", got)
	}
	d.must(d.SyncIntegrations(t.Context(), list[:1])) // "all" leaves, and returns
	d.publish("newer")
	d.must(d.SyncIntegrations(t.Context(), list))
	d.must(d.sql("DELETE FROM redrive.queue"))
	d.publish("new")
	d.fanOut()
	if all, now := d.got("all"), d.got("now"); all != "new" || now != "newer new" {
		t.Errorf("all got %q after its return, now got %q", all, now)
	}
}

func TestLargeWindowsAreReadInPages(t *testing.T) {
	d := open(t)
	d.must(d.sql("SELECT redrive.publish('order.placed', 'x') FROM generate_series(1, 1000)"))
	var made []int
	d.lead(func(ctx context.Context, l *store.Leader) error {
		d.must(l.OpenOutbox(ctx))
		feeds, err := l.OutboxFeeds(ctx, nil, 100)
		d.must(err)
		main := feeds[slices.IndexFunc(feeds, func(f delivery.OutboxFeed) bool { return f.Name == "outbox/push" })]
		if main.Rows != 101 || main.Paging {
			return fmt.Errorf("feed %+v", main)
		}
		d.must(l.BeginPages(ctx, main))
		d.must(d.sql("SELECT redrive.publish('order.placed', 'x') FROM generate_series(1, 50)")) // not of this window
		for n := -1; n != 0; {
			n, err = l.FanOutPage(ctx, "outbox/push", 300)
			d.must(err)
			made = append(made, n)
		}
		return nil
	})
	if !slices.Equal(made, []int{300, 300, 300, 100, 0}) {
		t.Errorf("pages of %v", made)
	}
	d.fanOut()
	if n := value[int](d, "SELECT count(*) FROM redrive.queue"); n != 1050 {
		t.Errorf("%d deliveries", n)
	}
}

// What the relay reads must not grow with the log, nor a page with its window: the plans are the generic ones that its session
// really uses.
func TestTheRelayReadsByIndex(t *testing.T) {
	d := open(t)
	d.must(d.sql("SELECT redrive.publish('order.placed', 'x') FROM generate_series(1, 20000)"))
	d.fanOut()
	read := func() int {
		return value[int](d, "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::int FROM pg_stat_user_tables WHERE relname ~ '^messages'")
	}
	cost := func(work func(ctx context.Context, l *store.Leader)) int {
		t.Helper()
		d.endOthers() // what they did is told at their end
		before := read()
		d.lead(func(ctx context.Context, l *store.Leader) error {
			d.must(l.OpenOutbox(ctx))
			work(ctx, l)
			return nil
		})
		d.eventually("nothing was read", func() bool { return read() > before }) // a session tells at its end
		return read() - before
	}
	look := func(ctx context.Context, l *store.Leader, limit int) delivery.OutboxFeed {
		feeds, err := l.OutboxFeeds(ctx, nil, limit)
		d.must(err)
		return feeds[0]
	}
	d.must(d.sql("SELECT redrive.publish('order.placed', 'x') FROM generate_series(1, 10)"))
	if n := cost(func(ctx context.Context, l *store.Leader) {
		for range 20 {
			look(ctx, l, 100)
		}
		_, err := l.FanOut(ctx, look(ctx, l, 100))
		d.must(err)
	}); n != 22*10 {
		t.Errorf("21 looks and a fan-out of 10 events read %d rows of the log", n)
	}
	d.must(d.sql("SELECT redrive.publish('order.placed', 'x') FROM generate_series(1, 2000)"))
	if n := cost(func(ctx context.Context, l *store.Leader) {
		d.must(l.BeginPages(ctx, look(ctx, l, 100)))
		for made := -1; made != 0; {
			var err error
			made, err = l.FanOutPage(ctx, "outbox", 100)
			d.must(err)
		}
	}); n > 2*2000+500 {
		t.Errorf("20 pages of 100 events read %d rows of the log", n)
	}
}

func TestLeadershipMovesWithinSeconds(t *testing.T) {
	d := open(t)
	other, err := store.Open(t.Context(), d.dsn, nil)
	d.must(err)
	defer other.Close()
	leads := make(chan string, 10)
	run := func(s *store.Store, name string) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.Lead(ctx, "room", func(ctx context.Context, l *store.Leader) error {
				leads <- name
				<-ctx.Done()
				return context.Cause(ctx)
			}, nil)
		}()
		return func() { cancel(); <-done }
	}
	next := func(want string) {
		t.Helper()
		select {
		case got := <-leads:
			if got != want {
				t.Fatalf("%s leads", got)
			}
		case <-time.After(patience.Limit):
			t.Fatal("nobody leads")
		}
	}
	stopFirst := run(d.Store, "first")
	next("first")
	stopSecond := run(other, "second")
	d.must(d.sql("SELECT pg_sleep(1.5)")) // the second had its chance
	if len(leads) > 0 {
		t.Fatal("two lead")
	}
	stopFirst()
	next("second")
	stopFirst = run(d.Store, "first")
	d.must(d.sql(`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`))
	select {
	case <-leads:
	case <-time.After(patience.Limit):
		t.Error("nobody leads after the leader's session was ended")
	}
	stopFirst()
	stopSecond()
}

func TestALeaderWhoseWorkFailsBeginsAgain(t *testing.T) {
	d := open(t)
	var told []string
	times := 0
	err := d.Lead(t.Context(), "room", func(ctx context.Context, l *store.Leader) error {
		if times++; times < 2 {
			return errors.New("no luck")
		}
		return nil
	}, func(err error) { told = append(told, err.Error()) })
	if err != nil || times != 2 || len(told) != 1 || told[0] != "no luck" {
		t.Errorf("%d times, told %v: %v", times, told, err)
	}
}
