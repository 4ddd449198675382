package session_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"redrive/store/session"
	"redrive/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// hostile is what an administrator may have set for other reasons, and what must be instead.
var hostile = map[string][2]string{
	"statement_timeout": {"1ms", "0"}, "lock_timeout": {"1ms", "0"}, "idle_in_transaction_session_timeout": {"1ms", "0"}, "idle_session_timeout": {"60s", "0"},
	"default_transaction_isolation": {"serializable", "read committed"}, "default_transaction_read_only": {"on", "off"}, "default_transaction_deferrable": {"on", "off"},
	"client_encoding": {"LATIN1", "UTF8"}, "standard_conforming_strings": {"off", "on"}, "TimeZone": {"Asia/Kathmandu", "UTC"}, "DateStyle": {"SQL, DMY", "ISO, MDY"},
	"IntervalStyle": {"sql_standard", "postgres"}, "bytea_output": {"escape", "hex"}, "extra_float_digits": {"-15", "1"}, "array_nulls": {"off", "on"},
	"transform_null_equals": {"on", "off"}, "xmlbinary": {"hex", "base64"}, "backslash_quote": {"off", "safe_encoding"}, "check_function_bodies": {"off", "on"},
	"plan_cache_mode": {"force_generic_plan", "auto"}, "synchronous_commit": {"off", "on"}, "transaction_timeout": {"60s", "0"},
}

func run(t *testing.T, dsn string, statements ...string) []*pgconn.Result {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	results, err := conn.Exec(t.Context(), strings.Join(statements, ";")).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// hostileDatabase is one whose settings are the ones above, set for the role in this database, which goes before all others. Its DSN
// asks for more of that.
func hostileDatabase(t *testing.T) (dsn string, known map[string]bool) {
	t.Helper()
	dsn = storetest.Empty(t)
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	known = map[string]bool{}
	var statements []string
	for name, values := range hostile {
		if string(run(t, dsn, "SELECT count(*) FROM pg_settings WHERE lower(name) = lower('"+name+"')")[0].Rows[0][0]) == "1" {
			known[name] = true
			statements = append(statements, fmt.Sprintf(`ALTER ROLE %q IN DATABASE %q SET %s = '%s'`, config.User, config.Database, name, values[0]),
				fmt.Sprintf(`ALTER DATABASE %q SET %s = '%s'`, config.Database, name, values[0]))
		}
	}
	statements = append(statements, fmt.Sprintf(`ALTER ROLE %q IN DATABASE %q SET search_path = trap, pg_catalog`, config.User, config.Database))
	run(t, dsn, statements...)
	return dsn, known
}

func TestSettingsOfOthersChangeNothing(t *testing.T) {
	dsn, known := hostileDatabase(t)
	config, err := pgconn.ParseConfig(dsn + "&statement_timeout=5")
	if err != nil {
		t.Fatal(err)
	}
	session.Prepare(config, "redrive test", session.Own{"search_path": "pg_catalog, pg_temp", "timezone": "Asia/Seoul"})
	for range 20 { // a timeout of a millisecond may strike now or then
		conn, err := pgconn.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range hostile {
			want := values[1]
			if name == "TimeZone" {
				want = "Asia/Seoul"
			}
			if !known[name] {
				continue
			}
			if got := string(conn.ExecParams(t.Context(), "SHOW "+name, nil, nil, nil, nil).Read().Rows[0][0]); got != want {
				t.Errorf("%s is %s, not %s", name, got, want)
			}
		}
		if got := string(conn.ExecParams(t.Context(), "SHOW search_path", nil, nil, nil, nil).Read().Rows[0][0]); got != "pg_catalog, pg_temp" {
			t.Errorf("search_path is %s", got)
		}
		_ = conn.Close(t.Context())
	}
}

// What the whole server is set to was decided for it.
func TestAServersOwnDurabilityStays(t *testing.T) {
	config, err := pgconn.ParseConfig(storetest.Empty(t)) // on a server with synchronous_commit = off
	if err != nil {
		t.Fatal(err)
	}
	session.Prepare(config, "redrive test", nil)
	conn, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if got := string(conn.ExecParams(t.Context(), "SHOW synchronous_commit", nil, nil, nil, nil).Read().Rows[0][0]); got != "off" {
		t.Errorf("synchronous_commit is %s", got)
	}
}

// Whoever opens a connection prepares it: a file that does the one does the other.
func TestEveryConnectionIsPrepared(t *testing.T) {
	opens := regexp.MustCompile(`pgx\.Connect|pgconn\.Connect|ConnectConfig\(|stdlib\.OpenDB|NewWithConfig\(|sql\.Open\(`)
	found := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "storetest" || d.Name() == "embedded" || d.Name() == "session") { // embedded: its own server
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "stream.go") { // the source's configuration
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil && opens.Match(text) {
			found++
			if !strings.Contains(string(text), "session.Prepare(") {
				t.Errorf("%s opens a connection that is not prepared", path)
			}
		}
		return err
	})
	if err != nil || found < 4 {
		t.Errorf("%d files open connections: %v", found, err)
	}
}
