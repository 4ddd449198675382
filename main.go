// Command redrive delivers asynchronous messages and gives what failed to people. This file is the only place that knows
// every room: settings, wiring, signals and exit codes.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	_ "time/tzdata" // schedules name time zones, also where none are installed

	"github.com/alecthomas/kong"

	"redrive/delivery"
	"redrive/delivery/batch"
	batchbench "redrive/delivery/batch/bench"
	"redrive/delivery/broker"
	"redrive/delivery/cdc"
	"redrive/delivery/cdc/mapping"
	"redrive/delivery/config"
	"redrive/delivery/engine"
	"redrive/delivery/engine/bench"
	"redrive/delivery/engine/bench/cursors"
	"redrive/delivery/engine/bench/producer"
	"redrive/delivery/engine/bench/twophase"
	"redrive/delivery/outbox"
	"redrive/delivery/pool"
	filesend "redrive/delivery/send/file"
	httpsend "redrive/delivery/send/http"
	kafkasend "redrive/delivery/send/kafka"
	rabbitsend "redrive/delivery/send/rabbitmq"
	redissend "redrive/delivery/send/redis"
	tablesend "redrive/delivery/send/table"
	"redrive/delivery/wire"
	"redrive/demo"
	"redrive/handlers"
	"redrive/store"
	"redrive/store/embedded"
	"redrive/store/source"
	"redrive/store/table"
)

// version is set by the linker for releases.
var version = "dev"

// Exit codes of every command.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// grace is how long attempts under way may take after the signal to stop.
const grace = 20 * time.Second

// factsTimeout is how long a broker may take to say what it still holds; a page does not wait longer for it.
const factsTimeout = time.Second

type cli struct {
	Serve   serveCmd   `cmd:"" help:"Deliver messages and serve console and API."`
	Migrate migrateCmd `cmd:"" help:"Bring the database schema up to date and exit."`
	Doctor  doctorCmd  `cmd:"" help:"Check settings, database and schema, and say what is wrong."`
	Audit   struct {
		Verify verifyCmd `cmd:"" help:"Recompute the audit chain and name the first entry that does not fit."`
	} `cmd:"" help:"The audit trail."`
	Outbox struct {
		Adopt adoptCmd `cmd:"" help:"Make the log of a copied database (a restored dump, another cluster) its own."`
	} `cmd:"" help:"The log of events."`
	CDC struct {
		Setup      cdcSetupCmd      `cmd:"" help:"Create publications and slots, or print the SQL for whoever has the rights."`
		Resnapshot cdcResnapshotCmd `cmd:"" help:"Drop an integration's slot, create it anew and read its tables again."`
	} `cmd:"" name:"cdc" help:"Changes of other databases."`
	Batch struct {
		Run batchRunCmd `cmd:"" help:"Ask for a run of a batch; the process that leads it begins within seconds."`
	} `cmd:"" help:"Batches."`
	Bench struct {
		Run      benchCmd      `cmd:"" default:"withargs" help:"Deliveries per second and latency against a local receiver; what bench does without a subcommand."`
		Batch    benchBatchCmd `cmd:"" help:"Rows per second of a batch into csv, beside COPY of the same query."`
		CDC      cdcBenchCmd   `cmd:"" name:"cdc" help:"Changes per second and latency from a commit at the source to a local receiver, beside reading the slot raw."`
		TwoPhase twoPhaseCmd   `cmd:"" name:"2pc" help:"Two-phase commit against the outbox against publishing after the commit: cost, and what each can lose."`
		Producer producerCmd   `cmd:"" help:"What the outbox costs the producer: business transactions per second without it, with enqueue, with publish."`
		Outbox   cursorsCmd    `cmd:"" help:"Three cursors on one log with long transactions open: what each misses, and how long after the commit it reads."`
	} `cmd:"" help:"Measure."`
	Version kong.VersionFlag `help:"Print the version and exit."`
}

// database is where the data lives; every command takes it.
type database struct {
	DatabaseURL string `name:"database-url" env:"DATABASE_URL" help:"Postgres to use; empty starts the private embedded one."`
	DataDir     string `name:"data-dir" env:"REDRIVE_DATA_DIR" default:"./data" help:"Embedded Postgres and other files of this process."`
	LogFormat   string `name:"log-format" env:"REDRIVE_LOG_FORMAT" default:"text" enum:"text,json" help:"Log format: text or json."`
}

type serveCmd struct {
	database
	Addr          string        `env:"REDRIVE_ADDR" default:"127.0.0.1:8080" help:"Address of console and API; port 0 picks one."`
	Config        string        `env:"REDRIVE_CONFIG" help:"Integrations file (YAML)."`
	Demo          config.Toggle `env:"REDRIVE_DEMO" help:"Run the demo shop and its breakable receivers."`
	DemoRedis     string        `name:"demo-redis" env:"REDRIVE_DEMO_REDIS" help:"Redis (host:port) for one more integration of the demo."`
	DemoRabbitMQ  string        `name:"demo-rabbitmq" env:"REDRIVE_DEMO_RABBITMQ" help:"RabbitMQ (amqp:// URL) for one more integration of the demo."`
	DemoKafka     string        `name:"demo-kafka" env:"REDRIVE_DEMO_KAFKA" help:"Kafka (host:port, …) for one more integration of the demo."`
	AdminPassword string        `env:"REDRIVE_ADMIN_PASSWORD" help:"Password of the first operator, admin; random and printed once when empty."`
	APIToken      string        `name:"api-token" env:"REDRIVE_API_TOKEN" help:"A bearer token with role admin, for automation."`
	SecretKey     string        `name:"secret-key" env:"REDRIVE_SECRET_KEY" help:"Key that encrypts stored secrets; this version stores none."`
	Retention     time.Duration `env:"REDRIVE_RETENTION" default:"720h" help:"How long messages are kept; what is not delivered is kept longer. 0 keeps everything."`
	SecureCookies config.Toggle `env:"REDRIVE_SECURE_COOKIES" help:"Mark cookies Secure: set it when the console is served over HTTPS."`
}

type (
	migrateCmd struct{ database }
	verifyCmd  struct{ database }
	doctorCmd  struct {
		database
		Config string `env:"REDRIVE_CONFIG" help:"Integrations file (YAML) to check."`
	}
	adoptCmd struct {
		database
		Start string `required:"" help:"What becomes of the events in the copy: continue (fan out what was not, when it was copied), now (none), beginning (all for which no delivery is known), or those since a time such as 2026-01-31T00:00:00Z."`
	}
	cdcSetupCmd struct {
		database
		Config string   `env:"REDRIVE_CONFIG" required:"" help:"Integrations file (YAML)."`
		Names  []string `arg:"" optional:"" help:"Integrations; all cdc integrations when none is named."`
	}
	cdcResnapshotCmd struct {
		database
		Name   string `arg:"" help:"Integration."`
		Reason string `required:"" help:"Why, for the audit."`
	}
	batchRunCmd struct {
		database
		Name   string `arg:"" help:"Integration."`
		Date   string `help:"Business date (2006-01-02) whose query is run again; without it the batch runs as the schedule would."`
		Reason string `help:"Why, for the audit."`
		Actor  string `help:"Who asks, for the audit; default the user of the operating system."`
	}
	benchBatchCmd struct {
		database
		Rows   int `default:"1000000" help:"Rows of the table, at most 10000000."`
		Rounds int `default:"3" help:"Rounds, at most 20; their median counts."`
	}
	benchCmd struct {
		database
		Messages    int `default:"20000" help:"Messages of the throughput run, at most 1000000."`
		Concurrency int `default:"16" help:"Parallel requests to the receiver."`
		Rate        int `default:"500" help:"Messages per second of the latency run."`
		Payload     int `default:"256" help:"Bytes of one payload."`
	}
	cursorsCmd struct {
		database
		Rows      int           `default:"20000" help:"Events, at most 1000000."`
		Rate      int           `default:"1000" help:"Events per second."`
		Duration  time.Duration `default:"30s" help:"At most this long, and at most ten minutes."`
		Long      time.Duration `default:"3s" help:"How long the long transactions stay open, at most a minute."`
		Producers int           `default:"8" help:"Transactions at once besides the long one, at most 64."`
	}
	cdcBenchCmd struct {
		database
		Changes     int `default:"50000" help:"Changes of the backlog, at most 1000000."`
		Rate        int `default:"300" help:"Changes per second of the latency run."`
		Concurrency int `default:"16" help:"Parallel requests to the receiver."`
	}
	twoPhaseCmd struct {
		database
		Transactions int `default:"5000" help:"Transactions of each way, at most 1000000 and for at most a minute."`
		Concurrency  int `default:"8" help:"Transactions at once; the server needs max_prepared_transactions of twice as many and 2."`
		Kills        int `default:"200" help:"How often a process of each way is killed in the middle."`
	}
	producerCmd struct {
		database
		Clients int           `default:"8" help:"Connections at work at once, at most 64."`
		Rounds  int           `default:"9" help:"Rounds of each way, in turns, at most 100."`
		Round   time.Duration `default:"2s" help:"How long one way works in a round, at most a minute."`
		Scale   int           `default:"10" help:"Size of the business tables: branches, of 100000 accounts each; at most 100."`
		Payload int           `default:"256" help:"Bytes of one payload."`
	}
)

var tokenText = regexp.MustCompile(`^[\x21-\x7e]*$`)

// usageError is a wrong setting: exit code 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program without the process around it: it ends when ctx does and answers the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("redrive"), kong.Writers(stdout, stderr), kong.Vars{"version": version},
		kong.Description("The failure desk for asynchronous integrations. Exit codes: 0 done, 1 failed, 2 wrong usage."),
		kong.Exit(func(code int) { exited = code }), kong.BindTo(ctx, (*context.Context)(nil)), kong.BindTo(stdout, (*io.Writer)(nil)))
	if err != nil {
		fmt.Fprintln(stderr, "redrive:", err)
		return exitFailed
	}
	config.ForgetEmpty(parser.Model.Node)
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help or --version has been answered
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "redrive: %s; see redrive --help\n", config.NameVariable(err, parser.Model.Node))
		return exitUsage
	}
	return exitCode(parsed.Run(), stderr)
}

func exitCode(err error, stderr io.Writer) int {
	var usage usageError
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return exitDone
	case errors.As(err, &usage):
		fmt.Fprintln(stderr, "redrive:", sentence(err))
		return exitUsage
	default:
		fmt.Fprintln(stderr, "redrive:", sentence(err))
		return exitFailed
	}
}

func (d database) logger() *slog.Logger {
	if d.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, nil))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

// open connects to the database, starting the embedded one when none is named. closeAll ends both.
func (d database) open(ctx context.Context, log *slog.Logger) (db *store.Store, dsn string, closeAll func(), err error) {
	stop := func() {}
	if dsn = d.DatabaseURL; dsn == "" {
		server, err := embedded.Start(ctx, embedded.Options{DataDir: d.DataDir, Log: log})
		if errors.Is(err, embedded.ErrDataDir) {
			return nil, "", nil, usageError{err}
		}
		if err != nil {
			return nil, "", nil, err
		}
		dsn = server.DSN("redrive")
		stop = func() {
			if err := server.Stop(); err != nil {
				log.Error("stopping the embedded Postgres", "error", err)
			}
		}
	}
	if db, err = store.Open(ctx, dsn, log); err != nil {
		stop()
		if d.DatabaseURL != "" {
			err = usageError{fmt.Errorf("DATABASE_URL: %w", err)}
		}
		return nil, "", nil, err
	}
	return db, dsn, func() { db.Close(); stop() }, nil
}

// Run brings the schema up to date.
func (c *migrateCmd) Run(ctx context.Context, out io.Writer) error {
	db, _, closeAll, err := c.open(ctx, c.logger())
	if err != nil {
		return err
	}
	defer closeAll()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	current, _, err := db.SchemaStatus(ctx)
	if err == nil {
		fmt.Fprintf(out, "schema version %d\n", current)
	}
	return err
}

// Run recomputes the audit chain.
func (c *verifyCmd) Run(ctx context.Context, out io.Writer) error {
	db, _, closeAll, err := c.open(ctx, c.logger())
	if err != nil {
		return err
	}
	defer closeAll()
	report, err := db.VerifyAudit(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, report)
	if !report.OK() {
		return errors.New("the audit chain is broken")
	}
	return nil
}

// Run asks for a run of a batch.
func (c *batchRunCmd) Run(ctx context.Context, out io.Writer) error {
	if c.Actor == "" {
		c.Actor = "command line"
		if u, err := user.Current(); err == nil {
			c.Actor = u.Username + " (command line)"
		}
	}
	db, _, closeAll, err := c.open(ctx, c.logger())
	if err != nil {
		return err
	}
	defer closeAll()
	run, err := db.RequestRun(ctx, c.Name, c.Date, c.Actor, c.Reason)
	var wrong *delivery.InputError
	switch {
	case errors.Is(err, delivery.ErrNotFound):
		return usageError{fmt.Errorf("no integration is named %q", c.Name)}
	case errors.As(err, &wrong):
		return usageError{err}
	case err != nil:
		return err
	}
	fmt.Fprintf(out, "run %s of %s is queued\n", run.ID, run.Integration)
	return nil
}

// Run makes a copied database's log its own.
func (c *adoptCmd) Run(ctx context.Context, out io.Writer) error {
	settings := delivery.OutboxSettings{Start: delivery.OutboxStart(c.Start)}
	switch settings.Start {
	case delivery.StartContinue, delivery.StartNow, delivery.StartBeginning:
	default:
		since, err := time.Parse(time.RFC3339, c.Start)
		if err != nil {
			return usageError{fmt.Errorf("outbox adopt: --start: %q is neither continue, now, beginning nor a time such as 2026-01-31T00:00:00Z", c.Start)}
		}
		settings = delivery.OutboxSettings{Start: delivery.StartAt, StartTime: since.UTC()}
	}
	db, _, closeAll, err := c.open(ctx, c.logger())
	if err != nil {
		return err
	}
	defer closeAll()
	if err := db.Ready(ctx); err != nil {
		return err
	}
	done, err := db.AdoptOutbox(ctx, settings, "command line")
	if err == nil {
		fmt.Fprintf(out, "adopted: %d deliveries made of what was in the copy; events published from now on are fanned out\n", done.Deliveries)
	}
	return err
}

// Run checks everything that serve needs and goes on after a finding.
func (c *doctorCmd) Run(ctx context.Context, out io.Writer) error {
	failed := false
	check := func(what string, err error) {
		if err != nil {
			failed = true
			fmt.Fprintf(out, "bad   %s: %s\n", what, sentence(err))
			return
		}
		fmt.Fprintf(out, "ok    %s\n", what)
	}
	file := &config.File{}
	if c.Config != "" {
		loaded, err := loadFile(c.Config)
		check("REDRIVE_CONFIG", err)
		if err == nil {
			file = loaded
		}
	}
	db, dsn, closeAll, err := c.open(ctx, c.logger())
	check("database", err)
	if err == nil {
		defer closeAll()
		check("schema", db.Ready(ctx))
		report, err := db.VerifyAudit(ctx)
		if err == nil && !report.OK() {
			err = errors.New(report.String())
		}
		check("audit chain", err)
		prepared, err := db.PreparedTransactions(ctx)
		if err == nil {
			err = orphaned(prepared)
		}
		check("prepared transactions", err)
		for _, in := range captured(file.Integrations) {
			checkSource(ctx, in, dsn, out, check)
		}
	}
	if failed {
		return errors.New("something needs your attention, see above")
	}
	return nil
}

// checkSource says what of an integration's source is in order, and what is not.
func checkSource(ctx context.Context, in delivery.Integration, dsn string, out io.Writer, check func(string, error)) {
	src, err := source.New(*in.CDC, dsn, in.Name, slog.New(slog.DiscardHandler))
	if err != nil {
		check(in.Name, err)
		return
	}
	defer src.Close()
	findings, err := src.Check(ctx)
	if err != nil {
		check(in.Name, err)
	}
	for _, f := range findings {
		what := in.Name + ": " + f.What
		text := f.Err
		if f.SQL != "" {
			text += " (" + f.SQL + ")"
		}
		switch {
		case f.Err == "":
			check(what, nil)
		case f.Warning:
			fmt.Fprintf(out, "warn  %s: %s\n", what, text)
		default:
			check(what, errors.New(text))
		}
	}
}

// Run sets up the sources of the integrations that are named, and goes on after one that refuses.
func (c *cdcSetupCmd) Run(ctx context.Context, out io.Writer) error {
	file, err := loadFile(c.Config)
	if err != nil {
		return usageError{fmt.Errorf("REDRIVE_CONFIG: %w", err)}
	}
	chosen, err := c.chosen(captured(file.Integrations))
	if err != nil {
		return usageError{err}
	}
	dsn, closeAll := c.DatabaseURL, func() {}
	if slices.ContainsFunc(chosen, func(in delivery.Integration) bool { return in.CDC.URL == "" }) {
		if _, dsn, closeAll, err = c.open(ctx, c.logger()); err != nil {
			return err
		}
	}
	defer closeAll()
	failed := false
	for _, in := range chosen {
		done, err := setUp(ctx, in, dsn)
		for _, text := range done {
			fmt.Fprintf(out, "%s: %s\n", in.Name, text)
		}
		switch {
		case err != nil:
			failed = true
			fmt.Fprintf(out, "%s: %v\n", in.Name, err) // with the SQL, line by line
		case len(done) == 0:
			fmt.Fprintf(out, "%s: everything is there\n", in.Name)
		}
	}
	if failed {
		return errors.New("not everything could be set up, see above")
	}
	return nil
}

func (c *cdcSetupCmd) chosen(list []delivery.Integration) ([]delivery.Integration, error) {
	if len(c.Names) == 0 {
		return list, nil
	}
	var out []delivery.Integration
	for _, name := range c.Names {
		i := slices.IndexFunc(list, func(in delivery.Integration) bool { return in.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%s has no cdc integration named %q", c.Config, name)
		}
		out = append(out, list[i])
	}
	return out, nil
}

func setUp(ctx context.Context, in delivery.Integration, dsn string) ([]string, error) {
	src, err := source.New(*in.CDC, dsn, in.Name, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return src.SetUp(ctx)
}

// Run asks whoever reads the source to begin anew.
func (c *cdcResnapshotCmd) Run(ctx context.Context, out io.Writer) error {
	if strings.TrimSpace(c.Reason) == "" {
		return usageError{errors.New("--reason: say why, the audit keeps it")}
	}
	db, _, closeAll, err := c.open(ctx, c.logger())
	if err != nil {
		return err
	}
	defer closeAll()
	actor := "command line"
	if who, err := user.Current(); err == nil {
		actor += " " + who.Username
	}
	err = db.RequestResnapshot(ctx, c.Name, actor, c.Reason)
	if errors.Is(err, delivery.ErrNotFound) {
		return fmt.Errorf("no integration is named %q", c.Name)
	}
	if err == nil {
		fmt.Fprintf(out, "asked for: the process that reads %s creates its slot anew and reads its tables\n", c.Name)
	}
	return err
}

// orphanAge is more than any two-phase commit takes whose coordinator is alive.
const orphanAge = 5 * time.Minute

// orphaned names the prepared transactions that nobody seems to end. They are not ours, but the queue lives in their database.
func orphaned(prepared []store.PreparedTransaction) error {
	var named []string
	for _, p := range prepared {
		if p.Age > orphanAge {
			named = append(named, fmt.Sprintf("%q of %s, %s old", p.GID, p.Owner, p.Age.Round(time.Second)))
		}
	}
	if len(named) == 0 {
		return nil
	}
	return fmt.Errorf("%d orphaned: %s; each keeps its locks and holds back vacuum until COMMIT PREPARED or ROLLBACK PREPARED",
		len(named), strings.Join(named, "; "))
}

// Run measures on a database of its own choice: the rows stay, so point it at one that may be filled.
func (c *benchCmd) Run(ctx context.Context, out io.Writer) error {
	if c.Messages < 1 || c.Messages > 1_000_000 || c.Rate < 1 || c.Concurrency < 1 || c.Payload < 0 {
		return usageError{errors.New("bench: messages must be 1 to 1000000, rate and concurrency at least 1")}
	}
	return c.measured(ctx, func(dsn string) error {
		_, err := bench.Run(ctx, bench.Options{DSN: dsn, Messages: c.Messages, Concurrency: c.Concurrency, Rate: c.Rate,
			PayloadBytes: c.Payload, Out: out})
		return err
	})
}

// Run measures a batch beside COPY.
func (c *benchBatchCmd) Run(ctx context.Context, out io.Writer) error {
	if c.Rows < 1 || c.Rows > 10_000_000 || c.Rounds < 1 || c.Rounds > 20 {
		return usageError{errors.New("bench batch: rows must be 1 to 10000000, rounds 1 to 20")}
	}
	return c.measured(ctx, func(dsn string) error {
		_, err := batchbench.Run(ctx, batchbench.Options{DSN: dsn, Rows: c.Rows, Rounds: c.Rounds, Out: out})
		return err
	})
}

// Run measures change data capture on one database that is source and destination.
func (c *cdcBenchCmd) Run(ctx context.Context, out io.Writer) error {
	if c.Changes < 1 || c.Changes > 1_000_000 || c.Rate < 1 || c.Concurrency < 1 {
		return usageError{errors.New("bench cdc: changes must be 1 to 1000000, rate and concurrency at least 1")}
	}
	return c.measured(ctx, func(dsn string) error {
		_, err := bench.RunCDC(ctx, bench.CDCOptions{DSN: dsn, Changes: c.Changes, Rate: c.Rate, Concurrency: c.Concurrency, Out: out})
		return err
	})
}

// Run compares three ways to write a row and announce it.
func (c *twoPhaseCmd) Run(ctx context.Context, out io.Writer) error {
	if c.Transactions < 1 || c.Transactions > 1_000_000 || c.Concurrency < 1 || c.Kills < 0 || c.Kills > 10_000 {
		return usageError{errors.New("bench 2pc: transactions must be 1 to 1000000, concurrency at least 1, kills 0 to 10000")}
	}
	return c.measured(ctx, func(dsn string) error {
		_, err := twophase.Run(ctx, twophase.Options{DSN: dsn, Transactions: c.Transactions, Concurrency: c.Concurrency, Kills: c.Kills, Out: out})
		return err
	})
}

// Run compares a business transaction with and without the outbox.
func (c *producerCmd) Run(ctx context.Context, out io.Writer) error {
	if c.Clients < 1 || c.Clients > 64 || c.Rounds < 1 || c.Rounds > 100 || c.Round <= 0 || c.Round > time.Minute || c.Scale < 1 || c.Scale > 100 ||
		c.Payload < 0 || c.Payload > delivery.MaxPayload {
		return usageError{errors.New("bench producer: clients must be 1 to 64, rounds and scale 1 to 100, a round at most a minute, a payload at most 10 MiB")}
	}
	return c.measured(ctx, func(dsn string) error {
		_, err := producer.Run(ctx, producer.Options{DSN: dsn, Clients: c.Clients, Rounds: c.Rounds, Round: c.Round, Scale: c.Scale, PayloadBytes: c.Payload, Out: out})
		return err
	})
}

// Run compares three ways to read the log.
func (c *cursorsCmd) Run(ctx context.Context, out io.Writer) error {
	if c.Rows < 1 || c.Rows > 1_000_000 || c.Rate < 1 || c.Producers < 1 || c.Producers > 64 || c.Duration <= 0 || c.Duration > 10*time.Minute || c.Long < 0 || c.Long > time.Minute {
		return usageError{errors.New("bench outbox: rows must be 1 to 1000000, rate at least 1, producers 1 to 64, duration at most 10m, long at most 1m")}
	}
	return c.measured(ctx, func(dsn string) error {
		_, err := cursors.Run(ctx, cursors.Options{DSN: dsn, Rows: c.Rows, Rate: c.Rate, Duration: c.Duration, Long: c.Long, Producers: c.Producers, Out: out})
		return err
	})
}

// measured runs work on a migrated database: the one that is named, else a private one that goes away.
func (d database) measured(ctx context.Context, work func(dsn string) error) error {
	if d.DatabaseURL == "" {
		dir, err := os.MkdirTemp("", "redrive-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		d.DataDir = dir
	}
	db, dsn, closeAll, err := d.open(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer closeAll()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	return work(dsn)
}

// check says which setting cannot work, before anything is started.
func (c *serveCmd) check() error {
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return usageError{fmt.Errorf("REDRIVE_ADDR: %q is not host:port such as 127.0.0.1:8080", c.Addr)}
	}
	if c.Retention < 0 {
		return usageError{errors.New("REDRIVE_RETENTION: a duration such as 720h, or 0 to keep everything")}
	}
	if !tokenText.MatchString(c.APIToken) {
		return usageError{errors.New("REDRIVE_API_TOKEN: a bearer token is made of visible ASCII characters, without spaces or line breaks")}
	}
	return nil
}

// sentence is an error in one line; a database driver tells of each address in a line of its own.
func sentence(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(slices.Compact(lines), " ")
}

// Run serves until ctx ends, then stops in two phases: no new work, then what is under way within the grace period.
func (c *serveCmd) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	log := c.logger()
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return usageError{fmt.Errorf("REDRIVE_ADDR: %w", err)}
	}
	defer listener.Close()
	file, err := c.integrations(baseURL(listener.Addr()))
	if err != nil {
		return usageError{err}
	}
	db, dsn, closeAll, err := c.open(ctx, log)
	if err != nil {
		return err
	}
	defer closeAll()
	if file, err = c.settle(ctx, db, file, baseURL(listener.Addr()), log); err != nil {
		return err
	}
	if err := c.prepare(ctx, db, file, log); err != nil {
		return err
	}
	return c.serve(ctx, listener, db, dsn, file, log)
}

// integrations reads the file that REDRIVE_CONFIG names, else the demo's.
func (c *serveCmd) integrations(base string) (*config.File, error) {
	switch {
	case c.Config != "":
		file, err := loadFile(c.Config)
		if err != nil {
			return nil, fmt.Errorf("REDRIVE_CONFIG: %w", err)
		}
		return file, nil
	case bool(c.Demo):
		return c.demoFile(base, true)
	}
	return &config.File{}, nil
}

func (c *serveCmd) demoFile(base string, capture bool) (*config.File, error) {
	files, err := c.demoFiles()
	if err != nil {
		return nil, fmt.Errorf("REDRIVE_DATA_DIR: %w", err)
	}
	return config.Parse("demo/integrations.yaml", demo.Integrations(base, files, c.demoBrokers(), capture), os.LookupEnv)
}

// settle answers the file for this database: the demo's captures changes only where the database can tell of them.
func (c *serveCmd) settle(ctx context.Context, db *store.Store, file *config.File, base string, log *slog.Logger) (*config.File, error) {
	if c.Config != "" || !bool(c.Demo) {
		return file, nil
	}
	why, err := db.CannotCapture(ctx)
	if err != nil || why == "" {
		return file, err
	}
	log.Warn("the demo's articles go by outbox, not by change data capture", "because", why)
	return c.demoFile(base, false)
}

// loadFile reads an integrations file with all that can be known before anything is started.
func loadFile(path string) (*config.File, error) {
	file, err := config.Load(path, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	for _, in := range captured(file.Integrations) {
		var mistake *mapping.Error
		if _, err := mapping.New(in.Name, *in.CDC, in.Subscribe); errors.As(err, &mistake) {
			return nil, &config.Error{File: path, Line: mistake.Line, Text: mistake.Text}
		}
	}
	return file, nil
}

// captured are the integrations that read changes.
func captured(list []delivery.Integration) (out []delivery.Integration) {
	for _, in := range list {
		if in.CDC != nil {
			out = append(out, in)
		}
	}
	return out
}

// baseURL is how this machine reaches the listener.
func baseURL(addr net.Addr) string {
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// prepare brings schema, integrations and first credentials in place.
func (c *serveCmd) prepare(ctx context.Context, db *store.Store, file *config.File, log *slog.Logger) error {
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	if err := db.SyncIntegrations(ctx, file.Integrations); err != nil {
		return err
	}
	if len(file.Integrations) == 0 {
		log.Warn("no integration is configured: set REDRIVE_CONFIG, or REDRIVE_DEMO=1 to look around")
	}
	if err := c.firstOperator(ctx, db); err != nil {
		return err
	}
	var hash []byte
	if c.APIToken != "" {
		sum := sha256.Sum256([]byte(c.APIToken))
		hash = sum[:]
	}
	return db.EnsureEnvToken(ctx, hash)
}

func (c *serveCmd) firstOperator(ctx context.Context, db *store.Store) error {
	existing, err := db.Operators(ctx)
	if err != nil || len(existing) > 0 {
		return err
	}
	password, generated := c.AdminPassword, c.AdminPassword == ""
	if generated {
		raw := make([]byte, 15)
		_, _ = rand.Read(raw) // never fails, see crypto/rand
		password = strings.ToLower(base32.StdEncoding.EncodeToString(raw))
	}
	hash, err := handlers.HashPassword(password)
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // hashing takes many MiB, once
	created, err := db.EnsureFirstOperator(ctx, "admin", hash)
	if created && generated {
		// to the terminal, not to the log: logs are kept
		fmt.Fprintf(os.Stderr, "\n  First operator: admin   password: %s   (shown this once)\n\n", password)
	}
	return err
}

func (c *serveCmd) serve(ctx context.Context, listener net.Listener, db *store.Store, dsn string, file *config.File, log *slog.Logger) error {
	metrics := handlers.NewMetrics()
	dialer := wire.Dialer{Network: wire.Network{Allow: file.Allow, Deny: file.Deny}, Log: log}
	senders, err := newSenders(file.Integrations, db.Files(), dialer, log)
	if err != nil {
		return usageError{err}
	}
	defer closeSenders(senders, log)
	eng, err := engine.New(engine.Config{Store: db, Integrations: file.Integrations, Senders: senders, Log: log, Observer: metrics})
	if err != nil {
		return err
	}
	pools, err := pool.New(pool.Config{Integrations: file.Integrations, Attempts: eng, Store: db, Dir: filepath.Join(c.DataDir, "journal"),
		Log: log, Wake: eng.Wake})
	if err != nil {
		return usageError{fmt.Errorf("REDRIVE_DATA_DIR: %w", err)}
	}
	consumers, err := newConsumers(file.Integrations, db, eng, dialer, log)
	if err != nil {
		return usageError{err}
	}
	batches, err := newBatches(file.Integrations, db, c.Retention, eng.Wake, dialer, log)
	if err != nil {
		return usageError{err}
	}
	relay := newRelay(db, c.Retention, eng.Wake, log)
	wakeBoth := func() { eng.Wake(); relay.Wake() }
	captures, err := newCaptures(file.Integrations, db, dsn, wakeBoth, log)
	if err != nil {
		return usageError{err}
	}
	defer captures.close(log)
	shop, stopShop, err := c.startDemo(ctx, demo.Config{DSN: dsn, Log: log, Background: true, Wake: wakeBoth, Offer: pools.Offer,
		Brokers: c.demoBrokers(), Capture: demoCaptured(file.Integrations)})
	if err != nil {
		return err
	}
	defer stopShop()
	console, err := handlers.New(handlers.Config{Store: db, Integrations: file.Integrations, Wake: eng.Wake, Log: log, Version: version,
		SecureCookies: bool(c.SecureCookies), DemoHandler: shop, Metrics: metrics, Offer: pools.Offer, WakeRelay: relay.Wake,
		Facts: consumers.facts(captures.facts(batches.facts(db, firstFacts(pools.Facts, relay.Facts))))})
	if err != nil {
		return err
	}
	return serveUntil(ctx, listener, console.Handler(), slices.Concat([]room{eng, pools, relay}, consumers.rooms(), captures.rooms(), batches.rooms()), log)
}

// room is what runs until ctx ends, and may finish what is under way until grace ends.
type room interface {
	Run(ctx, grace context.Context) error
}

// serveUntil runs rooms and web server until ctx ends or one of them fails.
func serveUntil(ctx context.Context, listener net.Listener, handler http.Handler, rooms []room, log *slog.Logger) error {
	stopping, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	hard, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	errs := make([]error, len(rooms))
	var running sync.WaitGroup
	for i, r := range rooms {
		running.Go(func() {
			errs[i] = r.Run(stopping, hard)
			stop(errs[i])
		})
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			stop(err)
		}
	}()
	log.Info("listening", "url", baseURL(listener.Addr()))
	<-stopping.Done()
	log.Info("stopping", "grace", grace)
	timer := time.AfterFunc(grace, giveUp)
	defer timer.Stop()
	running.Wait() // first the rooms: their receivers may be served by this very server
	err := errors.Join(errs...)
	shutdown, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if shutdownErr := server.Shutdown(shutdown); shutdownErr != nil {
		_ = server.Close()
	}
	if cause := context.Cause(stopping); err == nil && ctx.Err() == nil {
		err = cause
	}
	log.Info("stopped")
	return err
}

// newRelay makes the room that fans events out, while this process leads it.
func newRelay(db *store.Store, retention time.Duration, wake func(), log *slog.Logger) *outbox.Relay {
	lead := func(ctx context.Context, work func(context.Context, outbox.Session) error, failed func(error)) error {
		return db.Lead(ctx, "outbox", func(ctx context.Context, l *store.Leader) error { return work(ctx, l) }, failed)
	}
	return outbox.New(outbox.Config{Lead: lead, Lag: db.OutboxLag, Wake: wake, Log: log, Retention: retention})
}

// firstFacts asks one method after the other; only one knows an integration.
func firstFacts(methods ...func(string) []delivery.Fact) func(string) []delivery.Fact {
	return func(integration string) []delivery.Fact {
		for _, facts := range methods {
			if list := facts(integration); list != nil {
				return list
			}
		}
		return nil
	}
}

// consumers are the sources of broker integrations, by name.
type consumers map[string]*broker.Consumer

func newConsumers(list []delivery.Integration, db *store.Store, eng *engine.Engine, dialer wire.Dialer, log *slog.Logger) (consumers, error) {
	out := consumers{}
	for _, in := range list {
		if in.Broker == nil {
			continue
		}
		consumer, err := broker.New(broker.Config{Integration: in, Store: db, Attempter: eng, Dialer: dialer, Log: log})
		if err != nil {
			return nil, fmt.Errorf("integration %s: %w", in.Name, err)
		}
		out[in.Name] = consumer
	}
	return out, nil
}

func (c consumers) rooms() []room {
	rooms := make([]room, 0, len(c))
	for _, consumer := range c {
		rooms = append(rooms, consumer)
	}
	return rooms
}

// facts are the consumers' figures, and those of others for every other integration.
func (c consumers) facts(others func(string) []delivery.Fact) func(string) []delivery.Fact {
	return func(integration string) []delivery.Fact {
		consumer := c[integration]
		if consumer == nil {
			return others(integration)
		}
		ctx, cancel := context.WithTimeout(context.Background(), factsTimeout)
		defer cancel()
		return consumer.Facts(ctx).Facts()
	}
}

// capture is the room of a cdc integration with its source.
type capture struct {
	*cdc.Room
	source *source.Source
}

// captures are the rooms of cdc integrations, by name.
type captures map[string]capture

func newCaptures(list []delivery.Integration, db *store.Store, dsn string, wake func(), log *slog.Logger) (captures, error) {
	out := captures{}
	for _, in := range captured(list) {
		src, err := source.New(*in.CDC, dsn, in.Name, log)
		if err != nil {
			out.close(log)
			return nil, err
		}
		lead := func(ctx context.Context, work func(context.Context, cdc.Leader) error, failed func(error)) error {
			return db.Lead(ctx, "cdc/"+in.Name, func(ctx context.Context, l *store.Leader) error { return work(ctx, l) }, failed)
		}
		room, err := cdc.New(cdc.Config{Integration: in, Source: capturedSource{src}, Store: db, Lead: lead, Wake: wake, Log: log})
		if err != nil {
			_ = src.Close() // nothing was opened
			out.close(log)
			return nil, fmt.Errorf("integration %s: %w", in.Name, err)
		}
		out[in.Name] = capture{room, src}
	}
	return out, nil
}

// demoCaptured says whether the demo's articles are read from their table.
func demoCaptured(list []delivery.Integration) bool {
	return slices.ContainsFunc(captured(list), func(in delivery.Integration) bool {
		return slices.ContainsFunc(in.CDC.Rules, func(r delivery.CDCRule) bool { return r.Schema == "redrive_demo" && r.Table == "articles" })
	})
}

// capturedSource is a source whose streams are the room's.
type capturedSource struct{ *source.Source }

func (s capturedSource) Stream(ctx context.Context, from delivery.LSN) (cdc.Stream, error) {
	return s.Source.Stream(ctx, from)
}

func (c captures) rooms() []room {
	rooms := make([]room, 0, len(c))
	for _, capture := range c {
		rooms = append(rooms, capture)
	}
	return rooms
}

func (c captures) close(log *slog.Logger) {
	for name, capture := range c {
		if err := capture.source.Close(); err != nil {
			log.Warn("closing a source", "integration", name, "error", err)
		}
	}
}

// facts are the figures of what is captured, and those of others for every other integration.
func (c captures) facts(others func(string) []delivery.Fact) func(string) []delivery.Fact {
	return func(integration string) []delivery.Fact {
		if capture, ok := c[integration]; ok {
			return capture.Facts()
		}
		return others(integration)
	}
}

// batches are the rooms of batch integrations, by name.
type batches map[string]*batch.Batch

func newBatches(list []delivery.Integration, db *store.Store, keep time.Duration, wake func(), dialer wire.Dialer, log *slog.Logger) (batches, error) {
	out := batches{}
	for _, in := range list {
		if in.Batch == nil {
			continue
		}
		settings := batch.Config{Integration: in, Format: in.BatchFormat(), CheckQuery: store.CheckBatchQuery, Files: db.Files(), Keep: keep, Wake: wake, Log: log,
			Lead: func(ctx context.Context, work func(context.Context, batch.Feed) error, failed func(error)) error {
				return db.Lead(ctx, "batch/"+in.Name, func(ctx context.Context, l *store.Leader) error { return work(ctx, db.Batch(l, in.Name)) }, failed)
			},
			Open: func(ctx context.Context, url, zone string) (batch.Source, error) {
				source, err := db.OpenBatchSource(ctx, url, zone)
				if err != nil {
					return nil, err // never a nil source in an interface
				}
				return source, nil
			}}
		if in.Batch.Acknowledgement != nil {
			inbox, err := filesend.NewInbox(*in.Batch.Acknowledgement, *in.Destination.File, dialer)
			if err != nil {
				return nil, fmt.Errorf("integration %s: %w", in.Name, err)
			}
			settings.Inbox = inbox
		}
		room, err := batch.New(settings)
		if err != nil {
			return nil, fmt.Errorf("integration %s: %w", in.Name, err)
		}
		out[in.Name] = room
	}
	return out, nil
}

func (b batches) rooms() []room {
	rooms := make([]room, 0, len(b))
	for _, one := range b {
		rooms = append(rooms, one)
	}
	return rooms
}

// facts are the batches' figures, and those of others for every other integration.
func (b batches) facts(db *store.Store, others func(string) []delivery.Fact) func(string) []delivery.Fact {
	return func(integration string) []delivery.Fact {
		if b[integration] == nil {
			return others(integration)
		}
		ctx, cancel := context.WithTimeout(context.Background(), factsTimeout)
		defer cancel()
		feed, runs, err := db.BatchStatus(ctx, integration)
		if err != nil {
			return nil
		}
		return delivery.BatchFacts(feed, runs)
	}
}

// newSenders opens one sender for each integration.
func newSenders(list []delivery.Integration, files store.Files, dialer wire.Dialer, log *slog.Logger) (map[string]delivery.Sender, error) {
	senders := map[string]delivery.Sender{}
	for _, in := range list {
		if in.CDC != nil && in.Destination.Kind() == "" {
			senders[in.Name] = cdc.Nowhere{}
			continue
		}
		sender, err := newSender(in, files, dialer)
		if err != nil {
			closeSenders(senders, log)
			return nil, fmt.Errorf("integration %s: %w", in.Name, err)
		}
		senders[in.Name] = sender
	}
	return senders, nil
}

// newSender opens the room of a destination's kind. A batch that goes to http in one piece is a file that is uploaded.
func newSender(in delivery.Integration, files store.Files, dialer wire.Dialer) (delivery.Sender, error) {
	d := in.Destination
	switch {
	case d.HTTP != nil && in.Batch != nil && in.Batch.Per == delivery.PerFile:
		return filesend.New(delivery.FileDestination{Format: in.BatchFormat(), Upload: d.HTTP, Timeout: d.HTTP.Timeout}, files, dialer)
	case d.File != nil:
		return filesend.New(*d.File, files, dialer)
	case d.Table != nil:
		return tablesend.New(*d.Table, files, table.Send), nil
	case d.HTTP != nil:
		return httpsend.New(*d.HTTP, dialer)
	case d.Redis != nil:
		return redissend.New(*d.Redis, dialer)
	case d.RabbitMQ != nil:
		return rabbitsend.New(*d.RabbitMQ, dialer)
	case d.Kafka != nil:
		return kafkasend.New(*d.Kafka, dialer)
	}
	return nil, errors.New("no destination")
}

func closeSenders(senders map[string]delivery.Sender, log *slog.Logger) {
	for name, sender := range senders {
		if err := sender.Close(); err != nil {
			log.Warn("closing a sender", "integration", name, "error", err)
		}
	}
}

// demoFiles is the directory that the demo's batch sends to; it is made here, as senders make none.
func (c *serveCmd) demoFiles() (string, error) {
	dir, err := filepath.Abs(filepath.Join(c.DataDir, "demo-files"))
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}

func (c *serveCmd) demoBrokers() demo.Brokers {
	return demo.Brokers{Redis: c.DemoRedis, RabbitMQ: c.DemoRabbitMQ, Kafka: c.DemoKafka}
}

// startDemo starts shop and background load; without REDRIVE_DEMO it answers a nil handler.
func (c *serveCmd) startDemo(ctx context.Context, settings demo.Config) (http.Handler, func(), error) {
	if !c.Demo {
		return nil, func() {}, nil
	}
	var err error
	if settings.Files, err = c.demoFiles(); err != nil {
		return nil, nil, err
	}
	shop, err := demo.New(ctx, settings)
	if err != nil {
		return nil, nil, err
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := shop.Run(running); err != nil && running.Err() == nil {
			settings.Log.Error("the demo's background load ended", "error", err)
		}
	}()
	return shop.Handler(), func() { stop(); <-done; shop.Close() }, nil
}
