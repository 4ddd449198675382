package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"redrive/delivery/progress"
	"redrive/migrations"
)

// versionTable lives beside our tables: dropping the schema removes every trace.
const versionTable = "redrive.schema_version"

func newerSchema(current, known int64) error {
	return fmt.Errorf("the schema has version %d, newer than this program knows (%d): start the newer program", current, known)
}

func (s *DB) provider() (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120)) // every second, two minutes
	if err != nil {
		return nil, fmt.Errorf("preparing the migration lock: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, s.Pool, migrations.Files, goose.WithSessionLocker(locker),
		goose.WithTableName(versionTable), goose.WithSlog(s.log))
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	return p, nil
}

// Migrate brings the schema up to date under a lock, so that several programs may start at once. A schema that is newer
// than this program is refused and left alone.
func (s *DB) Migrate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	current, known, err := s.SchemaStatus(ctx)
	if err != nil {
		return err
	}
	if current > known {
		return newerSchema(current, known)
	}
	if current == known {
		return nil
	}
	p, err := s.provider()
	if err != nil {
		return err
	}
	if err := s.createSchema(ctx); err != nil {
		return err
	}
	return stepUp(ctx, p, known-current)
}

// stepUp applies one migration after the other, some of which take long on a full database. Another program may apply some of them.
func stepUp(ctx context.Context, p *goose.Provider, missing int64) error {
	step := progress.Begin(ctx, "migrations of the schema", missing)
	defer step.End()
	for {
		_, err := p.UpByOne(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("migrating the schema: %w", err)
		}
		step.Add(1)
	}
}

// createSchema comes before goose, whose own table lives in the schema. A statement that fails because another program was
// faster, or because an administrator made the schema for a role that may not, is no failure.
func (s *DB) createSchema(ctx context.Context) error {
	_, err := s.Pool.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS redrive")
	if err == nil {
		return nil
	}
	exists := false
	if asked := s.Pool.QueryRowContext(ctx, "SELECT to_regnamespace('redrive') IS NOT NULL").
		Scan(&exists); asked != nil ||
		!exists {
		return fmt.Errorf("creating the schema: %w", err)
	}
	return nil
}

// SchemaStatus returns the version of the database's schema, 0 without one, and the version that this program knows.
func (s *DB) SchemaStatus(ctx context.Context) (current, known int64, err error) {
	p, err := s.provider()
	if err != nil {
		return 0, 0, err
	}
	for _, source := range p.ListSources() {
		known = max(known, source.Version)
	}
	exists := false
	if err := s.Pool.QueryRowContext(ctx, "SELECT to_regclass($1) IS NOT NULL", versionTable).
		Scan(&exists); err != nil ||
		!exists {
		return 0, known, err
	}
	err = s.Pool.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versionTable+" WHERE is_applied").Scan(&current)
	return current, known, err
}
