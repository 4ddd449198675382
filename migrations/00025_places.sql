-- +goose Up
-- From where people have signed in: a browser that has the secret of which here is the hash, at an address (of IPv6 the network). Guessing
-- from elsewhere does not slow them down there.
CREATE TABLE redrive.places (
    operator_id uuid NOT NULL REFERENCES redrive.operators ON DELETE CASCADE,
    hash        bytea NOT NULL,
    address     text NOT NULL,
    seen_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (operator_id, hash)
);

-- +goose Down
DROP TABLE redrive.places;
