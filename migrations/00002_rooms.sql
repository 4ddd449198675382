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

-- +goose Down
DROP TABLE redrive.inbox;
ALTER TABLE redrive.messages DROP COLUMN origin;
