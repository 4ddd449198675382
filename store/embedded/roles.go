package embedded

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"redrive/store/pg"
)

// Roles of the cluster beside its superuser, which is used at the start and by nobody else.
const (
	ownerRole   = "redrive_owner" // owns the schema redrive; migrations run as it
	programRole = "redrive"       // what the program works as; it owns no more than the demo's tables and those of its users
)

// rolesSQL makes the roles, and gives them in the database what an earlier version made as the superuser: the schema redrive to its owner,
// everything else to the program, which reads and writes it for integrations. Objects that cannot change hands by themselves follow their
// tables. It changes nothing the second time.
const rolesSQL = `
SELECT pg_advisory_xact_lock(hashtextextended('redrive.roles', 0));
DO $do$
DECLARE
	item record;
BEGIN
	FOR item IN SELECT * FROM (VALUES ('{owner}', 'LOGIN', '{owner password}'), ('{program}', 'LOGIN REPLICATION', '{program password}')) r(name, options, password)
			WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r.name) LOOP
		EXECUTE format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS %s PASSWORD %L', item.name, item.options, item.password);
		EXECUTE format('GRANT CREATE ON DATABASE %I TO %I', current_database(), item.name);
		IF item.name = '{program}' THEN -- it looks at its own and others' sessions, slots and settings
			GRANT pg_monitor TO {program};
			GRANT CREATE ON SCHEMA public TO {program};
		END IF;
	END LOOP;
	FOR item IN
		SELECT format('ALTER %s OWNER TO %I', o.what, CASE o.schema WHEN 'redrive' THEN '{owner}' ELSE '{program}' END) AS statement FROM (
			SELECT n.nspname AS schema, 'SCHEMA ' || n.nspname::regnamespace AS what, n.nspowner AS owner, 'pg_namespace'::regclass AS class, n.oid FROM pg_namespace n
			UNION ALL
			SELECT c.relnamespace::regnamespace::text, CASE c.relkind WHEN 'c' THEN 'TYPE ' ELSE 'TABLE ' END || c.oid::regclass, c.relowner, 'pg_class'::regclass, c.oid FROM pg_class c
			WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c', 'S') AND NOT EXISTS (SELECT FROM pg_depend d
				WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND c.relkind = 'S')
			UNION ALL
			SELECT p.pronamespace::regnamespace::text, 'ROUTINE ' || p.oid::regprocedure, p.proowner, 'pg_proc'::regclass, p.oid FROM pg_proc p
			UNION ALL
			SELECT t.typnamespace::regnamespace::text, 'TYPE ' || t.oid::regtype, t.typowner, 'pg_type'::regclass, t.oid FROM pg_type t WHERE t.typtype IN ('d', 'e', 'r')
			UNION ALL
			SELECT '', 'PUBLICATION ' || quote_ident(p.pubname), p.pubowner, 'pg_publication'::regclass, p.oid FROM pg_publication p) o
		WHERE o.owner = current_user::regrole AND o.oid >= 16384 -- what initdb makes has a smaller one
			AND o.schema NOT LIKE 'pg\_%' AND o.schema <> 'information_schema'
			AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')
		ORDER BY o.what LIKE 'SCHEMA%' DESC
	LOOP
		EXECUTE item.statement;
	END LOOP;
END
$do$`

// divide makes the roles and divides between them what is there, as the superuser.
func (s *Server) divide(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.DSN(DefaultDatabase))
	if err != nil {
		return fmt.Errorf("connecting to the embedded Postgres: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	statements := strings.NewReplacer("{owner}", ownerRole, "{program}", programRole, "{owner password}", s.derived(ownerRole),
		"{program password}", s.derived(programRole)).Replace(rolesSQL)
	err = pg.Again(func() error { // others may work with what is divided
		_, err := conn.PgConn().Exec(ctx, "BEGIN; SET LOCAL search_path = pg_catalog; "+statements+"; COMMIT").ReadAll()
		if err != nil {
			_, err2 := conn.Exec(ctx, "ROLLBACK")
			err = errors.Join(err, err2)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("preparing the roles of the embedded Postgres: %w", err)
	}
	return nil
}

// derived is the password of a role: it tells nothing of the superuser's.
func (s *Server) derived(role string) string {
	mac := hmac.New(sha256.New, []byte(s.password))
	mac.Write([]byte(role))
	return hex.EncodeToString(mac.Sum(nil))
}

// ProgramDSN is the URL of the database for the program: its role is no superuser, owns neither schema nor audit, and may replicate.
func (s *Server) ProgramDSN() string {
	return s.dsn(programRole, s.derived(programRole), DefaultDatabase)
}

// OwnerDSN is the URL of the database for migrations.
func (s *Server) OwnerDSN() string { return s.dsn(ownerRole, s.derived(ownerRole), DefaultDatabase) }
