package cdc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/store/storetest"
)

// shop has a plain table, a partitioned one, and what was really committed: each transaction writes down its own changes.
const shop = articles + `
CREATE TABLE parts (id int, region int, v int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES IN (0); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE shadow (seq bigserial PRIMARY KEY, op text, tab text, id int, v int);`

var everything = []delivery.RowOperation{delivery.OpInsert, delivery.OpUpdate, delivery.OpDelete, delivery.OpTruncate}

const (
	writers     = 3
	wanted      = 20_000
	large       = 50_000
	disruptions = 14
)

// 20,000 changes and a transaction of 50,000, while readers are stopped, their sessions are ended and both servers are killed.
func TestNothingIsLostOrDoubledWhenEverythingCrashes(t *testing.T) {
	source, own := storetest.Cluster(t), storetest.Cluster(t)
	dsn := own.DSN("redrive")
	one, two := rule("articles"), rule("parts")
	one.Operations, two.Operations = everything, everything
	two.To = []string{"a", "b"}
	b := lay(t, source.DSN("redrive"), dsn, shop, one, two)
	processes := []*process{b.start(), b.start()}
	b.await("a reader began", func() bool { return b.position().SystemIdentifier != "" })

	var working sync.WaitGroup
	for w := range writers {
		working.Go(func() { b.write(w, wanted/writers) })
	}
	working.Go(b.writeLarge)
	written := make(chan struct{})
	go func() { working.Wait(); close(written) }()
	done := map[string]int{}
	for n := 0; n < disruptions; n++ {
		kind := b.disrupt(n, processes, source, own)
		done[kind]++
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond) // between faults, any moment is as good
	}
	<-written
	b.reached()
	b.compare("capture", "articles")
	b.compare("a", "parts")
	b.compare("b", "parts")
	t.Log(done, b.position().Changes, "changes")
}

func (b *bed) disrupt(n int, processes []*process, source, own *storetest.PrivateServer) string {
	ending := "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name LIKE 'redrive%'"
	switch n % 7 {
	case 0, 4:
		i := rand.IntN(len(processes))
		processes[i].stop()
		processes[i] = b.start()
		return "reader stopped"
	case 1:
		query[int](b, b.src, ending)
		return "source's sessions ended"
	case 2:
		query[int](b, b.dsn, ending)
		return "own sessions ended"
	case 3:
		source.Kill()
		return "source killed"
	case 5:
		own.Kill()
		return "own database killed"
	default:
		source.Restart()
		return "source restarted"
	}
}

// write makes transactions of a few changes on rows of its own and of others.
func (b *bed) write(w, changes int) {
	var conn *pgx.Conn
	for made := 0; made < changes; {
		if conn == nil || conn.IsClosed() {
			conn = connect(b.t, b.src)
		}
		size := 1 + rand.IntN(12)
		tx, err := conn.Begin(context.Background())
		for range size {
			if err == nil {
				err = change(tx)
			}
		}
		switch {
		case err != nil:
			if tx != nil {
				_ = tx.Rollback(context.Background())
			}
		case rand.IntN(20) == 0:
			_ = tx.Rollback(context.Background())
		default:
			if tx.Commit(context.Background()) == nil {
				made += size
			}
		}
	}
	conn.Close(context.Background())
}

// change is one statement and what it did, written down by itself.
func change(tx pgx.Tx) error {
	id, v := rand.IntN(300), rand.IntN(1_000_000)
	var sql string
	switch n := rand.IntN(1000); {
	case n < 1:
		sql = `WITH gone AS (INSERT INTO shadow (op, tab) VALUES ('truncate', 'articles')) SELECT; TRUNCATE articles`
	case n < 350:
		sql = `WITH c AS (INSERT INTO articles VALUES (%[1]d, %[2]d, repeat('t', 4000)) ON CONFLICT (id) DO NOTHING RETURNING id, v)
			INSERT INTO shadow (op, tab, id, v) SELECT 'insert', 'articles', id, v FROM c`
	case n < 600:
		sql = `WITH c AS (UPDATE articles SET v = %[2]d WHERE id = %[1]d RETURNING id, v)
			INSERT INTO shadow (op, tab, id, v) SELECT 'update', 'articles', id, v FROM c`
	case n < 700:
		sql = `WITH c AS (DELETE FROM articles WHERE id = %[1]d RETURNING id)
			INSERT INTO shadow (op, tab, id) SELECT 'delete', 'articles', id FROM c`
	case n < 850:
		sql = `WITH c AS (INSERT INTO parts VALUES (%[1]d, %[1]d %% 2, %[2]d) ON CONFLICT DO NOTHING RETURNING id, v)
			INSERT INTO shadow (op, tab, id, v) SELECT 'insert', 'parts', id, v FROM c`
	default:
		sql = `WITH c AS (UPDATE parts SET v = %[2]d WHERE id = %[1]d RETURNING id, v)
			INSERT INTO shadow (op, tab, id, v) SELECT 'update', 'parts', id, v FROM c`
	}
	if strings.Contains(sql, "%[1]d") {
		sql = fmt.Sprintf(sql, id, v)
	}
	_, err := tx.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol)
	return err
}

// writeLarge is one transaction of many rows, again until it is committed.
func (b *bed) writeLarge() {
	sql := fmt.Sprintf(`WITH c AS (INSERT INTO articles SELECT n, n, '' FROM generate_series(100001, %d) n RETURNING id, v)
		INSERT INTO shadow (op, tab, id, v) SELECT 'insert', 'articles', id, v FROM c`, 100_000+large)
	for {
		conn := connect(b.t, b.src)
		_, err := conn.Exec(context.Background(), sql)
		conn.Close(context.Background())
		if err == nil || query[bool](b, b.src, "SELECT EXISTS (SELECT FROM shadow WHERE id = 100001)") {
			return
		}
	}
}

// compare holds what is in the queue of an integration against what was committed: each change once, and in order for each row.
func (b *bed) compare(integration, table string) {
	b.t.Helper()
	want := map[string][]string{}
	conn := connect(b.t, b.src)
	rows, err := conn.Query(ctx(b.t), "SELECT op, coalesce(id::text, ''), coalesce(v::text, '<nil>') FROM shadow WHERE tab = $1 ORDER BY seq", table)
	if err != nil {
		b.t.Fatal(err)
	}
	total := 0
	for rows.Next() {
		var op, id, v string
		if err := rows.Scan(&op, &id, &v); err != nil {
			b.t.Fatal(err)
		}
		want[id] = append(want[id], op+" "+v)
		total++
	}
	got := map[string][]string{}
	read := b.documents(integration)
	for _, d := range read {
		id := ""
		if d.Op != "truncate" {
			id = fmt.Sprint(d.Row["id"])
		}
		got[id] = append(got[id], fmt.Sprint(d.Op, " ", d.Row["v"]))
		if _, sent := d.Row["body"]; d.Op == "update" && table == "articles" && sent == slices.Contains(d.Unchanged, "body") {
			b.t.Errorf("body of %s is neither sent nor said to be unchanged, or both", d)
		}
	}
	if len(read) != total {
		b.t.Errorf("%s: %d deliveries, %d changes were committed", integration, len(read), total)
	}
	wrong := 0
	for id := range want {
		if !slices.Equal(got[id], want[id]) {
			if wrong++; wrong < 4 {
				b.t.Errorf("%s row %s:\n got  %v\n want %v", integration, id, got[id], want[id])
			}
		}
	}
	b.t.Logf("%s: %d changes of %d rows, %d rows differ", integration, total, len(want), wrong)
}

// A slot that the server gave up is recognised; a new snapshot begins anew and brings what is there.
func TestALostSlotIsRecognisedAndANewSnapshotRepairsIt(t *testing.T) {
	cluster := storetest.Cluster(t, "max_slot_wal_keep_size=1MB", "min_wal_size=32MB", "max_wal_size=32MB")
	b := lay(t, cluster.DSN("redrive"), storetest.New(t), articles+"INSERT INTO articles VALUES (1, 1, ''); CREATE TABLE other (t text);", rule("articles"))
	p := b.start()
	b.await("it streams", func() bool { return fact(p, "connected").Value == 1 })
	b.run("INSERT INTO articles VALUES (2, 2, '')")
	b.reached()
	p.stop()
	for !query[bool](b, b.src, "SELECT wal_status = 'lost' FROM pg_replication_slots") {
		b.run("INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 4000)")
		b.run("SELECT pg_switch_wal()")
		b.run("CHECKPOINT")
	}
	b.run("INSERT INTO articles VALUES (3, 3, '')")
	p = b.start()
	b.await("the loss is said", func() bool {
		f := fact(p, "connected")
		return f.Alarm && f.Value == 0 && strings.Contains(f.Says.English(), "lost") && strings.Contains(f.Says.English(), "redrive cdc resnapshot capture")
	})
	if query[bool](b, b.src, "SELECT wal_status <> 'lost' FROM pg_replication_slots") {
		t.Fatal("the slot was created anew without anybody asking")
	}
	if err := b.store.RequestResnapshot(ctx(t), "capture", "kim", "the slot was lost"); err != nil {
		t.Fatal(err)
	}
	b.await("it streams again", func() bool { f := fact(p, "connected"); return f.Value == 1 && !f.Alarm })
	b.await("the snapshot", func() bool { return b.position().Snapshot["public.articles"].Done })
	b.run("INSERT INTO articles VALUES (4, 4, '')")
	b.reached()
	if got, want := b.texts("capture"), "insert articles 2 2, snapshot articles 1 1, snapshot articles 2 2, snapshot articles 3 3, insert articles 4 4"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if b.position().ResnapshotAt != nil {
		t.Error("it is still asked for")
	}
}

// A slot that somebody moved, or dropped and created, hides a gap; it must not.
func TestAGapIsNotHidden(t *testing.T) {
	b := ready(t, articles, rule("articles"))
	p := b.start()
	b.await("it streams", func() bool { return fact(p, "connected").Value == 1 })
	p.stop()
	b.await("nobody reads", func() bool {
		return !query[bool](b, b.src, "SELECT active FROM pg_replication_slots WHERE slot_name = $1", b.in.CDC.Slot)
	})
	if _, err := b.sql.Exec(ctx(t), "SELECT pg_drop_replication_slot($1)", b.in.CDC.Slot); err != nil {
		t.Fatal(err)
	}
	b.run("INSERT INTO articles VALUES (1, 1, '')")
	p = b.start()
	b.await("the missing slot is said", func() bool {
		f := fact(p, "connected")
		return f.Alarm && strings.Contains(f.Says.English(), "does not exist")
	})
	p.stop()
	if _, err := b.sql.Exec(ctx(t), "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", b.in.CDC.Slot); err != nil {
		t.Fatal(err)
	}
	p = b.start()
	b.await("the gap is said", func() bool {
		f := fact(p, "connected")
		return f.Alarm && strings.Contains(f.Says.English(), "changes between are lost")
	})
	if n := len(b.payloads("capture")); n != 0 {
		t.Errorf("%d deliveries", n)
	}
}

// The source was replaced by another cluster.
func TestAnotherSourceIsRefused(t *testing.T) {
	b := ready(t, articles, rule("articles"))
	p := b.start()
	b.await("it streams", func() bool { return fact(p, "connected").Value == 1 })
	p.stop()
	if _, err := connect(t, b.dsn).Exec(ctx(t), "UPDATE redrive.captures SET system_identifier = '1/other'"); err != nil {
		t.Fatal(err)
	}
	p = b.start()
	b.await("it is refused", func() bool {
		f := fact(p, "connected")
		return f.Alarm && strings.Contains(f.Says.English(), "restored or replaced")
	})
}

// While only other databases of the server write, heartbeats move the slot.
func TestHeartbeatsMoveAnIdleSlot(t *testing.T) {
	b := ready(t, articles, rule("articles"))
	b.start()
	other := connect(t, storetest.Empty(t))
	b.await("a reader began", func() bool { return b.position().LSN != 0 })
	if _, err := other.Exec(ctx(t), "CREATE TABLE busy AS SELECT repeat('x', 1000) FROM generate_series(1, 5000)"); err != nil {
		t.Fatal(err)
	}
	end := query[string](b, b.src, "SELECT pg_current_wal_lsn()::text")
	b.await("the slot moves", func() bool {
		b.run("CHECKPOINT") // the log may be given back only behind one
		return query[bool](b, b.src, "SELECT confirmed_flush_lsn >= $2::text::pg_lsn AND restart_lsn >= $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1", b.in.CDC.Slot, end)
	})
}

// What does not get better by itself is an alarm, until somebody mends it.
func TestASourceThatIsNotThereIsAnAlarm(t *testing.T) {
	b := ready(t, "", rule("articles"))
	p := b.start()
	b.await("the alarm", func() bool {
		f := fact(p, "alarm")
		return f.Alarm && strings.Contains(f.Says.English(), "public.articles: there is none")
	})
	b.run(articles)
	b.await("it streams", func() bool { return fact(p, "connected").Value == 1 && !fact(p, "alarm").Alarm })
}

// A reader that is away is noticed before the log fills the source's disk, by every process that runs.
func TestTheAlarmIsRaisedAndEnds(t *testing.T) {
	b := ready(t, articles+"CREATE TABLE other (t text)", rule("articles"))
	b.in.CDC.AlarmBytes = 1 << 20
	p := b.start()
	b.await("it streams", func() bool { return fact(p, "connected").Value == 1 && fact(p, "alarm").Name != "" })
	p.stop()
	holder := connect(t, b.dsn) // a process that leads and hangs
	if _, err := holder.Exec(ctx(t), "SELECT pg_advisory_lock(hashtextextended('redrive cdc/capture', 0))"); err != nil {
		t.Fatal(err)
	}
	p = b.start()
	b.await("nobody reads", func() bool {
		f := fact(p, "alarm")
		return f.Alarm && strings.Contains(f.Says.English(), "nobody reads")
	})
	b.run("INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
	b.await("the log is held back", func() bool {
		f := fact(p, "alarm")
		return f.Alarm && strings.Contains(f.Says.English(), "holds back") && fact(p, "lag_bytes").Value > 1<<20 && fact(p, "retained_bytes").Value > 1<<20
	})
	if err := holder.Close(ctx(t)); err != nil {
		t.Fatal(err)
	}
	b.await("the alarm is over", func() bool {
		b.run("CHECKPOINT")
		return fact(p, "alarm").Value == 0 && fact(p, "lag_bytes").Value < 1<<20
	})
}

// A target that takes nothing holds back neither the slot nor the other: what was read waits in the queue.
func TestADeadTargetHoldsBackNothing(t *testing.T) {
	r := rule("articles")
	r.To = []string{"a", "b"}
	b := ready(t, articles, r)
	p := b.start()
	b.await("it streams", func() bool { return fact(p, "connected").Value == 1 })
	if err := b.store.SetPaused(ctx(t), "a", true, "kim", "it is down"); err != nil {
		t.Fatal(err)
	}
	b.run("INSERT INTO articles SELECT n, n, '' FROM generate_series(1, 500) n")
	b.reached()
	end := b.position().LSN.String()
	b.await("the slot moves", func() bool {
		return query[bool](b, b.src, "SELECT confirmed_flush_lsn >= $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1", b.in.CDC.Slot, end)
	})
	claimed, err := b.store.Claim(ctx(t), "worker", []delivery.Quota{{Integration: "a", Limit: 1000, Lease: time.Minute}, {Integration: "b", Limit: 1000, Lease: time.Minute}})
	if err != nil || len(claimed) != 500 || len(b.payloads("a")) != 500 {
		t.Errorf("%d claimed, %d wait for the dead target: %v", len(claimed), len(b.payloads("a")), err)
	}
}

// The leader's session may end while nothing is read; the room goes on with a new one.
func TestTheRoomOutlivesItsLeadersSession(t *testing.T) {
	b := ready(t, articles, rule("articles"))
	b.in.CDC.Heartbeat = time.Minute
	p := b.start()
	b.await("it streams", func() bool { return fact(p, "connected").Value == 1 })
	query[int](b, b.dsn, "SELECT count(pg_terminate_backend(pid))::int FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
	b.await("it leads again", func() bool {
		return query[bool](b, b.dsn, "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))")
	})
	b.run("INSERT INTO articles VALUES (1, 1, '')")
	b.await("the change", func() bool { return len(b.payloads("capture")) == 1 })
}
