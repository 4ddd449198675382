-- +goose Up
-- A version of what is sent may have no payload at all: that retention took it is no longer said by null.
ALTER TABLE redrive.edits ADD COLUMN dropped boolean NOT NULL DEFAULT false; -- payload and headers were taken by retention
UPDATE redrive.edits SET dropped = true WHERE payload IS NULL;

-- +goose Down
UPDATE redrive.edits SET payload = '' WHERE payload IS NULL AND NOT dropped;
ALTER TABLE redrive.edits DROP COLUMN dropped;
