package store_test

import (
	"context"
	"encoding/hex"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery"
	"redrive/store"
	"redrive/store/storetest"
)

// In a database of another encoding a text travels as UTF-8 all the same, and only SQL_ASCII can hold a text that is none.
func TestTextOfOtherEncodings(t *testing.T) {
	for encoding, bytes := range map[string]string{"SQL_ASCII": "", "LATIN1": "e9", "EUC_KR": "c7d1b1db"} {
		t.Run(encoding, func(t *testing.T) {
			dsn := storetest.Encoded(t, encoding)
			s, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			d := desk{Store: s, t: t, dsn: dsn}
			d.must(s.Migrate(t.Context()))
			d.must(s.SyncIntegrations(t.Context(), []delivery.Integration{integration("push", "order.placed")}))
			conn, err := pgconn.Connect(t.Context(), dsn)
			d.must(err)
			defer conn.Close(context.Background())
			d.must(conn.Exec(t.Context(), "SET client_encoding = "+encoding).Close())
			h := &handover{t: t, conn: conn}
			raw, err := hex.DecodeString(bytes)
			d.must(err)
			want := map[string]string{"LATIN1": "é", "EUC_KR": "한글"}[encoding]
			for _, call := range calls {
				for _, oid := range []uint32{0, oidVarchar, oidJSON} {
					h.call("parameter", `"`+want+`"`, strings.ReplaceAll(call, "%s", "$1"), [][]byte{[]byte(`"` + string(raw) + `"`)}, []uint32{oid}, nil)
				}
				h.call("literal", `{"a": "\\"}`, strings.ReplaceAll(call, "%s", `'{"a": "\\"}'`), nil, nil, nil)
				if encoding == "SQL_ASCII" {
					h.call("UTF-8", `"é"`, strings.ReplaceAll(call, "%s", "$1"), [][]byte{[]byte(`"é"`)}, nil, nil)
					h.call("bytes", "\xff\xfe", strings.ReplaceAll(call, "%s", `convert_to($1, 'SQL_ASCII')`), [][]byte{[]byte("\xff\xfe")}, nil, nil)
					h.call("bytes", "\xff\xfe", strings.ReplaceAll(call, "%s", `$1::bytea`), [][]byte{[]byte("\xff\xfe")}, nil, []int16{1})
					refusesASCII(t, conn, strings.ReplaceAll(call, "%s", "$1"))
				}
			}
			h.arrived()
			long := strings.Repeat(string(raw), 255)
			if encoding != "SQL_ASCII" {
				err := conn.ExecParams(t.Context(), "SELECT redrive.publish($1, 'x')", [][]byte{[]byte(long)}, nil, nil, nil).Read().Err
				if code(err) != "RD006" { // twice as long where it travels
					t.Errorf("a type of more than 255 bytes of UTF-8: %v", err)
				}
			}
		})
	}
}

// refusesASCII: text that is no UTF-8 is refused with what to do, in each field.
func refusesASCII(t *testing.T, conn *pgconn.PgConn, call string) {
	t.Helper()
	for _, statement := range []string{call, "SELECT redrive.publish('t', 'x', key => $1)", "SELECT redrive.publish($1, 'x')", "SELECT redrive.publish('t', 'x', headers => jsonb_build_object('a', $1::text))"} {
		err := conn.ExecParams(t.Context(), statement, [][]byte{[]byte("\xff\xfe")}, nil, nil, nil).Read().Err
		if code(err) != "RD006" || !strings.Contains(err.(*pgconn.PgError).Hint, "::bytea") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}
