// Package cli is the command line of redrive: its commands, settings and exit codes. What serve runs is made by whoever starts the
// Program; everything else is done here.
package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"redrive/delivery"
	"redrive/delivery/config"
	"redrive/delivery/progress"
	"redrive/internal/bench"
	"redrive/internal/bench/batches"
	"redrive/internal/bench/cursors"
	"redrive/internal/bench/producer"
	"redrive/internal/bench/triage"
	"redrive/internal/bench/twophase"
	"redrive/internal/cli/client"
	"redrive/views/words"
)

// Exit codes of every command.
const (
	ExitDone   = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// UsageError is a wrong setting or flag: ExitUsage.
type UsageError = client.UsageError

// Misused makes a mistake of usage of an error.
func Misused(err error) error { return UsageError{Err: err} }

// Program is what the command line does not know by itself.
type Program struct {
	Version string
	Serve   func(context.Context, Serving) error             // runs what serve has prepared until the context ends
	Check   func(file *config.File, defaultURL string) error // makes of the integrations file what Serve makes of it, and closes it
}

// commands is the grammar.
type commands struct {
	Serve   Settings   `cmd:"" help:"Deliver messages and serve console and API."`
	Migrate migrateCmd `cmd:"" help:"Bring the database schema up to date and exit."`
	Doctor  doctorCmd  `cmd:"" help:"Check settings, database and schema, and say what is wrong."`
	Audit   auditCmds  `cmd:"" help:"The audit trail."`
	Token   struct {
		New newTokenCmd `cmd:"" help:"Print a random token for REDRIVE_API_TOKEN; it is kept nowhere."`
		client.Tokens
	} `cmd:"" help:"API tokens: made up here, or kept by a running server."`
	Outbox struct {
		Adopt adoptCmd `cmd:"" help:"Make the log of a copied database (a restored dump, another cluster) its own."`
	} `cmd:"" help:"The log of events."`
	CDC struct {
		Setup      cdcSetupCmd      `cmd:"" help:"Create publications and slots, or print the SQL for whoever has the rights."`
		Resnapshot cdcResnapshotCmd `cmd:"" help:"Drop an integration's slot, create it anew and read its tables again; with --table, read one table again and go on with it."`
	} `cmd:"" help:"Changes of other databases."                                    name:"cdc"`
	Batch struct {
		Run batchRunCmd `cmd:"" help:"Ask for a run of a batch; the process that leads it begins within seconds."`
	} `cmd:"" help:"Batches."`
	IgnoreRules client.IgnoreRules `cmd:"" name:"ignore-rules" help:"Rules that ignore new dead letters as they come."`
	Secret      secretCmds         `cmd:"" help:"Stored secrets of integrations, which the integrations file names as $${secret:NAME}."`
	SBOM        sbomCmd            `cmd:"" name:"sbom" help:"Print what the program is made of, with versions, hashes and licences, as CycloneDX (JSON)."`
	Bench       struct {
		Run      benchCmd[bench.Options]    `cmd:"" default:"withargs" help:"Deliveries per second and latency against a local receiver; what bench does without a subcommand."`
		Batch    benchCmd[batches.Options]  `cmd:"" help:"Rows per second of a batch into csv, beside COPY of the same query."`
		CDC      benchCmd[bench.CDCOptions] `cmd:"" name:"cdc" help:"Changes per second and latency from a commit at the source to a local receiver, beside reading the slot raw."`
		TwoPhase benchCmd[twophase.Options] `cmd:"" name:"2pc" help:"Two-phase commit against the outbox against publishing after the commit: cost, and what each can lose."`
		Producer benchCmd[producer.Options] `cmd:"" help:"What the outbox costs the producer: business transactions per second without it, with enqueue, with publish."`
		Triage   benchCmd[triage.Options]   `cmd:"" help:"Lists, groups, search and a bulk retry on millions of failures, in the database and as pages."`
		Outbox   benchCmd[cursors.Options]  `cmd:"" help:"Three cursors on one log with long transactions open: what each misses, and how long after the commit it reads."`
	} `cmd:"" help:"Measure."`
	Failures   client.Failures   `cmd:"" help:"Work on failures through the API of a running server."`
	Operations client.Operations `cmd:"" help:"Bulk actions on failures, through the API of a running server."`
	Approvals  client.Approvals  `cmd:"" help:"What another person approves before it happens, through the API of a running server."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// Run is the program without the process around it: it ends when ctx does and returns the exit code.
func (p Program) Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c commands
	exited := -1
	terminal := client.NewTerminal(os.Stdin, stdout, stderr)
	out := &checkedWriter{w: stdout}
	terminal.Out = out
	ctx = reporting(ctx, terminal)
	stderr = client.Guard(stderr)
	lang := language()
	parser, err := kong.New(&c, kong.Name("redrive"), kong.Writers(out, stderr), helpVars(p.Version), inLanguage(lang), kong.Help(helpIn(lang)),
		kong.Description(words.Translate(lang, about)),
		kong.Exit(func(code int) { exited = code }), kong.BindTo(ctx, (*context.Context)(nil)),
		kong.BindTo(client.Guard(out), (*io.Writer)(nil)), kong.Bind(terminal, p), kong.Resolvers(config.FromFiles))
	if err != nil {
		fmt.Fprintln(stderr, "redrive:", err)
		return ExitFailed
	}
	config.ForgetEmpty(parser.Model.Node)
	parsed, err := parser.Parse(args)
	if lost := out.failed(); exited >= 0 || lost != nil { // --help or --version has been answered
		return max(exited, exitCode(lost, stderr))
	}
	if err != nil {
		wrong := words.Written(lang, config.NameVariable(err, parser.Model.Node))
		fmt.Fprintln(stderr, "redrive:", client.Text("%s; see redrive --help", wrong))
		return ExitUsage
	}
	err = asked(parsed, out, parsed.Run())
	if lost := out.failed(); err == nil && lost != nil {
		err = lost
	}
	return exitCode(err, stderr)
}

// asked tells whoever wanted something that another person is asked first: that is no failure.
func asked(parsed *kong.Context, out io.Writer, err error) error {
	var (
		byServer *client.Asked
		here     *delivery.AskedError
	)
	switch {
	case errors.As(err, &byServer) && slices.ContainsFunc(parsed.Flags(), func(f *kong.Flag) bool { return f.Name == "output" && f.Target.String() == "json" }):
		fmt.Fprintf(out, "%s\n", bytes.TrimSpace(byServer.Raw))
	case errors.As(err, &byServer):
		fmt.Fprintln(out, byServer.Error())
	case errors.As(err, &here):
		fmt.Fprintln(out, sentence(here))
	default:
		return err
	}
	return nil
}

// helpVars are what the texts of help name in ${…}.
func helpVars(version string) kong.Vars {
	return kong.Vars{"version": version, "categories": strings.Join(delivery.IgnoreCategories, ", ")}
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
	return client.Said("what was asked for is done, but its answer could not be written: %s", c.err)
}

// sentence is an error for the person at the terminal.
func sentence(err error) string {
	if text, ok := words.Of(language(), err); ok {
		return delivery.Sentence(errors.New(text))
	}
	return words.Written(language(), delivery.Sentence(err))
}

func exitCode(err error, stderr io.Writer) int {
	var misused UsageError
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return ExitDone
	case errors.As(err, &misused):
		fmt.Fprintln(stderr, "redrive:", sentence(err))
		return ExitUsage
	default:
		fmt.Fprintln(stderr, "redrive:", sentence(err))
		return ExitFailed
	}
}
