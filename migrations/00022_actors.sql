-- +goose Up
-- Whoever did something was kept by name; now it is the id of the person or token who had that name then. Where nobody had it, or more
-- than one token did, the name stays: it is nobody's id, so that nobody inherits what stands under it. Entries of the audit stay as they
-- were hashed.
-- +goose StatementBegin
CREATE FUNCTION redrive.former_actor(called text, at timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((
        SELECT CASE WHEN count(*) = 1 THEN min(id) END FROM (
            SELECT o.id::text AS id FROM redrive.operators o WHERE o.name = called AND o.created_at <= at
            UNION ALL
            SELECT t.id::text FROM redrive.api_tokens t WHERE 'token:' || t.name = called AND t.created_at <= at AND coalesce(t.revoked_at >= at, true)) then_so_called
    ), called)
$$;
-- +goose StatementEnd
CREATE TEMPORARY TABLE called ON COMMIT DROP AS SELECT DISTINCT name FROM redrive.actors;

UPDATE redrive.failure_details SET actor = redrive.former_actor(actor, coalesce(acted_at, clock_timestamp())) WHERE actor IN (SELECT name FROM called);
UPDATE redrive.operations SET actor = redrive.former_actor(actor, created_at) WHERE actor IN (SELECT name FROM called);
UPDATE redrive.edits SET actor = redrive.former_actor(actor, created_at) WHERE actor IN (SELECT name FROM called);
UPDATE redrive.notes SET author = redrive.former_actor(author, at) WHERE author IN (SELECT name FROM called);
UPDATE redrive.integrations SET paused_by = redrive.former_actor(paused_by, paused_at) WHERE paused_by IN (SELECT name FROM called);
UPDATE redrive.batch_runs SET requested_by = redrive.former_actor(requested_by, created_at) WHERE requested_by IN (SELECT name FROM called);
UPDATE redrive.saved_views SET owner = redrive.former_actor(owner, created_at) WHERE owner IN (SELECT name FROM called);

-- Cases, and what the records copy of them and of the decision: nothing that the triggers look at changes.
ALTER TABLE redrive.cases DISABLE TRIGGER USER;
ALTER TABLE redrive.deliveries DISABLE TRIGGER USER;
UPDATE redrive.cases SET assignee = redrive.former_actor(assignee, changed_at), acknowledged_by = redrive.former_actor(acknowledged_by, changed_at),
    changed_by = redrive.former_actor(changed_by, changed_at)
WHERE assignee IN (SELECT name FROM called) OR acknowledged_by IN (SELECT name FROM called) OR changed_by IN (SELECT name FROM called);
UPDATE redrive.deliveries r SET assignee = c.assignee FROM redrive.cases c WHERE c.delivery_id = r.id AND r.assignee IS DISTINCT FROM c.assignee;
UPDATE redrive.deliveries r SET actor = redrive.former_actor(r.actor, coalesce((SELECT o.created_at FROM redrive.operations o WHERE o.id = r.operation_id),
    (SELECT f.acted_at FROM redrive.failure_details f WHERE f.delivery_id = r.id), r.changed_at))
WHERE r.actor IN (SELECT name FROM called);
ALTER TABLE redrive.cases ENABLE TRIGGER USER;
ALTER TABLE redrive.deliveries ENABLE TRIGGER USER;
DROP FUNCTION redrive.former_actor;

-- What somebody did is found by their id as well as by the name they had.
CREATE INDEX audit_actor_id ON redrive.audit ((details ->> 'actor_id'), seq DESC) WHERE details ->> 'actor_id' IS NOT NULL;

-- +goose Down
DROP INDEX redrive.audit_actor_id;
ALTER TABLE redrive.cases DISABLE TRIGGER USER;
ALTER TABLE redrive.deliveries DISABLE TRIGGER USER;
UPDATE redrive.failure_details t SET actor = a.name FROM redrive.actors a WHERE a.id = t.actor;
UPDATE redrive.operations t SET actor = a.name FROM redrive.actors a WHERE a.id = t.actor;
UPDATE redrive.edits t SET actor = a.name FROM redrive.actors a WHERE a.id = t.actor;
UPDATE redrive.notes t SET author = a.name FROM redrive.actors a WHERE a.id = t.author;
UPDATE redrive.integrations t SET paused_by = a.name FROM redrive.actors a WHERE a.id = t.paused_by;
UPDATE redrive.batch_runs t SET requested_by = a.name FROM redrive.actors a WHERE a.id = t.requested_by;
UPDATE redrive.saved_views t SET owner = a.name FROM redrive.actors a WHERE a.id = t.owner
    AND NOT EXISTS (SELECT FROM redrive.saved_views o WHERE o.owner = a.name AND o.name = t.name);
UPDATE redrive.cases t SET assignee = a.name FROM redrive.actors a WHERE a.id = t.assignee;
UPDATE redrive.cases t SET acknowledged_by = a.name FROM redrive.actors a WHERE a.id = t.acknowledged_by;
UPDATE redrive.cases t SET changed_by = a.name FROM redrive.actors a WHERE a.id = t.changed_by;
UPDATE redrive.deliveries t SET assignee = a.name FROM redrive.actors a WHERE a.id = t.assignee;
UPDATE redrive.deliveries t SET actor = a.name FROM redrive.actors a WHERE a.id = t.actor;
ALTER TABLE redrive.cases ENABLE TRIGGER USER;
ALTER TABLE redrive.deliveries ENABLE TRIGGER USER;
