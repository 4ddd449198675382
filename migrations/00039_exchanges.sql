-- +goose Up
-- What was sent beside the message, the head of the answer, and how long the parts of a failed attempt took: see delivery.Exchange.
ALTER TABLE redrive.attempts ADD COLUMN exchange jsonb;

-- What people decided about the failures of a group, one row for each decision or operation: who asks what helped the last time would
-- otherwise read all that was ever settled.
CREATE TABLE redrive.settlements (
    group_id   text NOT NULL,
    id         uuid NOT NULL, -- the operation, else the delivery
    action     text NOT NULL,
    operation  boolean NOT NULL,
    actor      text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    category   text,
    evidence   text,
    ticket     text,
    deliveries integer NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (group_id, id, action)
);
CREATE INDEX settlements_latest ON redrive.settlements (group_id, decided_at DESC);

-- What was decided before is known as far as the records still say it.
INSERT INTO redrive.settlements (group_id, id, action, operation, actor, reason, category, evidence, ticket, deliveries, decided_at)
SELECT r.group_id, coalesce(r.operation_id, r.id), coalesce(o.action, f.action), r.operation_id IS NOT NULL, coalesce(o.actor, f.actor),
    coalesce(o.reason, f.reason, ''), max(coalesce(o.category, f.category)), max(coalesce(o.evidence, f.evidence)), max(c.ticket), count(*),
    max(coalesce(r.settled_at, r.changed_at))
FROM redrive.deliveries r LEFT JOIN redrive.operations o ON o.id = r.operation_id LEFT JOIN redrive.failure_details f ON f.delivery_id = r.id
LEFT JOIN redrive.cases c ON c.delivery_id = r.id
WHERE r.actor IS NOT NULL AND r.state IN ('delivered', 'ignored', 'resolved') AND r.group_id IS NOT NULL
    AND coalesce(o.action, f.action) IN ('retry', 'edit', 'redirect', 'ignore', 'resolve') AND coalesce(o.actor, f.actor) IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6
ON CONFLICT DO NOTHING;

-- +goose Down
DROP TABLE redrive.settlements;
ALTER TABLE redrive.attempts DROP COLUMN exchange;
