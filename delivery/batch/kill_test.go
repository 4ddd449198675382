package batch_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/gob"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/delivery/batch"
	"redrive/delivery/engine"
	"redrive/delivery/form"
	"redrive/delivery/kinds"
	filesend "redrive/delivery/send/file"
	"redrive/delivery/wire"
	"redrive/store"
	"redrive/store/storetest/child"
	"redrive/store/storetest/patience"
	"redrive/store/table"
)

// The variables that make a test binary the process that is killed.
const (
	victimVariable = "REDRIVE_BATCH_VICTIM" // the step at which it waits for its end
	victimDSN      = "REDRIVE_BATCH_DSN"
	victimDir      = "REDRIVE_BATCH_DIR"
	victimTo       = "REDRIVE_BATCH_TO" // its destination, see readTarget, where nothing drops duplicates; empty: the directory
)

// killSteps are where a process is killed. Those with a table wait inside of the transaction that changes it, which the parent
// holds up by a lock; the others say so and wait.
var killSteps = []struct{ step, table, event string }{
	{step: "query"}, {step: "write"}, {"commit", "redrive.queue", "INSERT"}, {step: "stored"}, {step: "transfer"}, {step: "sent"},
	{"settle", "redrive.deliveries", "INSERT"}, {"rejected", "redrive.batch_rows", "INSERT"}, {"correction", "redrive.batch_rows", "UPDATE"},
}

const killLock = 7_251_903

func victimIntegration(dir string) delivery.Integration {
	in := pointsIntegration()
	in.Destination = delivery.Destination{To: &delivery.FileDestination{Dir: dir, Manifest: true, Timeout: 5 * time.Second,
		Format: delivery.FileFormat{Kind: delivery.FileCSV, Header: true}}}
	in.Batch.Acknowledgement = &delivery.AcknowledgementSettings{Every: 20 * time.Millisecond}
	in.Retry.Attempts = 20 // a slow machine may need more than one
	return in
}

// runRooms runs room and engine as the program does, until ctx ends. hooks change both.
func runRooms(ctx context.Context, s *store.Store, in delivery.Integration, room func(*batch.Config), sender func(delivery.Sender) delivery.Sender, files filesend.Files) error {
	c := config(s, in, in.BatchFormat())
	if in.Batch.Acknowledgement != nil {
		inbox, err := filesend.NewInbox(*in.Batch.Acknowledgement, *in.Destination.To.(*delivery.FileDestination), wire.Dialer{})
		if err != nil {
			return err
		}
		c.Inbox = inbox
	}
	room(&c)
	b, err := batch.New(c)
	if err != nil {
		return err
	}
	to, err := senderTo(in.Destination, files)
	if err != nil {
		return err
	}
	e, err := engine.New(engine.Config{Store: s, Integrations: []delivery.Integration{in}, Senders: map[string]delivery.Sender{in.Name: sender(to)},
		Log: slog.New(slog.DiscardHandler), Poll: 20 * time.Millisecond, Lease: func(delivery.Integration) time.Duration { return 6 * time.Second },
		Timeout: func(delivery.Integration) time.Duration { return 5 * time.Second }})
	if err != nil {
		return err
	}
	errs := make(chan error, 2)
	go func() { errs <- b.Run(ctx, ctx) }()
	go func() { errs <- e.Run(ctx, ctx) }()
	return errorsOf(<-errs, <-errs)
}

func senderTo(d delivery.Destination, files filesend.Files) (delivery.Sender, error) {
	return kinds.NewSender(delivery.Integration{Destination: d}, form.Means{Files: files, Tables: table.Through(wire.Dialer{}.DialContext)})
}

func init() {
	for _, to := range []delivery.Target{&delivery.HTTPDestination{}, &delivery.FileDestination{}, &delivery.TableDestination{}} {
		gob.Register(to)
	}
}

// writeTarget writes the destination for the process that is killed.
func (b *bed) writeTarget() string {
	var out bytes.Buffer
	b.must(gob.NewEncoder(&out).Encode(&b.in.Destination.To))
	return hex.EncodeToString(out.Bytes())
}

func readTarget(text string) (to delivery.Destination, err error) {
	raw, err := hex.DecodeString(text)
	if err == nil {
		err = gob.NewDecoder(bytes.NewReader(raw)).Decode(&to.To)
	}
	return to, err
}

func errorsOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// victim runs until it is killed.
func victim() {
	step := os.Getenv(victimVariable)
	s, err := store.Open(context.Background(), os.Getenv(victimDSN), slog.New(slog.DiscardHandler))
	in := victimIntegration(os.Getenv(victimDir))
	if to := os.Getenv(victimTo); err == nil && to != "" {
		in = careful(in, delivery.Destination{})
		in.Destination, err = readTarget(to)
	}
	if err == nil {
		wait := func(at string) {
			if at == step {
				fmt.Println("at", at)
				_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) // nothing of it goes on, however late the parent kills it
				select {}
			}
		}
		err = runRooms(context.Background(), s, in, func(c *batch.Config) {
			lead, open := c.Lead, c.Open
			c.Lead = func(ctx context.Context, work func(context.Context, batch.Feed) error, failed func(error)) error {
				return lead(ctx, func(ctx context.Context, f batch.Feed) error { return work(ctx, waitingFeed{f, wait}) }, failed)
			}
			c.Open = func(ctx context.Context, url, zone string) (batch.Source, error) {
				source, err := open(ctx, url, zone)
				return waitingSource{source, wait}, err
			}
		}, func(to delivery.Sender) delivery.Sender { return waitingSender{to, wait} }, waitingFiles{s.Files(), wait})
	}
	fmt.Fprintln(os.Stderr, "the victim ended by itself:", err)
	os.Exit(1)
}

type waitingFeed struct {
	batch.Feed
	wait func(string)
}

func (f waitingFeed) Write(ctx context.Context, n delivery.NewBatchFile, fill batch.Fill) (delivery.BatchFile, error) {
	file, err := f.Feed.Write(ctx, n, func(ctx context.Context, w io.Writer, rows func(string, []byte) error) (delivery.BatchContent, error) {
		content, err := fill(ctx, w, rows)
		f.wait("write")
		return content, err
	})
	f.wait("stored")
	return file, err
}

type waitingSource struct {
	batch.Source
	wait func(string)
}

func (s waitingSource) Read(ctx context.Context, sel delivery.BatchSelection, columns func([]delivery.BatchColumn) error, row func([][]byte) error) error {
	return s.Source.Read(ctx, sel, columns, func(values [][]byte) error {
		err := row(values)
		s.wait("query")
		return err
	})
}

type waitingFiles struct {
	filesend.Files
	wait func(string)
}

func (f waitingFiles) Open(ctx context.Context, id string) (io.ReadCloser, error) {
	r, err := f.Files.Open(ctx, id)
	return waitingReader{r, f.wait}, err
}

type waitingReader struct {
	io.ReadCloser
	wait func(string)
}

func (r waitingReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p[:min(len(p), 10)])
	if n < 10 {
		r.wait("transfer")
	}
	return n, err
}

type waitingSender struct {
	delivery.Sender
	wait func(string)
}

func (s waitingSender) Send(ctx context.Context, r delivery.Request) delivery.Result {
	result := s.Sender.Send(ctx, r)
	s.wait("sent")
	return result
}

func TestKilledAtEveryStep(t *testing.T) {
	for _, tc := range killSteps {
		t.Run(tc.step, func(t *testing.T) {
			t.Parallel()
			killed(t, tc.step, tc.table, tc.event)
		})
	}
}

// killed lets a process come to a step, kills it there, and looks what another one makes of what it left.
func killed(t *testing.T, step, table, event string) {
	dir := t.TempDir()
	b := newBed(t, func(in *delivery.Integration) { *in = victimIntegration(dir) })
	b.sql(pointsTable)
	b.sql("INSERT INTO points SELECT n, 'kim ' || n FROM generate_series(1, 20) n")
	if step == "rejected" || step == "correction" {
		stop := b.runRooms()
		f := b.now()
		b.sent(f)
		var dead []delivery.Delivery
		if step == "correction" {
			b.answer(f.Name+".rej", "row,reason\n3,no\n7,no\n")
			dead = b.rejected(2)
		}
		stop()
		if len(dead) > 0 { // one operation, so that they are one file; nobody takes them before the process that is killed
			b.operate(delivery.Pace{}, []string{dead[0].ID, dead[1].ID})
		}
		if step == "rejected" {
			b.answer(f.Name+".rej", "row,reason\n3,no\n7,no\n")
		}
	} else {
		b.request("")
	}
	release := b.holdUp(table, event)
	b.kill(dir, step, table)
	release()
	b.runRooms()
	want := 1
	switch step {
	case "rejected":
		b.rejected(2)
	case "correction":
		want = 2
	}
	b.oneFileEach(dir, want)
}

// runRooms runs room and engine until the test ends or the answer is called.
func (b *bed) runRooms() (stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- runRooms(ctx, b.Store, b.in, func(*batch.Config) {}, func(s delivery.Sender) delivery.Sender { return s }, b.Files())
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := patience.Receive(b.t, "the end of the rooms", done); err != nil {
			b.t.Errorf("the rooms ended with %v", err)
		}
	})
	b.t.Cleanup(stop)
	return stop
}

// holdUp makes whoever changes the table wait until the answer is called.
func (b *bed) holdUp(table, event string) (release func()) {
	if table == "" {
		return func() {}
	}
	b.sql(fmt.Sprintf(`CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		PERFORM pg_advisory_xact_lock(%d); RETURN NEW; END $$`, killLock))
	b.sql(fmt.Sprintf("CREATE TRIGGER hold_up BEFORE %s ON %s FOR EACH ROW EXECUTE FUNCTION hold_up()", event, table))
	conn, err := pgx.Connect(context.Background(), b.dsn)
	b.must(err)
	_, err = conn.Exec(context.Background(), "SELECT pg_advisory_lock($1)", killLock)
	b.must(err)
	b.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return func() {
		b.sql("SELECT pg_cancel_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
		b.must(conn.Close(context.Background()))
		b.sql(fmt.Sprintf("DROP TRIGGER hold_up ON %s", table))
	}
}

// kill starts a process and kills it at the step.
func (b *bed) kill(dir, step, table string) {
	b.t.Helper()
	binary, err := os.Executable()
	b.must(err)
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), victimVariable+"="+step, victimDSN+"="+b.dsn, victimDir+"="+dir)
	if !b.in.Idempotent {
		cmd.Env = append(cmd.Env, victimTo+"="+b.writeTarget())
	}
	cmd.Stderr = os.Stderr
	victim, out := child.Talk(b.t, cmd)
	if table == "" {
		line := make(chan string, 1)
		go func() {
			said, _ := bufio.NewReader(out).ReadString('\n') // an end shows in what is missing
			line <- strings.TrimSpace(said)
		}()
		if said := patience.Receive(b.t, "the process at step "+step, line); said != "at "+step {
			b.t.Errorf("the process did not come to %s: %q", step, said)
		}
	} else {
		b.wait("the transaction of step "+step, func() bool {
			return value[int](b, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = $1
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, killLock) > 0
		})
	}
	victim.Kill()
}

// oneFileEach waits until so many files are delivered, and checks that the directory holds them, whole, each with its manifest,
// and nothing else but answers.
func (b *bed) oneFileEach(dir string, want int) {
	b.t.Helper()
	for n := range want {
		b.state(b.file(int64(n+1)).DeliveryID, delivery.StateDelivered)
	}
	files := b.complete()
	if len(files) != want {
		b.t.Errorf("%d files, want %d", len(files), want)
	}
	expected := map[string]bool{}
	for _, f := range files {
		raw, err := os.ReadFile(filepath.Join(dir, f.Name))
		if err != nil || string(raw) != b.content(f) {
			b.t.Errorf("%s is there with %d bytes: %v", f.Name, len(raw), err)
		}
		expected[f.Name], expected[f.Name+".manifest.json"] = true, true
	}
	entries, err := os.ReadDir(dir)
	b.must(err)
	for _, e := range entries {
		if !expected[e.Name()] && filepath.Ext(e.Name()) != ".rej" {
			b.t.Errorf("%s was left behind", e.Name())
		}
		delete(expected, e.Name())
	}
	if len(expected) > 0 {
		b.t.Errorf("missing: %v", expected)
	}
}
