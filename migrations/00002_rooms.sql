-- +goose Up
-- Where a broker's message came from, for people and for the way back.
ALTER TABLE redrive.messages ADD COLUMN origin jsonb;
-- A broker may bring larger messages than we accept from producers; they are not lost for that.
ALTER TABLE redrive.messages DROP CONSTRAINT messages_payload_check,
    ADD CONSTRAINT messages_payload_check CHECK (octet_length(payload) <= 10485760 OR origin IS NOT NULL);

-- What consumers have seen, by the message's identity at its source: a redelivered message is not delivered twice. Kept longer
-- than any broker replays.
CREATE TABLE redrive.inbox (
    integration text NOT NULL,
    key         text NOT NULL,
    state       text NOT NULL CHECK (state IN ('started', 'done')),
    at          timestamptz NOT NULL DEFAULT statement_timestamp(),
    PRIMARY KEY (integration, key)
) WITH (fillfactor = 90);
CREATE INDEX inbox_at ON redrive.inbox USING brin (at) WITH (pages_per_range = 16);

-- Order per key: a lane is there while a delivery of its key is unsettled, and lets one go at a time, its head. The others wait
-- in the queue, due never, until the one before them is delivered, ignored or resolved.
CREATE TABLE redrive.lanes (
    integration text NOT NULL,
    key         text NOT NULL,
    head        uuid NOT NULL UNIQUE, -- delivery
    next        bigint NOT NULL,      -- position of the next to come
    PRIMARY KEY (integration, key)
) WITH (fillfactor = 70);
ALTER TABLE redrive.queue ADD COLUMN lane text, ADD COLUMN position bigint;
CREATE INDEX queue_lane ON redrive.queue (integration, lane, position) WHERE lane IS NOT NULL;

CREATE OR REPLACE VIEW redrive.all_deliveries AS
    SELECT q.id, q.message_id, q.integration, CASE WHEN q.token IS NULL THEN 'pending' ELSE 'sending' END AS state,
        coalesce(r.version, 0) AS version, q.attempts, r.error_class, r.group_id, r.failed_at, r.changed_at, r.dead_at,
        r.settled_at, r.retry_requested_at, CASE WHEN q.token IS NULL AND isfinite(q.due_at) THEN q.due_at END AS next_attempt_at,
        r.started_at, r.duration_ms, r.http_status
    FROM redrive.queue q LEFT JOIN redrive.deliveries r ON r.id = q.id
    UNION ALL
    SELECT r.id, r.message_id, r.integration, r.state, r.version, r.attempts, r.error_class, r.group_id, r.failed_at,
        r.changed_at, r.dead_at, r.settled_at, r.retry_requested_at, NULL, r.started_at, r.duration_ms, r.http_status
    FROM redrive.deliveries r WHERE r.state <> 'pending';

-- Events fan out to outbox integrations: a broker's subscribers hear of them from their broker.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.publish_between(type text, payload bytea, key text, headers jsonb, idempotency_key text,
    deliver_after timestamptz, expires_at timestamptz) RETURNS uuid LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    m record;
BEGIN
    m := redrive.insert_message('event', NULL, type, payload, key, headers, idempotency_key, deliver_after, expires_at);
    IF NOT m.duplicate THEN
        INSERT INTO redrive.queue (id, message_id, integration, due_at)
            SELECT redrive.new_id(), m.id, i.name, greatest(clock_timestamp(), publish_between.deliver_after)
            FROM redrive.integrations i WHERE i.active AND i.method = 'outbox' AND i.subscribe @> ARRAY[publish_between.type];
    END IF;
    RETURN m.id;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE redrive.lanes;
ALTER TABLE redrive.queue DROP COLUMN lane, DROP COLUMN position;
DROP TABLE redrive.inbox;
ALTER TABLE redrive.messages DROP COLUMN origin;
