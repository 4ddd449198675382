-- +goose Up
-- What each process last saw of each part of an integration: its source, relay, schedule, pool and destination. Written on change,
-- and every few seconds at most.
CREATE TABLE redrive.health (
    integration     text NOT NULL,
    part            text NOT NULL,
    worker          text NOT NULL, -- the process
    status          text NOT NULL CHECK (status IN ('ok', 'degraded')),
    since           timestamptz NOT NULL, -- of the status
    last_success_at timestamptz,
    last_error_at   timestamptz,
    last_error      text NOT NULL DEFAULT '',
    seen_at         timestamptz NOT NULL, -- what is much older than what another process saw does not count any more
    PRIMARY KEY (integration, part, worker)
) WITH (fillfactor = 70);

-- Who listens to sources that keep nothing (Redis pub/sub), so that the next one knows for how long nobody did.
CREATE TABLE redrive.listeners (
    integration text NOT NULL,
    place       text NOT NULL,
    worker      text NOT NULL, -- the process
    since       timestamptz NOT NULL,
    heard_at    timestamptz NOT NULL, -- the source's last sign of life
    beat_at     timestamptz,          -- the process's own; null: it said goodbye
    gap_from    timestamptz,          -- nobody listened from here to since, unless another process proves to be alive
    PRIMARY KEY (integration, place, worker)
) WITH (fillfactor = 70);

-- Where messages may have been lost at a source, for good: nobody can bring them back.
CREATE TABLE redrive.gaps (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    integration text NOT NULL,
    place       text NOT NULL,
    began_at    timestamptz, -- in which nobody listened; null where what says it
    ended_at    timestamptz,
    what        text NOT NULL DEFAULT '',
    noted_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX gaps_integration ON redrive.gaps (integration, id DESC);

-- +goose Down
DROP TABLE redrive.gaps;
DROP TABLE redrive.listeners;
DROP TABLE redrive.health;
