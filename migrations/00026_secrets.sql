-- +goose Up
-- Secrets by envelope encryption: each owner (an integration, or a room of the program) has data keys, sealed with the key-encryption key,
-- which is not here. What is sealed is bound to its row: moved, swapped or changed it does not open.
CREATE TABLE redrive.data_keys (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    owner      text NOT NULL UNIQUE, -- integration/NAME, or what else keeps secrets
    sealed     bytea NOT NULL,
    key_id     text NOT NULL, -- names the key-encryption key that it is sealed with
    version    int NOT NULL DEFAULT 1, -- how often it was sealed
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sealed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE redrive.secrets (
    id          uuid PRIMARY KEY,
    integration text NOT NULL CHECK (integration ~ '^[a-z0-9-]{1,63}$'), -- may be set before the file names it, which needs its secrets
    name        text NOT NULL CHECK (name ~ '^[A-Za-z0-9_.-]{1,100}$'),
    sealed      bytea NOT NULL,
    set_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    set_by      text NOT NULL,
    UNIQUE (integration, name)
);

-- +goose Down
DROP TABLE redrive.secrets;
DROP TABLE redrive.data_keys;
