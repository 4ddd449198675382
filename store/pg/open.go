// Package pg is the connection to Postgres that all rooms of the store share: opening, transactions, reading rows, what errors mean,
// the schema's version, and leadership of one process.
package pg

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"redrive/store/session"
)

// Connections of one process. Claims, outcomes and heartbeats need one each, the rest is for producers and what runs beside them. People
// have their own: see delivery.Apart.
const (
	maxConnections  = 16
	idleConnections = 6
	maxForPeople    = 12
	idleForPeople   = 2
	idleTime        = 5 * time.Minute
	ConnectTimeout  = 10 * time.Second
	connectPause    = 100 * time.Millisecond
	startingUp      = "57P03" // SQLSTATE cannot_connect_now
)

// DB is one pool of connections. It is safe for concurrent use.
type DB struct {
	Gorm    *gorm.DB
	Pool    *sql.DB // the engine's
	people  *sql.DB
	leaders *sql.DB // one session for each room that this process leads
	Config  *pgx.ConnConfig
	owner   string // of the schema, where that is another role
	log     *slog.Logger
}

// Open connects to the database that dsn names (URL or key=value form) and checks that it answers.
func Open(ctx context.Context, dsn string, log *slog.Logger) (*DB, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// err may quote the password
		return nil, errors.New("not a Postgres URL such as postgres://user:password@host:5432/database")
	}
	// only Postgres's own functions and operators: whoever may create some elsewhere cannot slip them under our statements
	session.Prepare(&config.Config, "redrive", session.Own{"jit": "off", "search_path": "pg_catalog, pg_temp"})
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = ConnectTimeout
	}
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(maxConnections)
	pool.SetMaxIdleConns(idleConnections)
	pool.SetConnMaxIdleTime(idleTime)
	if err := answers(ctx, pool); err != nil {
		_ = pool.Close()
		return nil, fmt.Errorf("connecting to Postgres: %w", session.Explain(err))
	}
	people := stdlib.OpenDB(*config)
	people.SetMaxOpenConns(maxForPeople)
	people.SetMaxIdleConns(idleForPeople)
	people.SetConnMaxIdleTime(idleTime)
	db, err := gorm.Open(postgres.New(postgres.Config{Conn: pools{engine: pool, people: people}}), &gorm.Config{Logger: logger.Discard,
		SkipDefaultTransaction: true, TranslateError: true})
	if err != nil {
		_ = pool.Close()
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	leaders := stdlib.OpenDB(*config)
	leaders.SetMaxIdleConns(-1)
	return &DB{Gorm: db, Pool: pool, people: people, leaders: leaders, Config: config, log: log}, nil
}

// OwnedBy names the database's URL for the role that owns the schema, which migrations run as.
func (s *DB) OwnedBy(dsn string) { s.owner = dsn }

// answers waits a little for a server that is only just starting; a wrong password or database is wrong at once.
func answers(ctx context.Context, pool *sql.DB) error {
	deadline := time.Now().Add(ConnectTimeout)
	for {
		err := pool.PingContext(ctx)
		var refused *pgconn.PgError
		var pooler *session.PoolerError
		if err == nil || errors.As(err, &refused) && refused.Code != startingUp || errors.As(err, &pooler) ||
			time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(connectPause):
		}
	}
}

// Close ends all connections.
func (s *DB) Close() {
	if err := errors.Join(s.leaders.Close(), s.people.Close(), s.Pool.Close()); err != nil {
		s.log.Warn("closing the database", "error", err)
	}
}

// Ready reports whether the database answers and has the schema of this program.
func (s *DB) Ready(ctx context.Context) error {
	current, known, err := s.SchemaStatus(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("the database does not answer: %w", err)
	case current < known:
		return fmt.Errorf("the schema has version %d, this program needs %d: run redrive migrate", current, known)
	case current > known:
		return newerSchema(current, known)
	}
	return nil
}

// Transact runs work in one transaction: committed when it answers nil, rolled back otherwise. When others are in its way, work is run
// again from its beginning. Whoever acts by ctx must still have the right to, and keeps it until the end: else the error is a
// *delivery.RightError.
func (s *DB) Transact(ctx context.Context, work func(tx *gorm.DB) error) error {
	return s.transact(ctx, func(tx *gorm.DB) error {
		tx, err := mayStill(tx, ctx, true)
		if err != nil {
			return err
		}
		return work(tx)
	})
}

// Admit is Transact for what is no decision and comes in great number: the right is looked at, and not held.
func (s *DB) Admit(ctx context.Context, work func(tx *gorm.DB) error) error {
	return s.transact(ctx, func(tx *gorm.DB) error {
		tx, err := mayStill(tx, ctx, false)
		if err != nil {
			return err
		}
		return work(tx)
	})
}

// TransactAfter is Transact for work that takes rights away: the lock comes before the look at the own one, so that two who take them
// from each other do so one after the other.
func (s *DB) TransactAfter(ctx context.Context, lock string, work func(tx *gorm.DB) error) error {
	return s.transact(ctx, func(tx *gorm.DB) error {
		if err := tx.Exec(lock).Error; err != nil {
			return err
		}
		tx, err := mayStill(tx, ctx, true)
		if err != nil {
			return err
		}
		return work(tx)
	})
}

func (s *DB) transact(ctx context.Context, work func(tx *gorm.DB) error) error {
	return DomainError(Again(func() error { return s.Gorm.WithContext(ctx).Transaction(work) }))
}
