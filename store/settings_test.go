package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery"
	"redrive/delivery/wire"
	"redrive/store"
	"redrive/store/storetest"
)

// Settings that an administrator has made for a role or a database, for other programs, end nothing here and change no value.
func TestSettingsOfTheRoleChangeNothing(t *testing.T) {
	dsn := storetest.Empty(t)
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgconn.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	for _, setting := range []string{"statement_timeout = '2ms'", "lock_timeout = '1ms'", "idle_in_transaction_session_timeout = '1ms'",
		"default_transaction_isolation = 'serializable'", "default_transaction_read_only = on", "search_path = 'trap'", "TimeZone = 'Asia/Kathmandu'", "DateStyle = 'SQL, DMY'",
		"IntervalStyle = 'sql_standard'", "bytea_output = 'escape'", "extra_float_digits = -15", "standard_conforming_strings = off", "client_encoding = 'LATIN1'"} {
		if err := conn.Exec(t.Context(), fmt.Sprintf("ALTER ROLE %q IN DATABASE %q SET %s", config.User, config.Database, setting)).Close(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	d := desk{Store: s, t: t, dsn: dsn + "&statement_timeout=0&lock_timeout=0&idle_in_transaction_session_timeout=0&default_transaction_read_only=off&client_encoding=UTF8"} // the test's own
	d.must(s.Migrate(t.Context()))
	d.must(s.SyncIntegrations(t.Context(), []delivery.Integration{integration("push", "order.placed")}))
	d.accept(delivery.Message{Integration: "push", Type: "한글", Payload: []byte("é\\")})
	d.accept(delivery.Message{Kind: delivery.KindEvent, Type: "order.placed"})
	d.fanOut()
	claimed := d.claim("push", 10, time.Minute)
	if len(claimed) != 2 || time.Since(claimed[0].Message.CreatedAt).Abs() > time.Hour || claimed[0].Message.Type != "한글" || string(claimed[0].Message.Payload) != "é\\" {
		t.Errorf("claimed %+v", claimed)
	}
	closed := wire.Dialer{Network: wire.Network{Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}}
	if _, err := s.OpenBatchSource(t.Context(), closed.DialContext, dsn, "UTC"); err == nil || !strings.Contains(err.Error(), (&delivery.BlockedError{}).Error()) {
		t.Errorf("a batch reads from where the network rules refuse to: %v", err)
	}
	source, err := s.OpenBatchSource(t.Context(), wire.Dialer{}.DialContext, "", "Asia/Seoul")
	d.must(err)
	defer source.Close()
	selection := delivery.BatchSelection{Query: "SELECT timestamptz '2026-01-31 00:00Z', '\\x00'::bytea, pg_sleep(0.05), 0.1::float8 + 0.2, interval '1 day 2 hours', current_setting('search_path')"}
	var got []string
	d.must(source.Read(t.Context(), selection, func([]delivery.BatchColumn) error { return nil }, func(row [][]byte) error {
		for _, value := range row {
			got = append(got, string(value))
		}
		return nil
	}))
	if want := `2026-01-31 09:00:00+09|\x00||0.30000000000000004|1 day 02:00:00|trap`; strings.Join(got, "|") != want {
		t.Errorf("a batch reads %s, not %s", strings.Join(got, "|"), want)
	}
	led := false
	d.must(s.Lead(t.Context(), "settings", func(ctx context.Context, l *store.Leader) error { led = true; return nil }, func(err error) { t.Error(err) }))
	if !led {
		t.Error("nobody leads")
	}
}

// A producer's own settings do not reach into the functions either.
func TestSettingsOfAProducerChangeNothing(t *testing.T) {
	d := open(t)
	conn := d.producer()
	_, err := conn.Exec(t.Context(), `SET standard_conforming_strings = off; SET escape_string_warning = off; SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Kathmandu'; SET bytea_output = escape;
		SET IntervalStyle = sql_standard; SET extra_float_digits = -15; SET transform_null_equals = on; SET array_nulls = off; SET default_transaction_isolation = serializable; SET search_path = ''`)
	d.must(err)
	for _, call := range []string{`SELECT redrive.enqueue('push', 't', E'{"a": "\\\\d \\"x\\""}', idempotency_key => 'a~b', headers => '{"a": "x y"}', deliver_after => '2026-01-31 10:00Z', expires_at => '2100-01-31 10:00Z')::text`,
		`SELECT redrive.publish('t', E'{"a": "\\\\d \\"x\\""}', idempotency_key => 'a~b', headers => '{"a": "x y"}')::text`} {
		var id string
		d.must(conn.QueryRow(t.Context(), call).Scan(&id))
		m, _, err := d.Message(t.Context(), id)
		d.must(err)
		if string(m.Payload) != `{"a": "\\d \"x\""}` || m.IdempotencyKey != "a~b" || m.Headers["a"] != "x y" {
			t.Errorf("%s: %+v", call, m)
		}
	}
	for _, wrong := range []string{"key => E'a\\nb'", "idempotency_key => ' a'", "idempotency_key => E'a\\tb'", "headers => '{\"a\": \" b\"}'", "headers => E'{\"a\": \"b\\\\tb\\\\n\"}'"} {
		if _, err := conn.Exec(t.Context(), "SELECT redrive.publish('t', 'x', "+wrong+")"); !strings.HasPrefix(code(err), "RD00") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}
