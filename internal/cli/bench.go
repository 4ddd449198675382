package cli

import (
	"cmp"
	"context"
	"io"
	"log/slog"

	"redrive/delivery/scratch"
	"redrive/store/embedded"
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

// Run measures on a database of its own choice: the rows stay, so point it at one that may be filled.
func (c *benchCmd[M]) Run(ctx context.Context, out io.Writer) error {
	if err := c.Measurement.Check(); err != nil {
		return Misused(err)
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
	superuser := ""
	db, dsn, closeAll, err := d.open(ctx, slog.New(slog.DiscardHandler), func(ctx context.Context, o embedded.Options) (*embedded.Server, error) {
		server, err := embedded.Start(ctx, o)
		if err == nil {
			superuser = server.DSN("") // some measurements make databases, and fill tables past their triggers
		}
		return server, err
	})
	if err != nil {
		return err
	}
	defer closeAll()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	return work(cmp.Or(superuser, dsn))
}
