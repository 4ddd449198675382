-- +goose Up
-- How the tables of a source were when nothing of them was missing, and up to which place of its log that was so.
ALTER TABLE redrive.captures
    ADD COLUMN tables jsonb NOT NULL DEFAULT '{}',           -- by the name that rules use
    ADD COLUMN verified pg_lsn NOT NULL DEFAULT '0/0',
    ADD COLUMN resnapshot_tables text[] NOT NULL DEFAULT '{}'; -- of which somebody asked for a new snapshot

-- What is missing of single tables. A table with an open gap is stopped until somebody asks for a new snapshot of it.
CREATE TABLE redrive.capture_gaps (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    integration text NOT NULL,
    table_name  text NOT NULL,           -- schema.table as rules name it
    from_lsn    pg_lsn NOT NULL,         -- what was committed before is complete
    stopped_lsn pg_lsn NOT NULL,         -- what was committed here or later is not delivered
    to_lsn      pg_lsn,                  -- what was committed here or later is complete again; null: nothing is yet
    why         text NOT NULL,
    note        text NOT NULL DEFAULT '', -- why a new snapshot that was asked for did not begin
    found_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at   timestamptz,
    CHECK ((to_lsn IS NULL) = (closed_at IS NULL))
);
CREATE UNIQUE INDEX capture_gaps_open ON redrive.capture_gaps (integration, table_name) WHERE closed_at IS NULL;

-- +goose Down
DROP TABLE redrive.capture_gaps;
ALTER TABLE redrive.captures DROP COLUMN tables, DROP COLUMN verified, DROP COLUMN resnapshot_tables;
