-- +goose Up
-- What the program itself says to people is kept as the key of a phrase and its arguments, {"key": …, "args": {…}}; what people wrote
-- stays text. Null: nothing is said.

-- A name has no colon with a blank behind it: what follows the first one is the reason.
ALTER TABLE redrive.operations ALTER COLUMN note DROP DEFAULT, ALTER COLUMN note DROP NOT NULL,
    ALTER COLUMN note TYPE jsonb USING CASE
        WHEN note = '' THEN NULL
        WHEN note ~ '^(paused|cancelled) by ' AND strpos(note, ': ') > 0 THEN jsonb_build_object('key', 'note.' || split_part(note, ' by ', 1) || '.why',
            'args', jsonb_build_object('actor', substr(split_part(note, ': ', 1), strpos(note, ' by ') + 4), 'reason', substr(note, strpos(note, ': ') + 2)))
        WHEN note ~ '^(paused|cancelled) by ' THEN jsonb_build_object('key', 'note.' || split_part(note, ' by ', 1),
            'args', jsonb_build_object('actor', substr(note, strpos(note, ' by ') + 4)))
        WHEN note ~ '^.+: [0-9]+% of [0-9]+ outcomes failed, more than [0-9]+%$' THEN jsonb_build_object('key', 'note.failing',
            'args', jsonb_build_object('integration', substring(note FROM '^(.+): [0-9]+% of '), 'failed', substring(note FROM ': ([0-9]+)% of '),
                'outcomes', substring(note FROM '% of ([0-9]+) outcomes'), 'most', substring(note FROM 'more than ([0-9]+)%$')))
        ELSE jsonb_build_object('key', 'verbatim', 'args', jsonb_build_object('text', note)) END;
COMMENT ON COLUMN redrive.operations.note IS 'the phrase of why it is paused or cancelled, and by whom';

ALTER TABLE redrive.operation_parts ALTER COLUMN held DROP DEFAULT, ALTER COLUMN held DROP NOT NULL,
    ALTER COLUMN held TYPE jsonb USING CASE
        WHEN held = '' THEN NULL
        WHEN held LIKE 'paused by %' THEN jsonb_build_object('key', 'held.paused', 'args', jsonb_build_object('by', substr(held, length('paused by ') + 1)))
        WHEN held = 'its circuit breaker is open' THEN '{"key": "held.breaker_open"}'
        WHEN held = 'its circuit breaker lets one try after another' THEN '{"key": "held.probing"}'
        WHEN held = 'it is not in the integrations file any more' THEN '{"key": "held.no_integration"}'
        ELSE jsonb_build_object('key', 'verbatim', 'args', jsonb_build_object('text', held)) END;
COMMENT ON COLUMN redrive.operation_parts.held IS 'the phrase of why it waits';

ALTER TABLE redrive.batch_runs ADD COLUMN because jsonb;
COMMENT ON COLUMN redrive.batch_runs.because IS 'the phrase of why the program began it by itself; reason is what a person wrote';
UPDATE redrive.batch_runs SET reason = '', because = jsonb_build_object('key', 'run.correction',
    'args', jsonb_build_object('rows', substring(reason FROM '^([0-9]+) rejected rows of '), 'file', substring(reason FROM '^[0-9]+ rejected rows of (.+)$')))
WHERE trigger = 'correction' AND reason ~ '^[0-9]+ rejected rows of .';

ALTER TABLE redrive.operation_items ADD COLUMN who jsonb;
COMMENT ON COLUMN redrive.operation_items.who IS 'skipped: the phrase of who was faster';
UPDATE redrive.operation_items SET reason = substring(reason FROM '^[a-z_]+'), who = jsonb_build_object('key', 'conflict.who', 'args', jsonb_build_object(
    'actor', substring(reason FROM '^[a-z_]+: (.+) did [a-z]+ at '), 'action', substring(reason FROM ' did ([a-z]+) at [^ ]+$'), 'at', substring(reason FROM ' at ([^ ]+)$')))
WHERE outcome = 'skipped' AND reason ~ '^[a-z_]+: .+ did [a-z]+ at [^ ]+$';

-- +goose Down
UPDATE redrive.operation_items SET reason = reason || format(': %s did %s at %s', who #>> '{args,actor}', who #>> '{args,action}', who #>> '{args,at}') WHERE who IS NOT NULL;
ALTER TABLE redrive.operation_items DROP COLUMN who;
UPDATE redrive.batch_runs SET reason = (because #>> '{args,rows}') || ' rejected rows of ' || (because #>> '{args,file}') WHERE because IS NOT NULL;
ALTER TABLE redrive.batch_runs DROP COLUMN because;
ALTER TABLE redrive.operation_parts ALTER COLUMN held TYPE text USING coalesce(CASE held ->> 'key'
        WHEN 'held.paused' THEN 'paused by ' || (held #>> '{args,by}') WHEN 'held.breaker_open' THEN 'its circuit breaker is open'
        WHEN 'held.probing' THEN 'its circuit breaker lets one try after another' WHEN 'held.no_integration' THEN 'it is not in the integrations file any more'
        ELSE held #>> '{args,text}' END, ''),
    ALTER COLUMN held SET NOT NULL, ALTER COLUMN held SET DEFAULT '';
ALTER TABLE redrive.operations ALTER COLUMN note TYPE text USING coalesce(CASE note ->> 'key'
        WHEN 'note.failing' THEN format('%s: %s%% of %s outcomes failed, more than %s%%', note #>> '{args,integration}', note #>> '{args,failed}',
            note #>> '{args,outcomes}', note #>> '{args,most}')
        WHEN 'verbatim' THEN note #>> '{args,text}'
        ELSE split_part(note ->> 'key', '.', 2) || ' by ' || (note #>> '{args,actor}') || coalesce(': ' || (note #>> '{args,reason}'), '') END, ''),
    ALTER COLUMN note SET NOT NULL, ALTER COLUMN note SET DEFAULT '';
