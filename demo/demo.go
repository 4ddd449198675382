// Package demo is a small shop, school, magazine and login page that use Redrive as any other program would: they write their
// own row and the message in one transaction. It also plays the four receivers, which can be broken and repaired.
package demo

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"redrive/delivery"
)

const (
	maxConns  = 4
	keepRows  = 10_000
	dbTimeout = 5 * time.Second
)

//go:embed integrations.yaml
var integrations []byte

// Integrations returns the integrations file of the demo, its receivers at baseURL, its files in the directory files, and with
// one integration for each broker whose address is given. Without capture, where the database cannot tell of changes, articles go
// by outbox.
func Integrations(baseURL, files string, b Brokers, capture bool) []byte {
	file := bytes.Clone(integrations)
	if !capture {
		before, rest, _ := bytes.Cut(file, []byte("    # capture:"))
		_, after, _ := bytes.Cut(rest, []byte("    # end of capture\n"))
		file = slices.Concat(before, []byte("    method: outbox\n    subscribe: [article.published]\n"), after)
	}
	for _, name := range b.given() {
		file = append(file, brokerBlocks[name]...)
	}
	file = bytes.ReplaceAll(file, []byte(`"${FILES}"`), []byte(strconv.Quote(files)))
	for from, to := range map[string]string{"BASE_URL": baseURL, "REDIS": b.Redis, "RABBITMQ": b.RabbitMQ, "KAFKA": b.Kafka} {
		file = bytes.ReplaceAll(file, []byte("${"+from+"}"), []byte(to))
	}
	return file
}

// Config says where the demo's tables live and whether it makes up orders by itself.
type Config struct {
	DSN        string
	Log        *slog.Logger
	Background bool   // Run makes about one message a second, and some receivers are slightly broken from the start
	Wake       func() // called after each commit; may be nil
	// Offer hands a command over in memory; without it there is no sign-up.
	Offer   func(context.Context, delivery.Message) (delivery.Accepted, error)
	Brokers Brokers
	Files   string // directory that the batch sends to
	Capture bool   // articles are read from their table: nothing is published
	// Receivers is where the receivers are reached, in the clear, when the console is encrypted: nobody outside knows its certificate. nil:
	// where the handler is.
	Receivers net.Listener
}

// Captures reports whether the demo's articles are read from their table by one of these integrations.
func Captures(list []delivery.Integration) bool {
	return slices.ContainsFunc(list, func(in delivery.Integration) bool {
		return in.CDC != nil &&
			slices.ContainsFunc(in.CDC.Rules,
				func(r delivery.CDCRule) bool { return r.Schema == "redrive_demo" && r.Table == capturedTable })
	})
}

// Shop is the running demo.
type Shop struct {
	config    Config
	pool      *pgxpool.Pool
	rooms     []*room
	receivers map[string]*receiver
	handler   http.Handler
}

// New creates the demo's tables where they are missing, and queues and topics at the brokers that are given.
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
	s := &Shop{config: c, pool: pool}
	if err := s.open(ctx); err != nil {
		s.Close()
		return nil, err
	}
	s.receivers = newReceivers(s.rooms, c.Background)
	s.handler = s.routes()
	return s, nil
}

func (s *Shop) open(ctx context.Context) error {
	if err := s.createTables(ctx); err != nil {
		return fmt.Errorf("demo tables: %w", err)
	}
	for _, r := range outboxRooms {
		if s.config.Capture && r.table == capturedTable {
			r = captured(*r)
		}
		s.rooms = append(s.rooms, r)
	}
	if s.config.Offer != nil {
		welcome := poolRoom
		welcome.publisher = offer(s.config.Offer)
		s.rooms = append(s.rooms, &welcome)
	}
	for _, name := range s.config.Brokers.given() {
		publisher, err := s.config.Brokers.connect(ctx, name)
		if err != nil {
			return fmt.Errorf("demo: %s: %w", name, err)
		}
		r := brokerRooms[name]
		r.publisher = publisher
		s.rooms = append(s.rooms, &r)
	}
	return nil
}

// Handler serves everything under /demo.
func (s *Shop) Handler() http.Handler { return s.handler }

// serveReceivers lets the receivers, and nothing else of the demo, be reached by a listener.
func (s *Shop) serveReceivers(listener net.Listener) (stop func()) {
	if listener == nil {
		return func() {}
	}
	server := &http.Server{ReadHeaderTimeout: dbTimeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/deliver") {
			http.NotFound(w, r)
			return
		}
		s.handler.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(listener) }() // until it is closed
	return func() { _ = server.Close() }
}

// Start makes a shop and runs it beside the program. stop ends and closes it.
func Start(ctx context.Context, c Config) (handler http.Handler, stop func(), err error) {
	s, err := New(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	running, end := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(running); err != nil && running.Err() == nil {
			s.config.Log.Error("the demo's background load ended", "error", err)
		}
	}()
	closeReceivers := s.serveReceivers(c.Receivers)
	return s.Handler(), func() { end(); closeReceivers(); <-done; s.Close() }, nil
}

// Close lets go of database and brokers.
func (s *Shop) Close() {
	for _, r := range s.rooms {
		if r.publisher != nil {
			r.publisher.close()
		}
	}
	s.pool.Close()
}

const schema = `
CREATE SCHEMA IF NOT EXISTS redrive_demo;
CREATE TABLE IF NOT EXISTS redrive_demo.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text NOT NULL,
    customer text NOT NULL, address text NOT NULL, message_id uuid, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS redrive_demo.lessons (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, student text NOT NULL,
    lesson text NOT NULL, message_id uuid, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS redrive_demo.articles (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL,
    body text NOT NULL, message_id uuid, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS redrive_demo.sms_codes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, phone text NOT NULL,
    code text NOT NULL, message_id uuid, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS redrive_demo.members (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL,
    message_id uuid, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS redrive_demo.parcels (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parcel text NOT NULL,
    customer text NOT NULL, message_id uuid, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS redrive_demo.views (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, page text NOT NULL,
    message_id uuid, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS redrive_demo.stock (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text NOT NULL,
    message_id uuid, created_at timestamptz NOT NULL DEFAULT now());`

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

// capturedTable is read by change data capture, where the database can tell of changes.
const capturedTable = "articles"

// sentByCapture stands for the id of a message that nobody knows when its row is written.
const sentByCapture = "captured"

// captured is a room that writes its row and nothing else.
func captured(r room) *room {
	r.send, r.captured = "", true
	return &r
}

// handover is a message that goes out after the commit.
type handover struct {
	integration, messageType, key string
	payload                       []byte
}

// submit writes the row, and its message in the same transaction or after the commit, and returns the message's id. Never
// before the commit: a transaction that rolls back must not have told anybody.
func (s *Shop) submit(ctx context.Context, r *room, values []string) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, dbTimeout)
	defer cancel()
	var after *handover
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var row int64
		if err := tx.QueryRow(ctx, r.insert, anys(values)...).Scan(&row); err != nil {
			return fmt.Errorf("write the row: %w", err)
		}
		payload, key, err := r.payload(row, values)
		if err != nil {
			return err
		}
		if r.captured {
			id = sentByCapture
			return nil
		}
		if r.send == "" {
			after = &handover{integration: r.receiver, messageType: r.messageType, key: key, payload: payload}
			return nil
		}
		if err := tx.QueryRow(ctx, r.send, payload, key).Scan(&id); err != nil {
			return fmt.Errorf("hand over the message: %w", err)
		}
		_, err = tx.Exec(ctx, `UPDATE redrive_demo.`+r.table+` SET message_id = $1 WHERE id = $2`, id, row)
		return err
	})
	if err == nil && after != nil {
		id, err = r.publisher.publish(ctx, *after)
	}
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
	for _, r := range s.rooms {
		table := "redrive_demo." + r.table
		_, err := s.pool.Exec(ctx, `DELETE FROM `+table+` WHERE id <= (SELECT max(id) FROM `+table+`) - $1`, keepRows)
		if err != nil {
			return fmt.Errorf("prune %s: %w", table, err)
		}
	}
	return nil
}
