// Package storetest gives tests databases on a real Postgres: one server for the run, one database for each test.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"redrive/delivery/scratch"
	"redrive/migrations"
	"redrive/store"
	"redrive/store/embedded"
	"redrive/store/storetest/patience"
	"redrive/store/storetest/starter"
)

// DatabaseVariable names the server of the run; the test starter sets it. Without it each test process starts its own.
const DatabaseVariable = "REDRIVE_TEST_DATABASE_URL"

// TemplateVariable names the database of the run that the others are copied from. The test starter sets it with the server; the first
// process that needs the database makes it for all. Without it each process makes its own.
const TemplateVariable = "REDRIVE_TEST_TEMPLATE"

const timeout = patience.Limit

// server is the process's Postgres, started by the first test that asks.
var server struct {
	sync.Mutex
	admin    string       // DSN of an existing database
	template string       // name of the migrated database
	shared   bool         // the template is the run's
	strategy string       // how databases are copied
	stop     func() error // of this process's own server, nil with the run's

	one  sync.Mutex
	conn *pgx.Conn // to the existing database, for all statements of this package: a connection costs more than most of them
}

var databases atomic.Int64

// New returns the DSN of a fresh database with the schema in place, dropped after the test.
func New(t testing.TB) string {
	t.Helper()
	return create(t, true, "")
}

// Empty returns the DSN of a fresh database without any schema, dropped after the test.
func Empty(t testing.TB) string {
	t.Helper()
	return create(t, false, "")
}

// Encoded is Empty with another encoding than UTF8, such as SQL_ASCII.
func Encoded(t testing.TB, encoding string) string {
	t.Helper()
	return create(t, false, " ENCODING '"+encoding+"' LC_COLLATE 'C' LC_CTYPE 'C'")
}

// Main runs a package's tests and stops what they started. A TestMain that calls it leaves nothing behind. More that was started ends
// with cleanUps.
func Main(m *testing.M, cleanUps ...func() error) {
	starter.Require()
	code := m.Run()
	for _, end := range append(cleanUps, cleanUp) {
		if err := end(); err != nil {
			fmt.Fprintln(os.Stderr, "storetest:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// MainAlone is Main for a package whose tests need a server of their own, because they look at what is on it or wait for all of
// its transactions.
func MainAlone(m *testing.M) {
	if err := os.Unsetenv(DatabaseVariable); err != nil {
		panic(err)
	}
	Main(m)
}

func create(t testing.TB, migrated bool, options string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	admin, template, err := prepare(ctx, migrated)
	if err != nil {
		t.Fatalf("storetest: %v", err)
	}
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), databases.Add(1))
	if err := run(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template+server.strategy+options); err != nil {
		t.Fatalf("storetest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := drop(ctx, name); err != nil {
			t.Errorf("storetest: %v", err)
		}
	})
	return withDatabase(admin, name)
}

// sessions are of the tests' own statements, by DSN.
var sessions sync.Map

// Session is for statements of a test's own, as another program would send them. They share connections until the end of the test, which
// spares most of their cost: a test that sets something for its session connects by itself.
func Session(t testing.TB, dsn string) *pgxpool.Pool {
	t.Helper()
	if pool, ok := sessions.Load(dsn); ok {
		return pool.(*pgxpool.Pool)
	}
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		t.Fatalf("storetest: %v", err)
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec // nothing is kept that a change of a table makes wrong
	config.MaxConns = 100
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return true } // a test may have ended it
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		t.Fatalf("storetest: %v", err)
	}
	if other, ok := sessions.LoadOrStore(dsn, pool); ok {
		pool.Close()
		return other.(*pgxpool.Pool)
	}
	t.Cleanup(func() { sessions.Delete(dsn); pool.Close() })
	return pool
}

// prepare starts the server and, when asked, migrates the template, each once.
func prepare(ctx context.Context, migrated bool) (admin, template string, err error) {
	server.Lock()
	defer server.Unlock()
	if server.admin == "" {
		if err := connect(ctx); err != nil {
			return "", "", err
		}
	}
	if !migrated {
		return server.admin, "template0", nil
	}
	if server.template == "" {
		if server.template, err = makeTemplate(ctx, server.admin); err != nil {
			return "", "", err
		}
	}
	return server.admin, server.template, nil
}

// connect takes the run's server or starts a private one. Durability is switched off: nothing here outlives the process.
func connect(ctx context.Context) error {
	if server.admin = os.Getenv(DatabaseVariable); server.admin == "" {
		private, stop, err := StartServer(ctx, nil)
		if err != nil {
			return err
		}
		server.stop, server.admin = stop, private.DSN("postgres")
	}
	return chooseStrategy(ctx)
}

// StartServer starts a Postgres of its own with Settings, which lets its superuser in without a password: a proof of one costs more
// than all else of a connection. Other roles prove theirs. The log may be nil.
func StartServer(ctx context.Context, log *slog.Logger) (server *embedded.Server, stop func() error, err error) {
	dir, err := TempDir()
	if err != nil {
		return nil, nil, err
	}
	settings := Settings()
	if settings["hba_file"], err = trusting(dir); err == nil {
		server, err = embedded.Start(ctx, embedded.Options{DataDir: dir, Log: log, Settings: settings})
	}
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return server, func() error { return errors.Join(server.Stop(), os.RemoveAll(dir)) }, nil
}

// trusting writes who may log in how. Only the server's user can reach its socket.
func trusting(dir string) (path string, err error) {
	path = filepath.Join(dir, "pg_hba.conf")
	err = os.WriteFile(path, []byte(`local all app trust
local replication app trust
local all all scram-sha-256
local replication all scram-sha-256
`), 0o644)
	return path, err
}

// chooseStrategy copies databases file by file where the files are in memory: that spares reading and writing them page by page, but
// is slower on a disk.
func chooseStrategy(ctx context.Context) error {
	var version int
	var dir *string // a caller's server need not tell
	err := withAdmin(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int,
			(SELECT setting FROM pg_settings WHERE name = 'data_directory')`).Scan(&version, &dir)
	})
	if err != nil {
		return fmt.Errorf("asking the test server: %w", err)
	}
	if version >= 150000 && dir != nil && inMemory(*dir) {
		server.strategy = " STRATEGY FILE_COPY"
	}
	return nil
}

// TempDir is a new directory that the user Postgres runs as can enter.
func TempDir() (string, error) {
	dir, err := scratch.New("test")
	if err == nil {
		err = os.Chmod(dir.Path, 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("creating the test server's directory: %w", err)
	}
	return dir.Path, nil
}

// Settings suit a server that is thrown away: fast, not durable.
func Settings() map[string]string {
	return map[string]string{
		"fsync":                      "off",
		"synchronous_commit":         "off",
		"full_page_writes":           "off",
		"max_connections":            "400",
		"max_replication_slots":      "50",
		"max_wal_senders":            "50",
		"shared_buffers":             "128MB",
		"max_wal_size":               "512MB",
		"autovacuum_naptime":         "1h",
		"dynamic_shared_memory_type": "mmap",
	} // so that no segment of a killed server stays
}

// makeTemplate returns a migrated database: the run's, or one of this process. The name tells which migrations it carries.
func makeTemplate(ctx context.Context, admin string) (string, error) {
	sum, err := migrationsHash()
	if err != nil {
		return "", err
	}
	if prefix := os.Getenv(TemplateVariable); prefix != "" && server.stop == nil {
		server.shared = true
		return prefix + "_" + sum, shareTemplate(ctx, admin, prefix+"_"+sum)
	}
	name := fmt.Sprintf("template_%d_%s", os.Getpid(), sum)
	if err := drop(ctx, name); err != nil { // a process with this number may have been killed
		return "", err
	}
	return name, fillTemplate(ctx, admin, name)
}

// shareTemplate makes the run's template unless somebody has. It gets its name when it is whole.
func shareTemplate(ctx context.Context, admin, name string) error {
	if there, err := exists(ctx, name); err != nil || there {
		return err
	}
	lock, err := pgx.Connect(ctx, admin)
	if err != nil {
		return fmt.Errorf("connecting to the test server: %w", err)
	}
	defer func() { _ = lock.Close(context.WithoutCancel(ctx)) }() // which gives it back
	if _, err := lock.Exec(ctx, "SELECT pg_advisory_lock(hashtext($1))", name); err != nil {
		return fmt.Errorf("waiting for the template: %w", err)
	}
	if there, err := exists(ctx, name); err != nil || there {
		return err
	}
	fresh := name + "_new"
	if err := drop(ctx, fresh); err != nil { // whoever began may have been killed
		return err
	}
	if err := fillTemplate(ctx, admin, fresh); err != nil {
		return err
	}
	return run(ctx, "ALTER DATABASE "+fresh+" RENAME TO "+name)
}

// exists reports whether the server has a database of that name.
func exists(ctx context.Context, name string) (there bool, err error) {
	err = withAdmin(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there)
	})
	return there, err
}

func fillTemplate(ctx context.Context, admin, name string) error {
	if err := run(ctx, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		return err
	}
	return migrate(ctx, withDatabase(admin, name))
}

func migrate(ctx context.Context, dsn string) error {
	db, err := store.Open(ctx, dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		return fmt.Errorf("opening the template: %w", err)
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		return fmt.Errorf("migrating the template: %w", err)
	}
	return nil
}

func migrationsHash() (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(migrations.Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(migrations.Files, path)
		_, _ = fmt.Fprintf(hash, "%s %d\n%s", path, len(raw), raw) // a hash takes everything
		return err
	})
	if err != nil {
		return "", fmt.Errorf("reading the migrations: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil)[:6]), nil
}

// drop takes a database away, with the replication slots that a program under test has left: they keep their database, and a reader
// that was killed holds its slot a moment longer.
func drop(ctx context.Context, name string) error {
	of := fmt.Sprintf("FROM pg_replication_slots WHERE database = '%s' AND ", name)
	for {
		err := run(ctx, "SELECT pg_terminate_backend(active_pid) "+of+
			"active; SELECT pg_drop_replication_slot(slot_name) "+of+"NOT active")
		if err == nil {
			err = run(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		}
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != objectInUse || ctx.Err() != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond) // until the reader is gone
	}
}

const objectInUse = "55006" // SQLSTATE

func run(ctx context.Context, statement string) error {
	return withAdmin(ctx, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
		return nil
	})
}

// withAdmin lends the connection to one at a time.
func withAdmin(ctx context.Context, use func(*pgx.Conn) error) (err error) {
	server.one.Lock()
	defer server.one.Unlock()
	if server.conn == nil || server.conn.IsClosed() { // a context that ended, or a test, may have closed it
		if server.conn, err = pgx.Connect(ctx, server.admin); err != nil {
			return fmt.Errorf("connecting to the test server: %w", err)
		}
	}
	return use(server.conn)
}

// withDatabase is the DSN with another database, for both forms that a DSN has.
func withDatabase(dsn, name string) string {
	if parsed, err := url.Parse(dsn); err == nil && strings.HasPrefix(parsed.Scheme, "postgres") {
		parsed.Path = "/" + name
		return parsed.String()
	}
	return dsn + " dbname=" + name
}

// CleanUp is for a TestMain that has more to do than Main: it stops what the tests started.
func CleanUp() error { return cleanUp() }

// cleanUp drops the template, and the server if it is this process's own.
func cleanUp() (err error) {
	server.Lock()
	defer server.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if server.template != "" && !server.shared && server.stop == nil {
		err = drop(ctx, server.template)
	}
	if server.conn != nil {
		err = errors.Join(err, server.conn.Close(ctx))
	}
	if server.stop != nil {
		err = errors.Join(err, server.stop())
	}
	return err
}
