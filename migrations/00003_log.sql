-- +goose Up
-- Messages become a log in daily partitions. Ids are ordered by time (UUID version 7), so that the id alone finds the partition,
-- and a day is given back by dropping its table. What belongs to no day's partition, or outlives it, is in the default one.
ALTER TABLE redrive.messages RENAME TO messages_before;
ALTER INDEX redrive.messages_pkey RENAME TO messages_before_pkey;
ALTER INDEX redrive.messages_key RENAME TO messages_before_key;

-- What a row must be. Not a CHECK, whose expression Postgres would prepare anew for every statement of a producer: the producers'
-- functions below see to it themselves, and the program asks here where it writes what they have not seen.
-- +goose StatementBegin
CREATE FUNCTION redrive.valid_message(type text, headers jsonb, payload bytea, deliver_after timestamptz, expires_at timestamptz,
    origin jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT type <> '' AND jsonb_typeof(headers) = 'object' AND (octet_length(payload) <= 10485760 OR origin IS NOT NULL)
        -- infinity and years that RFC 3339 cannot write would stop whoever reads the row
        AND coalesce(least(deliver_after, expires_at) >= '0001-01-01Z' AND greatest(deliver_after, expires_at) < '10000-01-01Z', true)
$$;
-- +goose StatementEnd

CREATE TABLE redrive.messages (LIKE redrive.messages_before INCLUDING DEFAULTS INCLUDING STORAGE, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE INDEX messages_key ON redrive.messages (key, id DESC) WHERE key IS NOT NULL;
CREATE INDEX messages_log ON redrive.messages (xid) WHERE kind = 'event'; -- what the relay reads
CREATE TABLE redrive.messages_default PARTITION OF redrive.messages DEFAULT;

-- +goose StatementBegin
CREATE FUNCTION redrive.first_id(at timestamptz) RETURNS uuid LANGUAGE sql STABLE AS $$
    -- the smallest id of version 7 that this time can have
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION redrive.add_message_partition(day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    name text := 'messages_' || to_char(day, 'YYYYMMDD');
    first uuid := redrive.first_id(day::timestamp AT TIME ZONE 'UTC');
    following uuid := redrive.first_id((day + 1)::timestamp AT TIME ZONE 'UTC');
BEGIN
    IF to_regclass('redrive.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE redrive.%I (LIKE redrive.messages INCLUDING ALL)', name);
    -- what came while no partition of its day was there
    EXECUTE format('WITH moved AS (DELETE FROM redrive.messages_default WHERE id >= %L AND id < %L RETURNING *)
        INSERT INTO redrive.%I SELECT * FROM moved', first, following, name);
    EXECUTE format('ALTER TABLE redrive.messages ATTACH PARTITION redrive.%I FOR VALUES FROM (%L) TO (%L)', name, first, following);
    RETURN true;
END
$$;
-- +goose StatementEnd

SELECT redrive.add_message_partition((current_timestamp AT TIME ZONE 'UTC')::date + n) FROM generate_series(0, 7) n;
INSERT INTO redrive.messages SELECT * FROM redrive.messages_before;
DROP TABLE redrive.messages_before;

ALTER TABLE redrive.integrations
    ADD COLUMN ordered boolean NOT NULL DEFAULT false,
    ADD COLUMN on_dead text NOT NULL DEFAULT 'block' CHECK (on_dead IN ('block', 'skip'));

-- How far the relay has read the log: everything visible in snapshot is fanned out. Between snapshot and target the rows up to
-- after are, when a window is too large for one transaction. The feed of all subscribers is named outbox; a new subscriber has
-- one of its own, named after it, until it has caught up.
CREATE TABLE redrive.positions (
    feed        text PRIMARY KEY,
    database_id text, -- of the database whose transactions the snapshots tell of; null until the relay first leads
    snapshot    pg_snapshot NOT NULL,
    target      pg_snapshot,
    after       uuid,
    since       timestamptz, -- messages accepted before are passed over
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- the lock that renaming took has let every producer's transaction finish: they fanned out themselves
INSERT INTO redrive.positions (feed, snapshot) VALUES ('outbox', pg_current_snapshot());

-- How far the changes of other databases are read: everything before lsn is durable here.
CREATE TABLE redrive.captures (
    integration       text PRIMARY KEY,
    system_identifier text NOT NULL DEFAULT '', -- of the source's cluster; empty: not known yet
    slot              text NOT NULL DEFAULT '',
    lsn               pg_lsn NOT NULL DEFAULT '0/0',
    committed_at      timestamptz,              -- when the last change was committed at its source
    changes           bigint NOT NULL DEFAULT 0,
    snapshot          jsonb NOT NULL DEFAULT '{}', -- progress of the initial snapshot
    resnapshot_at     timestamptz,              -- somebody asked for a new slot and a new snapshot
    updated_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- In an ordered integration whoever hands over a command must not wait for others of its key: its place in the lane is given
-- afterwards, by the relay. Until then it is due never and has no position.
CREATE INDEX queue_unplaced ON redrive.queue (message_id) WHERE lane IS NOT NULL AND position IS NULL;

-- Producers call these within their own transactions: each statement and each nested call counts.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.new_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    -- UUID version 7 (RFC 9562): milliseconds, the fraction of the millisecond in 12 bits, so that what a session makes is in its
    -- order, and 52 bits of chance, which is no secret and so needs no cryptography. One expression that reads
    -- the clock once: Postgres puts it in the place of the call.
    SELECT (overlay(lpad(to_hex((date_part('epoch', clock_timestamp()) * 4096000)::bigint), 15, '0') PLACING '7' FROM 13 FOR 0)
        || to_hex((random() * 4611686018427387904)::bigint | x'8000000000000000'::bigint))::uuid
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION redrive.delivery_id(message uuid, integration text) RETURNS uuid LANGUAGE sql STABLE AS $$
    -- as old as the message, and the same whenever it is asked: a message cannot be fanned out to an integration twice
    SELECT encode(overlay(uuid_send(message) PLACING substring(sha256(uuid_send(message) || convert_to(integration, 'UTF8')) FROM 1 FOR 7)
        FROM 10 FOR 7), 'hex')::uuid
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION redrive.check_message(p_type text, p_payload bytea, p_key text, p_headers jsonb, p_idempotency_key text,
    p_deliver_after timestamptz, p_expires_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
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
END
$$;
-- +goose StatementEnd

DROP FUNCTION redrive.insert_message;

-- admit_message answers the id for a new message, or null when its idempotency key is known.
-- +goose StatementBegin
CREATE FUNCTION redrive.admit_message(scope text, type text, payload bytea, key text, headers jsonb, idempotency_key text,
    deliver_after timestamptz, expires_at timestamptz) RETURNS uuid LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    new uuid := redrive.new_id();
BEGIN
    PERFORM redrive.check_message(type, payload, key, headers, idempotency_key, deliver_after, expires_at);
    IF idempotency_key IS NOT NULL THEN
        INSERT INTO redrive.idempotency_keys (scope, key, message_id) VALUES (scope, idempotency_key, new) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    RETURN new;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION redrive.known_message(p_scope text, p_key text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    known uuid;
BEGIN
    SELECT k.message_id INTO STRICT known FROM redrive.idempotency_keys k WHERE k.scope = p_scope AND k.key = p_key;
    RETURN known;
END
$$;
-- +goose StatementEnd

-- Nearly all messages are plain, which one expression tells; what it cannot tell is looked at part by part.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload bytea, key text DEFAULT NULL,
    headers jsonb DEFAULT '{}', idempotency_key text DEFAULT NULL, deliver_after timestamptz DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    message uuid;
    is_ordered boolean := (SELECT i.ordered FROM redrive.integrations i WHERE i.name = integration AND i.active);
BEGIN
    IF is_ordered IS NULL THEN
        RAISE EXCEPTION 'no integration is named "%"', integration USING ERRCODE = 'RD001',
            HINT = 'add it to the integrations file and start redrive once, or correct the name';
    ELSIF (headers = '{}' AND octet_length(type) BETWEEN 1 AND 255 AND octet_length(payload) <= 10485760
        AND num_nulls(idempotency_key, deliver_after, expires_at) = 3 AND (key IS NULL OR octet_length(key) <= 1024)) IS NOT TRUE THEN
        message := redrive.admit_message(integration, type, payload, key, headers, idempotency_key, deliver_after, expires_at);
        IF message IS NULL THEN
            RETURN redrive.known_message(integration, idempotency_key);
        END IF;
    END IF;
    INSERT INTO redrive.messages (id, kind, integration, type, key, headers, payload, idempotency_key, deliver_after, expires_at)
        VALUES (coalesce(message, redrive.new_id()), 'command', integration, type, key, coalesce(headers, '{}'), payload, idempotency_key,
            deliver_after, expires_at)
        RETURNING id INTO message;
    INSERT INTO redrive.queue (id, message_id, integration, due_at, lane)
        VALUES (redrive.new_id(), message, integration,
            CASE WHEN is_ordered AND key <> '' THEN 'infinity' ELSE greatest(clock_timestamp(), deliver_after) END,
            CASE WHEN is_ordered THEN nullif(key, '') END);
    RETURN message;
END
$$;
-- +goose StatementEnd

-- An event is one row of the log; the relay's position marks it.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.publish_between(type text, payload bytea, key text, headers jsonb, idempotency_key text,
    deliver_after timestamptz, expires_at timestamptz) RETURNS uuid LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    message uuid;
BEGIN
    IF (headers = '{}' AND octet_length(type) BETWEEN 1 AND 255 AND octet_length(payload) <= 10485760
        AND num_nulls(idempotency_key, deliver_after, expires_at) = 3 AND (key IS NULL OR octet_length(key) <= 1024)) IS NOT TRUE THEN
        message := redrive.admit_message('', type, payload, key, headers, idempotency_key, deliver_after, expires_at);
        IF message IS NULL THEN
            RETURN redrive.known_message('', idempotency_key);
        END IF;
    END IF;
    INSERT INTO redrive.messages (id, kind, type, key, headers, payload, idempotency_key, deliver_after, expires_at)
        VALUES (coalesce(message, redrive.new_id()), 'event', type, key, coalesce(headers, '{}'), payload, idempotency_key, deliver_after, expires_at)
        RETURNING id INTO message;
    RETURN message;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.publish(type text, payload bytea, key text DEFAULT NULL, headers jsonb DEFAULT '{}',
    idempotency_key text DEFAULT NULL) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN redrive.publish_between(type, payload, key, headers, idempotency_key, NULL, NULL);
END
$$;
-- +goose StatementEnd

-- enqueue and publish keep the rights that they had: an administrator may have changed them
REVOKE ALL ON FUNCTION redrive.valid_message, redrive.first_id, redrive.add_message_partition, redrive.delivery_id, redrive.check_message,
    redrive.admit_message, redrive.known_message FROM PUBLIC;

-- +goose Down
-- A log cannot become what it was without losing the order of its partitions.
SELECT 1 / 0 AS "this step cannot be undone: restore a dump";
