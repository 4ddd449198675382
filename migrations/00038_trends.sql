-- +goose Up
-- How many failures came into each group, by the hour: a delivery comes when it first fails, and again when it fails for another reason.
-- Who leaves a group stays counted where they came.
ALTER TABLE redrive.group_deltas ADD COLUMN came integer NOT NULL DEFAULT 0;
ALTER TABLE redrive.group_hours ADD COLUMN came bigint NOT NULL DEFAULT 0;
INSERT INTO redrive.group_hours AS h (group_id, hour, failed, came)
SELECT group_id, date_trunc('hour', failed_at, 'UTC'), 0, count(*) FROM redrive.deliveries
WHERE group_id IS NOT NULL AND failed_at > date_trunc('hour', now(), 'UTC') - interval '336 hours' GROUP BY 1, 2
ON CONFLICT (group_id, hour) DO UPDATE SET came = excluded.came;

-- The sums of the hours, as of trend_hour: this hour and the 23 before, the 24 before those, and of weeks the same. Whoever folds the deltas
-- moves them on when an hour ends.
ALTER TABLE redrive.counting ADD COLUMN trend_hour timestamptz NOT NULL DEFAULT '-infinity'; -- the first fold makes the sums
ALTER TABLE redrive.group_counts
    ADD COLUMN day         bigint NOT NULL DEFAULT 0,
    ADD COLUMN day_before  bigint NOT NULL DEFAULT 0,
    ADD COLUMN week        bigint NOT NULL DEFAULT 0,
    ADD COLUMN week_before bigint NOT NULL DEFAULT 0,
    -- what grew most since yesterday comes first, of several the largest
    ADD COLUMN growth bigint GENERATED ALWAYS AS (greatest(least(day - day_before, 1073741824), -1073741824) * 4294967296 + dead) STORED;
CREATE INDEX group_counts_growth ON redrive.group_counts (growth DESC, group_id DESC) WHERE dead > 0;
CREATE INDEX deliveries_group_assignee ON redrive.deliveries (group_id, assignee) WHERE state = 'dead' AND assignee IS NOT NULL;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.record_inserted() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows WHERE group_id IS NOT NULL) THEN
        RETURN NULL; -- delivered at the first try, as nearly everything
    END IF;
    INSERT INTO redrive.group_deltas (group_id, dead, acknowledged, pending, ignored, resolved, delivered, failed, died, came)
    SELECT group_id, count(*) FILTER (WHERE state = 'dead'), 0, count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'ignored'),
        count(*) FILTER (WHERE state = 'resolved'), count(*) FILTER (WHERE state = 'delivered' AND failed_at IS NOT NULL), count(*),
        count(*) FILTER (WHERE state = 'dead'), count(failed_at)
    FROM new_rows WHERE group_id IS NOT NULL GROUP BY group_id;
    INSERT INTO redrive.unindexed (delivery_id) SELECT id FROM new_rows WHERE group_id IS NOT NULL AND state IN ('dead', 'pending');
    RETURN NULL;
END
$$;
-- +goose StatementEnd
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

-- The latest retry of several failures at once in which a group was, and how it went: without numbers while it is under way.
ALTER TABLE redrive.operation_items ADD COLUMN group_id text; -- at the freeze
CREATE TABLE redrive.group_retries (
    group_id     text PRIMARY KEY,
    operation_id uuid NOT NULL,
    selected     integer NOT NULL, -- of the group
    succeeded    integer,          -- of these; null: the operation is not finished
    failed       integer
) WITH (fillfactor = 80);
UPDATE redrive.operation_items i SET group_id = r.group_id FROM redrive.operations o, redrive.deliveries r
WHERE o.id = i.operation_id AND o.action = 'retry' AND o.finished_at IS NULL AND r.id = i.delivery_id;
INSERT INTO redrive.group_retries (group_id, operation_id, selected, succeeded, failed)
SELECT DISTINCT ON (r.group_id) r.group_id, o.id, count(*), CASE WHEN o.finished_at IS NOT NULL THEN count(*) FILTER (WHERE i.outcome = 'succeeded') END,
    CASE WHEN o.finished_at IS NOT NULL THEN count(*) FILTER (WHERE i.outcome = 'failed') END
FROM redrive.operations o JOIN redrive.operation_items i ON i.operation_id = o.id JOIN redrive.deliveries r ON r.id = i.delivery_id
WHERE o.action = 'retry' AND r.group_id IS NOT NULL GROUP BY r.group_id, o.id ORDER BY r.group_id, o.created_at DESC, o.id;

-- +goose Down
DROP TABLE redrive.group_retries;
ALTER TABLE redrive.operation_items DROP COLUMN group_id;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.record_inserted() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows WHERE group_id IS NOT NULL) THEN
        RETURN NULL; -- delivered at the first try, as nearly everything
    END IF;
    INSERT INTO redrive.group_deltas (group_id, dead, acknowledged, pending, ignored, resolved, delivered, failed, died)
    SELECT group_id, count(*) FILTER (WHERE state = 'dead'), 0, count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'ignored'),
        count(*) FILTER (WHERE state = 'resolved'), count(*) FILTER (WHERE state = 'delivered' AND failed_at IS NOT NULL), count(*),
        count(*) FILTER (WHERE state = 'dead')
    FROM new_rows WHERE group_id IS NOT NULL GROUP BY group_id;
    INSERT INTO redrive.unindexed (delivery_id) SELECT id FROM new_rows WHERE group_id IS NOT NULL AND state IN ('dead', 'pending');
    RETURN NULL;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.record_counted() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_nestloop = off AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows WHERE group_id IS NOT NULL) THEN
        RETURN NULL; -- mostly nothing was updated: an insert that finds no conflict comes by here as well
    END IF;
    -- what was counted before, taken away; what is to be counted now, added
    INSERT INTO redrive.group_deltas (group_id, dead, acknowledged, pending, ignored, resolved, delivered, failed, died)
    SELECT * FROM (
        SELECT c.group_id, coalesce(sum(c.one) FILTER (WHERE c.state = 'dead'), 0) AS dead,
            coalesce(sum(c.one) FILTER (WHERE c.state = 'dead' AND c.acknowledged), 0) AS acknowledged,
            coalesce(sum(c.one) FILTER (WHERE c.state = 'pending'), 0) AS pending, coalesce(sum(c.one) FILTER (WHERE c.state = 'ignored'), 0) AS ignored,
            coalesce(sum(c.one) FILTER (WHERE c.state = 'resolved'), 0) AS resolved, coalesce(sum(c.one) FILTER (WHERE c.state = 'delivered'), 0) AS delivered,
            count(*) FILTER (WHERE c.failed) AS failed, count(*) FILTER (WHERE c.failed AND c.state = 'dead') AS died
        FROM (
            SELECT n.group_id, n.state, n.acknowledged_at IS NOT NULL AS acknowledged, 1 AS one,
                n.version > o.version AND n.state IN ('dead', 'pending', 'ignored') AND o.state IN ('pending', 'delivered') AS failed
            FROM new_rows n JOIN old_rows o ON o.id = n.id WHERE n.group_id IS NOT NULL AND n.failed_at IS NOT NULL
            UNION ALL
            SELECT group_id, state, acknowledged_at IS NOT NULL, -1, false FROM old_rows WHERE group_id IS NOT NULL AND failed_at IS NOT NULL
        ) c GROUP BY c.group_id
    ) d WHERE (dead, acknowledged, pending, ignored, resolved, delivered, failed) <> (0, 0, 0, 0, 0, 0, 0);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
DROP INDEX redrive.deliveries_group_assignee, redrive.group_counts_growth;
ALTER TABLE redrive.group_counts DROP COLUMN growth, DROP COLUMN day, DROP COLUMN day_before, DROP COLUMN week, DROP COLUMN week_before;
ALTER TABLE redrive.counting DROP COLUMN trend_hour;
ALTER TABLE redrive.group_hours DROP COLUMN came;
ALTER TABLE redrive.group_deltas DROP COLUMN came;
