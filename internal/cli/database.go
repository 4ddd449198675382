package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"

	"redrive/delivery"
	"redrive/delivery/seal"
	"redrive/delivery/wire"
	"redrive/internal/cli/client"
	"redrive/store"
	"redrive/store/embedded"
)

// database is where the data lives, and what opens the secrets in it; every command takes it.
type database struct {
	DatabaseURL  string `name:"database-url"   env:"DATABASE_URL"           help:"Postgres to use; empty starts the private embedded one."`
	DataDir      string `name:"data-dir"       env:"REDRIVE_DATA_DIR"       help:"Embedded Postgres and other files of this process."                                                    default:"./data"`
	LogFormat    string `name:"log-format"     env:"REDRIVE_LOG_FORMAT"     help:"Log format: text or json."                                                                             default:"text"   enum:"text,json"`
	SecretKey    string `name:"secret-key"     env:"REDRIVE_SECRET_KEY"     help:"Key that encrypts stored secrets; when empty, the first one makes a key in the data directory."`
	SecretKeyOld string `name:"secret-key-old" env:"REDRIVE_SECRET_KEY_OLD" help:"The key before it, while keys are rotated."`
}

func (d database) logger() *slog.Logger {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if d.LogFormat == "json" {
		log = slog.New(slog.NewJSONHandler(client.GuardJSON(os.Stderr), nil))
	}
	wire.AdoptLines(log)
	return log
}

// starter brings an embedded Postgres up: embedded.Start for the one process that owns it, embedded.Open for commands beside it.
type starter func(context.Context, embedded.Options) (*embedded.Server, error)

// open connects to the database, the embedded one when none is named. closeAll ends what was opened.
func (d database) open(
	ctx context.Context,
	log *slog.Logger,
	start starter,
) (db *store.Store, dsn string, closeAll func(), err error) {
	keys, err := seal.NewRing(d.SecretKey, d.SecretKeyOld, d.DataDir)
	if err != nil {
		return nil, "", nil, Misused(err)
	}
	stop, owner := func() {}, ""
	if dsn = d.DatabaseURL; dsn == "" {
		server, err := start(ctx, embedded.Options{DataDir: d.DataDir, Log: log})
		if errors.Is(err, embedded.ErrDataDir) {
			return nil, "", nil, Misused(err)
		}
		if err != nil {
			return nil, "", nil, err
		}
		dsn, owner = server.ProgramDSN(), server.OwnerDSN()
		stop = func() {
			if err := server.Stop(); err != nil {
				log.Error("stopping the embedded Postgres", "error", err)
			}
		}
	}
	if db, err = store.Open(ctx, dsn, log); err != nil {
		stop()
		if d.DatabaseURL != "" {
			err = Misused(client.Said("DATABASE_URL: %s", err))
		}
		return nil, "", nil, err
	}
	db.UseKeys(keys)
	db.OwnedBy(owner)
	if d.DatabaseURL == "" {
		db.MakeKeys()
	}
	return db, dsn, func() { db.Close(); stop() }, nil
}

// with runs work on the database that is there, beside a running server or without one.
func (d database) with(ctx context.Context, work func(db *store.Store) error) error {
	return d.opened(ctx, embedded.Open, work)
}

// ask is with for what a person asks of an integration, which the audit keeps: it needs a reason, and what the store refuses is wrong usage.
func (d database) ask(ctx context.Context, integration, reason string, work func(db *store.Store) error) error {
	if strings.TrimSpace(reason) == "" {
		return Misused(client.Said("--reason: say why, the audit keeps it"))
	}
	err := d.with(ctx, work)
	var wrong *delivery.InputError
	switch {
	case errors.Is(err, delivery.ErrNotFound):
		return Misused(client.Said("no integration is named %q", integration))
	case errors.As(err, &wrong):
		return Misused(err)
	}
	return err
}

func (d database) opened(ctx context.Context, start starter, work func(db *store.Store) error) error {
	db, _, closeAll, err := d.open(ctx, d.logger(), start)
	if err != nil {
		return err
	}
	defer closeAll()
	return work(db)
}
