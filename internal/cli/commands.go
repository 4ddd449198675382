package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"runtime/debug"
	"slices"

	"redrive/delivery"
	"redrive/delivery/config"
	"redrive/delivery/wire"
	"redrive/internal/cli/client"
	"redrive/internal/supply"
	"redrive/store"
	"redrive/store/doctor"
	"redrive/store/embedded"
	"redrive/store/source"
)

type (
	migrateCmd struct{ database }
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
		Names  []string `                                 help:"Integrations; all cdc integrations when none is named." arg:"" optional:""`
	}
	cdcResnapshotCmd struct {
		database
		Name   string `arg:"" help:"Integration."`
		Table  string `       help:"schema.table as the integrations file names it: only this one, without a new slot."`
		Reason string `       help:"Why, for the audit."                                                                required:""`
	}
	batchRunCmd struct {
		database
		Name   string `arg:"" help:"Integration."`
		Date   string `       help:"Business date (2006-01-02) whose query is run again; without it the batch runs as the schedule would."`
		Reason string `       help:"Why, for the audit."                                                                                   required:""`
	}
)

// Run brings the schema up to date.
func (c *migrateCmd) Run(ctx context.Context, out io.Writer) error {
	return c.opened(ctx, c.starter(), func(db *store.Store) error {
		if err := db.Migrate(ctx); err != nil {
			return err
		}
		current, _, err := db.SchemaStatus(ctx)
		if err == nil {
			fmt.Fprintln(out, client.Text("schema version %d", current))
		}
		return err
	})
}

// sbomCmd prints what the program is made of.
type sbomCmd struct{}

// Run needs nothing but the program itself.
func (sbomCmd) Run(out io.Writer, p Program) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return client.Said("this program was built without modules")
	}
	return supply.WriteBill(out, p.Version, info)
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

// Run asks for a run of a batch.
func (c *batchRunCmd) Run(ctx context.Context, out io.Writer) error {
	return c.ask(ctx, c.Name, c.Reason, func(db *store.Store) error {
		run, err := db.RequestRun(ctx, c.Name, c.Date, actor(), c.Reason)
		if err == nil {
			fmt.Fprintln(out, client.Text("run %s of %s is queued", run.ID, run.Integration))
		}
		return err
	})
}

// Run makes a copied database's log its own.
func (c *adoptCmd) Run(ctx context.Context, out io.Writer) error {
	settings, ok := delivery.ParseOutboxStart(c.Start)
	if !ok {
		return Misused(client.Said("outbox adopt: --start: %q is neither continue, now, beginning nor a time such as "+
			"2026-01-31T00:00:00Z", c.Start))
	}
	return c.with(ctx, func(db *store.Store) error {
		if err := db.Ready(ctx); err != nil {
			return err
		}
		done, err := db.AdoptOutbox(ctx, settings, actor())
		if err == nil {
			fmt.Fprintln(out, client.Text("adopted: %d deliveries made of what was in the copy; events published from now on are fanned out",
				done.Deliveries))
		}
		return err
	})
}

// Run checks everything that serve needs and goes on after a finding.
func (c *doctorCmd) Run(ctx context.Context, p Program, out io.Writer) error {
	report := doctor.Report{Out: out, Say: said}
	file, refs := &config.File{}, references()
	check := func() error {
		loaded, err := loadFile(c.Config, refs)
		if err == nil {
			file, err = loaded, p.Check(loaded, c.DatabaseURL)
		}
		return err
	}
	var wrong error
	if c.Config != "" {
		if wrong = check(); !errors.Is(wrong, config.ErrStored) {
			report.Note(delivery.Verbatim("REDRIVE_CONFIG"), wrong)
		}
	}
	db, dsn, closeAll, err := c.open(ctx, c.logger(), embedded.Open)
	report.Note(delivery.Say("doctor.database"), err)
	if err == nil {
		defer closeAll()
		report.Database(ctx, db)
		if errors.Is(wrong, config.ErrStored) {
			stored(ctx, refs, db)
			report.Note(delivery.Verbatim("REDRIVE_CONFIG"), check())
		}
		captured, _ := file.Captured() // fails for names only
		report.Dial = dial(file)
		for _, in := range captured {
			report.Source(ctx, in, dsn)
			report.Tables(ctx, db, in, dsn)
		}
	}
	if report.Failed {
		return client.Said("something needs your attention, see above")
	}
	return nil
}

// Run sets up the sources of the integrations that are named, and goes on after one that refuses.
func (c *cdcSetupCmd) Run(ctx context.Context, out io.Writer) error {
	refs := references()
	file, err := loadFile(c.Config, refs)
	dsn, closeAll := c.DatabaseURL, func() {}
	if errors.Is(err, config.ErrStored) {
		var db *store.Store
		if db, dsn, closeAll, err = c.open(ctx, c.logger(), embedded.Open); err != nil {
			return err
		}
		stored(ctx, refs, db)
		file, err = loadFile(c.Config, refs)
	}
	defer func() { closeAll() }()
	if err != nil {
		return Misused(client.Said("REDRIVE_CONFIG: %s", err))
	}
	chosen, err := file.Captured(c.Names...)
	if err != nil {
		return Misused(client.Said("%s %s", c.Config, err))
	}
	if dsn == "" && slices.ContainsFunc(chosen, func(in delivery.Integration) bool { return in.CDC.URL == "" }) {
		_, opened, end, err := c.open(ctx, c.logger(), embedded.Open)
		if err != nil {
			return err
		}
		dsn, closeAll = opened, end
	}
	if !source.SetUpAll(ctx, chosen, dsn, dial(file), out, said) {
		return client.Said("not everything could be set up, see above")
	}
	return nil
}

// Run asks whoever reads the source to begin anew.
func (c *cdcResnapshotCmd) Run(ctx context.Context, out io.Writer) error {
	return c.ask(ctx, c.Name, c.Reason, func(db *store.Store) error { return c.request(ctx, db, out) })
}

func (c *cdcResnapshotCmd) request(ctx context.Context, db *store.Store, out io.Writer) error {
	if c.Table == "" {
		err := db.RequestResnapshot(ctx, c.Name, actor(), c.Reason)
		if err == nil {
			fmt.Fprintln(out, client.Text("asked for: the process that reads %s creates its slot anew and reads its tables", c.Name))
		}
		return err
	}
	err := db.RequestTable(ctx, c.Name, c.Table, actor(), c.Reason)
	if err == nil {
		fmt.Fprintln(out, client.Text("asked for: the process that reads %s reads %s again and goes on with it", c.Name, c.Table))
	}
	return err
}

// dial reaches what integrations name, as the server would.
func dial(file *config.File) delivery.Dial {
	return wire.Dialer{Network: wire.Network{Allow: file.Allow, Deny: file.Deny}}.DialContext
}

// actor is whoever types a command, for the audit.
func actor() string {
	if who, err := user.Current(); err == nil {
		return who.Username + " (command line)"
	}
	return "command line"
}
