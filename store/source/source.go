// Package source holds every conversation with a Postgres whose changes are captured: what it offers, its publication and
// slot, the stream of its changes by logical replication, and the rows that are there already.
package source

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"redrive/delivery"
	"redrive/store/session"
)

const (
	connectTimeout = 10 * time.Second
	maxConnections = 3 // plain SQL; the stream has one of its own
)

// minVersion is the first Postgres whose pgoutput sends logical messages.
const minVersion = 140000

// Errors of a stream and its slot. What wraps them says which slot it is and what to do.
var (
	ErrSlotLost           = delivery.ErrSlotLost
	ErrSlotMissing        = delivery.ErrSlotMissing
	ErrSlotActive         = delivery.ErrSlotActive
	ErrSlotExists         = delivery.Fault("slot.exists")
	ErrPublicationMissing = delivery.ErrPublicationMissing
	ErrSourceRestored     = delivery.ErrSourceRestored
)

// Source is one database and what a cdc integration reads of it. Its methods may be called concurrently.
type Source struct {
	settings    delivery.CDCSource
	log         *slog.Logger
	pool        *pgxpool.Pool
	catalogue   querier        // the pool, or the transaction of one look
	replication *pgconn.Config // for the stream's connection
	pace        pace

	mu    sync.Mutex
	types map[uint32]valueType // of the source's own types, by OID
}

// querier is what the catalogue is asked by.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// New prepares a source; it connects to nothing. defaultURL is read where the settings name no database. It must be closed.
func New(settings delivery.CDCSource, defaultURL, integration string, dial delivery.Dial, log *slog.Logger) (*Source, error) {
	name := "redrive_" + strings.ReplaceAll(integration, "-", "_")
	if settings.Slot == "" {
		settings.Slot = name
	}
	if settings.Publication == "" {
		settings.Publication = name
	}
	if !delivery.IsSlotName(settings.Slot) {
		return nil, fmt.Errorf("cdc of %s: %q cannot name a replication slot: set slot to at most 63 of a-z, 0-9 and _",
			integration, settings.Slot)
	}
	if len(settings.Publication) > 63 {
		return nil, fmt.Errorf("cdc of %s: %q is too long for a publication: set publication to a name of at most 63 bytes",
			integration, settings.Publication)
	}
	url := settings.URL
	if url == "" {
		url = defaultURL
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil { // its text may quote the password
		return nil, fmt.Errorf("cdc of %s: the source's url cannot be read: write it as "+
			"postgres://user:password@host:port/database", integration)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if settings.URL != "" { // our own database is no integration's choice
		config.ConnConfig.DialFunc = pgconn.DialFunc(dial)
	}
	s := &Source{settings: settings, log: log, pace: unhurried, types: map[uint32]valueType{}}
	prepare(&config.ConnConfig.Config, integration, limits)
	s.replication = config.ConnConfig.Config.Copy()
	s.replication.RuntimeParams["replication"] = "database"
	prepare(s.replication, integration, "0")
	config.MaxConns, config.MinConns, config.MaxConnIdleTime = maxConnections, 0, time.Minute
	if s.pool, err = pgxpool.NewWithConfig(context.Background(), config); err != nil {
		return nil, fmt.Errorf("cdc of %s: preparing connections to the source: %w", integration, err)
	}
	s.catalogue = s.pool
	return s, nil
}

// limits bound a statement and its wait for locks, in milliseconds.
const limits, lockTimeout = "30000", "10000"

// prepare makes values read the same from stream and query, whatever the database's or the role's settings are.
func prepare(config *pgconn.Config, integration, statementTimeout string) {
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	session.Prepare(config, "redrive "+integration,
		session.Own{"statement_timeout": statementTimeout, "lock_timeout": lockTimeout,
			"jit":                "off",   // it takes seconds where a look at the catalogue takes milliseconds
			"row_security":       "off",   // rows that a policy would hide are an error, not a gap
			"synchronous_commit": "local", // a mark is in the log when Mark returns, without waiting for any standby
		})
}

// Close ends the connections for SQL. Streams are closed by themselves.
func (s *Source) Close() error {
	s.pool.Close()
	return nil
}

// Identify asks the source who it is.
func (s *Source) Identify(ctx context.Context) (id delivery.SourceIdentity, err error) {
	err = s.pool.QueryRow(ctx, `SELECT system_identifier::text, current_database()::text, current_setting('server_version_num')::int
		FROM pg_control_system()`).
		Scan(&id.SystemIdentifier, &id.Database, &id.Version)
	if err != nil {
		return id, delivery.Fault("asking.identity", "why", err)
	}
	return id, nil
}

// prefix marks our own logical messages in the source's log.
func (s *Source) prefix() string { return "redrive/" + s.settings.Slot }

// Mark writes a message into the source's log, as a transaction of its own, and returns the place that the stream will name
// with it.
func (s *Source) Mark(ctx context.Context, content string) (delivery.LSN, error) {
	lsn, err := s.emit(ctx, true, content)
	if err != nil {
		return 0, delivery.Fault("asking.mark", "why", err)
	}
	return lsn, nil
}

// Beat writes a message that belongs to no transaction. The stream answers it with an idle event, so that a slot moves on
// while only other databases of its cluster write.
func (s *Source) Beat(ctx context.Context) error {
	if _, err := s.emit(ctx, false, "heartbeat"); err != nil {
		return delivery.Fault("asking.heartbeat", "why", err)
	}
	return nil
}

func (s *Source) emit(ctx context.Context, transactional bool, content string) (delivery.LSN, error) {
	var lsn int64
	err := s.pool.QueryRow(ctx, "SELECT (pg_logical_emit_message($1, $2, $3::text) - '0/0'::pg_lsn)::bigint", transactional, s.prefix(), content).
		Scan(&lsn)
	return delivery.LSN(lsn), err
}
