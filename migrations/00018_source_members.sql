-- +goose Up
-- Members of Kafka groups that were not seen to leave. A process that is one holds the lock of leadership of room 'member NAME'.
CREATE TABLE redrive.source_members (
    member      text PRIMARY KEY, -- its group.instance.id
    integration text NOT NULL,
    noted_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- +goose Down
DROP TABLE redrive.source_members;
