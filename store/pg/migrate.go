package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
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
	if s.owner == "" {
		return s.migrate(ctx)
	}
	owner, err := Open(ctx, s.owner, s.log)
	if err != nil {
		return err
	}
	defer owner.Close()
	if err := owner.migrate(ctx); err != nil {
		return err
	}
	return owner.admit(ctx, s.Config.User)
}

func (s *DB) migrate(ctx context.Context) error {
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
	if err := s.ownsSchema(ctx, current, known); err != nil {
		return err
	}
	p, err := s.provider()
	if err != nil {
		return err
	}
	if err := s.createSchema(ctx); err != nil {
		return err
	}
	if err := stepUp(ctx, p, known-current); err != nil {
		return err
	}
	return s.AdmitAgain(ctx)
}

// ownsSchema tells a role that works with somebody else's schema who is to bring it up to date.
func (s *DB) ownsSchema(ctx context.Context, current, known int64) error {
	var owns bool
	err := s.Pool.QueryRowContext(ctx, `SELECT coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass($1)), true)`,
		versionTable).Scan(&owns)
	if err == nil && !owns {
		err = fmt.Errorf("the schema has version %d, this program needs %d, and role %s does not own it: run redrive migrate with the "+
			"DATABASE_URL of its owner", current, known, s.Config.User)
	}
	return err
}

// admit gives a role what the program needs, if it has not got it.
func (s *DB) admit(ctx context.Context, role string) error {
	_, err := s.Pool.ExecContext(ctx, "SELECT redrive.admit_program($1::text::name) WHERE NOT has_table_privilege($1::text::name, 'redrive.audit', 'INSERT')", role)
	if err != nil {
		return fmt.Errorf("giving role %s what the program needs: %w", role, err)
	}
	return nil
}

// AdmitAgain extends to what migrations have made what the roles of programs may: those that may add to the audit.
func (s *DB) AdmitAgain(ctx context.Context) error {
	_, err := s.Pool.ExecContext(ctx, `SELECT redrive.admit_program(r.rolname) FROM pg_class c, aclexplode(c.relacl) x JOIN pg_roles r ON r.oid = x.grantee
		WHERE c.oid = 'redrive.audit'::regclass AND x.privilege_type = 'INSERT' AND NOT pg_has_role(r.oid, c.relowner, 'MEMBER')`)
	if err != nil {
		return fmt.Errorf("giving the program's roles what is new: %w", err)
	}
	return nil
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
		return 0, known, s.denied(err)
	}
	err = s.Pool.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versionTable+" WHERE is_applied").Scan(&current)
	return current, known, s.denied(err)
}

// denied says what to do for a role that may not look at the schema.
func (s *DB) denied(err error) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != insufficientPrivilege {
		return err
	}
	return fmt.Errorf("role %s may not use the schema redrive: its owner runs redrive migrate, then SELECT redrive.admit_program('%[1]s')", s.Config.User)
}

const insufficientPrivilege = "42501" // SQLSTATE
