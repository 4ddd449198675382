-- +goose Up
-- Groups by the hundred thousand: each order in which they are listed has an index, and what is added up of them stands added up.

-- ---- what a list of groups asks stands in one row --------------------------------------------------------------------------------
-- +goose StatementBegin
CREATE FUNCTION redrive.group_pattern(dead bigint, pending bigint, ignored bigint, resolved bigint, delivered bigint, regressed boolean)
RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- one bit for each state in which a group has failures, and whether it came back
    SELECT (dead > 0)::integer + 2 * (pending > 0)::integer + 4 * (ignored > 0)::integer + 8 * (resolved > 0)::integer
        + 16 * (delivered > 0)::integer + 32 * regressed::integer
$$;
-- +goose StatementEnd
ALTER TABLE redrive.group_counts
    ADD COLUMN integration text NOT NULL DEFAULT '',
    ADD COLUMN error_class text NOT NULL DEFAULT '',
    ADD COLUMN first_seen  timestamptz NOT NULL DEFAULT '-infinity', -- of the group, as of the last fold that changed it
    ADD COLUMN last_seen   timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN total       bigint GENERATED ALWAYS AS (dead + pending + ignored + resolved + delivered) STORED,
    ADD COLUMN grew        bigint GENERATED ALWAYS AS (greatest(least(day - day_before, 1073741824), -1073741824) * 4294967296) STORED,
    ADD COLUMN pattern     integer GENERATED ALWAYS AS (redrive.group_pattern(dead, pending, ignored, resolved, delivered, regressed_at IS NOT NULL)) STORED;
UPDATE redrive.group_counts c SET integration = g.integration, error_class = g.error_class, first_seen = g.first_seen, last_seen = g.last_seen
FROM redrive.groups g WHERE g.id = c.group_id;

CREATE INDEX group_counts_growth_pending ON redrive.group_counts ((grew + pending) DESC, group_id DESC) WHERE pending > 0;
CREATE INDEX group_counts_growth_ignored ON redrive.group_counts ((grew + ignored) DESC, group_id DESC) WHERE ignored > 0;
CREATE INDEX group_counts_growth_resolved ON redrive.group_counts ((grew + resolved) DESC, group_id DESC) WHERE resolved > 0;
CREATE INDEX group_counts_growth_delivered ON redrive.group_counts ((grew + delivered) DESC, group_id DESC) WHERE delivered > 0;
CREATE INDEX group_counts_growth_total ON redrive.group_counts ((grew + total) DESC, group_id DESC) WHERE total > 0;
CREATE INDEX group_counts_dead ON redrive.group_counts (dead DESC, group_id DESC) WHERE dead > 0;
CREATE INDEX group_counts_pending ON redrive.group_counts (pending DESC, group_id DESC) WHERE pending > 0;
CREATE INDEX group_counts_ignored ON redrive.group_counts (ignored DESC, group_id DESC) WHERE ignored > 0;
CREATE INDEX group_counts_resolved ON redrive.group_counts (resolved DESC, group_id DESC) WHERE resolved > 0;
CREATE INDEX group_counts_delivered ON redrive.group_counts (delivered DESC, group_id DESC) WHERE delivered > 0;
CREATE INDEX group_counts_total ON redrive.group_counts (total DESC, group_id DESC) WHERE total > 0;
CREATE INDEX group_counts_latest ON redrive.group_counts (last_seen DESC, group_id DESC);
CREATE INDEX group_counts_newest ON redrive.group_counts (first_seen DESC, group_id DESC);
CREATE INDEX group_counts_integration ON redrive.group_counts (integration, growth DESC, group_id DESC) WHERE dead > 0;
CREATE INDEX group_counts_integration_latest ON redrive.group_counts (integration, last_seen DESC, group_id DESC);
CREATE INDEX group_counts_class ON redrive.group_counts (error_class);
-- few of many: what came back, and what is settled
CREATE INDEX group_counts_regressed ON redrive.group_counts (group_id) WHERE regressed_at IS NOT NULL;
CREATE INDEX group_counts_settled ON redrive.group_counts (total DESC, group_id DESC) WHERE dead = 0 AND pending = 0;

-- ---- sums ------------------------------------------------------------------------------------------------------------------------
-- Of the groups of one integration and class that have failures in the same states. Where groups were, the row stays.
CREATE TABLE redrive.group_sums (
    integration  text NOT NULL,
    error_class  text NOT NULL,
    pattern      integer NOT NULL,
    groups       bigint NOT NULL,
    dead         bigint NOT NULL,
    acknowledged bigint NOT NULL,
    pending      bigint NOT NULL,
    ignored      bigint NOT NULL,
    resolved     bigint NOT NULL,
    delivered    bigint NOT NULL,
    day          bigint NOT NULL,
    day_before   bigint NOT NULL,
    week         bigint NOT NULL,
    week_before  bigint NOT NULL,
    first_seen   timestamptz NOT NULL, -- of any group that was ever here
    last_seen    timestamptz NOT NULL,
    PRIMARY KEY (integration, error_class, pattern)
) WITH (fillfactor = 50);
-- +goose StatementBegin
CREATE FUNCTION redrive.add_groups(counted redrive.group_counts[], sign integer) RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO redrive.group_sums AS s (integration, error_class, pattern, groups, dead, acknowledged, pending, ignored, resolved, delivered,
        day, day_before, week, week_before, first_seen, last_seen)
    SELECT integration, error_class, pattern, sign * count(*), sign * sum(dead), sign * sum(acknowledged), sign * sum(pending), sign * sum(ignored),
        sign * sum(resolved), sign * sum(delivered), sign * sum(day), sign * sum(day_before), sign * sum(week), sign * sum(week_before),
        min(first_seen), max(last_seen)
    FROM unnest(counted) GROUP BY integration, error_class, pattern
    ON CONFLICT (integration, error_class, pattern) DO UPDATE SET groups = s.groups + excluded.groups, dead = s.dead + excluded.dead,
        acknowledged = s.acknowledged + excluded.acknowledged, pending = s.pending + excluded.pending, ignored = s.ignored + excluded.ignored,
        resolved = s.resolved + excluded.resolved, delivered = s.delivered + excluded.delivered, day = s.day + excluded.day,
        day_before = s.day_before + excluded.day_before, week = s.week + excluded.week, week_before = s.week_before + excluded.week_before,
        first_seen = least(s.first_seen, excluded.first_seen), last_seen = greatest(s.last_seen, excluded.last_seen)
$$;
-- +goose StatementEnd
SELECT redrive.add_groups(array_agg(c), 1) FROM redrive.group_counts c;
-- +goose StatementBegin
CREATE FUNCTION redrive.groups_inserted() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM redrive.add_groups((SELECT array_agg(n::redrive.group_counts) FROM new_rows n), 1);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION redrive.groups_updated() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM redrive.add_groups((SELECT array_agg(o::redrive.group_counts) FROM old_rows o), -1);
    PERFORM redrive.add_groups((SELECT array_agg(n::redrive.group_counts) FROM new_rows n), 1);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER groups_inserted AFTER INSERT ON redrive.group_counts REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION redrive.groups_inserted();
CREATE TRIGGER groups_updated AFTER UPDATE ON redrive.group_counts REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION redrive.groups_updated();

CREATE TABLE redrive.group_sum_hours (
    integration text NOT NULL,
    error_class text NOT NULL,
    hour        timestamptz NOT NULL,
    failed      bigint NOT NULL,
    came        bigint NOT NULL,
    PRIMARY KEY (hour, integration, error_class)
) WITH (fillfactor = 50);
INSERT INTO redrive.group_sum_hours (integration, error_class, hour, failed, came)
SELECT g.integration, g.error_class, h.hour, sum(h.failed), sum(h.came) FROM redrive.group_hours h JOIN redrive.groups g ON g.id = h.group_id
WHERE h.hour > now() - interval '2 days' GROUP BY 1, 2, 3;

-- ---- search in causes ------------------------------------------------------------------------------------------------------------
CREATE INDEX groups_pairs ON redrive.groups USING gin (redrive.pairs(message));
-- +goose StatementBegin
DO $$
DECLARE
    place text := (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm');
BEGIN
    IF place IS NOT NULL THEN
        EXECUTE format('CREATE INDEX groups_text ON redrive.groups USING gin (message %I.gin_trgm_ops)', place);
    END IF;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION redrive.group_pattern, redrive.add_groups, redrive.groups_inserted, redrive.groups_updated FROM PUBLIC;

-- +goose Down
DROP INDEX IF EXISTS redrive.groups_text;
DROP INDEX redrive.groups_pairs;
DROP TABLE redrive.group_sum_hours;
DROP TRIGGER groups_inserted ON redrive.group_counts;
DROP TRIGGER groups_updated ON redrive.group_counts;
DROP FUNCTION redrive.groups_inserted, redrive.groups_updated, redrive.add_groups;
DROP TABLE redrive.group_sums;
DROP INDEX redrive.group_counts_growth_pending, redrive.group_counts_growth_ignored, redrive.group_counts_growth_resolved,
    redrive.group_counts_growth_delivered, redrive.group_counts_growth_total, redrive.group_counts_dead, redrive.group_counts_pending,
    redrive.group_counts_ignored, redrive.group_counts_resolved, redrive.group_counts_delivered, redrive.group_counts_total,
    redrive.group_counts_latest, redrive.group_counts_newest, redrive.group_counts_integration, redrive.group_counts_integration_latest,
    redrive.group_counts_class, redrive.group_counts_regressed, redrive.group_counts_settled;
ALTER TABLE redrive.group_counts DROP COLUMN pattern, DROP COLUMN grew, DROP COLUMN total, DROP COLUMN last_seen, DROP COLUMN first_seen,
    DROP COLUMN error_class, DROP COLUMN integration;
DROP FUNCTION redrive.group_pattern;
