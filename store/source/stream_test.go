package source_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/store/source"
	"redrive/store/storetest"
)

func TestEveryOperation(t *testing.T) {
	storetest.Empty(t) // starts the server
	noLeaks(t)
	b := ready(t, `CREATE TABLE content (id int PRIMARY KEY, title text); CREATE TABLE "Odd ""table" ("the id" int PRIMARY KEY, "Å" text)`, "content", `Odd "table`)
	st := b.stream(0)
	b.run(`INSERT INTO content VALUES (1, 'a'), (2, NULL)`, `UPDATE content SET title = 'b' WHERE id = 1`, `UPDATE content SET id = 3 WHERE id = 1`,
		`DELETE FROM content WHERE id = 2`, `INSERT INTO "Odd ""table" VALUES (7, 'x')`, `TRUNCATE content, "Odd ""table"`)
	same(t, "changes", b.told(st),
		`insert public.content {"id":1,"title":"a"} by id`,
		`insert public.content {"id":2,"title":null} by id`,
		`update public.content {"id":1,"title":"b"} by id`,
		`update public.content {"id":3,"title":"b"} old {"id":1} by id`,
		`delete public.content {"id":2} by id`,
		`insert public.Odd "table {"the id":7,"Å":"x"} by the id`,
		`truncate public.content by id`,
		`truncate public.Odd "table by the id`)
	if err := errors.Join(st.Close(), st.Close(), b.src.Close()); err != nil {
		t.Error(err)
	}
	_ = b.sql.Close(ctx(t))
}

func TestTransactionsAndSavepoints(t *testing.T) {
	b := ready(t, `CREATE TABLE content (id int PRIMARY KEY)`, "content")
	st := b.stream(0)
	var xid uint32
	b.run(`BEGIN; INSERT INTO content VALUES (1); SAVEPOINT a; INSERT INTO content VALUES (2); ROLLBACK TO a; SAVEPOINT b; INSERT INTO content VALUES (3); RELEASE b`)
	if err := b.sql.QueryRow(ctx(t), "SELECT pg_current_xact_id()::xid").Scan(&xid); err != nil {
		t.Fatal(err)
	}
	mark, err := b.src.Mark(ctx(t), "first")
	if err != nil {
		t.Fatal(err)
	}
	b.run("COMMIT")
	event := busy(t, st)
	if event.Mark == nil || event.Mark.Content != "first" || event.Mark.LSN != mark {
		t.Fatalf("%+v, want the mark at %d, which was committed first", event, mark)
	}
	first := next(t, st).Commit
	one, three, commit := next(t, st).Change, next(t, st).Change, next(t, st).Commit
	if first == nil || one == nil || three == nil || commit == nil {
		t.Fatal("the transaction is not in one piece")
	}
	if string(one.Row["id"]) != "1" || string(three.Row["id"]) != "3" || one.Index != 0 || three.Index != 1 {
		t.Errorf("%s and %s", text(*one), text(*three))
	}
	if one.XID != xid || commit.XID != xid || one.LSN != three.LSN || one.LSN < first.LSN || one.LSN >= commit.LSN {
		t.Errorf("xid %d and %d, want %d; commit record at %d, ends %d, before it %d", one.XID, commit.XID, xid, one.LSN, commit.LSN, first.LSN)
	}
	if since := time.Since(one.CommitTime); !one.CommitTime.Equal(commit.Time) || since < 0 || since > time.Minute || one.CommitTime.Location() != time.UTC {
		t.Errorf("committed at %s", one.CommitTime)
	}
}

func TestUnchangedValuesAreNamed(t *testing.T) {
	b := ready(t, `CREATE TABLE content (id int PRIMARY KEY, body text, n int); CREATE TABLE whole (id int PRIMARY KEY, body text, n int);
		ALTER TABLE content ALTER body SET STORAGE EXTERNAL; ALTER TABLE whole ALTER body SET STORAGE EXTERNAL; ALTER TABLE whole REPLICA IDENTITY FULL;
		CREATE TABLE keyless (n int, m int); ALTER TABLE keyless REPLICA IDENTITY FULL`, "content", "whole", "keyless")
	st := b.stream(0)
	for _, table := range []string{"content", "whole"} {
		b.run(`INSERT INTO `+table+` VALUES (1, repeat('long', 3000), 1)`, `UPDATE `+table+` SET n = 2`, `UPDATE `+table+` SET body = NULL`)
	}
	b.run(`INSERT INTO keyless VALUES (1, 2)`)
	long := strings.Repeat("long", 3000)
	same(t, "changes", b.told(st),
		`insert public.content {"body":"`+long+`","id":1,"n":1} by id`,
		`update public.content {"id":1,"n":2} unchanged body by id`,
		`update public.content {"body":null,"id":1,"n":2} by id`,
		`insert public.whole {"body":"`+long+`","id":1,"n":1} by id`,
		`update public.whole {"body":"`+long+`","id":1,"n":2} old {"body":"`+long+`","id":1,"n":1} by id`,
		`update public.whole {"body":null,"id":1,"n":2} old {"body":"`+long+`","id":1,"n":2} by id`,
		`insert public.keyless {"m":2,"n":1} by n,m`)
}

func TestTableIsAltered(t *testing.T) {
	b := ready(t, `CREATE TABLE content (id int PRIMARY KEY, gone int, size int, twice int GENERATED ALWAYS AS (size * 2) STORED, title text); ALTER TABLE content DROP gone`, "content")
	st := b.stream(0)
	b.run(`INSERT INTO content VALUES (1, 4, DEFAULT, 'a')`, `ALTER TABLE content ADD added jsonb DEFAULT '{"x": 1}'`, `INSERT INTO content (id, title) VALUES (2, 'b')`,
		`ALTER TABLE content RENAME title TO name`, `ALTER TABLE content ALTER id TYPE text`, `UPDATE content SET name = 'c' WHERE id = '2'`,
		`BEGIN; INSERT INTO content (id) VALUES ('3'); ALTER TABLE content DROP added; INSERT INTO content (id) VALUES ('4'); COMMIT`,
		`CREATE TYPE mood AS ENUM ('good'); CREATE DOMAIN cents AS int; ALTER TABLE content ADD moods mood[], ADD price cents, ADD prices cents[]`,
		`INSERT INTO content (id, moods, price, prices) VALUES ('5', '{good,NULL}', 12, '{1,2}')`)
	same(t, "changes", b.told(st),
		`insert public.content {"id":1,"size":4,"title":"a"} by id`,
		`insert public.content {"added":{"x":1},"id":2,"size":null,"title":"b"} by id`,
		`update public.content {"added":{"x":1},"id":"2","name":"c","size":null} by id`,
		`insert public.content {"added":{"x":1},"id":"3","name":null,"size":null} by id`,
		`insert public.content {"id":"4","name":null,"size":null} by id`,
		`insert public.content {"id":"5","moods":["good",null],"name":null,"price":12,"prices":[1,2],"size":null} by id`)
}

func TestPartitionedTable(t *testing.T) {
	b := ready(t, `CREATE TABLE content (id int, day date, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
		CREATE TABLE content_25 PARTITION OF content FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
		CREATE TABLE content_rest PARTITION OF content DEFAULT`, "content")
	st := b.stream(0)
	b.run(`INSERT INTO content VALUES (1, '2025-05-05'), (2, '2024-01-01')`, `UPDATE content SET id = 3 WHERE id = 1`, `UPDATE content SET day = '2026-01-01' WHERE id = 3`,
		`CREATE TABLE content_26 (LIKE content INCLUDING ALL); ALTER TABLE content DETACH PARTITION content_25`, `DELETE FROM content WHERE id = 2`, `TRUNCATE content`)
	same(t, "changes", b.told(st),
		`insert public.content {"day":"2025-05-05","id":1} by id,day`,
		`insert public.content {"day":"2024-01-01","id":2} by id,day`,
		`update public.content {"day":"2025-05-05","id":3} old {"day":"2025-05-05","id":1} by id,day`,
		`delete public.content {"day":"2025-05-05","id":3} by id,day`, // a row that moves to another partition
		`insert public.content {"day":"2026-01-01","id":3} by id,day`,
		`delete public.content {"day":"2024-01-01","id":2} by id,day`,
		`truncate public.content by id,day`)
}

// A large transaction comes change by change: nothing of it is gathered here.
func TestLargeTransactionTakesLittleMemory(t *testing.T) {
	b := ready(t, `CREATE TABLE content (id int PRIMARY KEY, body text)`, "content")
	st := b.stream(0)
	const rows = 50_000
	b.run(fmt.Sprintf("INSERT INTO content SELECT n, repeat('x', 2000) FROM generate_series(1, %d) n", rows)) // 100 MB
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most uint64
	began := time.Now()
	for n := 0; n < rows; n++ {
		change := busy(t, st).Change
		if change == nil || change.Index != n {
			t.Fatalf("change %d: %+v", n, change)
		}
		if n%10_000 == 9_999 {
			runtime.GC()
			runtime.ReadMemStats(&during)
			most = max(most, during.HeapAlloc)
		}
	}
	if commit := next(t, st).Commit; commit == nil {
		t.Error("the commit is missing")
	}
	grown := int64(most) - int64(before.HeapAlloc)
	t.Logf("%d changes in %s, heap grew by %d KB", rows, time.Since(began).Round(time.Millisecond), grown/1024)
	if grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

// What a long transaction did before the position, where it was not committed yet, comes all the same: also its mark.
func TestTransactionThatBeganBeforeThePosition(t *testing.T) {
	b := ready(t, `CREATE TABLE content (id int PRIMARY KEY)`, "content")
	b.run("BEGIN; INSERT INTO content VALUES (1); SELECT pg_logical_emit_message(true, 'redrive/" + b.settings.Slot + "', 'early')")
	st := b.stream(0)
	_, position := b.changes(st)
	_ = st.Close()
	b.run("COMMIT")
	st = b.stream(position)
	change, mark, commit := busy(t, st).Change, busy(t, st).Mark, busy(t, st).Commit
	if change == nil || mark == nil || commit == nil || mark.LSN >= position || change.LSN < position || commit.LSN <= change.LSN {
		t.Errorf("from %d: %+v, %+v, %+v", position, change, mark, commit)
	}
}

// From whichever end of a transaction reading begins again, what follows comes exactly once.
func TestBeginsAgainAtEveryPosition(t *testing.T) {
	b := ready(t, `CREATE TABLE content (id int PRIMARY KEY)`, "content")
	st := b.stream(0)
	const transactions = 6
	for n := range transactions {
		b.run(fmt.Sprintf("INSERT INTO content SELECT %d + m FROM generate_series(0, %d) m", n*10, n))
	}
	ends := []delivery.LSN{0}
	for len(ends) <= transactions {
		if commit := next(t, st).Commit; commit != nil {
			ends = append(ends, commit.LSN)
		}
	}
	_ = st.Close()
	for n, from := range ends {
		st := b.stream(from)
		changes, _ := b.changes(st)
		_ = st.Close()
		want := 0
		for m := n; m < transactions; m++ {
			want += m + 1
		}
		if len(changes) != want || want > 0 && string(changes[0].Row["id"]) != fmt.Sprint(n*10) {
			t.Errorf("from transaction %d: %d changes, want %d", n, len(changes), want)
		}
	}
}

// What was acknowledged just before the end is told, and is where reading begins again without a position.
func TestSlotKeepsWhatWasAcknowledged(t *testing.T) {
	b := ready(t, `CREATE TABLE content (id int PRIMARY KEY)`, "content")
	st := b.stream(0)
	b.run("INSERT INTO content VALUES (1)", "INSERT INTO content VALUES (2)", "INSERT INTO content VALUES (3)")
	var end delivery.LSN
	for n := 0; n < 2; {
		if commit := next(t, st).Commit; commit != nil {
			n, end = n+1, commit.LSN
		}
	}
	if err := errors.Join(st.Acknowledge(end), st.Close()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "acknowledged", func() error {
		if slot := b.slot(); slot.Confirmed != end || slot.Active {
			return fmt.Errorf("%+v, want %d", slot, end)
		}
		return nil
	})
	same(t, "changes", b.told(b.stream(0)), `insert public.content {"id":3} by id`)
}

func (b *bed) slot() delivery.SlotStatus {
	b.t.Helper()
	slot, err := b.src.Slot(ctx(b.t))
	if err != nil {
		b.t.Fatal(err)
	}
	return slot
}

// A wait that was given up loses nothing.
func TestNextCanBeGivenUp(t *testing.T) {
	b := ready(t, `CREATE TABLE content (id int PRIMARY KEY)`, "content")
	st := b.stream(0)
	short, cancel := context.WithCancel(ctx(t))
	cancel()
	b.run("INSERT INTO content SELECT generate_series(1, 500)")
	for given, n := 0, 1; n <= 500; {
		event, err := st.Next(short)
		if errors.Is(err, context.Canceled) {
			given++
			event = next(t, st)
		}
		if event.Change != nil {
			if string(event.Change.Row["id"]) != fmt.Sprint(n) {
				t.Fatalf("%s after %d changes", text(*event.Change), n-1)
			}
			n++
		}
	}
}

func TestMessagesOfOthersAreNoMarks(t *testing.T) {
	b := ready(t, `CREATE TABLE content (id int PRIMARY KEY)`, "content")
	st := b.stream(0)
	b.run(`SELECT pg_logical_emit_message(true, 'redrive/another', 'x'), pg_logical_emit_message(true, '', '')`)
	if _, err := b.src.Mark(ctx(t), "ours"); err != nil {
		t.Fatal(err)
	}
	for {
		event := next(t, st)
		if event.Mark != nil {
			if event.Mark.Content != "ours" {
				t.Errorf("%q is handed out as a mark", event.Mark.Content)
			}
			return
		}
	}
}

// While only another database of the cluster writes, heartbeats and idle events move the slot.
func TestIdleSlotMoves(t *testing.T) {
	b := ready(t, `CREATE TABLE content (id int PRIMARY KEY)`, "content")
	other := connect(t, storetest.Empty(t))
	if _, err := other.Exec(ctx(t), "CREATE TABLE busy (n int)"); err != nil {
		t.Fatal(err)
	}
	st := b.stream(0)
	before := b.slot()
	acknowledged := before.Confirmed
	for b.slot().Confirmed < before.Current+1<<20 {
		if _, err := other.Exec(ctx(t), "INSERT INTO busy SELECT generate_series(1, 10000)"); err != nil {
			t.Fatal(err)
		}
		if err := b.src.Beat(ctx(t)); err != nil {
			t.Fatal(err)
		}
		event := next(t, st)
		if event.Idle == 0 {
			t.Fatalf("%+v, want an idle event", event)
		}
		if err := st.Acknowledge(event.Idle); err != nil {
			t.Fatal(err)
		}
		acknowledged = event.Idle
	}
	// what is not acknowledged holds idle events back
	b.run("INSERT INTO content VALUES (1)")
	for next(t, st).Commit == nil {
	}
	held := acknowledged // the server may not have heard of the last one yet
	if err := b.src.Beat(ctx(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.src.Mark(ctx(t), "after the heartbeat"); err != nil {
		t.Fatal(err)
	}
	if event := next(t, st); event.Mark == nil {
		t.Errorf("%+v, want the mark", event)
	}
	if now := b.slot().Confirmed; now > held+1<<16 {
		t.Errorf("the slot moved from %d to %d over what is not acknowledged", held, now)
	}
}

func TestSecondReaderIsRefused(t *testing.T) {
	b := ready(t, `CREATE TABLE content (id int PRIMARY KEY)`, "content")
	first := b.stream(0)
	if _, err := b.src.Stream(ctx(t), 0); !errors.Is(err, source.ErrSlotActive) || !strings.Contains(err.Error(), b.settings.Slot) {
		t.Errorf("a second reader: %v", err)
	}
	if err := b.src.DropSlot(ctx(t)); !errors.Is(err, source.ErrSlotActive) {
		t.Errorf("dropping under the reader: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	_ = b.stream(0).Close()
	for _, err := first.Next(ctx(t)); err == nil; _, err = first.Next(ctx(t)) { // it had read ahead
	}
	eventually(t, "dropping", func() error { return b.src.DropSlot(ctx(t)) })
	if err := b.src.DropSlot(ctx(t)); err != nil {
		t.Errorf("dropping nothing: %v", err)
	}
	if _, err := b.src.Stream(ctx(t), 0); !errors.Is(err, source.ErrSlotMissing) {
		t.Errorf("reading nothing: %v", err)
	}
	begin, err := b.src.CreateSlot(ctx(t))
	if err != nil || begin == 0 || b.slot().Confirmed != begin {
		t.Errorf("created at %d: %v", begin, err)
	}
	if _, err := b.src.CreateSlot(ctx(t)); !errors.Is(err, source.ErrSlotExists) {
		t.Errorf("creating it again: %v", err)
	}
	if _, err := b.src.Stream(ctx(t), begin+1<<40); !errors.Is(err, source.ErrSourceRestored) {
		t.Errorf("from beyond the log's end: %v", err)
	}
}

// How fast changes are read of a backlog: 40,000 rows of 200 bytes in transactions of 20.
func BenchmarkBacklog(b *testing.B) {
	const rows, each = 40_000, 20
	bed := ready(b, `CREATE TABLE content (id int PRIMARY KEY, title text, at timestamptz DEFAULT now(), doc jsonb)`, "content")
	bed.run(fmt.Sprintf(`DO $$ BEGIN FOR n IN 1..%d LOOP
		INSERT INTO content SELECT n * 100 + m, repeat('x', 100), now(), '{"a": 1, "b": "some text"}' FROM generate_series(1, %d) m; COMMIT; END LOOP; END $$`, rows/each, each))
	for b.Loop() {
		st, err := bed.src.Stream(ctx(b), 0)
		if err != nil {
			b.Fatal(err)
		}
		for n := 0; n < rows; {
			if next(b, st).Change != nil {
				n++
			}
		}
		_ = st.Close()
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "changes/s")
}
