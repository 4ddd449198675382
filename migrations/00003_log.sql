-- +goose Up
-- Messages become a log in daily partitions. Ids are ordered by time (UUID version 7), so that the id alone finds the partition,
-- and a day is given back by dropping its table. What belongs to no day's partition, or outlives it, is in the default one.
ALTER TABLE redrive.messages RENAME TO messages_before;
ALTER INDEX redrive.messages_pkey RENAME TO messages_before_pkey;
ALTER INDEX redrive.messages_key RENAME TO messages_before_key;
CREATE TABLE redrive.messages (LIKE redrive.messages_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE, PRIMARY KEY (id))
    PARTITION BY RANGE (id);
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

-- +goose StatementBegin
CREATE FUNCTION redrive.delivery_id(message uuid, integration text) RETURNS uuid LANGUAGE sql STABLE AS $$
    -- as old as the message, and the same whenever it is asked: a message cannot be fanned out to an integration twice
    SELECT encode(set_byte(set_byte(b, 6, get_byte(b, 6) & 15 | 112), 8, get_byte(b, 8) & 63 | 128), 'hex')::uuid
    FROM overlay(uuid_send(message) PLACING substring(sha256(uuid_send(message) || convert_to(integration, 'UTF8')) FROM 1 FOR 10) FROM 7 FOR 10) b
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload bytea, key text DEFAULT NULL,
    headers jsonb DEFAULT '{}', idempotency_key text DEFAULT NULL, deliver_after timestamptz DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    m record;
    p_ordered boolean;
BEGIN
    SELECT i.ordered INTO p_ordered FROM redrive.integrations i WHERE i.name = enqueue.integration AND i.active;
    IF p_ordered IS NULL THEN
        RAISE EXCEPTION 'no integration is named "%"', integration USING ERRCODE = 'RD001',
            HINT = 'add it to the integrations file and start redrive once, or correct the name';
    END IF;
    m := redrive.insert_message('command', integration, type, payload, key, headers, idempotency_key, deliver_after, expires_at);
    IF m.duplicate THEN
        RETURN m.id;
    END IF;
    INSERT INTO redrive.queue (id, message_id, integration, due_at, lane)
        VALUES (redrive.delivery_id(m.id, enqueue.integration), m.id, enqueue.integration,
            CASE WHEN p_ordered AND enqueue.key IS NOT NULL THEN 'infinity' ELSE greatest(clock_timestamp(), enqueue.deliver_after) END,
            CASE WHEN p_ordered THEN enqueue.key END);
    RETURN m.id;
END
$$;
-- +goose StatementEnd

-- An event is one row of the log; the relay's position marks it.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.publish_between(type text, payload bytea, key text, headers jsonb, idempotency_key text,
    deliver_after timestamptz, expires_at timestamptz) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    m record;
BEGIN
    m := redrive.insert_message('event', NULL, type, payload, key, headers, idempotency_key, deliver_after, expires_at);
    RETURN m.id;
END
$$;
-- +goose StatementEnd

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA redrive FROM PUBLIC;
GRANT EXECUTE ON FUNCTION redrive.enqueue, redrive.publish TO PUBLIC;

-- +goose Down
-- A log cannot become what it was without losing the order of its partitions.
SELECT 1 / 0 AS "this step cannot be undone: restore a dump";
