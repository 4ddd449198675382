package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"redrive/delivery"
	"redrive/delivery/config"
	"redrive/delivery/seal"
	"redrive/internal/cli/client"
	"redrive/store"
)

type (
	secretCmds struct {
		Set    secretSetCmd    `cmd:"" help:"Store a secret of an integration, read from standard input or asked for; never an argument, which other programs see."`
		List   secretListCmd   `cmd:"" help:"What is stored: names, when and by whom. Values are never shown."`
		Remove secretRemoveCmd `cmd:"" help:"Delete a stored secret."`
		Rotate secretRotateCmd `cmd:"" help:"Seal every integration's key with the present REDRIVE_SECRET_KEY; REDRIVE_SECRET_KEY_OLD opens them. What was broken off goes on."`
		Key    secretKeyCmd    `cmd:"" help:"Write a new key for REDRIVE_SECRET_KEY."`
	}
	secretSetCmd struct {
		database
		Integration string `arg:"" help:"Integration; it may be one that the file is to name."`
		Name        string `arg:"" help:"Letters, digits, dot, hyphen and underscore."`
	}
	secretListCmd struct {
		database
		Integration string `arg:"" optional:"" help:"Integration; all when none is named."`
	}
	secretRemoveCmd struct {
		database
		Integration string `arg:"" help:"Integration."`
		Name        string `arg:"" help:"Secret."`
	}
	secretRotateCmd struct{ database }
	secretKeyCmd    struct{}
)

// restart is what holds after a change: senders take their secrets when they are made.
const restart = "processes that run keep what they have until they are started again"

// Run stores a secret.
func (c *secretSetCmd) Run(ctx context.Context, t *client.Terminal, out io.Writer) error {
	if !delivery.IsName(c.Integration) {
		return Misused(client.Said("%q cannot name an integration: 1 to 63 lower-case letters, digits or hyphens", c.Integration))
	}
	value, err := readSecret(t)
	if err != nil {
		return Misused(err)
	}
	if err := delivery.CheckSecret(c.Name, value); err != nil {
		return Misused(err)
	}
	return c.unlocked(ctx, func(db *store.Store) error {
		if err := db.SetSecret(ctx, c.Integration, c.Name, value, actor()); err != nil {
			return err
		}
		known, err := db.IntegrationStates(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, client.Text("stored: %s of %s, which the integrations file names as ${secret:%s}; %s", c.Name, c.Integration, c.Name, client.Text(restart)))
		if _, found := known[c.Integration]; !found {
			fmt.Fprintln(t.Err, client.Text("no integration is named %s yet", c.Integration))
		}
		return nil
	})
}

// readSecret asks without showing what is typed, or reads all of standard input.
func readSecret(t *client.Terminal) (string, error) {
	if in, ok := t.In.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		fmt.Fprint(t.Err, client.Text("Value (not shown): "))
		raw, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(t.Err)
		if err != nil {
			return "", client.Said("the value cannot be read: %s", err)
		}
		return config.CleanSecret(raw)
	}
	raw, err := io.ReadAll(io.LimitReader(t.In, delivery.MaxSecret+3)) // a line break more, and one byte too many
	if err != nil {
		return "", client.Said("the value cannot be read from standard input: %s", err)
	}
	value, err := config.CleanSecret(raw)
	if err != nil {
		return "", client.Said("the value on standard input: %s", err)
	}
	return value, nil
}

// Run lists names.
func (c *secretListCmd) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(db *store.Store) error {
		list, err := db.Secrets(ctx, c.Integration)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, s := range list {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", s.Integration, s.Name, s.SetAt.UTC().Format(time.RFC3339), s.SetBy)
		}
		return table.Flush()
	})
}

// Run deletes a secret.
func (c *secretRemoveCmd) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(db *store.Store) error {
		err := db.RemoveSecret(ctx, c.Integration, c.Name, actor())
		if errors.Is(err, delivery.ErrNotFound) {
			return Misused(client.Said("integration %s has no stored secret %q", c.Integration, c.Name))
		}
		if err == nil {
			fmt.Fprintln(out, client.Text("removed: %s of %s; %s", c.Name, c.Integration, client.Text(restart)))
		}
		return err
	})
}

// Run seals the data keys anew.
func (c *secretRotateCmd) Run(ctx context.Context, out io.Writer) error {
	return c.unlocked(ctx, func(db *store.Store) error {
		count, err := db.Rotate(ctx, actor())
		if err == nil {
			fmt.Fprintln(out, client.Text("sealed with the present key: %d that were not; REDRIVE_SECRET_KEY_OLD is not needed any more", count))
		}
		return err
	})
}

// Run writes a key.
func (c *secretKeyCmd) Run(out io.Writer) error {
	_, err := fmt.Fprintln(out, seal.New().Text())
	return err
}

// unlocked is with for what needs the keys of stored secrets.
func (d database) unlocked(ctx context.Context, work func(db *store.Store) error) error {
	return d.with(ctx, func(db *store.Store) error {
		if err := db.Ready(ctx); err != nil {
			return err
		}
		if err := unlocked(ctx, db); err != nil {
			return err
		}
		return work(db)
	})
}
