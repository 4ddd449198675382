-- +goose Up
-- Retries of an operation are released in waves, each judged by the outcomes of its own items before the next one goes. A part counts the
-- outcomes of its wave apart: that of a former wave's item comes late and says nothing about this one.
ALTER TABLE redrive.operation_parts
    ADD COLUMN wave integer NOT NULL DEFAULT 1,      -- its number: the first, and one more with each wave and each resume
    ADD COLUMN wave_size integer,                    -- so many are sent in it; null: all that is left, and there is no next one
    ADD COLUMN wave_sent integer NOT NULL DEFAULT 0, -- so many have been, or were under way when it began
    ADD COLUMN wave_good integer NOT NULL DEFAULT 0, -- of these: confirmed
    ADD COLUMN wave_bad integer NOT NULL DEFAULT 0,  -- failed, or failing
    ADD COLUMN again integer NOT NULL DEFAULT 0;     -- failed items that are to be sent again before others: those of wave 0
ALTER TABLE redrive.operation_items ADD COLUMN wave integer NOT NULL DEFAULT 1; -- in which it was sent; 0: it failed and is to be sent again
ALTER TABLE redrive.operation_deltas ADD COLUMN wave integer NOT NULL DEFAULT 1, -- of the items
    ADD COLUMN withdrawn integer NOT NULL DEFAULT 0;                              -- of the failed: a person took the retry back

UPDATE redrive.operation_parts SET wave_sent = cursor - first + 1 - skipped, wave_good = greatest(succeeded - good_before, 0),
    wave_bad = greatest(failed + failing - bad_before, 0);
ALTER TABLE redrive.operation_parts DROP COLUMN good_before, DROP COLUMN bad_before;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.record_updated() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows) THEN
        RETURN NULL;
    END IF;
    -- failed again, opened again, another payload, or other fields to hide
    INSERT INTO redrive.unindexed (delivery_id) SELECT n.id FROM new_rows n JOIN old_rows o ON o.id = n.id
    WHERE n.group_id IS NOT NULL AND n.state IN ('dead', 'pending')
        AND (o.state <> 'dead' AND n.version <> o.version OR n.edit IS DISTINCT FROM o.edit OR n.integration <> o.integration);

    IF EXISTS (SELECT FROM new_rows WHERE operation_id IS NOT NULL) THEN
        WITH outcomes AS (
            SELECT n.operation_id, n.operation_item, n.integration,
                CASE n.state WHEN 'delivered' THEN 'succeeded' WHEN 'pending' THEN NULL ELSE 'failed' END AS outcome, n.error_class
            FROM new_rows n JOIN old_rows o ON o.id = n.id
            WHERE n.operation_id IS NOT NULL AND o.operation_id = n.operation_id AND o.state = 'pending' AND n.version > o.version
        ), noted AS (
            UPDATE redrive.operation_items i SET outcome = o.outcome, failing = o.outcome IS NULL,
                reason = CASE WHEN o.outcome = 'failed' THEN o.error_class END
            FROM outcomes o, redrive.operation_items b WHERE i.operation_id = o.operation_id AND i.n = o.operation_item AND i.outcome IS NULL
                AND b.operation_id = i.operation_id AND b.n = i.n AND (o.outcome IS NOT NULL OR NOT i.failing)
            RETURNING i.operation_id, o.integration, i.outcome, i.wave, b.failing AS was_failing
        )
        INSERT INTO redrive.operation_deltas (operation_id, integration, wave, succeeded, failed, failing)
        SELECT operation_id, integration, wave, count(*) FILTER (WHERE outcome = 'succeeded'), count(*) FILTER (WHERE outcome = 'failed'),
            count(*) FILTER (WHERE outcome IS NULL) - count(*) FILTER (WHERE outcome IS NOT NULL AND was_failing)
        FROM noted GROUP BY operation_id, integration, wave;
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.record_updated() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows) THEN
        RETURN NULL;
    END IF;
    -- failed again, opened again, another payload, or other fields to hide
    INSERT INTO redrive.unindexed (delivery_id) SELECT n.id FROM new_rows n JOIN old_rows o ON o.id = n.id
    WHERE n.group_id IS NOT NULL AND n.state IN ('dead', 'pending')
        AND (o.state <> 'dead' AND n.version <> o.version OR n.edit IS DISTINCT FROM o.edit OR n.integration <> o.integration);

    IF EXISTS (SELECT FROM new_rows WHERE operation_id IS NOT NULL) THEN
        WITH outcomes AS (
            SELECT n.operation_id, n.operation_item, n.integration,
                CASE n.state WHEN 'delivered' THEN 'succeeded' WHEN 'pending' THEN NULL ELSE 'failed' END AS outcome, n.error_class
            FROM new_rows n JOIN old_rows o ON o.id = n.id
            WHERE n.operation_id IS NOT NULL AND o.operation_id = n.operation_id AND o.state = 'pending' AND n.version > o.version
        ), noted AS (
            UPDATE redrive.operation_items i SET outcome = o.outcome, failing = o.outcome IS NULL,
                reason = CASE WHEN o.outcome = 'failed' THEN o.error_class END
            FROM outcomes o, redrive.operation_items b WHERE i.operation_id = o.operation_id AND i.n = o.operation_item AND i.outcome IS NULL
                AND b.operation_id = i.operation_id AND b.n = i.n AND (o.outcome IS NOT NULL OR NOT i.failing)
            RETURNING i.operation_id, o.integration, i.outcome, b.failing AS was_failing
        )
        INSERT INTO redrive.operation_deltas (operation_id, integration, succeeded, failed, failing)
        SELECT operation_id, integration, count(*) FILTER (WHERE outcome = 'succeeded'), count(*) FILTER (WHERE outcome = 'failed'),
            count(*) FILTER (WHERE outcome IS NULL) - count(*) FILTER (WHERE outcome IS NOT NULL AND was_failing)
        FROM noted GROUP BY operation_id, integration;
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
ALTER TABLE redrive.operation_deltas DROP COLUMN wave, DROP COLUMN withdrawn;
ALTER TABLE redrive.operation_items DROP COLUMN wave;
ALTER TABLE redrive.operation_parts ADD COLUMN good_before integer NOT NULL DEFAULT 0, ADD COLUMN bad_before integer NOT NULL DEFAULT 0;
UPDATE redrive.operation_parts SET good_before = greatest(succeeded - wave_good, 0), bad_before = greatest(failed + failing - wave_bad, 0);
ALTER TABLE redrive.operation_parts DROP COLUMN wave, DROP COLUMN wave_size, DROP COLUMN wave_sent, DROP COLUMN wave_good, DROP COLUMN wave_bad,
    DROP COLUMN again;
