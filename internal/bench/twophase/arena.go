package twophase

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/store"
)

const integration = "bench"

// arena is the two databases of a run: the one that was given has business rows and outbox, the other one only messages.
type arena struct {
	Options
	config *pgx.ConnConfig
	run    string // in the names of the second database and of every prepared transaction
	number atomic.Int64
}

func build(ctx context.Context, o Options) (*arena, error) {
	config, err := pgx.ParseConfig(o.DSN)
	if err != nil {
		return nil, errors.New("not a Postgres URL") // err may quote the password
	}
	var raw [4]byte
	_, _ = rand.Read(raw[:])
	a := &arena{Options: o, config: config, run: "redrive-bench-" + hex.EncodeToString(raw[:])}
	if err := a.prepareShop(ctx); err != nil {
		return nil, err
	}
	if err := a.prepareOther(ctx); err != nil {
		return nil, errors.Join(err, a.tearDown(context.WithoutCancel(ctx)))
	}
	return a, nil
}

func (a *arena) prepareShop(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, a.config.Copy())
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var room, others int
	err = conn.QueryRow(ctx, `SELECT current_setting('max_prepared_transactions')::int, (SELECT count(*) FROM redrive.integrations WHERE name <> $1)`,
		integration).
		Scan(&room, &others)
	switch {
	case err != nil:
		return fmt.Errorf("looking around: %w", err)
	case others > 0:
		return errors.New("this database serves integrations; use one of its own for measuring")
	case room < 2*a.Concurrency+2: // two for each, and two of a process that was killed
		return fmt.Errorf("max_prepared_transactions is %d: %d at once need %d", room, a.Concurrency, 2*a.Concurrency+2)
	}
	_, err = conn.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS redrive_bench_2pc; DROP TABLE IF EXISTS redrive_bench_2pc.orders;
		CREATE TABLE redrive_bench_2pc.orders (n bigint PRIMARY KEY, note text NOT NULL)`)
	if err != nil {
		return fmt.Errorf("making the table of business rows: %w", err)
	}
	if err := a.addIntegration(ctx, a.DSN); err != nil {
		return err
	}
	earlier, err := a.numbers(ctx, a.config.Database, enqueued)
	for n := range earlier { // an earlier run's messages stay: ours get other numbers
		a.number.Store(max(a.number.Load(), n))
	}
	return err
}

// addIntegration makes the schema where it is missing, and an addressee; nothing is delivered here.
func (a *arena) addIntegration(ctx context.Context, dsn string) error {
	db, err := store.Open(ctx, dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	return db.SyncIntegrations(ctx, []delivery.Integration{
		{
			Name:        integration,
			Method:      delivery.MethodOutbox,
			Idempotent:  true,
			Retry:       delivery.DefaultRetry,
			OnFailure:   delivery.StateDead,
			Concurrency: 1,
			Destination: delivery.Destination{To: &delivery.HTTPDestination{URL: "http://127.0.0.1:9/"}},
		},
	})
}

func (a *arena) prepareOther(ctx context.Context) error {
	if err := a.exec(ctx, a.config.Database, "CREATE DATABASE "+a.otherName()+" TEMPLATE template0"); err != nil {
		return fmt.Errorf("making the second database: %w", err)
	}
	return a.addIntegration(ctx, withDatabase(a.DSN, a.run))
}

// withDatabase is the DSN with another database, for both forms that a DSN has.
func withDatabase(dsn, name string) string {
	if parsed, err := url.Parse(dsn); err == nil && strings.HasPrefix(parsed.Scheme, "postgres") {
		parsed.Path = "/" + name
		return parsed.String()
	}
	return dsn + " dbname=" + name
}

func (a *arena) other() string     { return a.run }
func (a *arena) otherName() string { return pgx.Identifier{a.run}.Sanitize() }

func (a *arena) connect(ctx context.Context, database, name string) (*pgx.Conn, error) {
	config := a.config.Copy()
	config.Database = database
	config.RuntimeParams["application_name"] = name
	return pgx.ConnectConfig(ctx, config)
}

func (a *arena) exec(ctx context.Context, database, statement string) error {
	conn, err := a.connect(ctx, database, "redrive bench 2pc")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

// tearDown ends what was left prepared and removes what was made.
func (a *arena) tearDown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return errors.Join(a.settle(ctx), a.exec(ctx, a.config.Database, "DROP DATABASE IF EXISTS "+a.otherName()+" WITH (FORCE)"),
		a.exec(ctx, a.config.Database, "DROP SCHEMA IF EXISTS redrive_bench_2pc CASCADE"))
}

// hands are one process's connections to both databases.
type hands struct {
	shop, other *pgx.Conn
	run         string
}

func (a *arena) hands(ctx context.Context, name string) (*hands, error) {
	shop, err := a.connect(ctx, a.config.Database, name)
	if err != nil {
		return nil, err
	}
	other, err := a.connect(ctx, a.other(), name)
	if err != nil {
		_ = shop.Close(ctx)
		return nil, err
	}
	return &hands{shop: shop, other: other, run: a.run}, nil
}

func (h *hands) close(ctx context.Context) {
	_ = h.shop.Close(ctx)
	_ = h.other.Close(ctx)
}

// die does to the databases what the death of the process does: the sockets close, without a word.
func (h *hands) die() {
	_ = h.shop.PgConn().Conn().Close()
	_ = h.other.PgConn().Conn().Close()
}
