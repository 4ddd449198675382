-- +goose Up
-- The program works with less than the owner of the schema may do: it adds to the audit and changes nothing there. What only an owner can
-- do, it does by these functions, with the owner's rights.
ALTER FUNCTION redrive.audit_append() SECURITY DEFINER;
ALTER FUNCTION redrive.audit_appended() SECURITY DEFINER;
ALTER FUNCTION redrive.add_message_partition(date) SECURITY DEFINER SET search_path = pg_catalog, pg_temp;

-- +goose StatementBegin
CREATE FUNCTION redrive.drop_message_partition(day date, needed uuid[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text := 'messages_' || to_char(day, 'YYYYMMDD');
BEGIN
    LOCK TABLE ONLY redrive.messages IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('ALTER TABLE redrive.messages DETACH PARTITION redrive.%I', name);
    -- what is needed of it goes to the default partition
    EXECUTE format('INSERT INTO redrive.messages SELECT * FROM redrive.%I WHERE id = ANY ($1)', name) USING needed;
    EXECUTE format('DROP TABLE redrive.%I', name);
END
$$;
-- +goose StatementEnd

-- Gives a role what the program needs, and no more. The owner calls it once for each; migrations repeat it for those that have it. Trigger
-- functions are left out: with one, a role could make a table of its own move the audit's head.
-- +goose StatementBegin
CREATE FUNCTION redrive.admit_program(program name) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    owner name := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'redrive.audit'::regclass);
    callable text;
BEGIN
    IF pg_has_role(program, owner, 'MEMBER') THEN
        RAISE EXCEPTION 'role % may do all that the owner of the schema may', program USING ERRCODE = 'invalid_grant_operation',
            HINT = 'create a role for the program that is no superuser and no member of the owner';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('redrive.admit_program', 0)); -- one at a time changes the catalog
    EXECUTE format('GRANT USAGE ON SCHEMA redrive TO %I', program);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA redrive TO %I', program);
    EXECUTE format('REVOKE ALL ON redrive.audit, redrive.audit_head, redrive.schema_version FROM %I', program);
    EXECUTE format('GRANT SELECT ON redrive.audit, redrive.audit_head, redrive.schema_version TO %I', program);
    EXECUTE format('GRANT INSERT ON redrive.audit TO %I', program);
    EXECUTE format('GRANT UPDATE (only_row) ON redrive.audit_head TO %I', program); -- to lock it; the column has one value
    EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA redrive TO %I', program);
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA redrive GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', owner, program);
    FOR callable IN SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'redrive'::regnamespace
            AND p.prorettype <> 'trigger'::regtype AND p.proname <> 'admit_program'
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') LOOP
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I', callable, program);
    END LOOP;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION redrive.drop_message_partition, redrive.admit_program FROM PUBLIC;

-- +goose Down
DROP FUNCTION redrive.admit_program, redrive.drop_message_partition;
ALTER FUNCTION redrive.add_message_partition(date) SECURITY INVOKER RESET search_path;
ALTER FUNCTION redrive.audit_appended() SECURITY INVOKER;
ALTER FUNCTION redrive.audit_append() SECURITY INVOKER;
