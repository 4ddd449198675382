package doctor

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/wire"
	"redrive/store"
	"redrive/store/pg"
	"redrive/store/storetest"
	_ "redrive/views/words" // what phrases read like
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestOrphanedPreparedTransactions(t *testing.T) {
	young := pg.PreparedTransaction{GID: "young", Owner: "shop", Age: 4 * time.Minute}
	if err := orphaned([]pg.PreparedTransaction{young}); err != nil {
		t.Error(err)
	}
	old := pg.PreparedTransaction{GID: "order-7\n", Owner: "shop", Age: 26*time.Hour + 300*time.Millisecond}
	err := orphaned([]pg.PreparedTransaction{young, old})
	if err == nil || !strings.Contains(err.Error(), `1 orphaned: "order-7\n" of shop, 26h0m0s old;`) || strings.Contains(err.Error(), "young") {
		t.Error(err)
	}
}

func TestReport(t *testing.T) {
	dsn := storetest.New(t)
	db, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out bytes.Buffer
	r := Report{Out: &out, Dial: wire.Dialer{}.DialContext}
	r.Database(t.Context(), db)
	if want := "ok    schema\nok    audit chain\nok    prepared transactions\nok    stored secrets\nwarn  role: role app is a superuser"; r.Failed || !strings.HasPrefix(out.String(), want) {
		t.Errorf("said %q", &out)
	}
	// an upgrade with messages leaves a reading on that only the operator can end
	if _, err := storetest.Session(t, dsn).Exec(t.Context(), "INSERT INTO redrive.earlier_producers VALUES ('2026-11-30T12:00:00Z')"); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	r.Database(t.Context(), db)
	if want := "warn  producers: a text such as '\\x7b7d' is still read as the bytes that it writes down, since the upgrade of 2026-11-30: when every producer casts bytes ($1::bytea), end that (DELETE FROM redrive.earlier_producers)\n"; r.Failed || !strings.HasSuffix(out.String(), want) {
		t.Errorf("said %q", &out)
	}
	for _, c := range []struct {
		source delivery.CDCSource
		says   []string
	}{
		{delivery.CDCSource{Slot: "No Slot"}, []string{"bad   in: cdc of in: "}},
		{delivery.CDCSource{URL: "postgres://u:hunter2@127.0.0.1:1/x?connect_timeout=2"}, []string{"bad   in: "}},
		{delivery.CDCSource{Rules: []delivery.CDCRule{{Schema: "public", Table: "missing"}}},
			[]string{"ok    in: version of the source\n", "bad   in: table public.missing: ", "bad   in: publication redrive_in: ", " (CREATE PUBLICATION"}},
	} {
		out.Reset()
		r = Report{Out: &out, Dial: wire.Dialer{}.DialContext}
		r.Source(t.Context(), delivery.Integration{Name: "in", CDC: &c.source}, dsn)
		for _, text := range c.says {
			if !r.Failed || !strings.Contains(out.String(), text) || strings.Contains(out.String(), "hunter2") {
				t.Errorf("%+v: said %q", c.source, &out)
			}
		}
	}
}

func TestAWarningIsNoFailure(t *testing.T) {
	var out bytes.Buffer
	r := Report{Out: &out, Dial: wire.Dialer{}.DialContext}
	r.finding(delivery.Verbatim("in: limit"), delivery.CaptureFinding{Err: delivery.Verbatim("set one"), SQL: "ALTER SYSTEM", Warning: true})
	if r.Failed || out.String() != "warn  in: limit: set one (ALTER SYSTEM)\n" {
		t.Errorf("%t, said %q", r.Failed, &out)
	}
}
