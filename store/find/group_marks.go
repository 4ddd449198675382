package find

import (
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// assigneesSQL reads the index of what somebody looks after, and nothing else.
var assigneesSQL = `SELECT group_id, ` + pg.Called("assignee") + ` AS name, assignee AS id, n AS count FROM (
    SELECT group_id, assignee, count(*) AS n FROM redrive.deliveries
    WHERE state = 'dead' AND assignee IS NOT NULL AND group_id = ANY(?) GROUP BY 1, 2) a ORDER BY group_id, n DESC, name`

// countedAtMost is how many items an unfinished operation may have for the list of groups to count them.
const countedAtMost = 10_000

// retriesSQL reads the latest retries, of those under way how far they are by now.
var retriesSQL = `SELECT r.group_id, o.id::text AS operation_id, o.created_at AS at, ` + pg.Called("o.actor") + ` AS actor, o.actor AS actor_id, o.state,
    r.selected, coalesce(r.succeeded, n.succeeded, 0) AS succeeded, coalesce(r.failed, n.failed, 0) AS failed,
    coalesce(r.succeeded, n.succeeded) IS NOT NULL AS counted
FROM redrive.group_retries r JOIN redrive.operations o ON o.id = r.operation_id
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE i.outcome = 'succeeded') AS succeeded, count(*) FILTER (WHERE i.outcome = 'failed') AS failed
    FROM redrive.operation_items i WHERE i.operation_id = o.id AND i.group_id = r.group_id
) n ON r.succeeded IS NULL AND o.selected <= ? WHERE r.group_id = ANY(?)`

// groupMarks fills in who looks after the groups of a page, and how their latest retry went.
func groupMarks(tx *gorm.DB, rows []groupRow) error {
	at, ids := map[string]int{}, make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
		at[ids[i]] = i
	}
	type assignee struct {
		GroupID           string
		delivery.Assignee `gorm:"embedded"`
	}
	assignees, err := pg.Scan[assignee](tx, assigneesSQL, &ids)
	if err != nil {
		return fmt.Errorf("reading the groups' assignees: %w", err)
	}
	for _, a := range assignees {
		g := &rows[at[a.GroupID]]
		g.Assignees = append(g.Assignees, a.Assignee)
	}
	type retry struct {
		GroupID             string
		delivery.GroupRetry `gorm:"embedded"`
	}
	retries, err := pg.Scan[retry](tx, retriesSQL, countedAtMost, &ids)
	if err != nil {
		return fmt.Errorf("reading the groups' latest retries: %w", err)
	}
	for _, r := range retries {
		rows[at[r.GroupID]].Retried = &r.GroupRetry
	}
	return nil
}
