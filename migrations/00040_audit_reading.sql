-- +goose Up
-- How auditors read: what each person decided, with what a bulk operation did as the one entry that began it; of an integration, a category,
-- a kind of subject; in a time. The entries of an operation's items are in none of the indexes of decisions, so that they cost what they did.
CREATE INDEX audit_at ON redrive.audit (at, seq);
CREATE INDEX audit_decisions ON redrive.audit (seq DESC) WHERE details ->> 'operation' IS NULL;
CREATE INDEX audit_decisions_actor ON redrive.audit ((details ->> 'actor_id'), seq DESC) WHERE details ->> 'operation' IS NULL;
CREATE INDEX audit_decisions_subject_type ON redrive.audit (subject_type, seq DESC) WHERE details ->> 'operation' IS NULL;
CREATE INDEX audit_decisions_category ON redrive.audit ((details ->> 'category'), seq DESC)
    WHERE details ->> 'operation' IS NULL AND details ->> 'category' IS NOT NULL;
-- The deed of an operation is what it does to each of its failures.
CREATE INDEX audit_decisions_deed ON redrive.audit ((CASE action WHEN 'operation.start' THEN 'delivery.' || (details ->> 'action') ELSE action END), seq DESC)
    WHERE details ->> 'operation' IS NULL;
CREATE INDEX audit_decisions_integration ON redrive.audit ((CASE subject_type WHEN 'integration' THEN subject ELSE details ->> 'integration' END), seq DESC)
    WHERE details ->> 'operation' IS NULL;
-- What may be about several integrations is looked up one by one.
CREATE INDEX audit_decisions_many ON redrive.audit (seq DESC)
    WHERE details ->> 'operation' IS NULL AND (subject_type IN ('operation', 'message') OR action = 'delivery.redirect');
CREATE INDEX audit_items ON redrive.audit ((details ->> 'operation'), seq DESC) WHERE details ->> 'operation' IS NOT NULL;

-- What was ignored for one reason.
CREATE INDEX failure_details_category ON redrive.failure_details (category) WHERE category IS NOT NULL;

-- +goose Down
DROP INDEX redrive.failure_details_category;
DROP INDEX redrive.audit_at, redrive.audit_decisions, redrive.audit_decisions_actor, redrive.audit_decisions_subject_type, redrive.audit_decisions_category,
    redrive.audit_decisions_deed, redrive.audit_decisions_integration, redrive.audit_decisions_many, redrive.audit_items;
