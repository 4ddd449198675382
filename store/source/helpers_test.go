package source_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"redrive/delivery"
	"redrive/delivery/wire"
	"redrive/store/source"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
	_ "redrive/views/words" // what phrases read like
)

// The package has a server of its own: creating a slot waits for every open transaction of its server.
func TestMain(m *testing.M) { storetest.MainAlone(m) }

// bed is a source database and its reader.
type bed struct {
	t        testing.TB
	dsn      string
	settings delivery.CDCSource
	src      *source.Source
	sql      *pgx.Conn
	fences   int
}

// lay makes the tables and a source with a rule for each of their names; it sets nothing up.
func lay(t testing.TB, dsn, ddl string, tables ...string) *bed {
	t.Helper()
	b := &bed{t: t, dsn: dsn, sql: connect(t, dsn)}
	config := b.sql.Config()
	b.run("ALTER DATABASE "+pgx.Identifier{config.Database}.Sanitize()+" SET synchronous_commit = on", "SET synchronous_commit = on", ddl)
	b.settings = delivery.CDCSource{Slot: "slot_" + config.Database, Publication: `Odd "name"`}
	for _, name := range tables {
		b.settings.Rules = append(b.settings.Rules, delivery.CDCRule{Schema: "public", Table: name, Operations: everything})
	}
	b.src = b.open(b.settings)
	return b
}

var everything = []delivery.RowOperation{delivery.OpInsert, delivery.OpUpdate, delivery.OpDelete, delivery.OpTruncate}

// ready is lay on a database of the test's own, set up.
func ready(t testing.TB, ddl string, tables ...string) *bed {
	t.Helper()
	b := lay(t, storetest.Empty(t), ddl, tables...)
	b.setUp()
	return b
}

func (b *bed) setUp() []string {
	b.t.Helper()
	done, err := b.src.SetUp(ctx(b.t))
	if err != nil {
		b.t.Fatal(err)
	}
	return done
}

func (b *bed) open(settings delivery.CDCSource) *source.Source {
	b.t.Helper()
	return open(b.t, settings, b.dsn)
}

func open(t testing.TB, settings delivery.CDCSource, dsn string) *source.Source {
	t.Helper()
	src, err := source.New(settings, dsn, "content-search", wire.Dialer{}.DialContext, storetest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = src.Close() })
	return src
}

func (b *bed) stream(from delivery.LSN) *source.Stream {
	b.t.Helper()
	st, err := b.src.Stream(ctx(b.t), from)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = st.Close() })
	return st
}

func (b *bed) run(statements ...string) {
	b.t.Helper()
	for _, statement := range statements {
		if _, err := b.sql.PgConn().Exec(ctx(b.t), statement).ReadAll(); err != nil {
			b.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// began is when the server was started.
func (b *bed) began() (at time.Time) {
	b.t.Helper()
	if err := b.sql.QueryRow(ctx(b.t), "SELECT pg_postmaster_start_time()").Scan(&at); err != nil {
		b.t.Fatal(err)
	}
	return at
}

// reconnect waits for a server that was started later. What a connection answers says nothing: its process can outlive a server that
// was killed, while nobody takes new connections.
func (b *bed) reconnect(than time.Time) {
	b.t.Helper()
	eventually(b.t, "the server comes back", func() error {
		conn, err := pgx.Connect(ctx(b.t), b.dsn)
		if err != nil {
			return err
		}
		b.t.Cleanup(func() { _ = conn.Close(context.Background()) })
		var at time.Time
		if err := conn.QueryRow(ctx(b.t), "SELECT pg_postmaster_start_time()").Scan(&at); err != nil {
			return err
		}
		if !at.After(than) {
			return errors.New("it is still the old one")
		}
		b.sql = conn
		return nil
	})
}

// changes marks the end of what was done so far and reads up to there. last is the end of the mark's transaction.
func (b *bed) changes(st *source.Stream) (changes []delivery.Change, last delivery.LSN) {
	b.t.Helper()
	b.fences++
	fence := fmt.Sprint("fence ", b.fences)
	if _, err := b.src.Mark(ctx(b.t), fence); err != nil {
		b.t.Fatal(err)
	}
	marked := false
	for {
		event := next(b.t, st)
		switch {
		case event.Change != nil:
			changes = append(changes, *event.Change)
		case event.Mark != nil:
			marked = event.Mark.Content == fence
		case event.Commit != nil && marked:
			return changes, event.Commit.LSN
		}
	}
}

// told is changes as texts.
func (b *bed) told(st *source.Stream) []string {
	b.t.Helper()
	changes, _ := b.changes(st)
	return texts(changes)
}

func texts(changes []delivery.Change) []string {
	told := make([]string, len(changes))
	for n, c := range changes {
		told[n] = text(c)
	}
	return told
}

func text(c delivery.Change) string {
	parts := []string{string(c.Op), c.Schema + "." + c.Table}
	if c.Row != nil {
		parts = append(parts, object(c.Row))
	}
	if c.Old != nil && c.Op != delivery.OpDelete {
		parts = append(parts, "old", object(c.Old))
	}
	if c.Unchanged != nil {
		parts = append(parts, "unchanged", strings.Join(c.Unchanged, ","))
	}
	return strings.Join(append(parts, "by", strings.Join(c.Key, ",")), " ")
}

func object(row map[string]json.RawMessage) string {
	raw, err := json.Marshal(row)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

func next(t testing.TB, st *source.Stream) delivery.CaptureEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience.Limit)
	defer cancel()
	event, err := st.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return event
}

// busy is the next event that is not idle.
func busy(t testing.TB, st *source.Stream) delivery.CaptureEvent {
	t.Helper()
	for {
		if event := next(t, st); event.Idle == 0 {
			return event
		}
	}
}

func ctx(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience.Limit)
	t.Cleanup(cancel)
	return ctx
}

func connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(ctx(t), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func same(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n  %s\nwant\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	patience.Eventually(t, what, try)
}

func noLeaks(t testing.TB) {
	t.Helper()
	ignored := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignored) })
}
