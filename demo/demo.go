// Package demo is a small shop, school, magazine and login page that use Redrive as any other program would: they write their
// own row and the message in one transaction. It also plays the four receivers, which can be broken and repaired.
package demo

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	maxConns  = 4
	keepRows  = 10_000
	dbTimeout = 5 * time.Second
)

//go:embed integrations.yaml
var integrations []byte

// Integrations answers the integrations file of the demo, its receivers at baseURL.
func Integrations(baseURL string) []byte {
	return bytes.ReplaceAll(integrations, []byte("${BASE_URL}"), []byte(baseURL))
}

// Config says where the demo's tables live and whether it makes up orders by itself.
type Config struct {
	DSN        string
	Log        *slog.Logger
	Background bool   // Run makes about one message a second, and some receivers are slightly broken from the start
	Wake       func() // called after each commit; may be nil
}

// Shop is the running demo.
type Shop struct {
	config    Config
	pool      *pgxpool.Pool
	receivers map[string]*receiver
	handler   http.Handler
}

// New creates the demo's tables where they are missing.
func New(ctx context.Context, c Config) (*Shop, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Wake == nil {
		c.Wake = func() {}
	}
	settings, err := pgxpool.ParseConfig(c.DSN)
	if err != nil {
		return nil, fmt.Errorf("demo database: %w", err)
	}
	settings.MaxConns = maxConns
	pool, err := pgxpool.NewWithConfig(ctx, settings)
	if err != nil {
		return nil, fmt.Errorf("demo database: %w", err)
	}
	s := &Shop{config: c, pool: pool, receivers: newReceivers(c.Background)}
	if err := s.createTables(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("demo tables: %w", err)
	}
	s.handler = s.routes()
	return s, nil
}

// Handler serves everything under /demo.
func (s *Shop) Handler() http.Handler { return s.handler }

// Close lets go of the database.
func (s *Shop) Close() { s.pool.Close() }

const schema = `
CREATE SCHEMA IF NOT EXISTS redrive_demo;
CREATE TABLE IF NOT EXISTS redrive_demo.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text NOT NULL,
    customer text NOT NULL, address text NOT NULL, message_id uuid, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS redrive_demo.lessons (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, student text NOT NULL,
    lesson text NOT NULL, message_id uuid, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS redrive_demo.articles (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL,
    body text NOT NULL, message_id uuid, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS redrive_demo.sms_codes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, phone text NOT NULL,
    code text NOT NULL, message_id uuid, created_at timestamptz NOT NULL DEFAULT now());`

func (s *Shop) createTables(ctx context.Context) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// IF NOT EXISTS alone races when two processes start at once
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('redrive_demo'))`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
}

// submit writes the row and its message in one transaction and answers the message's id.
func (s *Shop) submit(ctx context.Context, r *room, values []string) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, dbTimeout)
	defer cancel()
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var row int64
		if err := tx.QueryRow(ctx, r.insert, anys(values)...).Scan(&row); err != nil {
			return fmt.Errorf("write the row: %w", err)
		}
		payload, key, err := r.payload(row, values)
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, r.send, payload, key).Scan(&id); err != nil {
			return fmt.Errorf("hand over the message: %w", err)
		}
		_, err = tx.Exec(ctx, `UPDATE redrive_demo.`+r.table+` SET message_id = $1 WHERE id = $2`, id, row)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("%s: %w", r.path, err)
	}
	s.config.Wake()
	return id, nil
}

func anys(values []string) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

// row is one line of a room's table.
type row struct {
	Number    int64
	Cells     []string
	MessageID string
	At        time.Time
}

func (s *Shop) rows(ctx context.Context, r *room) ([]row, error) {
	ctx, cancel := context.WithTimeout(ctx, dbTimeout)
	defer cancel()
	found, err := s.pool.Query(ctx, `SELECT id, `+r.shown+`, coalesce(message_id::text, ''), created_at FROM redrive_demo.`+
		r.table+` ORDER BY id DESC LIMIT 10`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, func(line pgx.CollectableRow) (out row, err error) {
		err = line.Scan(&out.Number, &out.Cells, &out.MessageID, &out.At)
		return out, err
	})
}

func (s *Shop) prune(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dbTimeout)
	defer cancel()
	for _, r := range rooms {
		table := "redrive_demo." + r.table
		if _, err := s.pool.Exec(ctx, `DELETE FROM `+table+` WHERE id <= (SELECT max(id) FROM `+table+`) - $1`, keepRows); err != nil {
			return fmt.Errorf("prune %s: %w", table, err)
		}
	}
	return nil
}
