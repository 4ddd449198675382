package twophase

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"redrive/store/storetest"
)

// The server is the package's own: elsewhere other tests measure too, and leave something meanwhile.
func TestMain(m *testing.M) { storetest.MainAlone(m) }

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

func TestThreeWays(t *testing.T) {
	dsn := storetest.New(t)
	var out bytes.Buffer
	report, err := Run(t.Context(), Options{DSN: dsn, Transactions: 60, Concurrency: 4, Kills: 60, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	if len(report) != 3 || strings.Count(out.String(), "\n") != 4 {
		t.Fatalf("%d lines:\n%s", len(report), &out)
	}
	for _, l := range report {
		if l.Transactions < 60 || l.PerSecond() <= 0 || l.P50 <= 0 || l.P99 < l.P50 || l.Damage.Kills == 0 || l.Damage.Ghosts != 0 {
			t.Errorf("%+v", l)
		}
	}
	outbox, twoPhase, after := report[0].Damage, report[1].Damage, report[2].Damage
	if outbox.Lost+outbox.Orphans+twoPhase.Lost+after.Orphans != 0 {
		t.Errorf("outbox %+v, two-phase %+v, after commit %+v", outbox, twoPhase, after)
	}
	if twoPhase.Orphans == 0 || after.Lost == 0 {
		t.Errorf("60 kills hit nothing: two-phase %+v, after commit %+v", twoPhase, after)
	}
	t.Logf("\n%s", &out)
	again, err := Run(t.Context(), Options{DSN: dsn, Transactions: 10, Concurrency: 2, Kills: 5, Out: &out})
	if err != nil || again[0].Damage.Ghosts+again[0].Damage.Lost != 0 {
		t.Errorf("a second run in the same database: %+v, %v", again, err)
	}
	leftovers(t, dsn)
}

func leftovers(t *testing.T, dsn string) {
	t.Helper()
	var prepared, databases, schemas int
	err := connect(t, dsn).QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE 'redrive-bench-%' AND database = current_database()),
		(SELECT count(*) FROM pg_database WHERE datname LIKE 'redrive-bench-%'), (SELECT count(*) FROM pg_namespace WHERE nspname = 'redrive_bench_2pc')`).
		Scan(&prepared, &databases, &schemas)
	if err != nil || prepared+databases+schemas != 0 {
		t.Errorf("%d prepared transactions, %d databases, %d schemas are left: %v", prepared, databases, schemas, err)
	}
}

func TestTooManyAtOnceAreRefused(t *testing.T) {
	dsn := storetest.New(t)
	_, err := Run(t.Context(), Options{DSN: dsn, Transactions: 1, Concurrency: 5000, Out: &bytes.Buffer{}})
	if err == nil || !strings.Contains(err.Error(), "max_prepared_transactions") {
		t.Errorf("got %v", err)
	}
	leftovers(t, dsn)
}

func TestADatabaseInUseIsLeftAlone(t *testing.T) {
	dsn := storetest.New(t)
	if _, err := connect(t, dsn).Exec(t.Context(), `INSERT INTO redrive.integrations (name, method, destination) VALUES ('push', 'outbox', 'http')`); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), Options{DSN: dsn, Transactions: 1, Concurrency: 1, Out: &bytes.Buffer{}})
	if err == nil || !strings.Contains(err.Error(), "serves integrations") {
		t.Errorf("got %v", err)
	}
}
