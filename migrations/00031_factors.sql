-- +goose Up
-- The second factor of local people: codes of an app (RFC 6238), and codes for when the app is lost.
CREATE TABLE redrive.totp (
    operator_id  uuid PRIMARY KEY REFERENCES redrive.operators ON DELETE CASCADE,
    secret       bytea NOT NULL,
    confirmed_at timestamptz,              -- null: shown, and not proved yet
    last_step    bigint NOT NULL DEFAULT 0, -- of the last code: none is taken twice
    failures     integer NOT NULL DEFAULT 0, -- since the last code that was right
    failed_at    timestamptz
);
CREATE TABLE redrive.recovery_codes (
    operator_id uuid NOT NULL REFERENCES redrive.operators ON DELETE CASCADE,
    code_hash   bytea NOT NULL,
    used_at     timestamptz,
    PRIMARY KEY (operator_id, code_hash)
);

-- Passkeys of local people (WebAuthn).
CREATE TABLE redrive.passkeys (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    operator_id   uuid NOT NULL REFERENCES redrive.operators ON DELETE CASCADE,
    credential_id bytea NOT NULL UNIQUE,
    credential    jsonb NOT NULL,
    name          text NOT NULL,
    sign_count    bigint NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    used_at       timestamptz
);
CREATE INDEX passkeys_operator ON redrive.passkeys (operator_id);

-- A token is a robot's, or a person's: then it never does more than they may. What it may do beside its role stands in grants. While it is
-- rotated, its secret of before still works for a time.
ALTER TABLE redrive.api_tokens
    ADD COLUMN owner_id       uuid REFERENCES redrive.operators ON DELETE CASCADE,
    ADD COLUMN expires_at     timestamptz,
    ADD COLUMN used_at        timestamptz, -- to the minute
    ADD COLUMN previous_hash  bytea UNIQUE,
    ADD COLUMN previous_until timestamptz,
    ADD CONSTRAINT api_tokens_previous CHECK ((previous_hash IS NULL) = (previous_until IS NULL));
CREATE INDEX api_tokens_owner ON redrive.api_tokens (owner_id) WHERE owner_id IS NOT NULL;

-- +goose Down
-- Without the columns a token would hold for ever, and of a person do more than they may.
UPDATE redrive.api_tokens SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE owner_id IS NOT NULL OR expires_at IS NOT NULL;
ALTER TABLE redrive.api_tokens DROP COLUMN owner_id, DROP COLUMN expires_at, DROP COLUMN used_at, DROP COLUMN previous_hash, DROP COLUMN previous_until;
DROP TABLE redrive.passkeys;
DROP TABLE redrive.recovery_codes;
DROP TABLE redrive.totp;
