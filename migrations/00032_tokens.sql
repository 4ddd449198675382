-- +goose Up
-- A token is of a person, and then never does more than they may, or of a robot, with rights of its own. What lets it in are its secrets:
-- mostly one, and two while one takes the other's place.
ALTER TABLE redrive.api_tokens ADD COLUMN operator_id uuid REFERENCES redrive.operators ON DELETE CASCADE; -- null: of a robot
CREATE INDEX api_tokens_operator ON redrive.api_tokens (operator_id) WHERE operator_id IS NOT NULL;
CREATE TABLE redrive.token_secrets (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    token_id   uuid NOT NULL REFERENCES redrive.api_tokens ON DELETE CASCADE,
    hash       bytea NOT NULL UNIQUE, -- SHA-256
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz            -- null: never, of the setting and of what was there before there was an end
);
CREATE INDEX token_secrets_token ON redrive.token_secrets (token_id);
INSERT INTO redrive.token_secrets (token_id, hash, created_at) SELECT id, token_hash, created_at FROM redrive.api_tokens;
ALTER TABLE redrive.api_tokens DROP COLUMN token_hash;

-- The last use of each secret, apart from what acting transactions lock.
CREATE TABLE redrive.token_uses (
    secret_id uuid PRIMARY KEY REFERENCES redrive.token_secrets ON DELETE CASCADE,
    used_at   timestamptz NOT NULL,
    address   text NOT NULL
);

-- A person's token is called after both.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.actor_named() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    called text := NEW.name;
BEGIN
    IF TG_TABLE_NAME = 'api_tokens' THEN
        called := 'token:' || coalesce((SELECT o.name || '/' FROM redrive.operators o WHERE o.id = NEW.operator_id), '') || NEW.name;
    ELSE
        UPDATE redrive.actors a SET name = 'token:' || NEW.name || '/' || t.name FROM redrive.api_tokens t
        WHERE t.operator_id = NEW.id AND a.id = t.id::text;
    END IF;
    INSERT INTO redrive.actors (id, name) VALUES (NEW.id::text, called) ON CONFLICT (id) DO UPDATE SET name = excluded.name;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.actor_named() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO redrive.actors (id, name) VALUES (NEW.id::text, CASE TG_TABLE_NAME WHEN 'api_tokens' THEN 'token:' ELSE '' END || NEW.name)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
-- Without an end and without their person they would let in for good, with more than before: those are revoked.
ALTER TABLE redrive.api_tokens ADD COLUMN token_hash bytea;
UPDATE redrive.api_tokens t SET token_hash = (SELECT s.hash FROM redrive.token_secrets s WHERE s.token_id = t.id ORDER BY s.created_at DESC, s.id LIMIT 1);
UPDATE redrive.api_tokens t SET revoked_at = coalesce(revoked_at, clock_timestamp())
WHERE operator_id IS NOT NULL OR NOT EXISTS (SELECT FROM redrive.token_secrets s WHERE s.hash = t.token_hash AND s.expires_at IS NULL);
ALTER TABLE redrive.api_tokens ALTER COLUMN token_hash SET NOT NULL, ADD UNIQUE (token_hash), DROP COLUMN operator_id;
DROP TABLE redrive.token_uses;
DROP TABLE redrive.token_secrets;
