-- +goose Up
-- Why messages or changes are missing, what is wrong with a part, and why a run failed are phrases as well, {"key": …, "args": {…},
-- "of": {…}}. What was written as a text stays one: it is a phrase of words that are nobody's to translate. Null: nothing is said.
ALTER TABLE redrive.gaps ALTER COLUMN what DROP DEFAULT, ALTER COLUMN what DROP NOT NULL,
    ALTER COLUMN what TYPE jsonb USING CASE WHEN what <> '' THEN jsonb_build_object('key', 'verbatim', 'args', jsonb_build_object('text', what)) END;
COMMENT ON COLUMN redrive.gaps.what IS 'the phrase of what may have been lost; null: what came from began_at to ended_at';

ALTER TABLE redrive.health ALTER COLUMN last_error DROP DEFAULT, ALTER COLUMN last_error DROP NOT NULL,
    ALTER COLUMN last_error TYPE jsonb USING CASE WHEN last_error <> '' THEN jsonb_build_object('key', 'verbatim', 'args', jsonb_build_object('text', last_error)) END;
COMMENT ON COLUMN redrive.health.last_error IS 'the phrase of what did not work; it stays after the recovery';

ALTER TABLE redrive.batch_runs ALTER COLUMN error DROP DEFAULT, ALTER COLUMN error DROP NOT NULL,
    ALTER COLUMN error TYPE jsonb USING CASE WHEN error <> '' THEN jsonb_build_object('key', 'verbatim', 'args', jsonb_build_object('text', error)) END;
COMMENT ON COLUMN redrive.batch_runs.error IS 'the phrase of why its last try failed, or why nobody runs it';

ALTER TABLE redrive.capture_gaps ALTER COLUMN note DROP DEFAULT, ALTER COLUMN note DROP NOT NULL,
    ALTER COLUMN note TYPE jsonb USING CASE WHEN note <> '' THEN jsonb_build_object('key', 'verbatim', 'args', jsonb_build_object('text', note)) END,
    ALTER COLUMN why TYPE jsonb USING jsonb_build_object('key', 'verbatim', 'args', jsonb_build_object('text', why));
COMMENT ON COLUMN redrive.capture_gaps.why IS 'the phrase of why the table is stopped';
COMMENT ON COLUMN redrive.capture_gaps.note IS 'the phrase of why a new snapshot that was asked for did not begin';

-- +goose Down
-- The catalogue is not the database's: of a phrase that is no text its key stays.
ALTER TABLE redrive.gaps ALTER COLUMN what TYPE text USING coalesce(what #>> '{args,text}', what ->> 'key', ''),
    ALTER COLUMN what SET NOT NULL, ALTER COLUMN what SET DEFAULT '';
ALTER TABLE redrive.health ALTER COLUMN last_error TYPE text USING coalesce(last_error #>> '{args,text}', last_error ->> 'key', ''),
    ALTER COLUMN last_error SET NOT NULL, ALTER COLUMN last_error SET DEFAULT '';
ALTER TABLE redrive.batch_runs ALTER COLUMN error TYPE text USING coalesce(error #>> '{args,text}', error ->> 'key', ''),
    ALTER COLUMN error SET NOT NULL, ALTER COLUMN error SET DEFAULT '';
ALTER TABLE redrive.capture_gaps ALTER COLUMN why TYPE text USING coalesce(why #>> '{args,text}', why ->> 'key', ''),
    ALTER COLUMN note TYPE text USING coalesce(note #>> '{args,text}', note ->> 'key', ''),
    ALTER COLUMN note SET NOT NULL, ALTER COLUMN note SET DEFAULT '';
