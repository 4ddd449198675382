// Package session says what holds on every connection that the program opens to a Postgres, whatever settings its role, its database
// or a pooler on the way bring along.
package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery"
)

// settings are those that a role or a database may have otherwise, and that would change what the program does: end its waits, cancel
// its statements, make its transactions read-only, or write values in other forms. Limits of its own it sets where it needs them.
var settings = map[string]string{
	"statement_timeout":                   "0",
	"lock_timeout":                        "0",
	"idle_in_transaction_session_timeout": "0",
	"idle_session_timeout":                "0",
	"default_transaction_isolation":       "read committed",
	"default_transaction_read_only":       "off",
	"default_transaction_deferrable":      "off",
	"client_encoding":                     "UTF8",
	"standard_conforming_strings":         "on",
	"TimeZone":                            "UTC",
	"DateStyle":                           "ISO, MDY",
	"IntervalStyle":                       "postgres",
	"bytea_output":                        "hex",
	"extra_float_digits":                  "1",
	"array_nulls":                         "on",
	"transform_null_equals":               "off",
	"xmlbinary":                           "base64",
	"backslash_quote":                     "safe_encoding",
	"check_function_bodies":               "on",
	"plan_cache_mode":                     "auto",
}

// since17 are settings that older servers do not know.
var since17 = map[string]string{"transaction_timeout": "0"}

// Own is what one kind of session wants beside or instead of the settings that all have. An empty search_path leaves the role's, for
// statements that name people's tables.
type Own map[string]string

// lasting is for a role or database that trades what is durable for speed: "accepted" would mean less. What the whole server is set to,
// its operator has decided.
const lasting = `SELECT pg_catalog.set_config('synchronous_commit', 'on', false) FROM pg_catalog.pg_settings
	WHERE name = 'synchronous_commit' AND setting = 'off' AND source IN ('database', 'user', 'database user')`

// patience is how often a session is begun anew that a statement_timeout of its role ends before it can be lifted.
const patience = 200

// Prepare makes every connection of a configuration begin with the settings above, those of its own, and a look for a pooler that
// would not keep them: see PoolerError. They are set when the connection stands, because poolers refuse most of them at its start.
func Prepare(config *pgconn.Config, name string, own Own) {
	config.RuntimeParams["application_name"] = name
	found := config.Copy()
	found.AfterConnect = nil
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		pid, err := begin(ctx, conn, own)
		if err != nil {
			return fmt.Errorf("preparing a session: %w", err)
		}
		if pid == conn.PID() {
			return nil
		}
		return looked.at(ctx, found) // a pooler makes up the number of the session that it tells
	}
}

// begin makes the settings, and returns the number that the session has at the server.
func begin(ctx context.Context, conn *pgconn.PgConn, own Own) (pid uint32, err error) {
	if err := again(func() error { return exec(ctx, conn, "SET statement_timeout = 0") }); err != nil {
		return 0, err
	}
	all := maps.Clone(settings)
	if major(conn) >= 17 {
		maps.Copy(all, since17)
	}
	for name, value := range own {
		maps.DeleteFunc(all, func(known, _ string) bool { return strings.EqualFold(known, name) })
		all[name] = value
	}
	statements := []string{}
	if _, said := own["synchronous_commit"]; !said {
		statements = append(statements, lasting)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		statements = append(statements, "SET "+name+" = "+list(name, all[name]))
	}
	return backend(ctx, conn, statements...)
}

// list is a value as SET takes it: search_path is a list of names, everything else one text.
func list(name, value string) string {
	if name == "search_path" {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", "''") + "'"
}

func again(statement func() error) (err error) {
	for range patience {
		if err = statement(); state(err) != queryCanceled {
			break
		}
	}
	return err
}

// SQLSTATEs.
const (
	queryCanceled     = "57014"
	protocolViolation = "08P01"
	syntaxError       = "42601"
)

func state(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

func exec(ctx context.Context, conn *pgconn.PgConn, statements string) error {
	_, err := conn.Exec(ctx, statements).ReadAll()
	return err
}

func major(conn *pgconn.PgConn) int {
	version := conn.ParameterStatus("server_version") // 17.2 (Debian 17.2-1), 19devel
	if end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		version = version[:end]
	}
	n, _ := strconv.Atoi(version) // 0: as an old one
	return n
}

// PoolerError says that an address leads to a connection pooler that the program cannot work with, and what to do.
type PoolerError struct {
	Why    delivery.Phrase
	itself bool // no pool will do
}

// Phrase says both.
func (e *PoolerError) Phrase() delivery.Phrase {
	if e.itself {
		return delivery.Say("pooler.itself", "why", e.Why)
	}
	return delivery.Say("pooler", "why", e.Why)
}

func (e *PoolerError) Error() string { return e.Phrase().English() }

// ExplainReplication is Explain for a connection that was asked for as one for replication: a pooler refuses it, or passes over what
// it was asked for, and the server takes a replication command for a mistake in SQL.
func ExplainReplication(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) &&
		(refused.Code == syntaxError || refused.Code == protocolViolation && strings.Contains(refused.Message, "startup parameter: replication")) {
		return &PoolerError{Why: delivery.Say("pooler.no_replication", "answer", refused.Message), itself: true}
	}
	return Explain(err)
}

// Explain returns a PoolerError for a connection that failed because of a pooler, else the error as it is.
func Explain(err error) error {
	var pooler *PoolerError
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &pooler):
		return pooler
	case errors.As(err, &refused) && refused.Code == protocolViolation && strings.Contains(refused.Message, "startup parameter"):
		return &PoolerError{Why: delivery.Say("pooler.no_settings", "answer", refused.Message)}
	}
	return err
}

// backend runs statements and returns the number of the session that did.
func backend(ctx context.Context, conn *pgconn.PgConn, statements ...string) (uint32, error) {
	results, err := conn.Exec(ctx, strings.Join(append(statements, "SELECT pg_catalog.pg_backend_pid()"), "; ")).ReadAll()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(results[len(results)-1].Rows[0][0]), 10, 32)
	return uint32(n), err
}

// poolers remembers which addresses lend whole sessions.
type poolers struct {
	mu   sync.Mutex
	good map[string]bool
}

var looked = poolers{good: map[string]bool{}}

func (p *poolers) at(ctx context.Context, config *pgconn.Config) error {
	address := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))) + "/" + config.Database
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.good[address] {
		return nil
	}
	if err := lendsSessions(ctx, config); err != nil {
		return err
	}
	p.good[address] = true
	return nil
}

const (
	looks        = 20 // by chance a pooler may lend the same session twice, or another one each time
	lookPatience = 10 * time.Second
)

// lendsSessions opens two sessions: who keeps its own while another one is in a transaction has one of its own.
func lendsSessions(ctx context.Context, config *pgconn.Config) error {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	var pair [2]*pgconn.PgConn
	for i := range pair {
		conn, err := pgconn.ConnectConfig(ctx, config)
		if err != nil {
			return Explain(err)
		}
		defer conn.Close(context.WithoutCancel(ctx))
		pair[i] = conn
	}
	first, err := backend(ctx, pair[0])
	for range looks {
		if err != nil {
			break
		}
		var own, other uint32
		if err = exec(ctx, pair[1], "BEGIN"); err != nil {
			break
		}
		if other, err = backend(ctx, pair[1]); err == nil && other != first {
			own, err = backend(ctx, pair[0])
		}
		if err == nil && (other == first || own != first) {
			return &PoolerError{Why: delivery.Say("pooler.lends_transactions")}
		}
		if err == nil {
			err = exec(ctx, pair[1], "COMMIT")
		}
	}
	if err != nil { // statement mode has no BEGIN, and a pool of one session lends no second
		return &PoolerError{Why: delivery.Say("pooler.shares", "answer", err.Error())}
	}
	return nil
}
