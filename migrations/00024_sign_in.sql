-- +goose Up
-- People of single sign-on are known by what their provider calls them, which never changes; local people have neither.
ALTER TABLE redrive.operators
    ADD COLUMN issuer  text,
    ADD COLUMN subject text,
    ADD CONSTRAINT operators_provided CHECK ((issuer IS NULL) = (subject IS NULL)),
    ADD CONSTRAINT operators_subject_key UNIQUE (issuer, subject);

-- How a session began, and when whoever has it last proved who they are.
ALTER TABLE redrive.sessions
    ADD COLUMN method           text NOT NULL DEFAULT 'password',
    ADD COLUMN authenticated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN provider_session text, -- what the provider calls its own session
    ADD COLUMN id_token         text; -- for signing out at the provider; it signs nobody in
UPDATE redrive.sessions SET authenticated_at = created_at;
CREATE INDEX sessions_provider ON redrive.sessions (provider_session) WHERE provider_session IS NOT NULL;

-- What is under way between two requests of one sign-in, and what may come once only. The browser has the secret, here is its hash.
CREATE TABLE redrive.challenges (
    hash        bytea PRIMARY KEY,
    kind        text NOT NULL,
    operator_id uuid REFERENCES redrive.operators ON DELETE CASCADE, -- null: not known yet
    data        bytea NOT NULL,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz
);
CREATE INDEX challenges_expiry ON redrive.challenges (expires_at);
CREATE INDEX challenges_operator ON redrive.challenges (operator_id);

-- +goose Down
DROP TABLE redrive.challenges;
ALTER TABLE redrive.sessions DROP COLUMN method, DROP COLUMN authenticated_at, DROP COLUMN provider_session, DROP COLUMN id_token;
-- Without the columns they would be people who sign in by a password that they do not have.
UPDATE redrive.operators SET disabled_at = coalesce(disabled_at, clock_timestamp()) WHERE subject IS NOT NULL;
ALTER TABLE redrive.operators DROP COLUMN issuer, DROP COLUMN subject;
