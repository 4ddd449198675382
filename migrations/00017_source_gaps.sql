-- +goose Up
-- Of a source whose messages have positions, what is known of a gap beyond words. A notice tells of a change by which nothing is lost.
ALTER TABLE redrive.gaps ADD COLUMN partition int, ADD COLUMN from_offset bigint, ADD COLUMN to_offset bigint, ADD COLUMN records bigint,
    ADD COLUMN notice boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN redrive.gaps.to_offset IS 'the first that is there again; null: nobody knows';
COMMENT ON COLUMN redrive.gaps.records IS 'how many are missing at most; null: nobody knows';

-- Why the program paused an integration by itself; pause_reason is what a person wrote.
ALTER TABLE redrive.integrations ADD COLUMN pause_says jsonb;

-- What a topic was like that a group reads for an integration, so that another one under its name is not taken for it.
CREATE TABLE redrive.source_topics (
    integration text NOT NULL,
    topic       text NOT NULL,
    consumers   text NOT NULL, -- the group
    topic_id    text NOT NULL, -- the broker's own, in hex; empty: it has none
    partitions  int NOT NULL,
    compacted   boolean NOT NULL DEFAULT false, -- as far as is known: how many records a gap took cannot be told
    made_again  int NOT NULL DEFAULT 0,         -- how often another one came under its name
    gone        boolean NOT NULL DEFAULT false, -- it was deleted, and that is noted
    PRIMARY KEY (integration, topic, consumers)
);

-- Up to where each partition is dealt with, or known to be lost, as it was last noted.
CREATE TABLE redrive.source_positions (
    integration text NOT NULL,
    topic       text NOT NULL,
    consumers   text NOT NULL,
    partition   int NOT NULL,
    next_offset bigint NOT NULL, -- the first that is not
    end_offset  bigint NOT NULL, -- of the log, as it was last seen
    PRIMARY KEY (integration, topic, consumers, partition)
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE redrive.source_positions;
DROP TABLE redrive.source_topics;
ALTER TABLE redrive.integrations DROP COLUMN pause_says;
ALTER TABLE redrive.gaps DROP COLUMN partition, DROP COLUMN from_offset, DROP COLUMN to_offset, DROP COLUMN records, DROP COLUMN notice;
