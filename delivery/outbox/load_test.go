package outbox_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"redrive/delivery"
	"redrive/delivery/outbox"
	"redrive/store"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const (
	wanted    = 60_000 // committed events
	producers = 6
)

// load is a database on which producers publish, relays fail over and a drain takes deliveries away as an engine would: an event
// that is fanned out again is then a second row in the table of what was seen.
type load struct {
	t         *testing.T
	pool      *pgxpool.Pool
	dsn       string
	committed atomic.Int64
	published chan struct{} // closed when the producers are done
}

func integration(name string, ordered bool, subscribe ...string) delivery.Integration {
	return delivery.Integration{Name: name, Method: delivery.MethodOutbox, Subscribe: subscribe, Ordered: ordered, Concurrency: 4,
		Destination: delivery.Destination{To: &delivery.HTTPDestination{URL: "http://127.0.0.1:1/"}}}
}

func newLoad(t *testing.T) *load {
	l := &load{t: t, dsn: storetest.New(t), published: make(chan struct{})}
	config, err := pgxpool.ParseConfig(l.dsn)
	l.must(err)
	config.MaxConns = producers + 4
	l.pool, err = pgxpool.NewWithConfig(t.Context(), config)
	l.must(err)
	t.Cleanup(l.pool.Close)
	s := l.store()
	l.must(s.SyncIntegrations(t.Context(), []delivery.Integration{integration("all", false, "bulk", "step"), integration("steps", true, "step")}))
	l.exec(`CREATE TABLE seen (integration text, message uuid); CREATE TABLE step (key text PRIMARY KEY, n int);
		INSERT INTO step SELECT 'k' || n, 0 FROM generate_series(0, 9) n`)
	return l
}

func (l *load) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *load) store() *store.Store {
	s, err := store.Open(l.t.Context(), l.dsn, slog.New(slog.DiscardHandler))
	l.must(err)
	l.t.Cleanup(s.Close)
	return s
}

func (l *load) exec(statement string) {
	l.t.Helper()
	_, err := l.pool.Exec(context.Background(), statement, pgx.QueryExecModeSimpleProtocol)
	l.must(err)
}

func (l *load) count(query string) (n int) {
	l.t.Helper()
	l.must(l.pool.QueryRow(context.Background(), query).Scan(&n))
	return n
}

// produce publishes until enough is committed: transactions of all sizes, some long, some with savepoints rolled back, some
// rolled back altogether.
func (l *load) produce(random *rand.Rand) error {
	for l.committed.Load() < wanted {
		if err := l.transaction(random); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) transaction(random *rand.Rand) error {
	ctx := context.Background()
	tx, err := l.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	n := 1 + random.IntN(1+random.IntN(400))
	do := func(statement string, args ...any) {
		if err == nil {
			_, err = tx.Exec(ctx, statement, args...)
		}
	}
	do("SELECT redrive.publish('bulk', 'x') FROM generate_series(1, $1)", n)
	switch random.IntN(8) {
	case 0:
		do("SAVEPOINT s")
		do("SELECT redrive.publish('bulk', 'undone') FROM generate_series(1, 20)")
		do("ROLLBACK TO s")
	case 1:
		do("SAVEPOINT s")
		do("SELECT redrive.publish('bulk', 'x')")
		do("RELEASE s")
		n++
	case 2:
		do("SELECT pg_sleep($1)", random.Float64()*random.Float64()/2)
	case 3, 4: // who holds the row of the key goes next: its transaction commits before the following one can publish
		do(`WITH s AS (UPDATE step SET n = n + 1 WHERE key = 'k' || $1::int RETURNING key, n)
			SELECT redrive.publish('step', convert_to(n::text, 'UTF8'), key => key) FROM s`, random.IntN(10))
		n++
	}
	if err != nil || random.IntN(12) == 0 {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	l.committed.Add(int64(n))
	return nil
}

// chaos ends relays and leaders' sessions at random moments until the producers are done.
func (l *load) chaos(random *rand.Rand) (killed int) {
	stores := []*store.Store{l.store(), l.store()}
	stops := make([]func(), len(stores))
	for i, s := range stores {
		_, stops[i] = storetest.Relay(l.t, s, outbox.Config{Page: 700, Poll: 20 * time.Millisecond})
	}
	for {
		select {
		case <-l.published:
			return killed
		case <-time.After(time.Duration(random.IntN(300)) * time.Millisecond):
		}
		killed++
		if i := random.IntN(4); i < len(stores) {
			stops[i]()
			_, stops[i] = storetest.Relay(l.t, stores[i], outbox.Config{Page: 700, Poll: 20 * time.Millisecond})
			continue
		}
		l.exec(`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	}
}

const drainSQL = `WITH gone AS (DELETE FROM redrive.queue WHERE integration = 'all' RETURNING integration, message_id) INSERT INTO seen SELECT * FROM gone`

func TestNothingIsMissedAndNothingDoubled(t *testing.T) {
	l := newLoad(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var all, publishing sync.WaitGroup
	for n := range producers {
		publishing.Go(func() {
			if err := l.produce(rand.New(rand.NewPCG(seed, uint64(n)))); err != nil {
				t.Error(err)
			}
		})
	}
	killed := 0
	all.Go(func() { killed = l.chaos(rand.New(rand.NewPCG(seed, 99))) })
	all.Go(func() {
		for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
			l.exec(drainSQL)
			select {
			case <-l.published:
				tick.Stop()
				return
			default:
			}
		}
	})
	started := time.Now()
	publishing.Wait()
	took := time.Since(started)
	close(l.published)
	all.Wait()
	l.settle()
	l.exec(drainSQL)
	l.judge()
	t.Logf("%d events in %s, the leader ended %d times", l.committed.Load(), took.Round(time.Millisecond), killed)
}

func (l *load) settle() {
	l.t.Helper()
	for deadline := time.Now().Add(patience.Limit); l.count(`SELECT count(*) FROM redrive.positions WHERE target IS NOT NULL OR feed <> 'outbox'`)+
		l.count(`SELECT count(*) FROM redrive.messages m WHERE EXISTS (SELECT FROM redrive.positions p WHERE NOT pg_visible_in_snapshot(m.xid, p.snapshot))`)+
		l.count(`SELECT count(*) FROM redrive.queue WHERE lane IS NOT NULL AND position IS NULL`) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatal("the relay did not come to the end")
		}
	}
}

func (l *load) judge() {
	l.t.Helper()
	committed := int(l.committed.Load())
	for what, n := range map[string]int{
		"rows more or less in the log": l.count("SELECT count(*) FROM redrive.messages") - committed,
		"missed":                       l.count("SELECT count(*) FROM redrive.messages m WHERE NOT EXISTS (SELECT FROM seen s WHERE s.message = m.id)"),
		"seen and not committed":       l.count("SELECT count(*) FROM seen s WHERE NOT EXISTS (SELECT FROM redrive.messages m WHERE m.id = s.message)"),
		"doubled":                      l.count("SELECT count(*) - count(DISTINCT message) FROM seen"),
		"steps missed":                 l.count("SELECT (SELECT sum(n) FROM step) - (SELECT count(*) FROM redrive.queue WHERE integration = 'steps')"),
		"steps out of order": l.count(`SELECT count(*) FROM (SELECT convert_from(m.payload, 'UTF8')::int AS n,
			row_number() OVER (PARTITION BY q.lane ORDER BY q.position) AS place FROM redrive.queue q JOIN redrive.messages m ON m.id = q.message_id
			WHERE q.integration = 'steps') s WHERE n <> place`),
	} {
		if n != 0 {
			l.t.Errorf("%s: %d", what, n)
		}
	}
	if steps := l.count("SELECT count(*) FROM redrive.queue WHERE integration = 'steps'"); steps < 100 || committed < wanted {
		l.t.Errorf("%d events, %d steps: too few to say anything", committed, steps)
	}
}
