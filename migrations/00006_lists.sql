-- +goose Up
-- What lists ask for stands in the record of each failure: they walk along an index and look at nothing else.
ALTER TABLE redrive.deliveries
    ADD COLUMN key   text,  -- of the message, when it failed once; stays when retention takes the message
    ADD COLUMN type  text,  -- the same
    ADD COLUMN expires_at timestamptz, -- the same
    ADD COLUMN actor text,  -- who made the last decision: a person, or policy
    ADD COLUMN assignee text, -- the case's
    ADD COLUMN tags  text[]; -- the case's; null: none
ALTER TABLE redrive.groups ADD COLUMN types text[] NOT NULL DEFAULT '{}'; -- of messages that failed like this; at 32 there may be more

-- Written a row at a time, the lists' indexes would cost most of the time: they are made anew.
SET LOCAL maintenance_work_mem = '256MB';
-- +goose StatementBegin
DO $$
DECLARE
    lists text[] := ARRAY(SELECT indexdef FROM pg_indexes WHERE schemaname = 'redrive' AND tablename = 'deliveries' AND indexdef LIKE '% WHERE %'
        AND indexname <> 'deliveries_dead_attempts');
    one   text;
BEGIN
    FOR one IN SELECT indexname FROM pg_indexes WHERE schemaname = 'redrive' AND tablename = 'deliveries' AND indexdef LIKE '% WHERE %' LOOP
        EXECUTE format('DROP INDEX redrive.%I', one);
    END LOOP;
    ALTER TABLE redrive.deliveries DISABLE TRIGGER USER; -- nothing that they look at changes
    UPDATE redrive.deliveries r SET key = m.key, type = m.type, expires_at = m.expires_at, assignee = c.assignee, tags = nullif(c.tags, '{}'), actor = (
        SELECT coalesce(o.actor, f.actor) FROM (VALUES (true)) one LEFT JOIN redrive.failure_details f ON f.delivery_id = r.id
            LEFT JOIN redrive.operations o ON o.id = r.operation_id AND o.action = 'retry')
    FROM redrive.deliveries d LEFT JOIN redrive.messages m ON m.id = d.message_id LEFT JOIN redrive.cases c ON c.delivery_id = d.id
    WHERE d.failed_at IS NOT NULL AND r.id = d.id;
    ALTER TABLE redrive.deliveries ENABLE TRIGGER USER;
    FOREACH one IN ARRAY lists LOOP
        EXECUTE one;
    END LOOP;
END
$$;
-- +goose StatementEnd
UPDATE redrive.groups g SET types = t.types[:32] FROM (
    SELECT group_id, array_agg(DISTINCT type) AS types FROM redrive.deliveries WHERE type IS NOT NULL AND group_id IS NOT NULL GROUP BY group_id) t
WHERE t.group_id = g.id;

-- All states in one index: a record is in it once. What is tried again changes too often for that, and is not much.
CREATE INDEX deliveries_key ON redrive.deliveries (key, state, changed_at DESC, id DESC) WHERE key IS NOT NULL AND state <> 'pending';
CREATE INDEX deliveries_actor ON redrive.deliveries (actor, state, changed_at DESC, id DESC) WHERE actor IS NOT NULL AND state <> 'pending';
CREATE INDEX deliveries_assignee ON redrive.deliveries (assignee, state, changed_at DESC, id DESC) WHERE assignee IS NOT NULL AND state <> 'pending';
CREATE INDEX deliveries_tagged ON redrive.deliveries (state, changed_at DESC, id DESC) WHERE tags IS NOT NULL;
CREATE INDEX group_hours_hour ON redrive.group_hours (hour); -- of many groups at once
DROP INDEX redrive.failure_details_actor, redrive.cases_assignee;
CREATE INDEX deliveries_attempts ON redrive.deliveries (attempts, state, changed_at DESC, id DESC) WHERE state IN ('dead', 'ignored', 'resolved');

-- +goose StatementBegin
CREATE FUNCTION redrive.case_listed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE redrive.deliveries SET assignee = NEW.assignee, tags = nullif(NEW.tags, '{}')
    WHERE id = NEW.delivery_id AND (assignee, tags) IS DISTINCT FROM (NEW.assignee, nullif(NEW.tags, '{}'));
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER case_kept AFTER INSERT ON redrive.cases FOR EACH ROW WHEN (NEW.assignee IS NOT NULL OR NEW.tags <> '{}')
    EXECUTE FUNCTION redrive.case_listed();
CREATE TRIGGER case_changed AFTER UPDATE ON redrive.cases FOR EACH ROW
    WHEN ((NEW.assignee, NEW.tags) IS DISTINCT FROM (OLD.assignee, OLD.tags)) EXECUTE FUNCTION redrive.case_listed();

-- Trigrams know nothing of texts of two letters, which are whole words in some languages: pairs do.
-- +goose StatementBegin
CREATE FUNCTION redrive.pairs(t text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c text[] := string_to_array(lower(t), NULL);
    r text[] := '{}';
BEGIN
    FOR i IN 1 .. cardinality(c) - 1 LOOP
        r := r || (c[i] || c[i + 1]); -- grows in place: many times as fast as a query
    END LOOP;
    RETURN r;
END
$$;
-- +goose StatementEnd
CREATE INDEX search_pairs ON redrive.search USING gin (redrive.pairs(error)) WITH (gin_pending_list_limit = 256);

DROP AGGREGATE redrive.audit_chain(bytea, bytea); -- the program computes what the trigger recomputes
DROP FUNCTION redrive.audit_link;

-- +goose Down
-- +goose StatementBegin
CREATE FUNCTION redrive.audit_link(state bytea, entry bytea, head bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN sha256(coalesce(state, head) || entry);
END
$$;
-- +goose StatementEnd
CREATE AGGREGATE redrive.audit_chain(entry bytea, head bytea) (SFUNC = redrive.audit_link, STYPE = bytea);
REVOKE ALL ON FUNCTION redrive.audit_link, redrive.audit_chain FROM PUBLIC;
DROP INDEX redrive.search_pairs, redrive.group_hours_hour;
DROP FUNCTION redrive.pairs;
DROP TRIGGER case_kept ON redrive.cases;
DROP TRIGGER case_changed ON redrive.cases;
DROP FUNCTION redrive.case_listed;
CREATE INDEX cases_assignee ON redrive.cases (assignee) WHERE assignee IS NOT NULL;
DROP INDEX redrive.deliveries_attempts;
CREATE INDEX deliveries_dead_attempts ON redrive.deliveries (attempts) WHERE state = 'dead';
CREATE INDEX failure_details_actor ON redrive.failure_details (actor, acted_at DESC) WHERE actor IS NOT NULL AND actor <> 'policy';
ALTER TABLE redrive.groups DROP COLUMN types;
ALTER TABLE redrive.deliveries DROP COLUMN key, DROP COLUMN type, DROP COLUMN expires_at, DROP COLUMN actor, DROP COLUMN assignee, DROP COLUMN tags;
