-- +goose Up
-- The schema itself is there: the runner makes it first, because the version table lives in it.

-- What producers hand over: immutable, opaque bytes, written once.
CREATE TABLE redrive.messages (
    id              uuid PRIMARY KEY,
    xid             xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind            text NOT NULL CHECK (kind IN ('command', 'event')),
    integration     text CHECK ((kind = 'command') = (integration IS NOT NULL)),
    type            text NOT NULL CHECK (type <> ''),
    key             text,
    headers         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(headers) = 'object'),
    payload         bytea NOT NULL CHECK (octet_length(payload) <= 10485760),
    idempotency_key text,
    deliver_after   timestamptz,
    expires_at      timestamptz,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- infinity and years that RFC 3339 cannot write would stop whoever reads the row
    CHECK (deliver_after >= '0001-01-01Z' AND deliver_after < '10000-01-01Z'),
    CHECK (expires_at >= '0001-01-01Z' AND expires_at < '10000-01-01Z')
);
ALTER TABLE redrive.messages ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE INDEX messages_key ON redrive.messages (key, id DESC) WHERE key IS NOT NULL;

-- Apart from messages, so that messages may be partitioned by time and dropped while keys are kept longer.
CREATE TABLE redrive.idempotency_keys (
    scope      text NOT NULL, -- the integration of a command, '' for events
    key        text NOT NULL,
    message_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (scope, key)
);

-- What the integrations file says, synchronised at start, and what people change at run time.
CREATE TABLE redrive.integrations (
    name          text PRIMARY KEY CHECK (name ~ '^[a-z0-9-]{1,63}$'),
    method        text NOT NULL,
    destination   text NOT NULL,
    address       text NOT NULL DEFAULT '',
    description   text NOT NULL DEFAULT '',
    subscribe     text[] NOT NULL DEFAULT '{}',
    mask          text[] NOT NULL DEFAULT '{}',
    active        boolean NOT NULL DEFAULT true, -- false: left the file
    paused_at     timestamptz,
    paused_by     text,
    pause_reason  text,
    breaker       text NOT NULL DEFAULT 'closed' CHECK (breaker IN ('closed', 'open', 'half-open')),
    breaker_until timestamptz,
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX integrations_subscribe ON redrive.integrations USING gin (subscribe);

-- Hot: only what is still to be done. due_at is when the row may be claimed: the next attempt's time while it waits, the
-- lease's end while a worker (token is not null) holds it. One index serves both; a lost lease is a row that is due again.
CREATE TABLE redrive.queue (
    id          uuid PRIMARY KEY,
    message_id  uuid NOT NULL,
    integration text NOT NULL,
    due_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    token       bigint, -- lease token, null while it waits
    attempts    integer NOT NULL DEFAULT 0,
    round_start integer NOT NULL DEFAULT 0, -- attempts before the current round
    crashes     smallint NOT NULL DEFAULT 0,
    worker      text
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = 50000);
CREATE INDEX queue_due ON redrive.queue (integration, due_at) WITH (fillfactor = 70);
CREATE INDEX queue_message ON redrive.queue (message_id);
CREATE SEQUENCE redrive.lease_token CACHE 1;

-- The record: written when a delivery first fails or settles. Narrow; error texts live in failure_details.
CREATE TABLE redrive.deliveries (
    id                 uuid PRIMARY KEY,
    message_id         uuid NOT NULL,
    integration        text NOT NULL,
    state              text NOT NULL CHECK (state IN ('pending', 'delivered', 'dead', 'ignored', 'resolved')),
    version            integer NOT NULL DEFAULT 1,
    attempts           integer NOT NULL DEFAULT 0,
    crashes            smallint NOT NULL DEFAULT 0,
    error_class        text,
    group_id           text,
    created_at         timestamptz NOT NULL, -- the message's acceptance
    failed_at          timestamptz,          -- first failure; null for a delivery that never failed
    changed_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    dead_at            timestamptz,
    settled_at         timestamptz,
    retry_requested_at timestamptz,
    last_token         bigint,               -- lease token of the last outcome written: the same outcome again is no news
    -- the confirmed attempt; failed ones are in redrive.attempts
    started_at         timestamptz,
    duration_ms        integer,
    http_status        smallint,
    CHECK ((state = 'dead') = (dead_at IS NOT NULL)),
    CHECK ((state IN ('delivered', 'ignored', 'resolved')) = (settled_at IS NOT NULL))
);
CREATE INDEX deliveries_message ON redrive.deliveries (message_id);
CREATE INDEX deliveries_dead ON redrive.deliveries (changed_at DESC, id DESC) WHERE state = 'dead';
CREATE INDEX deliveries_dead_integration ON redrive.deliveries (integration, changed_at DESC, id DESC) WHERE state = 'dead';
CREATE INDEX deliveries_dead_group ON redrive.deliveries (group_id, changed_at DESC, id DESC) WHERE state = 'dead';
CREATE INDEX deliveries_retrying ON redrive.deliveries (changed_at DESC, id DESC) WHERE state = 'pending';
CREATE INDEX deliveries_ignored ON redrive.deliveries (changed_at DESC, id DESC) WHERE state = 'ignored';
CREATE INDEX deliveries_resolved ON redrive.deliveries (changed_at DESC, id DESC) WHERE state = 'resolved';
CREATE INDEX deliveries_recovered ON redrive.deliveries (changed_at DESC, id DESC)
    WHERE state = 'delivered' AND failed_at IS NOT NULL;

CREATE TABLE redrive.failure_details (
    delivery_id uuid PRIMARY KEY,
    error       text NOT NULL DEFAULT '',
    -- the latest decision of a person or policy
    actor       text,
    action      text,
    acted_at    timestamptz,
    reason      text,
    category    text,
    until       timestamptz,
    evidence    text
);
CREATE INDEX failure_details_until ON redrive.failure_details (until) WHERE until IS NOT NULL;

-- Attempts that were not confirmed, and late ones.
CREATE TABLE redrive.attempts (
    delivery_id uuid NOT NULL,
    token       bigint NOT NULL,
    number      integer NOT NULL,
    started_at  timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    outcome     text NOT NULL CHECK (outcome IN ('transient', 'permanent', 'unknown', 'late')),
    late        text, -- for outcome late: what it would have been
    error_class text NOT NULL DEFAULT '',
    error       text NOT NULL DEFAULT '',
    http_status smallint,
    response    bytea,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY RANGE (recorded_at);
CREATE INDEX attempts_delivery ON redrive.attempts (delivery_id);
CREATE TABLE redrive.attempts_default PARTITION OF redrive.attempts DEFAULT;

CREATE TABLE redrive.groups (
    id          text PRIMARY KEY,
    integration text NOT NULL,
    error_class text NOT NULL,
    message     text NOT NULL,
    first_seen  timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen   timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Every delivery, whether it still waits or has a record. Filter by id or message_id.
CREATE VIEW redrive.all_deliveries AS
    SELECT q.id, q.message_id, q.integration, CASE WHEN q.token IS NULL THEN 'pending' ELSE 'sending' END AS state,
        coalesce(r.version, 0) AS version, q.attempts, r.error_class, r.group_id, r.failed_at, r.changed_at, r.dead_at,
        r.settled_at, r.retry_requested_at, CASE WHEN q.token IS NULL THEN q.due_at END AS next_attempt_at, r.started_at,
        r.duration_ms, r.http_status
    FROM redrive.queue q LEFT JOIN redrive.deliveries r ON r.id = q.id
    UNION ALL
    SELECT r.id, r.message_id, r.integration, r.state, r.version, r.attempts, r.error_class, r.group_id, r.failed_at,
        r.changed_at, r.dead_at, r.settled_at, r.retry_requested_at, NULL, r.started_at, r.duration_ms, r.http_status
    FROM redrive.deliveries r WHERE r.state <> 'pending';

-- Outcomes per integration and hour, for the charts and counters of the console.
CREATE TABLE redrive.hourly (
    integration text NOT NULL,
    hour        timestamptz NOT NULL,
    delivered   bigint NOT NULL DEFAULT 0,
    failed      bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (integration, hour)
) WITH (fillfactor = 50);

-- The audit chain: append-only, gapless, each entry bound to the one before.
CREATE TABLE redrive.audit (
    seq          bigint PRIMARY KEY,
    at           timestamptz NOT NULL,
    actor        text NOT NULL,
    action       text NOT NULL,
    subject_type text NOT NULL,
    subject      text NOT NULL,
    reason       text NOT NULL DEFAULT '',
    details      jsonb NOT NULL DEFAULT '{}',
    prev_hash    bytea NOT NULL,
    hash         bytea NOT NULL
);
CREATE INDEX audit_subject ON redrive.audit (subject, seq DESC);
CREATE INDEX audit_actor ON redrive.audit (actor, seq DESC);
CREATE INDEX audit_action ON redrive.audit (action, seq DESC);
CREATE TABLE redrive.audit_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    seq      bigint NOT NULL,
    hash     bytea NOT NULL
);
INSERT INTO redrive.audit_head (seq, hash) VALUES (0, '\x');

CREATE TABLE redrive.operators (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name          text NOT NULL UNIQUE,
    role          text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    password_hash text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    disabled_at   timestamptz
);
CREATE TABLE redrive.sessions (
    token_hash bytea PRIMARY KEY,
    data       bytea NOT NULL,
    expiry     timestamptz NOT NULL
);
CREATE INDEX sessions_expiry ON redrive.sessions (expiry);
CREATE TABLE redrive.api_tokens (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name       text NOT NULL,
    role       text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    token_hash bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamptz
);

-- +goose StatementBegin
CREATE FUNCTION redrive.new_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    -- UUID version 7: ordered by time, so that indexes grow at one end (RFC 9562)
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION redrive.audit_hash(prev bytea, seq bigint, at timestamptz, actor text, action text, subject_type text,
    subject text, reason text, details jsonb) RETURNS bytea LANGUAGE sql STABLE AS $$
    -- each field as its length in bytes, a colon and its text: no two entries share one encoding
    SELECT sha256(prev || convert_to(string_agg(octet_length(f)::text || ':' || f, '' ORDER BY n), 'UTF8'))
    FROM unnest(ARRAY[seq::text, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), actor, action,
        subject_type, subject, reason, details::text]) WITH ORDINALITY AS fields(f, n)
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION redrive.audit_append() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head redrive.audit_head%ROWTYPE;
BEGIN
    SELECT * INTO head FROM redrive.audit_head FOR UPDATE;
    NEW.seq := head.seq + 1;
    NEW.at := clock_timestamp();
    NEW.prev_hash := head.hash;
    NEW.hash := redrive.audit_hash(NEW.prev_hash, NEW.seq, NEW.at, NEW.actor, NEW.action, NEW.subject_type, NEW.subject,
        NEW.reason, NEW.details);
    UPDATE redrive.audit_head SET seq = NEW.seq, hash = NEW.hash;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_append BEFORE INSERT ON redrive.audit FOR EACH ROW EXECUTE FUNCTION redrive.audit_append();

-- +goose StatementBegin
CREATE FUNCTION redrive.audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON redrive.audit
    FOR EACH STATEMENT EXECUTE FUNCTION redrive.audit_refuse();
-- the head moves only as part of an append, that is inside audit_append
CREATE TRIGGER audit_head_append BEFORE UPDATE ON redrive.audit_head
    FOR EACH STATEMENT WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION redrive.audit_refuse();
CREATE TRIGGER audit_head_refuse BEFORE INSERT OR DELETE OR TRUNCATE ON redrive.audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION redrive.audit_refuse();

-- +goose StatementBegin
CREATE FUNCTION redrive.check_headers(headers jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    h record;
BEGIN
    IF jsonb_typeof(headers) <> 'object' THEN
        RAISE EXCEPTION 'the headers are not a JSON object' USING ERRCODE = 'RD005';
    ELSIF (SELECT count(*) > 64 OR count(DISTINCT lower(k)) < count(*) FROM jsonb_object_keys(headers) k) THEN
        RAISE EXCEPTION 'there are more than 64 headers, or one is given twice' USING ERRCODE = 'RD005',
            HINT = 'letter case does not tell header names apart';
    END IF;
    FOR h IN SELECT e.key, e.value FROM jsonb_each(headers) e LOOP
        IF h.key !~ '^[!#$%&''*+.^_`|~0-9A-Za-z-]{1,255}$' THEN
            RAISE EXCEPTION '"%" is not a header name', h.key USING ERRCODE = 'RD005';
        ELSIF jsonb_typeof(h.value) <> 'string' OR h.value #>> '{}' ~ '[\x01-\x08\x0a-\x1f\x7f]' OR octet_length(h.value::text) > 8192 THEN
            RAISE EXCEPTION 'the value of header "%" is not one line of text', h.key USING ERRCODE = 'RD005',
                HINT = 'use a JSON string without line breaks or control characters, at most 8 KiB';
        END IF;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION redrive.insert_message(p_kind text, p_integration text, p_type text, p_payload bytea, p_key text,
    p_headers jsonb, p_idempotency_key text, p_deliver_after timestamptz, p_expires_at timestamptz, OUT id uuid,
    OUT duplicate boolean) LANGUAGE plpgsql AS $$
DECLARE
    p_scope text := coalesce(p_integration, '');
BEGIN
    IF p_type IS NULL OR p_type = '' THEN
        RAISE EXCEPTION 'the message type is missing' USING ERRCODE = 'RD002';
    ELSIF p_payload IS NULL THEN
        RAISE EXCEPTION 'the payload is null' USING ERRCODE = 'RD003', HINT = 'pass an empty bytea for an empty payload';
    ELSIF octet_length(p_payload) > 10485760 THEN
        RAISE EXCEPTION 'the payload has % bytes, more than 10 MiB', octet_length(p_payload) USING ERRCODE = 'RD004';
    ELSIF octet_length(p_type) > 255 OR octet_length(p_key) > 1024 OR octet_length(p_idempotency_key) > 255 THEN
        RAISE EXCEPTION 'type and idempotency key may have 255 bytes, key 1024' USING ERRCODE = 'RD006';
    ELSIF p_idempotency_key !~ '^[\x20-\x7e]+$' THEN
        RAISE EXCEPTION 'the idempotency key travels as a header: printable ASCII only' USING ERRCODE = 'RD006';
    ELSIF least(p_deliver_after, p_expires_at) < '0001-01-01Z' OR greatest(p_deliver_after, p_expires_at) >= '10000-01-01Z' THEN
        RAISE EXCEPTION 'deliver_after and expires_at must be times of the years 1 to 9999' USING ERRCODE = 'RD006',
            HINT = 'leave out what has no limit instead of passing infinity';
    ELSIF p_headers <> '{}' THEN
        PERFORM redrive.check_headers(p_headers);
    END IF;
    id := redrive.new_id();
    duplicate := false;
    IF p_idempotency_key IS NOT NULL THEN
        INSERT INTO redrive.idempotency_keys AS k (scope, key, message_id) VALUES (p_scope, p_idempotency_key, id)
            ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            duplicate := true;
            SELECT k.message_id INTO STRICT id FROM redrive.idempotency_keys k
                WHERE k.scope = p_scope AND k.key = p_idempotency_key;
            RETURN;
        END IF;
    END IF;
    INSERT INTO redrive.messages (id, kind, integration, type, key, headers, payload, idempotency_key, deliver_after, expires_at)
        VALUES (id, p_kind, p_integration, p_type, p_key, coalesce(p_headers, '{}'), p_payload, p_idempotency_key,
            p_deliver_after, p_expires_at);
END
$$;
-- +goose StatementEnd

-- enqueue and publish run with the rights of their owner, so that USAGE on the schema is all that a producer's role needs. The
-- pinned search_path keeps a producer's own functions and operators out of what runs with those rights.
-- +goose StatementBegin
CREATE FUNCTION redrive.enqueue(integration text, type text, payload bytea, key text DEFAULT NULL,
    headers jsonb DEFAULT '{}', idempotency_key text DEFAULT NULL, deliver_after timestamptz DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    m record;
BEGIN
    IF NOT EXISTS (SELECT FROM redrive.integrations i WHERE i.name = enqueue.integration AND i.active) THEN
        RAISE EXCEPTION 'no integration is named "%"', integration USING ERRCODE = 'RD001',
            HINT = 'add it to the integrations file and start redrive once, or correct the name';
    END IF;
    m := redrive.insert_message('command', integration, type, payload, key, headers, idempotency_key, deliver_after, expires_at);
    IF NOT m.duplicate THEN
        INSERT INTO redrive.queue (id, message_id, integration, due_at)
            VALUES (redrive.new_id(), m.id, enqueue.integration, greatest(clock_timestamp(), enqueue.deliver_after));
    END IF;
    RETURN m.id;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION redrive.publish_between(type text, payload bytea, key text, headers jsonb, idempotency_key text,
    deliver_after timestamptz, expires_at timestamptz) RETURNS uuid LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    m record;
BEGIN
    m := redrive.insert_message('event', NULL, type, payload, key, headers, idempotency_key, deliver_after, expires_at);
    IF NOT m.duplicate THEN
        INSERT INTO redrive.queue (id, message_id, integration, due_at)
            SELECT redrive.new_id(), m.id, i.name, greatest(clock_timestamp(), publish_between.deliver_after)
            FROM redrive.integrations i WHERE i.active AND i.subscribe @> ARRAY[publish_between.type];
    END IF;
    RETURN m.id;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION redrive.publish(type text, payload bytea, key text DEFAULT NULL, headers jsonb DEFAULT '{}',
    idempotency_key text DEFAULT NULL) RETURNS uuid LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT redrive.publish_between(type, payload, key, headers, idempotency_key, NULL, NULL)
$$;
-- +goose StatementEnd

-- Everybody who may use the schema may call the two; the rest is ours.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA redrive FROM PUBLIC;
GRANT EXECUTE ON FUNCTION redrive.enqueue, redrive.publish TO PUBLIC;

-- +goose Down
DROP SCHEMA redrive CASCADE;
