-- +goose Up
-- One row per batch integration: the gapless sequence of its files and the place up to which rows were read.
CREATE TABLE redrive.batch_feeds (
    integration       text PRIMARY KEY,
    sequence          bigint NOT NULL DEFAULT 0, -- of the last file
    snapshot          pg_snapshot,               -- everything visible in it was read; null until the source was first seen
    database_id       text,                      -- of the database whose transactions the snapshot tells of
    last_sha256       text NOT NULL DEFAULT '',
    last_scheduled_at timestamptz,               -- up to here scheduled times have their runs
    next_scheduled_at timestamptz
);

CREATE TABLE redrive.batch_runs (
    id            uuid PRIMARY KEY DEFAULT redrive.new_id(),
    integration   text NOT NULL,
    business_date date,                           -- null until it starts, where nobody asked for a date
    dated         boolean NOT NULL DEFAULT false, -- somebody asked for this very date
    scheduled_at  timestamptz NOT NULL,
    trigger       text NOT NULL CHECK (trigger IN ('schedule', 'manual', 'correction')),
    requested_by  text NOT NULL DEFAULT '',
    reason        text NOT NULL DEFAULT '',
    state         text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'empty', 'stored', 'failed', 'skipped')),
    attempts      integer NOT NULL DEFAULT 0,
    due_at        timestamptz NOT NULL DEFAULT clock_timestamp(), -- queued: not before
    rows          bigint NOT NULL DEFAULT 0,                      -- so far, while it runs
    error         text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at    timestamptz,
    finished_at   timestamptz,
    file_id       uuid,
    delivery_id   uuid, -- its dead letter, once it has failed for good
    CHECK ((state = 'stored') = (file_id IS NOT NULL)),
    CHECK ((state IN ('empty', 'stored', 'failed', 'skipped')) = (finished_at IS NOT NULL))
);
-- two processes that come to the same scheduled time make one run
CREATE UNIQUE INDEX batch_runs_scheduled ON redrive.batch_runs (integration, scheduled_at) WHERE trigger = 'schedule';
CREATE INDEX batch_runs_list ON redrive.batch_runs (integration, id DESC);
CREATE UNIQUE INDEX batch_runs_delivery ON redrive.batch_runs (delivery_id) WHERE delivery_id IS NOT NULL;
CREATE INDEX batch_runs_open ON redrive.batch_runs (integration, scheduled_at, id) WHERE state IN ('queued', 'running');

CREATE TABLE redrive.batch_files (
    id              uuid PRIMARY KEY, -- of its message
    integration     text NOT NULL,
    business_date   date NOT NULL,
    sequence        bigint NOT NULL,
    name            text NOT NULL,
    rows            bigint NOT NULL,
    bytes           bigint NOT NULL,
    sha256          text NOT NULL,
    control_total   text NOT NULL DEFAULT '',
    previous_sha256 text NOT NULL DEFAULT '',
    correction_of   bigint, -- sequence
    format          jsonb NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    acknowledgement text CHECK (acknowledgement IN ('accepted', 'rejected', 'partly')),
    acknowledged_at timestamptz,
    UNIQUE (integration, sequence),
    UNIQUE (integration, name),
    CHECK ((acknowledgement IS NULL) = (acknowledged_at IS NULL))
);

-- The bytes of files, about a MiB each: stored before a file is sent, and not compressed, so that they are written and read fast.
CREATE TABLE redrive.batch_parts (
    file_id uuid NOT NULL,
    n       integer NOT NULL, -- from 0
    bytes   bytea NOT NULL,
    PRIMARY KEY (file_id, n)
);
ALTER TABLE redrive.batch_parts ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- Acknowledgement files that were dealt with. The time of change tells a new one from the same one found again.
CREATE TABLE redrive.batch_acknowledgements (
    integration text NOT NULL,
    name        text NOT NULL,
    sha256      text NOT NULL,
    modified_at timestamptz NOT NULL,
    handled_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (integration, name, sha256, modified_at)
);

-- Rows that a receiver rejected, each a delivery of its own, and the correction file that last carried each.
CREATE TABLE redrive.batch_rows (
    delivery_id    uuid PRIMARY KEY,
    file_id        uuid NOT NULL,
    row            bigint NOT NULL, -- in the file, from 1
    correction_id  uuid,
    correction_row bigint,
    UNIQUE (file_id, row),
    CHECK ((correction_id IS NULL) = (correction_row IS NULL))
);
CREATE INDEX batch_rows_correction ON redrive.batch_rows (correction_id, correction_row) WHERE correction_id IS NOT NULL;

-- +goose Down
DROP TABLE redrive.batch_rows, redrive.batch_acknowledgements, redrive.batch_parts, redrive.batch_files, redrive.batch_runs, redrive.batch_feeds;
