-- +goose Up
-- What is ignored comes back when its end comes: a time (until, as before), so many more of its group (count), or a rate of its group (grows). What was
-- ignored without a time before this stays ignored for good: nothing comes back by the upgrade itself.
ALTER TABLE redrive.failure_details
    ADD COLUMN end_id  bigint, -- of redrive.ignore_ends; null: it does not hang on a counter
    ADD COLUMN rule_id bigint, -- of redrive.ignore_rules, by which it is ignored
    ADD COLUMN because jsonb;  -- why it was reopened, a phrase; until the next decision or failure
CREATE INDEX failure_details_end ON redrive.failure_details (end_id, delivery_id) WHERE end_id IS NOT NULL;
CREATE INDEX failure_details_rule ON redrive.failure_details (rule_id, delivery_id) WHERE rule_id IS NOT NULL;

ALTER TABLE redrive.operations
    ADD COLUMN ends_count integer,
    ADD COLUMN ends_grows double precision,
    ADD COLUMN for_good boolean NOT NULL DEFAULT false;
UPDATE redrive.operations SET for_good = true WHERE action = 'ignore' AND until IS NULL;

-- Ends that hang on a group's counters: one of each decision and group, shared by all that the decision ignored of the group.
CREATE TABLE redrive.ignore_ends (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    decision     uuid NOT NULL, -- the operation, or a number of its own
    group_id     text NOT NULL,
    count        integer,          -- what was asked for: so many more,
    grows        double precision, -- or so many times the rate
    day          bigint NOT NULL,  -- the group's rate when it was ignored: how many came in 24 hours
    reached_came bigint,           -- it ends when so many have ever come into the group,
    reached_day  bigint,           -- or so many within 24 hours
    made_at      timestamptz NOT NULL DEFAULT statement_timestamp(),
    ended_at     timestamptz,      -- the end came
    done_at      timestamptz,      -- all of it is reopened
    UNIQUE (decision, group_id),
    CHECK (num_nonnulls(reached_came, reached_day) = 1),
    CHECK (done_at IS NULL OR ended_at IS NOT NULL)
) WITH (fillfactor = 80);
CREATE INDEX ignore_ends_group ON redrive.ignore_ends (group_id) WHERE ended_at IS NULL;
CREATE INDEX ignore_ends_due ON redrive.ignore_ends (id) WHERE ended_at IS NOT NULL AND done_at IS NULL;

-- Rules by which new dead letters are ignored as they come. A rule never changes: it ends, and another is made. Nothing deletes one.
CREATE TABLE redrive.ignore_rules (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    integration   text NOT NULL,
    filter        jsonb NOT NULL DEFAULT '{}', -- what else must fit, as operations keep theirs
    reason        text NOT NULL CHECK (reason <> ''),
    category      text,
    until         timestamptz,      -- its end is one of these four
    count         integer,          -- when it has swallowed so many
    grows         double precision, -- when it swallows so many times its rate
    for_good      boolean NOT NULL DEFAULT false,
    day           bigint NOT NULL DEFAULT 0, -- its rate when it was made: what it would have swallowed in 24 hours
    reached_day   bigint,           -- of grows
    of_file       boolean NOT NULL DEFAULT false, -- on_failure: ignore of the integrations file
    made_at       timestamptz NOT NULL DEFAULT statement_timestamp(),
    made_by       text NOT NULL,
    ended_at      timestamptz,
    ended_by      text,
    ended_because jsonb,            -- a phrase
    end_reason    text NOT NULL DEFAULT '',
    done_at       timestamptz,      -- all that it swallowed is reopened
    CHECK (num_nonnulls(until, count, grows) + for_good::int = 1),
    CHECK ((grows IS NULL) = (reached_day IS NULL)),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
    CHECK (done_at IS NULL OR ended_at IS NOT NULL)
);
CREATE INDEX ignore_rules_open ON redrive.ignore_rules (integration, id) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX ignore_rules_file ON redrive.ignore_rules (integration) WHERE of_file AND ended_at IS NULL;
CREATE INDEX ignore_rules_due ON redrive.ignore_rules (id) WHERE ended_at IS NOT NULL AND done_at IS NULL;

-- What each rule has swallowed.
CREATE TABLE redrive.ignore_rule_hours (
    rule_id   bigint NOT NULL,
    hour      timestamptz NOT NULL,
    swallowed bigint NOT NULL,
    last_at   timestamptz NOT NULL,
    PRIMARY KEY (rule_id, hour)
) WITH (fillfactor = 50);

-- How many ever came into a group, and how often an end reopened something of it, which makes it regressed.
ALTER TABLE redrive.group_deltas ADD COLUMN reopened integer NOT NULL DEFAULT 0;
ALTER TABLE redrive.group_counts ADD COLUMN came bigint NOT NULL DEFAULT 0;
UPDATE redrive.group_counts SET came = dead + pending + ignored + resolved + delivered;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.record_counted() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_nestloop = off AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows WHERE group_id IS NOT NULL) THEN
        RETURN NULL; -- mostly nothing was updated: an insert that finds no conflict comes by here as well
    END IF;
    -- what was counted before, taken away; what is to be counted now, added
    INSERT INTO redrive.group_deltas (group_id, dead, acknowledged, pending, ignored, resolved, delivered, failed, died, came, reopened)
    SELECT * FROM (
        SELECT c.group_id, coalesce(sum(c.one) FILTER (WHERE c.state = 'dead'), 0) AS dead,
            coalesce(sum(c.one) FILTER (WHERE c.state = 'dead' AND c.acknowledged), 0) AS acknowledged,
            coalesce(sum(c.one) FILTER (WHERE c.state = 'pending'), 0) AS pending, coalesce(sum(c.one) FILTER (WHERE c.state = 'ignored'), 0) AS ignored,
            coalesce(sum(c.one) FILTER (WHERE c.state = 'resolved'), 0) AS resolved, coalesce(sum(c.one) FILTER (WHERE c.state = 'delivered'), 0) AS delivered,
            count(*) FILTER (WHERE c.failed) AS failed, count(*) FILTER (WHERE c.failed AND c.state = 'dead') AS died, count(*) FILTER (WHERE c.came) AS came,
            count(*) FILTER (WHERE c.reopened) AS reopened
        FROM (
            SELECT n.group_id, n.state, n.acknowledged_at IS NOT NULL AS acknowledged, 1 AS one,
                n.version > o.version AND n.state IN ('dead', 'pending', 'ignored') AND o.state IN ('pending', 'delivered') AS failed,
                o.failed_at IS NULL OR o.group_id IS DISTINCT FROM n.group_id AS came,
                o.state = 'ignored' AND n.state = 'dead' AND n.actor = 'policy' AS reopened -- by an end
            FROM new_rows n JOIN old_rows o ON o.id = n.id WHERE n.group_id IS NOT NULL AND n.failed_at IS NOT NULL
            UNION ALL
            SELECT group_id, state, acknowledged_at IS NOT NULL, -1, false, false, false FROM old_rows WHERE group_id IS NOT NULL AND failed_at IS NOT NULL
        ) c GROUP BY c.group_id
    ) d WHERE (dead, acknowledged, pending, ignored, resolved, delivered, failed, came, reopened) <> (0, 0, 0, 0, 0, 0, 0, 0, 0);
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.record_counted() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_nestloop = off AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows WHERE group_id IS NOT NULL) THEN
        RETURN NULL; -- mostly nothing was updated: an insert that finds no conflict comes by here as well
    END IF;
    -- what was counted before, taken away; what is to be counted now, added
    INSERT INTO redrive.group_deltas (group_id, dead, acknowledged, pending, ignored, resolved, delivered, failed, died, came)
    SELECT * FROM (
        SELECT c.group_id, coalesce(sum(c.one) FILTER (WHERE c.state = 'dead'), 0) AS dead,
            coalesce(sum(c.one) FILTER (WHERE c.state = 'dead' AND c.acknowledged), 0) AS acknowledged,
            coalesce(sum(c.one) FILTER (WHERE c.state = 'pending'), 0) AS pending, coalesce(sum(c.one) FILTER (WHERE c.state = 'ignored'), 0) AS ignored,
            coalesce(sum(c.one) FILTER (WHERE c.state = 'resolved'), 0) AS resolved, coalesce(sum(c.one) FILTER (WHERE c.state = 'delivered'), 0) AS delivered,
            count(*) FILTER (WHERE c.failed) AS failed, count(*) FILTER (WHERE c.failed AND c.state = 'dead') AS died, count(*) FILTER (WHERE c.came) AS came
        FROM (
            SELECT n.group_id, n.state, n.acknowledged_at IS NOT NULL AS acknowledged, 1 AS one,
                n.version > o.version AND n.state IN ('dead', 'pending', 'ignored') AND o.state IN ('pending', 'delivered') AS failed,
                o.failed_at IS NULL OR o.group_id IS DISTINCT FROM n.group_id AS came
            FROM new_rows n JOIN old_rows o ON o.id = n.id WHERE n.group_id IS NOT NULL AND n.failed_at IS NOT NULL
            UNION ALL
            SELECT group_id, state, acknowledged_at IS NOT NULL, -1, false, false FROM old_rows WHERE group_id IS NOT NULL AND failed_at IS NOT NULL
        ) c GROUP BY c.group_id
    ) d WHERE (dead, acknowledged, pending, ignored, resolved, delivered, failed, came) <> (0, 0, 0, 0, 0, 0, 0, 0);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
ALTER TABLE redrive.group_counts DROP COLUMN came;
ALTER TABLE redrive.group_deltas DROP COLUMN reopened;
DROP TABLE redrive.ignore_rule_hours;
DROP TABLE redrive.ignore_rules;
DROP TABLE redrive.ignore_ends;
ALTER TABLE redrive.operations DROP COLUMN for_good, DROP COLUMN ends_grows, DROP COLUMN ends_count;
ALTER TABLE redrive.failure_details DROP COLUMN because, DROP COLUMN rule_id, DROP COLUMN end_id;
