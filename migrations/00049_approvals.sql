-- +goose Up
-- What a second person approves of each integration, and by what to see that its part of the file is another one.
ALTER TABLE redrive.integrations ADD COLUMN four_eyes jsonb NOT NULL DEFAULT '{}', ADD COLUMN settings_hash text NOT NULL DEFAULT '';

-- Requests for approval. bound is what one holds for, as bytes of which hash is the SHA-256; request is what to carry out.
CREATE TABLE redrive.approvals (
    id            uuid PRIMARY KEY,
    state         text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'approved', 'rejected', 'withdrawn', 'void', 'expired')),
    kind          text NOT NULL,
    action        text NOT NULL,
    target        text NOT NULL,
    actor         text NOT NULL,
    person        text,
    reason        text NOT NULL DEFAULT '',
    rules         text[] NOT NULL,
    integrations  text[] NOT NULL,
    items         int NOT NULL DEFAULT 0,
    token         text UNIQUE,
    request       bytea,
    bound         bytea NOT NULL,
    hash          text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at    timestamptz NOT NULL,
    decided_at    timestamptz,
    decided_by    text,
    comment       text,
    void_because  jsonb,
    result        text,
    CONSTRAINT approval_decided CHECK ((state = 'open') = (decided_at IS NULL)),
    CONSTRAINT approval_by_another CHECK (state NOT IN ('approved', 'rejected') OR decided_by IS DISTINCT FROM actor AND decided_by IS DISTINCT FROM person)
);
CREATE INDEX approvals_listed ON redrive.approvals (created_at DESC, id DESC);
CREATE INDEX approvals_open ON redrive.approvals (created_at DESC, id DESC) WHERE state = 'open';
CREATE INDEX approvals_person ON redrive.approvals (person, created_at DESC, id DESC);
CREATE INDEX approvals_expire ON redrive.approvals (expires_at) WHERE state = 'open';

CREATE TABLE redrive.approval_items (
    approval_id uuid NOT NULL REFERENCES redrive.approvals ON DELETE CASCADE,
    n           int NOT NULL,
    delivery_id uuid NOT NULL,
    integration text NOT NULL,
    version     int NOT NULL,
    PRIMARY KEY (approval_id, n)
);

-- +goose Down
DROP TABLE redrive.approval_items, redrive.approvals;
ALTER TABLE redrive.integrations DROP COLUMN four_eyes, DROP COLUMN settings_hash;
