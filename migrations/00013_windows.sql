-- +goose Up
-- A batch that sends what came since its last run cannot be run for a date; whoever asks is told at once.
ALTER TABLE redrive.integrations ADD COLUMN windowed boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE redrive.integrations DROP COLUMN windowed;
