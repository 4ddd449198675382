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

-- +goose Down
DROP TABLE redrive.passkeys;
DROP TABLE redrive.recovery_codes;
DROP TABLE redrive.totp;
