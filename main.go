// Command redrive delivers asynchronous messages and gives what failed to people. This file is the only place that knows
// every room: settings, wiring, signals and exit codes.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
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
	"redrive/delivery/engine/bench/triage"
	"redrive/delivery/engine/bench/twophase"
	"redrive/delivery/health"
	"redrive/delivery/operations"
	"redrive/delivery/outbox"
	"redrive/delivery/pool"
	"redrive/delivery/progress"
	"redrive/delivery/rooms"
	"redrive/delivery/scratch"
	"redrive/delivery/search"
	filesend "redrive/delivery/send/file"
	httpsend "redrive/delivery/send/http"
	kafkasend "redrive/delivery/send/kafka"
	rabbitsend "redrive/delivery/send/rabbitmq"
	redissend "redrive/delivery/send/redis"
	tablesend "redrive/delivery/send/table"
	"redrive/delivery/wire"
	"redrive/demo"
	"redrive/handlers"
	"redrive/handlers/client"
	"redrive/store"
	"redrive/store/doctor"
	"redrive/store/embedded"
	"redrive/store/source"
	"redrive/store/table"
	"redrive/views/words"
)

// version is set by the linker for releases.
var version = "dev"

// Exit codes of every command.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// healthPace is how fast parts are watched; tests are in a hurry.
var healthPace health.Config

// grace is how long attempts under way may take after the signal to stop.
const grace = 20 * time.Second

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
		Resnapshot cdcResnapshotCmd `cmd:"" help:"Drop an integration's slot, create it anew and read its tables again; with --table, read one table again and go on with it."`
	} `cmd:"" name:"cdc" help:"Changes of other databases."`
	Batch struct {
		Run batchRunCmd `cmd:"" help:"Ask for a run of a batch; the process that leads it begins within seconds."`
	} `cmd:"" help:"Batches."`
	Bench struct {
		Run      benchCmd[bench.Options]      `cmd:"" default:"withargs" help:"Deliveries per second and latency against a local receiver; what bench does without a subcommand."`
		Batch    benchCmd[batchbench.Options] `cmd:"" help:"Rows per second of a batch into csv, beside COPY of the same query."`
		CDC      benchCmd[bench.CDCOptions]   `cmd:"" name:"cdc" help:"Changes per second and latency from a commit at the source to a local receiver, beside reading the slot raw."`
		TwoPhase benchCmd[twophase.Options]   `cmd:"" name:"2pc" help:"Two-phase commit against the outbox against publishing after the commit: cost, and what each can lose."`
		Producer benchCmd[producer.Options]   `cmd:"" help:"What the outbox costs the producer: business transactions per second without it, with enqueue, with publish."`
		Triage   benchCmd[triage.Options]     `cmd:"" help:"Lists, groups, search and a bulk retry on millions of failures, in the database and as pages."`
		Outbox   benchCmd[cursors.Options]    `cmd:"" help:"Three cursors on one log with long transactions open: what each misses, and how long after the commit it reads."`
	} `cmd:"" help:"Measure."`
	Failures   client.Failures   `cmd:"" help:"Work on failures through the API of a running server."`
	Operations client.Operations `cmd:"" help:"Bulk actions on failures, through the API of a running server."`

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
	DemoBrokers   demo.Brokers  `embed:"" prefix:"demo-" envprefix:"REDRIVE_DEMO_"`
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
		Table  string `help:"schema.table as the integrations file names it: only this one, without a new slot."`
		Reason string `required:"" help:"Why, for the audit."`
	}
	batchRunCmd struct {
		database
		Name   string `arg:"" help:"Integration."`
		Date   string `help:"Business date (2006-01-02) whose query is run again; without it the batch runs as the schedule would."`
		Reason string `required:"" help:"Why, for the audit."`
	}
)

// measurement is what one way to bench does, and its flags.
type measurement interface {
	Check() error // which flag is out of range
	Measure(ctx context.Context, dsn string, out io.Writer) error
}

type benchCmd[M measurement] struct {
	database
	Measurement M `embed:""`
}

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
	terminal := client.NewTerminal(os.Stdin, stdout, stderr)
	out := &checkedWriter{w: stdout}
	terminal.Out = out
	ctx = reporting(ctx, terminal)
	parser, err := kong.New(&c, kong.Name("redrive"), kong.Writers(out, stderr), kong.Vars{"version": version},
		kong.Description("The failure desk for asynchronous integrations. Exit codes: 0 done, 1 failed, 2 wrong usage."),
		kong.Exit(func(code int) { exited = code }), kong.BindTo(ctx, (*context.Context)(nil)), kong.BindTo(out, (*io.Writer)(nil)), kong.Bind(terminal))
	if err != nil {
		fmt.Fprintln(stderr, "redrive:", err)
		return exitFailed
	}
	config.ForgetEmpty(parser.Model.Node)
	parsed, err := parser.Parse(args)
	if lost := out.failed(); exited >= 0 || lost != nil { // --help or --version has been answered
		return max(exited, exitCode(lost, stderr))
	}
	if err != nil {
		fmt.Fprintf(stderr, "redrive: %s; see redrive --help\n", config.NameVariable(err, parser.Model.Node))
		return exitUsage
	}
	err = parsed.Run()
	if lost := out.failed(); err == nil && lost != nil {
		err = lost
	}
	return exitCode(err, stderr)
}

// reporting says where long work tells how far it is: beside the answers, which may go into a file.
func reporting(ctx context.Context, terminal *client.Terminal) context.Context {
	if terminal.Draws() {
		return progress.ToScreen(ctx, terminal.Err)
	}
	return progress.ToLines(ctx, terminal.Err)
}

// checkedWriter remembers that something could not be written: a full disk must not end as success.
type checkedWriter struct {
	w   io.Writer
	err error
}

func (c *checkedWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	if err != nil && c.err == nil {
		c.err = err
	}
	return n, err
}

func (c *checkedWriter) failed() error {
	if c.err == nil {
		return nil
	}
	return fmt.Errorf("what was asked for is done, but its answer could not be written: %w", c.err)
}

func exitCode(err error, stderr io.Writer) int {
	var usage usageError
	var misused client.UsageError
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return exitDone
	case errors.As(err, &usage), errors.As(err, &misused):
		fmt.Fprintln(stderr, "redrive:", sentence(err))
		return exitUsage
	default:
		fmt.Fprintln(stderr, "redrive:", sentence(err))
		return exitFailed
	}
}

// sentence is an error for the person at the terminal.
func sentence(err error) string {
	if text, ok := words.Of(words.English, err); ok {
		return text
	}
	return delivery.Sentence(err)
}

func (d database) logger() *slog.Logger {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if d.LogFormat == "json" {
		log = slog.New(slog.NewJSONHandler(os.Stderr, nil))
	}
	wire.AdoptLines(log)
	return log
}

// starter brings an embedded Postgres up: embedded.Start for the one process that owns it, embedded.Open for commands beside it.
type starter func(context.Context, embedded.Options) (*embedded.Server, error)

// open connects to the database, the embedded one when none is named. closeAll ends what was opened.
func (d database) open(ctx context.Context, log *slog.Logger, start starter) (db *store.Store, dsn string, closeAll func(), err error) {
	stop := func() {}
	if dsn = d.DatabaseURL; dsn == "" {
		server, err := start(ctx, embedded.Options{DataDir: d.DataDir, Log: log})
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

// with runs work on the database that is there, beside a running server or without one.
func (d database) with(ctx context.Context, work func(db *store.Store) error) error {
	return d.opened(ctx, embedded.Open, work)
}

func (d database) opened(ctx context.Context, start starter, work func(db *store.Store) error) error {
	db, _, closeAll, err := d.open(ctx, d.logger(), start)
	if err != nil {
		return err
	}
	defer closeAll()
	return work(db)
}

// Run brings the schema up to date.
func (c *migrateCmd) Run(ctx context.Context, out io.Writer) error {
	return c.opened(ctx, c.starter(), func(db *store.Store) error {
		if err := db.Migrate(ctx); err != nil {
			return err
		}
		current, _, err := db.SchemaStatus(ctx)
		if err == nil {
			fmt.Fprintf(out, "schema version %d\n", current)
		}
		return err
	})
}

// starter makes a database where none is: migrate is also the first step of an installation.
func (c *migrateCmd) starter() starter {
	return func(ctx context.Context, options embedded.Options) (*embedded.Server, error) {
		if _, err := os.Stat(filepath.Join(options.DataDir, "postgres", "PG_VERSION")); errors.Is(err, os.ErrNotExist) {
			return embedded.Start(ctx, options)
		}
		return embedded.Open(ctx, options)
	}
}

// Run recomputes the audit chain.
func (c *verifyCmd) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(db *store.Store) error {
		report, err := db.VerifyAudit(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, report)
		if !report.OK() {
			return errors.New("the audit chain is broken")
		}
		return nil
	})
}

// Run asks for a run of a batch.
func (c *batchRunCmd) Run(ctx context.Context, out io.Writer) error {
	if err := reasoned(c.Reason); err != nil {
		return err
	}
	return c.with(ctx, func(db *store.Store) error {
		run, err := db.RequestRun(ctx, c.Name, c.Date, actor(), c.Reason)
		var wrong *delivery.InputError
		switch {
		case errors.Is(err, delivery.ErrNotFound):
			return unknown(c.Name)
		case errors.As(err, &wrong):
			return usageError{err}
		case err != nil:
			return err
		}
		fmt.Fprintf(out, "run %s of %s is queued\n", run.ID, run.Integration)
		return nil
	})
}

// Run makes a copied database's log its own.
func (c *adoptCmd) Run(ctx context.Context, out io.Writer) error {
	settings, ok := delivery.ParseOutboxStart(c.Start)
	if !ok {
		return usageError{fmt.Errorf("outbox adopt: --start: %q is neither continue, now, beginning nor a time such as 2026-01-31T00:00:00Z", c.Start)}
	}
	return c.with(ctx, func(db *store.Store) error {
		if err := db.Ready(ctx); err != nil {
			return err
		}
		done, err := db.AdoptOutbox(ctx, settings, actor())
		if err == nil {
			fmt.Fprintf(out, "adopted: %d deliveries made of what was in the copy; events published from now on are fanned out\n", done.Deliveries)
		}
		return err
	})
}

// Run checks everything that serve needs and goes on after a finding.
func (c *doctorCmd) Run(ctx context.Context, out io.Writer) error {
	report := doctor.Report{Out: out}
	file := &config.File{}
	if c.Config != "" {
		loaded, err := loadFile(c.Config)
		report.Note("REDRIVE_CONFIG", err)
		if err == nil {
			file = loaded
		}
	}
	db, dsn, closeAll, err := c.open(ctx, c.logger(), embedded.Open)
	report.Note("database", err)
	if err == nil {
		defer closeAll()
		report.Database(ctx, db)
		captured, _ := file.Captured() // fails for names only
		for _, in := range captured {
			report.Source(ctx, in, dsn)
			report.Tables(ctx, db, in, dsn)
		}
	}
	if report.Failed {
		return errors.New("something needs your attention, see above")
	}
	return nil
}

// Run sets up the sources of the integrations that are named, and goes on after one that refuses.
func (c *cdcSetupCmd) Run(ctx context.Context, out io.Writer) error {
	file, err := loadFile(c.Config)
	if err != nil {
		return usageError{fmt.Errorf("REDRIVE_CONFIG: %w", err)}
	}
	chosen, err := file.Captured(c.Names...)
	if err != nil {
		return usageError{fmt.Errorf("%s %w", c.Config, err)}
	}
	dsn, closeAll := c.DatabaseURL, func() {}
	if slices.ContainsFunc(chosen, func(in delivery.Integration) bool { return in.CDC.URL == "" }) {
		if _, dsn, closeAll, err = c.open(ctx, c.logger(), embedded.Open); err != nil {
			return err
		}
	}
	defer closeAll()
	if !source.SetUpAll(ctx, chosen, dsn, out) {
		return errors.New("not everything could be set up, see above")
	}
	return nil
}

// Run asks whoever reads the source to begin anew.
func (c *cdcResnapshotCmd) Run(ctx context.Context, out io.Writer) error {
	if err := reasoned(c.Reason); err != nil {
		return err
	}
	return c.with(ctx, func(db *store.Store) error {
		err := c.request(ctx, db, out)
		var wrong *delivery.InputError
		switch {
		case errors.Is(err, delivery.ErrNotFound):
			return unknown(c.Name)
		case errors.As(err, &wrong):
			return usageError{err}
		}
		return err
	})
}

func (c *cdcResnapshotCmd) request(ctx context.Context, db *store.Store, out io.Writer) error {
	if c.Table == "" {
		err := db.RequestResnapshot(ctx, c.Name, actor(), c.Reason)
		if err == nil {
			fmt.Fprintf(out, "asked for: the process that reads %s creates its slot anew and reads its tables\n", c.Name)
		}
		return err
	}
	err := db.RequestTable(ctx, c.Name, c.Table, actor(), c.Reason)
	if err == nil {
		fmt.Fprintf(out, "asked for: the process that reads %s reads %s again and goes on with it\n", c.Name, c.Table)
	}
	return err
}

// actor is whoever types a command, for the audit.
func actor() string {
	if who, err := user.Current(); err == nil {
		return who.Username + " (command line)"
	}
	return "command line"
}

func reasoned(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return usageError{errors.New("--reason: say why, the audit keeps it")}
	}
	return nil
}

func unknown(integration string) error {
	return usageError{fmt.Errorf("no integration is named %q", integration)}
}

// Run measures on a database of its own choice: the rows stay, so point it at one that may be filled.
func (c *benchCmd[M]) Run(ctx context.Context, out io.Writer) error {
	if err := c.Measurement.Check(); err != nil {
		return usageError{err}
	}
	if stays, ok := any(c.Measurement).(interface{ Directory() string }); ok && c.DatabaseURL == "" && stays.Directory() != "" {
		return c.staying(ctx, stays.Directory(), func(dsn string) error { return c.Measurement.Measure(ctx, dsn, out) })
	}
	return c.measured(ctx, func(dsn string) error { return c.Measurement.Measure(ctx, dsn, out) })
}

// measured runs work on a migrated database: the one that is named, else a private one that goes away.
func (d database) measured(ctx context.Context, work func(dsn string) error) error {
	if d.DatabaseURL == "" {
		dir, err := scratch.New("bench")
		if err != nil {
			return err
		}
		defer func() { _ = dir.Remove() }() // the next start tries again
		d.DataDir = dir.Path
	}
	return d.migrated(ctx, work)
}

// staying is measured on a private database that is kept for the next time.
func (d database) staying(ctx context.Context, dir string, work func(dsn string) error) error {
	d.DataDir = dir
	return d.migrated(ctx, work)
}

func (d database) migrated(ctx context.Context, work func(dsn string) error) error {
	db, dsn, closeAll, err := d.open(ctx, slog.New(slog.DiscardHandler), embedded.Start)
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

// Run serves until ctx ends, then stops in two phases: no new work, then what is under way within the grace period.
func (c *serveCmd) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	log := c.logger()
	ctx = progress.ToLog(ctx, log)
	scratch.SweepOnce()
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return usageError{fmt.Errorf("REDRIVE_ADDR: %w", err)}
	}
	defer listener.Close()
	file, err := c.integrations(rooms.BaseURL(listener.Addr()))
	if err != nil {
		return usageError{err}
	}
	db, dsn, closeAll, err := c.open(ctx, log, embedded.Start)
	if err != nil {
		return err
	}
	defer closeAll()
	if file, err = c.settle(ctx, db, file, rooms.BaseURL(listener.Addr()), log); err != nil {
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
	files, err := demo.MakeFiles(c.DataDir)
	if err != nil {
		return nil, fmt.Errorf("REDRIVE_DATA_DIR: %w", err)
	}
	return config.Parse("demo/integrations.yaml", demo.Integrations(base, files, c.DemoBrokers, capture), os.LookupEnv)
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
	var mistake *mapping.Error
	if errors.As(mapping.Check(file.Integrations), &mistake) {
		return nil, &config.Error{File: path, Line: mistake.Line, Text: mistake.Text}
	}
	return file, nil
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
		password = handlers.NewPassword()
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
	senders, err := newSenders(file, db.Files(), dialer, log)
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
	relay := newRelay(db, c.Retention, eng.Wake, log)
	ops := operations.New(operations.Config{Store: db, Wake: eng.Wake, Log: log})
	wakeBoth := func() { eng.Wake(); relay.Wake() }
	desk := desk{db: db, dsn: dsn, eng: eng, dialer: dialer, keep: c.Retention, wake: wakeBoth, log: log}
	own, err := desk.rooms(file)
	if err != nil {
		return usageError{err}
	}
	defer own.Close(log)
	shop, stopShop, err := c.startDemo(ctx, demo.Config{DSN: dsn, Log: log, Background: true, Wake: wakeBoth, Offer: pools.Offer,
		Brokers: c.DemoBrokers, Capture: demo.Captures(file.Integrations)})
	if err != nil {
		return err
	}
	defer stopShop()
	console, err := handlers.New(handlers.Config{Store: db, Integrations: file.Integrations, Wake: func() { eng.Wake(); ops.Wake() }, Log: log, Version: version,
		SecureCookies: bool(c.SecureCookies), DemoHandler: shop, Metrics: metrics, Offer: pools.Offer, WakeRelay: relay.Wake,
		Facts: own.Facts(pools.Facts, relay.Facts), Schemas: file.Checks(), TicketURL: file.TicketURL})
	if err != nil {
		return err
	}
	watched := healthPace
	watched.Store, watched.Worker, watched.Log = db, rand.Text(), log
	watched.Probes = []func(context.Context) []delivery.Condition{own.Conditions, always(pools.Conditions), always(relay.Conditions), always(eng.Conditions)}
	watch := health.New(watched)
	return rooms.Serve(ctx, listener, console.Handler(), append(own.Rooms(), eng, pools, relay, console, ops, search.New(search.Config{Store: db, Log: log}), watch), grace, log)
}

// always is for rooms that know how their parts stand without asking.
func always(conditions func() []delivery.Condition) func(context.Context) []delivery.Condition {
	return func(context.Context) []delivery.Condition { return conditions() }
}

// lead makes the way in which one process at a time leads a room; session is what the room sees of the leader.
func lead[S any](db *store.Store, name string, session func(*store.Leader) S) func(context.Context, func(context.Context, S) error, func(error)) error {
	return func(ctx context.Context, work func(context.Context, S) error, failed func(error)) error {
		return db.Lead(ctx, name, func(ctx context.Context, l *store.Leader) error { return work(ctx, session(l)) }, failed)
	}
}

// newRelay makes the room that fans events out, while this process leads it.
func newRelay(db *store.Store, retention time.Duration, wake func(), log *slog.Logger) *outbox.Relay {
	return outbox.New(outbox.Config{Lead: lead(db, "outbox", func(l *store.Leader) outbox.Session { return l }),
		Lag: db.OutboxLag, Wake: wake, Log: log, Retention: retention})
}

// desk is what the rooms of single integrations are made with.
type desk struct {
	db     *store.Store
	dsn    string
	eng    *engine.Engine
	dialer wire.Dialer
	keep   time.Duration
	wake   func() // engine and relay
	log    *slog.Logger
}

// rooms makes the room of each integration that has one of its own.
func (d desk) rooms(file *config.File) (rooms.Owned, error) {
	out := rooms.Owned{}
	for _, in := range file.Integrations {
		var own rooms.Own
		var err error
		switch {
		case in.Broker != nil:
			own, err = d.consumer(in)
		case in.CDC != nil:
			own, err = d.capture(in)
		case in.Batch != nil:
			own, err = d.batch(in)
		default:
			continue
		}
		if err != nil {
			out.Close(d.log)
			return nil, file.Locate(in.Name, err)
		}
		out[in.Name] = own
	}
	return out, nil
}

func (d desk) consumer(in delivery.Integration) (rooms.Own, error) {
	consumer, err := broker.New(broker.Config{Integration: in, Store: d.db, Attempter: d.eng, Dialer: d.dialer, Log: d.log})
	if err != nil {
		return rooms.Own{}, err
	}
	return rooms.Own{Room: consumer, Facts: func(ctx context.Context) []delivery.Fact { return consumer.Facts(ctx).Facts() },
		Condition: func(context.Context) delivery.Condition { return consumer.Condition() }}, nil
}

// capturedSource is a source whose streams are the room's.
type capturedSource struct{ *source.Source }

func (s capturedSource) Stream(ctx context.Context, from delivery.LSN) (cdc.Stream, error) {
	return s.Source.Stream(ctx, from)
}

func (d desk) capture(in delivery.Integration) (rooms.Own, error) {
	src, err := source.New(*in.CDC, d.dsn, in.Name, d.log)
	if err != nil {
		return rooms.Own{}, err
	}
	room, err := cdc.New(cdc.Config{Integration: in, Source: capturedSource{src}, Store: d.db, Wake: d.wake, Log: d.log,
		Lead: lead(d.db, "cdc/"+in.Name, func(l *store.Leader) cdc.Leader { return l })})
	if err != nil {
		_ = src.Close() // nothing was opened
		return rooms.Own{}, err
	}
	return rooms.Own{Room: room, Facts: func(context.Context) []delivery.Fact { return room.Facts() },
		Condition: func(context.Context) delivery.Condition { return room.Condition() }, Close: src.Close}, nil
}

func (d desk) batch(in delivery.Integration) (rooms.Own, error) {
	settings := batch.Config{Integration: in, Format: in.BatchFormat(), CheckQuery: store.CheckBatchQuery, Files: d.db.Files(), Keep: d.keep, Wake: d.eng.Wake,
		Log: d.log, Lead: lead(d.db, "batch/"+in.Name, func(l *store.Leader) batch.Feed { return d.db.Batch(l, in.Name) }),
		Open: func(ctx context.Context, url, zone string) (batch.Source, error) {
			source, err := d.db.OpenBatchSource(ctx, url, zone)
			if err != nil {
				return nil, err // never a nil source in an interface
			}
			return source, nil
		}}
	if in.Batch.Acknowledgement != nil {
		inbox, err := filesend.NewInbox(*in.Batch.Acknowledgement, *in.Destination.File, d.dialer)
		if err != nil {
			return rooms.Own{}, delivery.SettingOf(answersPart(in), err)
		}
		settings.Inbox = inbox
	}
	room, err := batch.New(settings)
	if err != nil {
		return rooms.Own{}, err
	}
	return rooms.Own{Room: room, Facts: func(ctx context.Context) []delivery.Fact {
		feed, runs, err := d.db.BatchStatus(ctx, in.Name)
		if err != nil {
			return nil
		}
		return delivery.BatchFacts(feed, runs)
	}, Condition: func(ctx context.Context) delivery.Condition {
		feed, runs, err := d.db.BatchStatus(ctx, in.Name)
		if err != nil { // our own database: nothing is known of the schedule
			return delivery.Condition{Integration: in.Name, Part: delivery.PartSchedule}
		}
		return delivery.BatchCondition(in.Name, feed, runs, room.Trouble(), time.Now())
	}}, nil
}

// newSenders opens one sender for each integration.
func newSenders(file *config.File, files store.Files, dialer wire.Dialer, log *slog.Logger) (map[string]delivery.Sender, error) {
	senders := map[string]delivery.Sender{}
	for _, in := range file.Integrations {
		if in.CDC != nil && in.Destination.Kind() == "" {
			senders[in.Name] = cdc.Nowhere{}
			continue
		}
		sender, err := newSender(in, files, dialer)
		if err != nil {
			closeSenders(senders, log)
			return nil, file.Locate(in.Name, delivery.SettingOf(destinationPart(in.Destination), err))
		}
		senders[in.Name] = sender
	}
	return senders, nil
}

// destinationPart is where the settings of a destination's sender stand in the integration's part of the file.
func destinationPart(d delivery.Destination) string {
	part := "destination." + d.Kind()
	switch {
	case d.File != nil && d.File.Upload != nil:
		part += ".to.http"
	case d.File != nil && d.File.SFTP != nil:
		part += ".to.sftp"
	}
	return part
}

// answersPart is the same for where the answers to a batch's files lie.
func answersPart(in delivery.Integration) string {
	if in.Batch.Acknowledgement.SFTP == nil && in.Batch.Acknowledgement.Dir == "" {
		return destinationPart(in.Destination)
	}
	return "batch.acknowledgement.sftp"
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

// startDemo starts shop and background load; without REDRIVE_DEMO it answers a nil handler.
func (c *serveCmd) startDemo(ctx context.Context, settings demo.Config) (http.Handler, func(), error) {
	if !c.Demo {
		return nil, func() {}, nil
	}
	var err error
	if settings.Files, err = demo.MakeFiles(c.DataDir); err != nil {
		return nil, nil, err
	}
	return demo.Start(ctx, settings)
}
