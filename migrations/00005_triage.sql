-- +goose Up
-- Triage at scale: counters, search, operations, edits, cases.

-- ---- the record ---------------------------------------------------------------------------------------------------------
ALTER TABLE redrive.deliveries
    ADD COLUMN operation_id    uuid,        -- the operation that last acted on it
    ADD COLUMN operation_item  integer,     -- its place there
    ADD COLUMN edit            integer,     -- number of the version that is sent; null: as accepted
    ADD COLUMN acknowledged_at timestamptz CHECK (acknowledged_at IS NULL OR state = 'dead'); -- a person looks after it: it is not red any more
ALTER TABLE redrive.queue ADD COLUMN edit integer;

CREATE OR REPLACE VIEW redrive.all_deliveries AS
    SELECT q.id, q.message_id, q.integration, CASE WHEN q.token IS NULL THEN 'pending' ELSE 'sending' END AS state,
        coalesce(r.version, 0) AS version, q.attempts, r.error_class, r.group_id, r.failed_at, r.changed_at, r.dead_at,
        r.settled_at, r.retry_requested_at, CASE WHEN q.token IS NULL AND isfinite(q.due_at) THEN q.due_at END AS next_attempt_at,
        r.started_at, r.duration_ms, r.http_status, r.edit, r.operation_id, r.acknowledged_at
    FROM redrive.queue q LEFT JOIN redrive.deliveries r ON r.id = q.id
    UNION ALL
    SELECT r.id, r.message_id, r.integration, r.state, r.version, r.attempts, r.error_class, r.group_id, r.failed_at,
        r.changed_at, r.dead_at, r.settled_at, r.retry_requested_at, NULL, r.started_at, r.duration_ms, r.http_status, r.edit, r.operation_id,
        r.acknowledged_at
    FROM redrive.deliveries r WHERE r.state <> 'pending';

-- Each question of the lists in each state has its index: (order), (integration, order), (group, order).
CREATE INDEX deliveries_retrying_integration ON redrive.deliveries (integration, changed_at DESC, id DESC) WHERE state = 'pending';
CREATE INDEX deliveries_retrying_group ON redrive.deliveries (group_id, changed_at DESC, id DESC) WHERE state = 'pending';
CREATE INDEX deliveries_ignored_integration ON redrive.deliveries (integration, changed_at DESC, id DESC) WHERE state = 'ignored';
CREATE INDEX deliveries_ignored_group ON redrive.deliveries (group_id, changed_at DESC, id DESC) WHERE state = 'ignored';
CREATE INDEX deliveries_resolved_integration ON redrive.deliveries (integration, changed_at DESC, id DESC) WHERE state = 'resolved';
CREATE INDEX deliveries_resolved_group ON redrive.deliveries (group_id, changed_at DESC, id DESC) WHERE state = 'resolved';
CREATE INDEX deliveries_recovered_integration ON redrive.deliveries (integration, changed_at DESC, id DESC)
    WHERE state = 'delivered' AND failed_at IS NOT NULL;
CREATE INDEX deliveries_recovered_group ON redrive.deliveries (group_id, changed_at DESC, id DESC)
    WHERE state = 'delivered' AND failed_at IS NOT NULL;
CREATE INDEX deliveries_dead_attempts ON redrive.deliveries (attempts) WHERE state = 'dead';
CREATE INDEX deliveries_acknowledged ON redrive.deliveries (changed_at DESC, id DESC) WHERE state = 'dead' AND acknowledged_at IS NOT NULL;
CREATE INDEX failure_details_actor ON redrive.failure_details (actor, acted_at DESC) WHERE actor IS NOT NULL AND actor <> 'policy';

-- ---- counters -----------------------------------------------------------------------------------------------------------
-- How many failures of each group are in each state. Exact: counts plus deltas, which the triggers below write in the
-- transaction of every change, one row for each group and statement. Nobody waits for anybody's counter; one process at a time
-- folds the deltas into the counts.
CREATE TABLE redrive.group_counts (
    group_id     text PRIMARY KEY,
    dead         bigint NOT NULL DEFAULT 0,
    acknowledged bigint NOT NULL DEFAULT 0, -- of the dead
    pending      bigint NOT NULL DEFAULT 0, -- failed, will be tried again
    ignored      bigint NOT NULL DEFAULT 0,
    resolved     bigint NOT NULL DEFAULT 0,
    delivered    bigint NOT NULL DEFAULT 0, -- after failing
    died         bigint NOT NULL DEFAULT 0, -- dead letters ever, not counting those reopened
    settled_at   timestamptz,               -- when the last that was open was settled, in a group that had dead letters
    regressed_at timestamptz                -- when the first dead letter came after that
) WITH (fillfactor = 50);
CREATE TABLE redrive.group_deltas (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_id     text NOT NULL,
    at           timestamptz NOT NULL DEFAULT statement_timestamp(),
    dead         integer NOT NULL,
    acknowledged integer NOT NULL,
    pending      integer NOT NULL,
    ignored      integer NOT NULL,
    resolved     integer NOT NULL,
    delivered    integer NOT NULL,
    failed       integer NOT NULL, -- attempts
    died         integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE redrive.counting (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    dead_changes bigint NOT NULL DEFAULT 0, -- folded deltas that moved the number of dead letters
    pruned_at    timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO redrive.counting DEFAULT VALUES;
-- Failed attempts of each group by hour, for the sparkline.
CREATE TABLE redrive.group_hours (
    group_id text NOT NULL,
    hour     timestamptz NOT NULL,
    failed   bigint NOT NULL,
    PRIMARY KEY (group_id, hour)
) WITH (fillfactor = 50);
CREATE INDEX groups_integration ON redrive.groups (integration, error_class);
CREATE INDEX groups_message ON redrive.groups USING hash (message);

INSERT INTO redrive.group_counts (group_id, dead, pending, ignored, resolved, delivered, died, settled_at)
SELECT group_id, count(*) FILTER (WHERE state = 'dead'), count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'ignored'),
    count(*) FILTER (WHERE state = 'resolved'), count(*) FILTER (WHERE state = 'delivered'), count(*) FILTER (WHERE state = 'dead'),
    CASE WHEN bool_and(state NOT IN ('dead', 'pending')) AND bool_or(state IN ('ignored', 'resolved')) THEN max(settled_at) END
FROM redrive.deliveries WHERE group_id IS NOT NULL AND failed_at IS NOT NULL GROUP BY group_id;

-- ---- search -------------------------------------------------------------------------------------------------------------
-- What can be searched of open failures (dead, or failed and waiting for another try): written within a second of each failure
-- by an indexer that hides masked fields, and forgotten some time after the failure is settled.
-- Failures with something new to index; one may come several times. No key on the delivery: who fails waits for no indexer.
CREATE TABLE redrive.unindexed (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery_id uuid NOT NULL
);
CREATE TABLE redrive.search (
    delivery_id uuid PRIMARY KEY,
    version     integer NOT NULL, -- of the delivery, when it was read
    seq         bigint NOT NULL,  -- redrive.unindexed.id: of two readings of one version the later counts
    edit        integer,          -- number of the payload's version
    error       text NOT NULL,
    words       tsvector,         -- of the payload
    doc         jsonb             -- the payload, when it is JSON
) WITH (fillfactor = 90);
-- the indexer has time; who searches should not read a list of what is not sorted in
CREATE INDEX search_words ON redrive.search USING gin (words) WITH (fastupdate = off);
CREATE INDEX search_doc ON redrive.search USING gin (doc jsonb_path_ops) WITH (fastupdate = off);
-- +goose StatementBegin
DO $$
DECLARE
    place text;
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA redrive;
    SELECT n.nspname INTO STRICT place FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm';
    EXECUTE format('CREATE INDEX search_error ON redrive.search USING gin (error %I.gin_trgm_ops) WITH (fastupdate = off)', place);
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
    RAISE WARNING 'pg_trgm is not there (%): error texts are searched without an index', SQLERRM;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION redrive.search_doc(payload text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN payload::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL; -- JSON that jsonb does not take: NUL, a lone surrogate, a number too long, too deep
END
$$;
-- +goose StatementEnd
INSERT INTO redrive.unindexed (delivery_id) SELECT id FROM redrive.deliveries WHERE state = 'dead' OR state = 'pending' ORDER BY changed_at;

-- ---- operations ---------------------------------------------------------------------------------------------------------
-- A bulk action on a set that was frozen at the click. Its items are numbered so that those of one integration stand together: a
-- part. What comes after a part's cursor has not been acted on. Who changes an operation, its parts or its cursors holds its row.
CREATE TABLE redrive.operations (
    id          uuid PRIMARY KEY, -- given by the form or the caller, so that asking twice starts one
    action      text NOT NULL CHECK (action IN ('retry', 'ignore', 'resolve', 'reopen', 'acknowledge')),
    state       text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'paused', 'cancelled', 'finished')),
    version     integer NOT NULL DEFAULT 1, -- raised by every change of state or pace
    actor       text NOT NULL,
    reason      text NOT NULL DEFAULT '',
    category    text,
    until       timestamptz,
    evidence    text,
    filter      jsonb,            -- what was asked for; null: a list of ids
    rate        double precision, -- retries per second for each integration; null: as fast as it goes
    rate_end    double precision, -- to which the rate ramps
    ramp_ms     bigint,           -- within this time
    canary      integer,          -- so many of each integration go first
    stop_above  double precision, -- failure ratio
    selected    integer NOT NULL DEFAULT 0,
    excluded    jsonb NOT NULL DEFAULT '{}', -- not selected at the freeze: reason -> number
    note        text NOT NULL DEFAULT '',    -- why it is paused, by whom
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,                 -- every item has its outcome
    CHECK (state <> 'finished' OR finished_at IS NOT NULL)
) WITH (fillfactor = 50);
CREATE INDEX operations_open ON redrive.operations (id) WHERE finished_at IS NULL;
CREATE INDEX operations_list ON redrive.operations (created_at DESC, id DESC);
CREATE TABLE redrive.operation_parts (
    operation_id uuid NOT NULL,
    integration  text NOT NULL,
    first        integer NOT NULL, -- item number
    last         integer NOT NULL,
    cursor       integer NOT NULL, -- the last item acted on, first - 1 before
    phase        text NOT NULL DEFAULT 'canary' CHECK (phase IN ('canary', 'ramp', 'done')),
    ramp_at      timestamptz,      -- when the ramp began, moved on by the time that it was held
    tick_at      timestamptz,      -- up to when the allowance is counted
    allowance    double precision NOT NULL DEFAULT 0,
    held         text NOT NULL DEFAULT '', -- why it waits
    succeeded    integer NOT NULL DEFAULT 0,
    failed       integer NOT NULL DEFAULT 0,
    failing      integer NOT NULL DEFAULT 0, -- failed at least once and is tried again
    skipped      integer NOT NULL DEFAULT 0,
    good_before  integer NOT NULL DEFAULT 0, -- succeeded before the latest resume: the failure ratio counts from there
    bad_before   integer NOT NULL DEFAULT 0, -- failed or failing before it
    PRIMARY KEY (operation_id, integration),
    CHECK (cursor BETWEEN first - 1 AND last AND succeeded + failed + skipped <= cursor - first + 1)
) WITH (fillfactor = 50);
CREATE TABLE redrive.operation_items (
    operation_id uuid NOT NULL,
    n            integer NOT NULL,
    delivery_id  uuid NOT NULL,
    version      integer NOT NULL, -- of the delivery at the freeze
    outcome      text CHECK (outcome IN ('succeeded', 'failed', 'skipped')), -- null: see the part's cursor and the operation's state
    reason       text,
    failing      boolean NOT NULL DEFAULT false,
    PRIMARY KEY (operation_id, n)
) WITH (fillfactor = 80);
-- Outcomes that the engine has written and the operation has not yet counted.
CREATE TABLE redrive.operation_deltas (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation_id uuid NOT NULL,
    integration  text NOT NULL,
    succeeded    integer NOT NULL,
    failed       integer NOT NULL,
    failing      integer NOT NULL
);
CREATE INDEX operation_deltas_operation ON redrive.operation_deltas (operation_id);

-- ---- the audit in bulk ----------------------------------------------------------------------------------------------------
-- Who appends many entries computes their numbers and hashes in one statement; the trigger that does so row by row leaves them
-- alone, and another one refuses what does not continue the chain and moves the head.
-- +goose StatementBegin
CREATE FUNCTION redrive.audit_field(f text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    -- its length in bytes, a colon and its text: no two entries share one encoding
    SELECT octet_length(f)::text || ':' || f
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION redrive.audit_entry(seq bigint, at timestamptz, actor text, action text, subject_type text, subject text,
    reason text, details jsonb) RETURNS bytea LANGUAGE sql STABLE AS $$
    -- what audit_hash hashes after the entry before; a single expression, so that Postgres puts it in the place of the call
    SELECT convert_to(redrive.audit_field(seq::text) || redrive.audit_field(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
        || redrive.audit_field(actor) || redrive.audit_field(action) || redrive.audit_field(subject_type) || redrive.audit_field(subject)
        || redrive.audit_field(reason) || redrive.audit_field(details::text), 'UTF8')
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION redrive.audit_link(state bytea, entry bytea, head bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN sha256(coalesce(state, head) || entry);
END
$$;
-- +goose StatementEnd
CREATE AGGREGATE redrive.audit_chain(entry bytea, head bytea) (SFUNC = redrive.audit_link, STYPE = bytea);

DROP TRIGGER audit_append ON redrive.audit;
CREATE TRIGGER audit_append BEFORE INSERT ON redrive.audit FOR EACH ROW WHEN (NEW.hash IS NULL) EXECUTE FUNCTION redrive.audit_append();

-- +goose StatementBegin
CREATE FUNCTION redrive.audit_appended() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head redrive.audit_head%ROWTYPE;
    span record;
BEGIN
    SELECT count(*) AS n, min(seq) AS first, max(seq) AS last INTO span FROM new_rows;
    IF span.n = 0 THEN
        RETURN NULL;
    END IF;
    SELECT * INTO head FROM redrive.audit_head FOR UPDATE;
    IF span.n = 1 AND span.last = head.seq AND EXISTS (SELECT FROM new_rows WHERE hash = head.hash) THEN
        RETURN NULL; -- audit_append has seen to it
    END IF;
    IF span.last - span.first + 1 <> span.n OR span.first > head.seq + 1 OR span.last < head.seq OR EXISTS (
        SELECT FROM (SELECT *, lag(hash) OVER (ORDER BY seq) AS before FROM new_rows) e
        WHERE prev_hash IS DISTINCT FROM coalesce(before, CASE WHEN seq = 1 THEN '' ELSE (SELECT a.hash FROM redrive.audit a WHERE a.seq = e.seq - 1) END)
            OR hash IS DISTINCT FROM sha256(prev_hash || redrive.audit_entry(seq, at, actor, action, subject_type, subject, reason, details)))
    THEN
        RAISE EXCEPTION 'these entries do not continue the audit' USING ERRCODE = 'insufficient_privilege',
            HINT = 'leave number, time and hash to the database';
    END IF;
    UPDATE redrive.audit_head SET (seq, hash) = (SELECT e.seq, e.hash FROM new_rows e WHERE e.seq = span.last) WHERE audit_head.seq < span.last;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_appended AFTER INSERT ON redrive.audit REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION redrive.audit_appended();
REVOKE ALL ON FUNCTION redrive.audit_field, redrive.audit_entry, redrive.audit_link, redrive.audit_chain, redrive.audit_appended FROM PUBLIC;

-- ---- triggers on the record ----------------------------------------------------------------------------------------------
-- +goose StatementBegin
CREATE FUNCTION redrive.record_inserted() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows WHERE group_id IS NOT NULL) THEN
        RETURN NULL; -- delivered at the first try, as nearly everything
    END IF;
    INSERT INTO redrive.group_deltas (group_id, dead, acknowledged, pending, ignored, resolved, delivered, failed, died)
    SELECT group_id, count(*) FILTER (WHERE state = 'dead'), 0, count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'ignored'),
        count(*) FILTER (WHERE state = 'resolved'), count(*) FILTER (WHERE state = 'delivered' AND failed_at IS NOT NULL), count(*),
        count(*) FILTER (WHERE state = 'dead')
    FROM new_rows WHERE group_id IS NOT NULL GROUP BY group_id;
    INSERT INTO redrive.unindexed (delivery_id) SELECT id FROM new_rows WHERE group_id IS NOT NULL AND state IN ('dead', 'pending');
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- Its plans are made once for a session, for few rows or many: a nested loop over two sets of many would take hours.
-- +goose StatementBegin
CREATE FUNCTION redrive.record_counted() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_nestloop = off AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows WHERE group_id IS NOT NULL) THEN
        RETURN NULL; -- mostly nothing was updated: an insert that finds no conflict comes by here as well
    END IF;
    -- what was counted before, taken away; what is to be counted now, added
    INSERT INTO redrive.group_deltas (group_id, dead, acknowledged, pending, ignored, resolved, delivered, failed, died)
    SELECT * FROM (
        SELECT c.group_id, coalesce(sum(c.one) FILTER (WHERE c.state = 'dead'), 0) AS dead,
            coalesce(sum(c.one) FILTER (WHERE c.state = 'dead' AND c.acknowledged), 0) AS acknowledged,
            coalesce(sum(c.one) FILTER (WHERE c.state = 'pending'), 0) AS pending, coalesce(sum(c.one) FILTER (WHERE c.state = 'ignored'), 0) AS ignored,
            coalesce(sum(c.one) FILTER (WHERE c.state = 'resolved'), 0) AS resolved, coalesce(sum(c.one) FILTER (WHERE c.state = 'delivered'), 0) AS delivered,
            count(*) FILTER (WHERE c.failed) AS failed, count(*) FILTER (WHERE c.failed AND c.state = 'dead') AS died
        FROM (
            SELECT n.group_id, n.state, n.acknowledged_at IS NOT NULL AS acknowledged, 1 AS one,
                n.version > o.version AND n.state IN ('dead', 'pending', 'ignored') AND o.state IN ('pending', 'delivered') AS failed
            FROM new_rows n JOIN old_rows o ON o.id = n.id WHERE n.group_id IS NOT NULL AND n.failed_at IS NOT NULL
            UNION ALL
            SELECT group_id, state, acknowledged_at IS NOT NULL, -1, false FROM old_rows WHERE group_id IS NOT NULL AND failed_at IS NOT NULL
        ) c GROUP BY c.group_id
    ) d WHERE (dead, acknowledged, pending, ignored, resolved, delivered, failed) <> (0, 0, 0, 0, 0, 0, 0);
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION redrive.record_updated() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows) THEN
        RETURN NULL;
    END IF;
    -- failed again, opened again, another payload, or other fields to hide
    INSERT INTO redrive.unindexed (delivery_id) SELECT n.id FROM new_rows n JOIN old_rows o ON o.id = n.id
    WHERE n.group_id IS NOT NULL AND n.state IN ('dead', 'pending')
        AND (o.state <> 'dead' AND n.version <> o.version OR n.edit IS DISTINCT FROM o.edit OR n.integration <> o.integration);

    IF EXISTS (SELECT FROM new_rows WHERE operation_id IS NOT NULL) THEN
        WITH outcomes AS (
            SELECT n.operation_id, n.operation_item, n.integration,
                CASE n.state WHEN 'delivered' THEN 'succeeded' WHEN 'pending' THEN NULL ELSE 'failed' END AS outcome, n.error_class
            FROM new_rows n JOIN old_rows o ON o.id = n.id
            WHERE n.operation_id IS NOT NULL AND o.operation_id = n.operation_id AND o.state = 'pending' AND n.version > o.version
        ), noted AS (
            UPDATE redrive.operation_items i SET outcome = o.outcome, failing = o.outcome IS NULL,
                reason = CASE WHEN o.outcome = 'failed' THEN o.error_class END
            FROM outcomes o, redrive.operation_items b WHERE i.operation_id = o.operation_id AND i.n = o.operation_item AND i.outcome IS NULL
                AND b.operation_id = i.operation_id AND b.n = i.n AND (o.outcome IS NOT NULL OR NOT i.failing)
            RETURNING i.operation_id, o.integration, i.outcome, b.failing AS was_failing
        )
        INSERT INTO redrive.operation_deltas (operation_id, integration, succeeded, failed, failing)
        SELECT operation_id, integration, count(*) FILTER (WHERE outcome = 'succeeded'), count(*) FILTER (WHERE outcome = 'failed'),
            count(*) FILTER (WHERE outcome IS NULL) - count(*) FILTER (WHERE outcome IS NOT NULL AND was_failing)
        FROM noted GROUP BY operation_id, integration;
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER record_inserted AFTER INSERT ON redrive.deliveries REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION redrive.record_inserted();
CREATE TRIGGER record_counted AFTER UPDATE ON redrive.deliveries REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION redrive.record_counted();
CREATE TRIGGER record_updated AFTER UPDATE ON redrive.deliveries REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION redrive.record_updated();

-- ---- edits, cases, views --------------------------------------------------------------------------------------------------
-- Versions of what is sent for a delivery. Number 1 is the message as accepted and is not kept here. A row never changes, except
-- that retention takes its payload when it takes the message.
CREATE TABLE redrive.edits (
    delivery_id   uuid NOT NULL,
    number        integer NOT NULL CHECK (number > 1),
    payload       bytea,            -- null: taken by retention
    headers       jsonb NOT NULL DEFAULT '{}',
    actor         text NOT NULL,
    reason        text NOT NULL CHECK (reason <> ''),
    after_attempt integer NOT NULL, -- later attempts, up to the next version's, sent this one
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (delivery_id, number)
);
ALTER TABLE redrive.edits ALTER COLUMN payload SET STORAGE EXTERNAL;

-- What people keep about a failure beside its state.
CREATE TABLE redrive.cases (
    delivery_id     uuid PRIMARY KEY,
    version         integer NOT NULL DEFAULT 1,
    acknowledged_by text,
    assignee        text,
    tags            text[] NOT NULL DEFAULT '{}',
    ticket          text,
    changed_by      text NOT NULL DEFAULT '',
    changed_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX cases_assignee ON redrive.cases (assignee) WHERE assignee IS NOT NULL;
CREATE INDEX cases_tags ON redrive.cases USING gin (tags);
CREATE INDEX cases_ticket ON redrive.cases (ticket) WHERE ticket IS NOT NULL;
CREATE TABLE redrive.notes (
    id          uuid PRIMARY KEY,
    delivery_id uuid NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    author      text NOT NULL,
    text        text NOT NULL
);
CREATE INDEX notes_delivery ON redrive.notes (delivery_id, at);

CREATE TABLE redrive.saved_views (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    owner      text NOT NULL,
    name       text NOT NULL,
    search     text NOT NULL,    -- as typed into the search bar
    shared     boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (owner, name)
);

-- Tokens of forms that were carried out: the same form again changes nothing.
CREATE TABLE redrive.form_tokens (
    token uuid PRIMARY KEY,
    at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX form_tokens_at ON redrive.form_tokens (at);

-- +goose Down
DROP VIEW redrive.all_deliveries;
CREATE VIEW redrive.all_deliveries AS
    SELECT q.id, q.message_id, q.integration, CASE WHEN q.token IS NULL THEN 'pending' ELSE 'sending' END AS state,
        coalesce(r.version, 0) AS version, q.attempts, r.error_class, r.group_id, r.failed_at, r.changed_at, r.dead_at,
        r.settled_at, r.retry_requested_at, CASE WHEN q.token IS NULL AND isfinite(q.due_at) THEN q.due_at END AS next_attempt_at,
        r.started_at, r.duration_ms, r.http_status
    FROM redrive.queue q LEFT JOIN redrive.deliveries r ON r.id = q.id
    UNION ALL
    SELECT r.id, r.message_id, r.integration, r.state, r.version, r.attempts, r.error_class, r.group_id, r.failed_at,
        r.changed_at, r.dead_at, r.settled_at, r.retry_requested_at, NULL, r.started_at, r.duration_ms, r.http_status
    FROM redrive.deliveries r WHERE r.state <> 'pending';
DROP TRIGGER audit_appended ON redrive.audit;
DROP TRIGGER audit_append ON redrive.audit;
CREATE TRIGGER audit_append BEFORE INSERT ON redrive.audit FOR EACH ROW EXECUTE FUNCTION redrive.audit_append();
DROP AGGREGATE redrive.audit_chain(bytea, bytea);
DROP FUNCTION redrive.audit_appended, redrive.audit_link, redrive.audit_entry, redrive.audit_field;
DROP TRIGGER record_inserted ON redrive.deliveries;
DROP TRIGGER record_counted ON redrive.deliveries;
DROP TRIGGER record_updated ON redrive.deliveries;
DROP FUNCTION redrive.record_inserted, redrive.record_counted, redrive.record_updated, redrive.search_doc;
DROP TABLE redrive.form_tokens, redrive.saved_views, redrive.notes, redrive.cases, redrive.edits, redrive.operation_deltas, redrive.operation_items,
    redrive.operation_parts, redrive.operations, redrive.search, redrive.unindexed, redrive.group_hours, redrive.counting, redrive.group_deltas, redrive.group_counts;
DROP INDEX redrive.groups_integration, redrive.groups_message, redrive.failure_details_actor;
ALTER TABLE redrive.queue DROP COLUMN edit;
ALTER TABLE redrive.deliveries DROP COLUMN operation_id, DROP COLUMN operation_item, DROP COLUMN edit, DROP COLUMN acknowledged_at;
