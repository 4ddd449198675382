-- +goose Up
-- Where the messages of an integration say whose data they are: see delivery.Masks.Subject.
ALTER TABLE redrive.integrations ADD COLUMN subject text NOT NULL DEFAULT '';

-- The key of the hashes under which people whose data it is are known. It is sealed, and the same for all processes.
CREATE TABLE redrive.subject_keys (
    id     uuid PRIMARY KEY,
    sealed bytea NOT NULL,
    alone  boolean NOT NULL DEFAULT true UNIQUE CHECK (alone)
);

-- What was written while other fields were masked is gone through once more, up to the delivery at which that stands.
CREATE TABLE redrive.remasking (
    alone        boolean PRIMARY KEY DEFAULT true CHECK (alone),
    integrations text[] NOT NULL,
    cursor       uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    begun_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What somebody may look at again for a time, without another reason: the entry of the audit tells of it.
CREATE TABLE redrive.reveals (
    delivery_id uuid NOT NULL,
    edit        integer NOT NULL,
    path        text NOT NULL,
    actor       text NOT NULL,
    audit_seq   bigint NOT NULL,
    until       timestamptz NOT NULL,
    PRIMARY KEY (delivery_id, edit, path, actor)
);
CREATE INDEX reveals_until ON redrive.reveals (until);

-- Entries name the data subjects of what was looked at, with commas between.
CREATE INDEX audit_data_subject ON redrive.audit USING gin (string_to_array(details ->> 'data_subject', ',')) WHERE details ->> 'data_subject' IS NOT NULL;

-- +goose Down
DROP INDEX redrive.audit_data_subject;
DROP TABLE redrive.reveals, redrive.remasking, redrive.subject_keys;
ALTER TABLE redrive.integrations DROP COLUMN subject;
