// Package drivers runs the drivers that producers use, as their projects publish them, against the SQL functions: what a program hands
// over arrives as it was, whichever way its driver writes a text.
package drivers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/lib/pq"
	"golang.org/x/sync/errgroup"

	"redrive/store/storetest"
	"redrive/store/storetest/tools"
)

// forJava is the driver of Java. Those of Python and Node stand where their languages do, in package tools.
const forJava = "org.postgresql:postgresql:42.7.14"

// installed is where they are.
var installed struct{ python, node, java string }

// TestMain installs before any test's deadline counts.
func TestMain(m *testing.M) {
	var group errgroup.Group
	for into, install := range map[*string]func() (string, error){
		&installed.python: func() (string, error) { return tools.InstallPython(context.Background()) },
		&installed.node:   func() (string, error) { return tools.InstallNode(context.Background()) },
		&installed.java:   func() (string, error) { return tools.InstallMaven(context.Background(), forJava) },
	} {
		group.Go(func() (err error) { *into, err = install(); return err })
	}
	if err := group.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, "drivers:", err)
		os.Exit(1)
	}
	storetest.Main(m)
}

// bench is a database with an integration, and texts.
type bench struct {
	*testing.T
	dsn   string
	conn  *pgx.Conn
	texts []string
	sums  [][2]string // SHA-256 of each text as it is, and as jsonb prints it
}

func newBench(t *testing.T) bench {
	t.Helper()
	b := bench{T: t, dsn: storetest.New(t)}
	conn, err := pgx.Connect(t.Context(), b.dsn)
	if err != nil {
		t.Fatal(err)
	}
	b.conn = conn
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), "INSERT INTO redrive.integrations (name, method, destination) VALUES ('push', 'outbox', 'http')"); err != nil {
		t.Fatal(err)
	}
	b.texts = []string{`{"note": "said \"yes\""}`, `{"path": "C:\\temp"}`, `{"re": "\\d+", "n": 1.10}`, `["\u00e9\/\b\f\n\r\t"]`, `{"a": 1, "a": 2}`, `{"ko": "한글 😀"}`, `{"q": "it's $1 %s :p ? {}"}`}
	for seed := range 3 {
		b.texts = append(b.texts, storetest.JSONText(false).Example(seed))
	}
	for _, text := range b.texts {
		var printed string
		if err := conn.QueryRow(t.Context(), "SELECT $1::text::jsonb::text", text).Scan(&printed); err != nil {
			t.Fatal(err)
		}
		b.sums = append(b.sums, [2]string{sum(text), sum(printed)})
	}
	return b
}

func sum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// input is the texts as the programs of other languages read them.
func (b bench) input() io.Reader {
	var lines bytes.Buffer
	for _, text := range b.texts {
		fmt.Fprintln(&lines, base64.StdEncoding.EncodeToString([]byte(text)))
	}
	return &lines
}

// run runs a program and looks at what became of each text that it handed over, and that all modes did all of them.
func (b bench) run(modes int, name string, args ...string) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), name, args...)
	cmd.Stdin, cmd.Env = b.input(), append(os.Environ(), "NODE_PATH="+installed.node)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%s: %v: %s", name, err, &complaints)
	}
	seen := map[string]int{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		n, err := strconv.Atoi(fields[1])
		if err != nil {
			b.Fatal(line)
		}
		seen[fields[0]]++
		b.arrived(fields[0], n, fields[2])
	}
	for mode, n := range seen {
		if n != len(b.texts) {
			b.Errorf("%s handed over %d of %d texts", mode, n, len(b.texts))
		}
	}
	if len(seen) != modes {
		b.Errorf("%d modes of %d: %v", len(seen), modes, seen)
	}
}

// arrived compares a message with the text that it was made of.
func (b bench) arrived(mode string, n int, id string) {
	b.Helper()
	var payload []byte
	if err := b.conn.QueryRow(b.Context(), "SELECT payload FROM redrive.messages WHERE id::text = $1", id).Scan(&payload); err != nil {
		b.Errorf("%s, %q: %s", mode, b.texts[n], id)
		return
	}
	want := b.sums[n][0]
	if strings.HasSuffix(mode, "jsonb") && !strings.HasSuffix(mode, "untyped jsonb") {
		want = b.sums[n][1]
	}
	if sum(string(payload)) != want {
		b.Errorf("%s, %q: %q arrived", mode, b.texts[n], payload)
	}
}

// tcp is the database's address for drivers that know no unix sockets: a door to it on loopback.
func (b bench) tcp() *url.URL {
	b.Helper()
	config, err := pgx.ParseConfig(b.dsn)
	if err != nil {
		b.Fatal(err)
	}
	network, address := pgNetworkAddress(config)
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = door.Close() })
	go func() {
		for {
			guest, err := door.Accept()
			if err != nil {
				return // the test is over
			}
			go join(guest, network, address)
		}
	}()
	return &url.URL{Scheme: "postgresql", User: url.UserPassword(config.User, config.Password), Host: door.Addr().String(), Path: "/" + config.Database}
}

func pgNetworkAddress(config *pgx.ConnConfig) (network, address string) {
	if strings.HasPrefix(config.Host, "/") {
		return "unix", fmt.Sprintf("%s/.s.PGSQL.%d", config.Host, config.Port)
	}
	return "tcp", net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
}

// join passes bytes on until both sides have ended.
func join(guest net.Conn, network, address string) {
	defer guest.Close()
	server, err := net.Dial(network, address)
	if err != nil {
		return
	}
	defer server.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(guest, server)
		_ = guest.Close()
	}()
	_, _ = io.Copy(server, guest)
	_ = server.Close()
	<-done
}

func TestPython(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run(65, installed.python, "producer.py", b.tcp().String())
}

func TestNode(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run(35, "node", "producer.js", b.tcp().String())
}

func TestJava(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	at := b.tcp()
	password, _ := at.User.Password()
	b.run(78, "java", "-cp", installed.java, "Producer.java", fmt.Sprintf("jdbc:postgresql://%s%s?sslmode=disable", at.Host, at.Path), at.User.Username(), password)
}

func TestGo(t *testing.T) {
	b := newBench(t)
	for _, cast := range []string{"", "::text", "::varchar", "::json", "::jsonb"} {
		call := "SELECT redrive.enqueue('push', 't', $1" + cast + ", headers => $2)::text"
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
			for n, text := range b.texts {
				for kind, value := range map[string]any{" string": text, " bytes": []byte(text)} {
					var id string
					err := b.conn.QueryRow(t.Context(), call, mode, value, `{"a": "b"}`).Scan(&id)
					if kind == " bytes" && (mode == pgx.QueryExecModeExec || mode == pgx.QueryExecModeSimpleProtocol) {
						b.refused(mode, cast, err) // written in bytea's hex form without a type
						continue
					}
					b.arrived(fmt.Sprint("pgx ", mode, kind, cast), n, answer(id, err))
				}
			}
		}
	}
	b.libpq("")
	b.libpq("&binary_parameters=yes")
}

// refused: bytes without a type are no text. As json they are none either.
func (b bench) refused(mode pgx.QueryExecMode, cast string, err error) {
	b.Helper()
	var pg *pgconn.PgError
	want := "RD006"
	if strings.HasPrefix(cast, "::json") {
		want = "22P02"
	}
	if !errors.As(err, &pg) || pg.Code != want {
		b.Errorf("pgx %s with bytes%s: %v", mode, cast, err)
	}
}

func answer(id string, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return id
}

func (b bench) libpq(options string) {
	b.Helper()
	db, err := sql.Open("postgres", b.tcp().String()+"?sslmode=disable"+options)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for _, cast := range []string{"", "::text", "::varchar", "::json", "::jsonb", "::bytea"} {
		for n, text := range b.texts {
			for kind, value := range map[string]any{" string": text, " bytes": []byte(text)} {
				if cast == "::bytea" && kind == " string" || cast == "::jsonb" && kind == " bytes" && options != "" {
					continue // bytea's text, jsonb's binary form
				}
				var id string
				err := db.QueryRowContext(b.Context(), "SELECT redrive.enqueue('push', 't', $1"+cast+", headers => $2)::text", value, `{"a": "b"}`).Scan(&id)
				b.arrived("lib/pq "+options+kind+cast, n, answer(id, err))
			}
		}
	}
}

// Bytes that are no text, without a type, are refused by the server before they reach anybody.
func TestBytesWithoutATypeAreRefused(t *testing.T) {
	b := newBench(t)
	var refused *pgconn.PgError
	_, err := b.conn.Exec(t.Context(), "SELECT redrive.enqueue('push', 't', $1)", []byte{0xff, 0})
	if !errors.As(err, &refused) || refused.Code != "22021" {
		t.Error(err)
	}
}
