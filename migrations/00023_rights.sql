-- +goose Up
-- Who may do what is a role for all integrations, as before, and grants: a role or single permissions, for all integrations or for some by
-- name or label. What roles permit is told by the program (delivery.Role).
ALTER TABLE redrive.integrations ADD COLUMN labels jsonb NOT NULL DEFAULT '{}';
ALTER TABLE redrive.operators DROP CONSTRAINT operators_role_check,
    ADD CONSTRAINT operators_role_check CHECK (role IN ('', 'viewer', 'on-call', 'operator', 'reviewer', 'auditor', 'admin'));
ALTER TABLE redrive.api_tokens DROP CONSTRAINT api_tokens_role_check,
    ADD CONSTRAINT api_tokens_role_check CHECK (role IN ('', 'viewer', 'on-call', 'operator', 'reviewer', 'auditor', 'admin'));
CREATE TABLE redrive.grants (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    operator_id  uuid REFERENCES redrive.operators ON DELETE CASCADE,
    token_id     uuid REFERENCES redrive.api_tokens ON DELETE CASCADE,
    role         text NOT NULL DEFAULT '' CHECK (role IN ('', 'viewer', 'on-call', 'operator', 'reviewer', 'auditor', 'admin')),
    permissions  text[] NOT NULL DEFAULT '{}',
    integrations text[] NOT NULL DEFAULT '{}', -- names; with labels it is for those that have one of the names or all of the labels
    labels       jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (num_nonnulls(operator_id, token_id) = 1),
    CHECK (role <> '' OR permissions <> '{}')
);
CREATE INDEX grants_operator ON redrive.grants (operator_id) WHERE operator_id IS NOT NULL;
CREATE INDEX grants_token ON redrive.grants (token_id) WHERE token_id IS NOT NULL;

-- +goose Down
DROP TABLE redrive.grants;
-- Whoever has a role that there was not could see more as a viewer: nobody comes in with it.
UPDATE redrive.operators SET role = 'viewer', generation = generation + 1, disabled_at = coalesce(disabled_at, clock_timestamp())
WHERE role NOT IN ('viewer', 'operator', 'admin');
UPDATE redrive.api_tokens SET role = 'viewer', revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE role NOT IN ('viewer', 'operator', 'admin');
ALTER TABLE redrive.operators DROP CONSTRAINT operators_role_check,
    ADD CONSTRAINT operators_role_check CHECK (role IN ('viewer', 'operator', 'admin'));
ALTER TABLE redrive.api_tokens DROP CONSTRAINT api_tokens_role_check,
    ADD CONSTRAINT api_tokens_role_check CHECK (role IN ('viewer', 'operator', 'admin'));
ALTER TABLE redrive.integrations DROP COLUMN labels;
