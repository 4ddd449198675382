package audit

import (
	"context"
	"fmt"
)

// powerSQL is what the session's role could do to the audit beside adding to it, in a word; empty for nothing.
const powerSQL = `SELECT CASE
		WHEN r.rolsuper THEN 'superuser'
		WHEN pg_has_role(c.relowner, 'MEMBER') OR pg_has_role(n.nspowner, 'MEMBER') THEN 'owner'
		WHEN has_any_column_privilege(c.oid, 'UPDATE') OR has_table_privilege(c.oid, 'DELETE, TRUNCATE, TRIGGER')
			OR has_column_privilege('redrive.audit_head', 'hash', 'UPDATE') THEN 'grants'
		WHEN r.rolcreaterole AND current_setting('server_version_num')::int < 160000 THEN 'roles'
		ELSE '' END
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_roles r WHERE c.oid = 'redrive.audit'::regclass AND r.rolname = current_user`

// Power says by what the role that the program works as could change the audit: superuser, owner, grants (of the table) or roles (it makes
// them); empty for nothing.
func (s *Trail) Power(ctx context.Context) (what string, err error) {
	if err = s.Pool.QueryRowContext(ctx, powerSQL).Scan(&what); err != nil {
		return "", fmt.Errorf("asking what role %s may do: %w", s.Config.User, err)
	}
	return what, nil
}
