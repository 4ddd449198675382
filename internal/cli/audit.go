package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"redrive/delivery"
	"redrive/delivery/ledger"
	"redrive/internal/cli/client"
	"redrive/store"
	"redrive/store/notary"
)

// auditCmds are the commands of the audit.
type auditCmds struct {
	Verify     verifyCmd     `cmd:"" help:"Recompute the audit's chain and tree and name the first entry that does not fit; with --from, whether it continues a checkpoint from outside."`
	Prove      proveCmd      `cmd:"" help:"Print the proof that an entry is in the log, with the entry and a signed checkpoint."`
	Export     exportCmd     `cmd:"" help:"Write the audit as JSON lines, with the checkpoint that covers it."`
	Checkpoint checkpointCmd `cmd:"" help:"Print a signed checkpoint of everything that is in the audit."`
	Keys       auditKeysCmd  `cmd:"" help:"Print the public keys of the audit, the newest last."`
	RotateKey  rotateKeyCmd  `cmd:"" help:"Make a new key for the audit's checkpoints; the next one is signed with both."`
}

type (
	verifyCmd struct {
		database
		From []string `help:"File with a checkpoint that was kept outside, which the audit must continue; several times for several." placeholder:"CHECKPOINT"`
		Key  []string `help:"Public key that must have signed the checkpoints, as it was noted when it was made; else those of the database count."`
	}
	proveCmd struct {
		database
		ID  int64  `arg:"" help:"Number of the entry."`
		Out string `help:"File to write to instead."`
	}
	exportCmd struct {
		database
		Out        string `help:"File for the entries, one JSON object a line; with --period the zip file." required:""`
		Period     string `help:"Month (2026-11), day or year whose evidence is packed as a zip file, with what checks it."`
		Checkpoint string `help:"File for the checkpoint; else it lies beside the entries."`
	}
	checkpointCmd struct{ database }
	auditKeysCmd  struct{ database }
	rotateKeyCmd  struct{ database }
)

// Run recomputes chain and tree.
func (c *verifyCmd) Run(ctx context.Context, out io.Writer) error {
	keys, err := ledger.ParseKeys(c.Key...)
	if err != nil {
		return Misused(client.Said("--key is no public key: %s", err))
	}
	var outside []string
	for _, name := range c.From {
		raw, err := os.ReadFile(name)
		if err != nil {
			return Misused(client.Said("--from cannot be read: %s", err))
		}
		outside = append(outside, string(raw))
	}
	return c.with(ctx, func(db *store.Store) error {
		v, err := db.VerifyLog(ctx, outside, keys)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, v.Chain)
		if !v.Chain.OK() {
			return client.Said("the audit chain is broken")
		}
		if !v.OK() {
			return client.Said("the audit's log is not what it was: %s", v.Problem)
		}
		fmt.Fprintln(out, client.Text("tree root %s, %d checkpoints fit, %d entries have left and are known by their hashes", v.Root, v.Checkpoints, v.Gone))
		return nil
	})
}

// Run prints a proof.
func (c *proveCmd) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(db *store.Store) error {
		p, err := db.Prove(ctx, c.ID)
		switch {
		case errors.Is(err, delivery.ErrNotFound) && !errors.Is(err, ledger.ErrUnsigned):
			return Misused(client.Said("the audit has no entry %d", c.ID))
		case err != nil:
			return err
		case c.Out != "":
			return os.WriteFile(c.Out, []byte(p.String()), 0o600)
		}
		_, err = io.WriteString(out, p.String())
		return err
	})
}

// Run writes the export.
func (c *exportCmd) Run(ctx context.Context, out io.Writer, program Program) error {
	if c.Period != "" {
		p, err := parsePeriod(c.Period)
		if err != nil {
			return Misused(err)
		}
		return c.with(ctx, func(db *store.Store) error { return pack(ctx, db, c.Out, p, program.Version) })
	}
	if c.Checkpoint == "" {
		c.Checkpoint = c.Out + ".checkpoint"
	}
	return c.with(ctx, func(db *store.Store) (err error) {
		file, err := os.OpenFile(c.Out, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return Misused(client.Said("--out cannot be written: %s", err))
		}
		lines := 0
		signed, err := db.Export(ctx, notary.Period{}, func(line []byte) error {
			lines++
			_, err := file.Write(line)
			return err
		})
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
		if err := os.WriteFile(c.Checkpoint, []byte(signed), 0o600); err != nil {
			return err
		}
		fmt.Fprintln(out, client.Text("%d lines in %s, their checkpoint in %s", lines, c.Out, c.Checkpoint))
		return nil
	})
}

// Run prints a checkpoint.
func (c *checkpointCmd) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(db *store.Store) error {
		signed, err := db.Checkpoint(ctx)
		if err == nil {
			_, err = io.WriteString(out, signed)
		}
		return err
	})
}

// Run prints public keys.
func (c *auditKeysCmd) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(db *store.Store) error {
		keys, err := db.AuditKeys(ctx)
		for _, k := range keys {
			fmt.Fprintln(out, k.Public)
		}
		return err
	})
}

// Run makes a key.
func (c *rotateKeyCmd) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(db *store.Store) error {
		public, err := db.RotateAuditKey(ctx, actor())
		if err == nil {
			fmt.Fprintln(out, strings.TrimSpace(public))
		}
		return err
	})
}
