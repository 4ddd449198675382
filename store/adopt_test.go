package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/outbox"
	"redrive/store"
	"redrive/store/embedded"
	"redrive/store/queue"
	"redrive/store/storetest"
)

// clientTool finds pg_dump and the like, of the newest version.
func clientTool(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) == 0 {
		t.Fatalf("%s is missing: apt-get install postgresql", name)
	}
	return found[len(found)-1]
}

// burn uses up transaction numbers.
func (d desk) burn(n int) {
	d.t.Helper()
	d.must(d.sql(fmt.Sprintf("DO $$ BEGIN FOR i IN 1..%d LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$", n)))
}

// restore brings a dump of d into a new database of another cluster.
func (d desk) restore(cluster *embedded.Server, dump, name string) desk {
	d.t.Helper()
	admin := desk{t: d.t, dsn: cluster.DSN("postgres")}
	d.must(admin.sql("CREATE DATABASE " + name + " TEMPLATE template0"))
	copied := desk{t: d.t, dsn: cluster.DSN(name)}
	if out, err := exec.CommandContext(d.t.Context(), clientTool(d.t, "pg_restore"), "--no-owner", "--exit-on-error", "--dbname="+copied.dsn, dump).CombinedOutput(); err != nil {
		d.t.Fatalf("pg_restore: %v: %s", err, out)
	}
	var err error
	copied.Store, err = store.Open(d.t.Context(), copied.dsn, slog.New(slog.DiscardHandler))
	d.must(err)
	d.t.Cleanup(copied.Close)
	return copied
}

// In the other cluster the numbers of the copied rows lie in the future, and those of new rows look long past to the copied
// position: both must be seen through.
func TestACopiedLogIsAdopted(t *testing.T) {
	d := open(t)
	d.burn(3000)
	list := []delivery.Integration{integration("push", "a", "b", "c", "d"), integration("sms")}
	d.must(d.SyncIntegrations(t.Context(), list))
	d.publish("a")
	d.publish("b")
	d.fanOut()
	first := d.claimOne("push")
	d.complete(completion(first, confirmed, delivery.StateDelivered)) // a is delivered, b waits
	middle := value[time.Time](d, "SELECT clock_timestamp()")
	d.publish("c") // not fanned out
	dump := filepath.Join(t.TempDir(), "dump")
	if out, err := exec.CommandContext(t.Context(), clientTool(t, "pg_dump"), "-Fc", "-f", dump, "--dbname="+d.dsn).CombinedOutput(); err != nil {
		t.Fatalf("pg_dump: %v: %s", err, out)
	}
	cluster, stop, err := storetest.StartServer(t.Context(), nil)
	d.must(err)
	defer func() { d.must(stop()) }()
	for n, c := range []struct {
		start delivery.OutboxSettings
		want  string // what waits for push in the end; d is published in the copy before it is adopted
	}{{delivery.OutboxSettings{Start: delivery.StartContinue}, "b c d new"}, {delivery.OutboxSettings{Start: delivery.StartNow}, "b new"},
		{delivery.OutboxSettings{Start: delivery.StartBeginning}, "b c d new"}, {delivery.OutboxSettings{Start: delivery.StartAt, StartTime: middle}, "b c d new"}} {
		copied := d.restore(cluster, dump, fmt.Sprintf("copy_%d", n))
		copied.must(copied.SyncIntegrations(t.Context(), append(list, integration("fresh", "a", "b", "c", "new"))))
		copied.publish("d")
		copied.refuses()
		done, err := copied.AdoptOutbox(t.Context(), c.start, "command line")
		if err != nil || done.Saved == done.Current {
			t.Errorf("%s: %+v %v", c.start.Start, done, err)
		}
		copied.must(copied.sql("UPDATE redrive.integrations SET subscribe = subscribe || '{new}' WHERE name = 'push'"))
		copied.publish("new")
		copied.burn(4000) // past the numbers of the copied rows, if any were left
		copied.fanOut()
		if got := copied.got("push"); got != c.want {
			t.Errorf("%s: %q waits, want %q", c.start.Start, got, c.want)
		}
		if got := copied.got("fresh"); c.start.Start == delivery.StartContinue && got != "new" {
			t.Errorf("a subscriber that was registered in the copy got %q", got)
		}
		if n := value[int](copied, "SELECT count(*) FROM redrive.audit WHERE action = 'outbox.adopt' AND actor = 'command line'"); n != 1 {
			t.Errorf("%s: %d audit entries", c.start.Start, n)
		}
		if _, err := copied.AdoptOutbox(t.Context(), c.start, "x"); !errors.Is(err, queue.ErrOwnOutbox) {
			t.Errorf("%s, once more: %v", c.start.Start, err)
		}
		copied.Close()
	}
}

// refuses checks that the relay does nothing on a copy and says so.
func (d desk) refuses() {
	d.t.Helper()
	before := value[int](d, "SELECT count(*) FROM redrive.queue")
	relay, stop := storetest.Relay(d.t, d.Store, outbox.Config{Poll: 5 * time.Millisecond})
	defer stop()
	d.eventually("no fact says that the relay refuses", func() bool {
		facts := relay.Facts("push")
		return len(facts) > 0 && strings.HasPrefix(facts[0].Says.English(), "refused: this database is a copy of another")
	})
	var copied *delivery.CopiedError
	err := d.Lead(d.t.Context(), "elsewhere", func(ctx context.Context, l *store.Leader) error {
		if err := l.OpenOutbox(ctx); !errors.As(err, &copied) {
			d.t.Errorf("opened: %v", err)
		}
		return nil
	}, nil)
	d.must(err)
	if n := value[int](d, "SELECT count(*) FROM redrive.queue"); n != before {
		d.t.Errorf("%d deliveries were made", n-before)
	}
}

func TestAnOrdinaryRoleMayAskWhichDatabaseThisIs(t *testing.T) {
	d := open(t)
	conn := d.producer()
	var allowed bool
	d.must(conn.QueryRow(t.Context(), "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')").Scan(&allowed))
	if !allowed {
		t.Error("on this Postgres the system identifier is not for everybody any more: docs/outbox.md says it is")
	}
	d.fanOut()
	if full := value[string](d, "SELECT database_id FROM redrive.positions WHERE feed = 'outbox'"); strings.HasPrefix(full, "/") || !strings.Contains(full, "/") {
		t.Errorf("the database is named %q", full)
	}
}
