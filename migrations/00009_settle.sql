-- +goose Up
-- When the worker that holds the row took it: an attempt that nobody reports of began then.
ALTER TABLE redrive.queue ADD COLUMN claimed_at timestamptz;

-- +goose Down
ALTER TABLE redrive.queue DROP COLUMN claimed_at;
