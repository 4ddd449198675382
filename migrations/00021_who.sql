-- +goose Up
-- Who acts is kept as the id of a person or a token, which never changes; here stands what it is called. A name stays when whoever had it
-- is gone, and one that is given again belongs to another id.
CREATE TABLE redrive.actors (
    id   text PRIMARY KEY,
    name text NOT NULL -- of a token with token: before it, so that none passes for a person
);
-- +goose StatementBegin
CREATE FUNCTION redrive.actor_named() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO redrive.actors (id, name) VALUES (NEW.id::text, CASE TG_TABLE_NAME WHEN 'api_tokens' THEN 'token:' ELSE '' END || NEW.name)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION redrive.actor_named FROM PUBLIC;
CREATE TRIGGER actor_named AFTER INSERT OR UPDATE OF name ON redrive.operators FOR EACH ROW EXECUTE FUNCTION redrive.actor_named();
CREATE TRIGGER actor_named AFTER INSERT OR UPDATE OF name ON redrive.api_tokens FOR EACH ROW EXECUTE FUNCTION redrive.actor_named();
INSERT INTO redrive.actors SELECT id::text, name FROM redrive.operators UNION ALL SELECT id::text, 'token:' || name FROM redrive.api_tokens;

-- Each change of password, role or whether somebody is disabled begins a new one: the sessions of the one before have ended.
ALTER TABLE redrive.operators ADD COLUMN generation integer NOT NULL DEFAULT 1;

-- Sessions of before are of a name, not of a person: they have ended. Without a person nobody is signed in yet.
DELETE FROM redrive.sessions;
ALTER TABLE redrive.sessions
    ADD COLUMN id          uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    ADD COLUMN operator_id uuid REFERENCES redrive.operators ON DELETE CASCADE,
    ADD COLUMN generation  integer,
    ADD COLUMN device      text NOT NULL DEFAULT '', -- what the browser calls itself
    ADD COLUMN address     text NOT NULL DEFAULT '',
    ADD COLUMN created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN seen_at     timestamptz NOT NULL DEFAULT clock_timestamp();
CREATE INDEX sessions_operator ON redrive.sessions (operator_id);

-- The token of the setting REDRIVE_API_TOKEN is one actor, whatever its secret: not every token that has its name.
ALTER TABLE redrive.api_tokens ADD COLUMN of_setting boolean NOT NULL DEFAULT false;
UPDATE redrive.api_tokens SET of_setting = true WHERE id = (
    SELECT t.id FROM redrive.api_tokens t WHERE t.name = 'environment'
        AND NOT EXISTS (SELECT FROM redrive.audit a WHERE a.action = 'token.create' AND a.subject = t.id::text)
    ORDER BY t.revoked_at IS NULL DESC, t.created_at DESC LIMIT 1);
CREATE UNIQUE INDEX api_tokens_setting ON redrive.api_tokens (of_setting) WHERE of_setting;

-- +goose Down
DROP INDEX redrive.api_tokens_setting;
ALTER TABLE redrive.api_tokens DROP COLUMN of_setting;
DELETE FROM redrive.sessions;
ALTER TABLE redrive.sessions DROP COLUMN id, DROP COLUMN operator_id, DROP COLUMN generation, DROP COLUMN device, DROP COLUMN address,
    DROP COLUMN created_at, DROP COLUMN seen_at;
ALTER TABLE redrive.operators DROP COLUMN generation;
DROP TRIGGER actor_named ON redrive.operators;
DROP TRIGGER actor_named ON redrive.api_tokens;
DROP FUNCTION redrive.actor_named;
DROP TABLE redrive.actors;
