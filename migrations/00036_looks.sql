-- +goose Up
-- Until when somebody has seen what fails: what came later is new to them. Without a row that is when they were added.
CREATE TABLE redrive.looks (
    operator_id uuid PRIMARY KEY REFERENCES redrive.operators ON DELETE CASCADE,
    seen_until  timestamptz NOT NULL
);

-- People name a failure by the end of its id, as pages do.
CREATE INDEX deliveries_id_end ON redrive.deliveries ("right"(id::text, 8)) WHERE failed_at IS NOT NULL;

-- +goose Down
DROP INDEX redrive.deliveries_id_end;
DROP TABLE redrive.looks;
