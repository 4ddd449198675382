-- +goose Up
-- The language that a person chose for what they read; empty: as their browser asks for it.
ALTER TABLE redrive.operators ADD COLUMN language text NOT NULL DEFAULT '' CONSTRAINT operators_language CHECK (language ~ '^([a-z]{2,3})?$');

-- +goose Down
ALTER TABLE redrive.operators DROP COLUMN language;
