package producer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/store"
)

const (
	integration      = "bench"
	accountsOfBranch = 100_000
	tellersOfBranch  = 10
)

// tables are those of pgbench, which are those of TPC-B.
const tables = `
DROP SCHEMA IF EXISTS redrive_bench_producer CASCADE;
CREATE SCHEMA redrive_bench_producer;
CREATE TABLE redrive_bench_producer.branches (bid int PRIMARY KEY, bbalance int NOT NULL, filler char(88)) WITH (fillfactor = 50);
CREATE TABLE redrive_bench_producer.tellers (tid int PRIMARY KEY, bid int NOT NULL, tbalance int NOT NULL, filler char(84)) WITH (fillfactor = 50);
CREATE TABLE redrive_bench_producer.accounts (aid int PRIMARY KEY, bid int NOT NULL, abalance int NOT NULL, filler char(84));
CREATE TABLE redrive_bench_producer.history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))`

const rows = `
INSERT INTO redrive_bench_producer.branches SELECT n, 0, '' FROM generate_series(1, %[1]d) n;
INSERT INTO redrive_bench_producer.tellers SELECT n, (n - 1) / %[2]d + 1, 0, '' FROM generate_series(1, %[1]d * %[2]d) n;
INSERT INTO redrive_bench_producer.accounts SELECT n, (n - 1) / %[3]d + 1, 0, '' FROM generate_series(1, %[1]d * %[3]d) n`

// The five statements between BEGIN and COMMIT.
const (
	updateAccount = `UPDATE redrive_bench_producer.accounts SET abalance = abalance + $1 WHERE aid = $2`
	selectAccount = `SELECT abalance FROM redrive_bench_producer.accounts WHERE aid = $1`
	updateTeller  = `UPDATE redrive_bench_producer.tellers SET tbalance = tbalance + $1 WHERE tid = $2`
	updateBranch  = `UPDATE redrive_bench_producer.branches SET bbalance = bbalance + $1 WHERE bid = $2`
	insertHistory = `INSERT INTO redrive_bench_producer.history (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)`
)

// way is what is done for the outbox within the business transaction.
type way struct{ name, call string }

var ways = []way{
	{name: "without"},
	{name: "enqueue", call: `SELECT redrive.enqueue('` + integration + `', 'account.changed', $1::bytea, $2::int::text)`},
	{name: "enqueue text", call: `SELECT redrive.enqueue('` + integration + `', 'account.changed', $1::text, $2::int::text)`},
	{name: "publish", call: `SELECT redrive.publish('account.changed', $1::bytea, $2::int::text)`},
	{name: "publish text", call: `SELECT redrive.publish('account.changed', $1::text, $2::int::text)`},
}

// business is a database with the tables, and the clients that work on it.
type business struct {
	Options
	upkeep  *pgx.Conn
	clients []*client
}

func open(ctx context.Context, o Options) (*business, error) {
	b := &business{Options: o}
	err := b.prepare(ctx)
	for i := 0; err == nil && i < o.Clients; i++ {
		var conn *pgx.Conn
		if conn, err = connect(ctx, o.DSN); err == nil {
			b.clients = append(b.clients, &client{conn: conn, scale: o.Scale, payload: bytes.Repeat([]byte("x"), o.PayloadBytes)})
		}
	}
	if err != nil {
		return nil, errors.Join(err, b.close(context.WithoutCancel(ctx)))
	}
	return b, nil
}

func connect(ctx context.Context, dsn string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("not a Postgres URL") // err may quote the password
	}
	config.RuntimeParams["application_name"], config.RuntimeParams["synchronous_commit"] = "redrive bench producer", "on"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return conn, nil
}

func (b *business) prepare(ctx context.Context) (err error) {
	if b.upkeep, err = connect(ctx, b.DSN); err != nil {
		return err
	}
	var others int
	if err := b.upkeep.QueryRow(ctx, `SELECT count(*) FROM redrive.integrations WHERE name <> $1`, integration).
		Scan(&others); err != nil {
		return fmt.Errorf("looking for integrations: %w", err)
	}
	if others > 0 {
		return errors.New("this database serves integrations; use one of its own for measuring")
	}
	for _, statement := range []string{tables, fmt.Sprintf(rows, b.Scale, tellersOfBranch, accountsOfBranch)} {
		if _, err := b.upkeep.Exec(ctx, statement); err != nil {
			return fmt.Errorf("making the business tables: %w", err)
		}
	}
	if err := b.addIntegration(ctx); err != nil {
		return err
	}
	return b.tidy(ctx)
}

// addIntegration makes an addressee that subscribes; nothing is delivered here.
func (b *business) addIntegration(ctx context.Context) error {
	db, err := store.Open(ctx, b.DSN, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer db.Close()
	return db.SyncIntegrations(ctx,
		[]delivery.Integration{{Name: integration, Method: delivery.MethodOutbox, Subscribe: []string{"account.changed"},
			Idempotent: true, Retry: delivery.DefaultRetry, OnFailure: delivery.StateDead, Concurrency: 1,
			Destination: delivery.Destination{To: &delivery.HTTPDestination{URL: "http://127.0.0.1:9/"}}}})
}

// tidy does the server's upkeep between the rounds, so that it falls into none of them.
func (b *business) tidy(ctx context.Context) error {
	for _, table := range []string{"redrive_bench_producer.branches", "redrive_bench_producer.tellers", "redrive_bench_producer.accounts", "redrive.queue"} {
		if _, err := b.upkeep.Exec(ctx, "VACUUM ANALYZE "+table); err != nil {
			return fmt.Errorf("tidying %s: %w", table, err)
		}
	}
	return nil
}

// close removes the business tables and ends the connections.
func (b *business) close(ctx context.Context) (err error) {
	for _, c := range b.clients {
		err = errors.Join(err, c.conn.Close(ctx))
	}
	if b.upkeep != nil {
		_, dropped := b.upkeep.Exec(ctx, "DROP SCHEMA IF EXISTS redrive_bench_producer CASCADE")
		err = errors.Join(err, dropped, b.upkeep.Close(ctx))
	}
	return err
}

// client is one connection; statements are prepared when they are first used.
type client struct {
	conn    *pgx.Conn
	scale   int
	payload []byte
}

// transact is one business transaction: each statement waits for its answer, as a program does that looks at it.
func (c *client) transact(ctx context.Context, w way) error {
	aid, tid, bid := rand.IntN(c.scale*accountsOfBranch)+1, rand.IntN(c.scale*tellersOfBranch)+1, rand.IntN(c.scale)+1
	delta := rand.IntN(10_001) - 5_000
	return pgx.BeginFunc(ctx, c.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, updateAccount, delta, aid); err != nil {
			return err
		}
		var balance int
		if err := tx.QueryRow(ctx, selectAccount, aid).Scan(&balance); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, updateTeller, delta, tid); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, updateBranch, delta, bid); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, insertHistory, tid, bid, aid, delta); err != nil {
			return err
		}
		if w.call == "" {
			return nil
		}
		_, err := tx.Exec(ctx, w.call, c.payload, aid)
		return err
	})
}
