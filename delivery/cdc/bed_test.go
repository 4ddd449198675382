package cdc_test

import (
	"context"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/delivery/cdc"
	"redrive/delivery/cdc/mapping"
	"redrive/delivery/wire"
	"redrive/store"
	"redrive/store/source"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
	_ "redrive/views/words" // what phrases read like
)

// The package has a server of its own: creating a slot waits for every open transaction of its server.
func TestMain(m *testing.M) { storetest.MainAlone(m) }

// bed is a source database, our own, and the integration that reads the one into the other.
type bed struct {
	t        *testing.T
	in       delivery.Integration
	src, dsn string // databases
	store    *store.Store
	sql      *pgx.Conn // to the source
	monitor  time.Duration
	watch    time.Duration // default of the room when 0
}

// lay makes the source's tables and an integration "capture" with the rules; "a" and "b" may be addressees.
func lay(t *testing.T, src, own, ddl string, rules ...delivery.CDCRule) *bed {
	t.Helper()
	b := &bed{t: t, src: src, dsn: own, sql: connect(t, src), monitor: 100 * time.Millisecond}
	// a transaction that the server answered must be in the log at once
	b.run("ALTER DATABASE " + pgx.Identifier{b.sql.Config().Database}.Sanitize() + " SET synchronous_commit = on")
	b.run("SET synchronous_commit = on")
	b.run(ddl)
	slot := "slot_" + b.sql.Config().Database
	b.in = delivery.Integration{Name: "capture", Method: delivery.MethodCDC, CDC: &delivery.CDCSource{URL: src, Slot: slot, Publication: slot,
		Heartbeat: 200 * time.Millisecond, AlarmBytes: 256 << 20, Rules: rules}}
	var err error
	if b.store, err = store.Open(ctx(t), own, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.store.Close)
	t.Cleanup(b.dropSlot)
	if err := b.store.Migrate(ctx(t)); err != nil {
		t.Fatal(err)
	}
	list := []delivery.Integration{b.in, {Name: "a", Method: delivery.MethodOutbox}, {Name: "b", Method: delivery.MethodOutbox}}
	if err := b.store.SyncIntegrations(ctx(t), list); err != nil {
		t.Fatal(err)
	}
	return b
}

// dropSlot lets the source's database be dropped.
func (b *bed) dropSlot() {
	_ = eventually(b.t, func() error {
		conn, err := pgx.Connect(context.Background(), b.src)
		if err != nil {
			return err
		}
		defer conn.Close(context.Background())
		_, err = conn.Exec(context.Background(), `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1`, b.in.CDC.Slot)
		return err
	})
}

func ready(t *testing.T, ddl string, rules ...delivery.CDCRule) *bed {
	t.Helper()
	return lay(t, storetest.Empty(t), storetest.New(t), ddl, rules...)
}

func rule(table string) delivery.CDCRule {
	return delivery.CDCRule{Schema: "public", Table: table, Line: 1}
}

type captured struct{ *source.Source }

func (c captured) Stream(ctx context.Context, from delivery.LSN) (cdc.Stream, error) {
	return c.Source.Stream(ctx, from)
}

var _ cdc.Source = captured{}

func lead(s *store.Store, name string) func(context.Context, func(context.Context, cdc.Leader) error, func(error)) error {
	return func(ctx context.Context, work func(context.Context, cdc.Leader) error, failed func(error)) error {
		return s.Lead(ctx, "cdc/"+name, func(ctx context.Context, l *store.Leader) error { return work(ctx, l) }, failed)
	}
}

// process is one room that runs.
type process struct {
	*cdc.Room
	stop func() // and waits
}

func (b *bed) start() *process {
	b.t.Helper()
	log := storetest.Log(b.t)
	settings := *b.in.CDC
	settings.Rules = mapping.WithUses(settings.Rules) // as whoever reads the file does
	src, err := source.New(settings, b.src, b.in.Name, wire.Dialer{}.DialContext, log)
	if err != nil {
		b.t.Fatal(err)
	}
	s, err := store.Open(ctx(b.t), b.dsn, log)
	if err != nil {
		b.t.Fatal(err)
	}
	room, err := cdc.New(cdc.Config{Integration: b.in, Source: captured{src}, Store: s, Lead: lead(s, b.in.Name), Log: log, Monitor: b.monitor, Watch: b.watch})
	if err != nil {
		b.t.Fatal(err)
	}
	running, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := room.Run(running, running); err != nil {
			b.t.Error(err)
		}
		s.Close()
		_ = src.Close()
	}()
	stop := func() { cancel(); <-done }
	b.t.Cleanup(stop)
	return &process{room, stop}
}

func (b *bed) run(statement string) {
	b.t.Helper()
	if _, err := b.sql.Exec(ctx(b.t), statement); err != nil {
		b.t.Fatalf("%s: %v", statement, err)
	}
}

// document is a captured change as it is delivered.
type document struct {
	Op        string
	Schema    string
	Table     string
	Key       map[string]any
	Row       map[string]any
	Old       map[string]any
	Unchanged []string
}

func (d document) String() string {
	return fmt.Sprint(d.Op, " ", d.Table, " ", d.Row["id"], " ", d.Row["v"])
}

// documents are the messages for an integration in the order in which they were written.
func (b *bed) documents(integration string) (list []document) {
	b.t.Helper()
	for _, payload := range b.payloads(integration) {
		var d document
		decoder := json.NewDecoder(strings.NewReader(payload))
		decoder.UseNumber()
		if err := decoder.Decode(&d); err != nil {
			b.t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

func (b *bed) payloads(integration string) []string {
	b.t.Helper()
	rows, err := connect(b.t, b.dsn).Query(ctx(b.t), `SELECT convert_from(m.payload, 'UTF8') FROM redrive.messages m JOIN redrive.queue q ON q.message_id = m.id
		WHERE q.integration = $1 ORDER BY m.id`, integration)
	if err != nil {
		b.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func (b *bed) texts(integration string) string {
	var list []string
	for _, d := range b.documents(integration) {
		list = append(list, d.String())
	}
	return strings.Join(list, ", ")
}

func (b *bed) position() delivery.CapturePosition {
	b.t.Helper()
	p, err := b.store.CapturePosition(ctx(b.t), b.in.Name)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// reached waits until everything that was committed at the source so far is durable here.
func (b *bed) reached() {
	b.t.Helper()
	end := query[string](b, b.src, "SELECT pg_current_wal_insert_lsn()::text")
	lsn, err := delivery.ParseLSN(end)
	if err != nil {
		b.t.Fatal(err)
	}
	b.await("the changes are read", func() bool {
		p, err := b.store.CapturePosition(ctx(b.t), b.in.Name)
		return err == nil && p.LSN >= lsn
	})
}

func (b *bed) await(what string, done func() bool) {
	b.t.Helper()
	if eventually(b.t, func() error {
		if !done() {
			return fmt.Errorf("not yet")
		}
		return nil
	}) != nil {
		b.t.Fatal("waited in vain: ", what)
	}
}

func eventually(t *testing.T, try func() error) (err error) {
	t.Helper()
	for deadline := time.Now().Add(patience.Left(t)); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = try(); err == nil {
			return nil
		}
	}
	return err
}

func query[T any](b *bed, dsn, sql string, args ...any) (v T) {
	b.t.Helper()
	conn := connect(b.t, dsn)
	defer conn.Close(context.Background())
	if err := conn.QueryRow(ctx(b.t), sql, args...).Scan(&v); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func ctx(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience.Limit)
	t.Cleanup(cancel)
	return ctx
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	var conn *pgx.Conn
	if err := eventually(t, func() (err error) { conn, err = pgx.Connect(ctx(t), dsn); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func fact(p *process, name string) delivery.Fact {
	for _, f := range p.Facts() {
		if f.Name == name {
			return f
		}
	}
	return delivery.Fact{}
}

func md5sum(text string) string { return fmt.Sprintf("%x", md5.Sum([]byte(text))) }
