-- +goose Up
-- A pause that ends by itself: people forget what they paused for a night.
ALTER TABLE redrive.integrations ADD COLUMN paused_until timestamptz,
    ADD CONSTRAINT paused_until_needs_pause CHECK (paused_until IS NULL OR paused_at IS NOT NULL);

-- +goose Down
ALTER TABLE redrive.integrations DROP COLUMN paused_until;
