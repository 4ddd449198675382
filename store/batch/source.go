package batch

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/session"
	"redrive/store/sqltext"
)

// Source is a database that batches read from, as of one moment: a read-only transaction on a connection of its own.
type Source struct {
	conn     *pgconn.PgConn
	database string // tells this database from every other, also from a restored copy
	snapshot string // what is visible to this transaction
}

// Moment returns what is visible, as a snapshot, and which database it is.
func (b *Source) Moment() (snapshot, database string) { return b.snapshot, b.database }

// OpenBatchSource begins to read from the database that url names; empty names our own, another is
// reached by dial. Times of day and dates are those of zone.
func (s *Batches) OpenBatchSource(ctx context.Context, dial delivery.Dial, url, zone string) (*Source, error) {
	config := s.Config.Copy()
	if url != "" {
		var err error
		if config, err = pgx.ParseConfig(url); err != nil {
			// err may quote the password
			return nil, errors.New("batch.url: not a Postgres URL such as postgres://user:password@host:5432/database")
		}
		config.DialFunc = pgconn.DialFunc(dial)
		if config.ConnectTimeout == 0 {
			config.ConnectTimeout = pg.ConnectTimeout
		}
	}
	// people's queries name people's tables
	session.Prepare(&config.Config, "redrive batch", session.Own{"TimeZone": zone, "DateStyle": "ISO, YMD", "jit": "off"})
	conn, err := pgconn.ConnectConfig(ctx, &config.Config)
	if err != nil {
		return nil, delivery.Fault("query.connecting", "why", redactedConnectError(err))
	}
	source := &Source{conn: conn}
	if err := source.begin(ctx); err != nil {
		source.Close()
		return nil, delivery.Fault("query.beginning", "why", err)
	}
	return source, nil
}

// redactedConnectError keeps only what the server or the network said: a driver's error may name user and host.
func redactedConnectError(err error) error {
	err = session.Explain(err)
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return fmt.Errorf("%s (SQLSTATE %s)", refused.Message, refused.Code)
	}
	if text := err.Error(); strings.Contains(text, ": ") {
		return errors.New(text[strings.LastIndex(text, ": ")+2:])
	}
	return err
}

func (b *Source) begin(ctx context.Context) error {
	results, err := b.conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_catalog.pg_current_snapshot()::text, "+pg.MayAskSQL).
		ReadAll()
	if err != nil {
		return err
	}
	row := results[1].Rows[0]
	b.snapshot = string(row[0])
	if results, err = b.conn.Exec(ctx, pg.DatabaseIDSQL(string(row[1]) == "t")).ReadAll(); err != nil {
		return err
	}
	b.database = string(results[0].Rows[0][0])
	return nil
}

// Is reports whether this is the database of that name, as far as both are known.
func (b *Source) Is(database string) bool { return pg.SameDatabase(database, b.database) }

// Close ends the transaction and its connection.
func (b *Source) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = b.conn.Close(ctx) // nothing was written
}

// eventsSQL are the events of a window, oldest first. The bound on xid is what an index serves.
const eventsSQL = `SELECT id, type, key, created_at, payload FROM redrive.messages
	WHERE kind = 'event' AND type = ANY(:types) AND NOT pg_catalog.pg_visible_in_snapshot(xid, :window_from)
	AND pg_catalog.pg_visible_in_snapshot(xid, :window_to) AND (xid >= pg_catalog.pg_snapshot_xmax(:window_from)
	OR xid = ANY(ARRAY(SELECT pg_catalog.pg_snapshot_xip(:window_from)))) ORDER BY id`

// Read streams the rows of a selection as Postgres's text, null as nil. What row gets is valid during the call only.
func (b *Source) Read(
	ctx context.Context,
	sel delivery.BatchSelection,
	columns func([]delivery.BatchColumn) error,
	row func([][]byte) error,
) error {
	query := sel.Query
	if query == "" {
		query = eventsSQL
	}
	statement, names, err := sqltext.BindNames(query)
	if err != nil {
		return err
	}
	values, types := b.arguments(sel, names)
	prepared, err := b.conn.Prepare(ctx, batchStatement, statement, types)
	if err != nil {
		return queryError(err)
	}
	list, err := b.columns(ctx, prepared.Fields)
	if err != nil {
		return queryError(err)
	}
	if len(list) > 0 { // else it is no query, and Postgres or the next line says so
		if err := columns(list); err != nil {
			return err
		}
	}
	result := b.conn.ExecPrepared(ctx, batchStatement, values, nil, nil)
	for result.NextRow() {
		if err := row(result.Values()); err != nil {
			return err
		}
	}
	if _, err := result.Close(); err != nil {
		return queryError(err)
	}
	if len(list) == 0 {
		return delivery.Fault(delivery.NoColumns)
	}
	return nil
}

// queryError is what people see of a query that failed: the server's message beside the SQLSTATE.
func queryError(err error) error {
	var pg *pgconn.PgError
	switch {
	case !errors.As(err, &pg):
		return delivery.Fault("query.failed", "why", err)
	case delivery.QuotesData(pg.Code, pg.Message, pg.Routine):
		return &delivery.SaidError{Says: delivery.Say("query.refused", "state", pg.Code), Words: pg.Message}
	}
	return delivery.Fault("error.said", "what", delivery.Say("query.refused", "state", pg.Code), "words", pg.Message)
}

func (b *Source) arguments(sel delivery.BatchSelection, names []string) (values [][]byte, types []uint32) {
	given := map[string]string{"business_date": sel.BusinessDate, "scheduled_at": sel.ScheduledAt.UTC().Format(time.RFC3339Nano),
		"window_from": sel.From, "window_to": b.snapshot, "types": textArray(sel.Types)}
	for _, name := range names {
		values, types = append(values, []byte(given[name])), append(types, sqltext.Parameters[name])
	}
	return values, types
}

// textArray is a list in the form of Postgres's arrays.
func textArray(list []string) string {
	quoted := make([]string, len(list))
	for i, text := range list {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	}
	return "{" + strings.Join(quoted, ",") + "}"
}

const batchStatement = "redrive_batch"

const typeNamesSQL = `SELECT t.oid::text, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.typname)
	FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = ANY($1::pg_catalog.oid[])`

// columns names the types of a query's result. Numbers would do for the built-in ones only.
func (b *Source) columns(ctx context.Context, fields []pgconn.FieldDescription) ([]delivery.BatchColumn, error) {
	oids := make([]string, len(fields))
	for i, f := range fields {
		oids[i] = strconv.FormatUint(uint64(f.DataTypeOID), 10)
	}
	result := b.conn.ExecParams(ctx, typeNamesSQL, [][]byte{[]byte(textArray(oids))}, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, result.Err
	}
	names := map[string]string{}
	for _, row := range result.Rows {
		names[string(row[0])] = string(row[1])
	}
	columns := make([]delivery.BatchColumn, len(fields))
	for i, f := range fields {
		columns[i] = delivery.BatchColumn{Name: f.Name, OID: f.DataTypeOID, Type: names[oids[i]]}
	}
	return columns, nil
}
