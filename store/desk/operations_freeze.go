package desk

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/approve"
	"redrive/store/find"
	"redrive/store/pg"
)

// selection is a query that judges every delivery an operation was asked for: rows judged (id, version, integration, changed_at,
// group_id, unsure, why), where why is null when the action fits.
type selection struct {
	sql  string
	args map[string]any
}

// judgedSQL takes found: deliveries (r) with the version that was chosen, 0 for any. Of retries it is also
// judged whether the message is still there.
const judgedSQL = `judged AS MATERIALIZED (
    SELECT f.id, f.version, coalesce(f.integration, '') AS integration, f.changed_at, f.group_id, f.error_class IS NOT NULL AND f.error_class = ANY(CAST(@unsure AS text[])) AS unsure,
        CASE WHEN f.state IS NULL%[4]s THEN 'not_found' WHEN f.chosen <> 0 AND f.chosen <> f.version THEN 'changed'
            WHEN f.state IN (%[1]s) THEN %[2]s WHEN f.state = 'pending' THEN 'in_flight' ELSE 'already_settled' END AS why
    FROM found f%[3]s
)`

// What an action asks beside the state.
const (
	retryJudgedSQL = `CASE WHEN i.active IS NOT TRUE THEN 'no_integration' WHEN i.paused_at IS NOT NULL THEN 'paused'
            WHEN i.breaker = 'open' AND i.breaker_until > statement_timestamp() THEN 'breaker_open'
            WHEN m.id IS NULL THEN 'payload_dropped' WHEN f.expires_at <= statement_timestamp() THEN 'expired'
            WHEN m.payload IS NULL AND (SELECT ` + lacksRecordSQL + ` FROM redrive.deliveries r WHERE r.id = f.id) THEN 'original_missing' END`
	retryJudgedJoins = ` LEFT JOIN redrive.integrations i ON i.name = f.integration LEFT JOIN redrive.messages m ON m.id = f.message_id`
	acknowledgeSQL   = `CASE WHEN f.acknowledged_at IS NOT NULL THEN 'already_acknowledged' END`
)

func selectFor(db *gorm.DB, r delivery.OperationRequest) (selection, error) {
	found, args, err := matching(db, r)
	if err != nil {
		return selection{}, err
	}
	extra, joins, unsure := "NULL", "", []string{}
	switch t := r.Action.Row(); {
	case t.Queues:
		extra, joins, unsure = retryJudgedSQL, retryJudgedJoins, delivery.UnsureClasses
	case t.Stays():
		extra = acknowledgeSQL
	}
	args["unsure"] = &unsure
	hidden := ""
	if seen := pg.Seen(db); !seen.All {
		hidden, args["seen"] = " OR NOT f.integration = ANY(CAST(@seen AS text[]))", pg.Names(seen)
	}
	if may := pg.Scope(db, delivery.BulkNeeds(r.Action, !r.ForGood)...); !may.All {
		extra, args["may"] = "coalesce("+extra+", CASE WHEN NOT f.integration = ANY(CAST(@may AS text[])) THEN '"+delivery.ExcludedPermission+"' END)", pg.Names(may)
	}
	return selection{
		sql:  "found AS MATERIALIZED (" + found + "), " + fmt.Sprintf(judgedSQL, literals(r.Action.From()), extra, joins, hidden),
		args: args,
	}, nil
}

const foundColumns = "r.id, r.message_id, r.integration, r.state, r.version, r.changed_at, r.error_class, r.group_id, r.acknowledged_at, r.expires_at"

// matching returns all that was asked for, not a page.
func matching(db *gorm.DB, r delivery.OperationRequest) (sql string, args map[string]any, err error) {
	if a, ok := approve.Of(db); ok {
		return fmt.Sprintf(chosenSQL, approvedSQL), map[string]any{"approval": a.ID}, nil
	}
	if r.Filter == nil {
		return fmt.Sprintf(chosenSQL, "unnest(CAST(@ids AS uuid[]), CAST(@versions AS int[]))"), chosenArgs(r.Chosen), nil
	}
	f := *r.Filter
	f.After = ""
	if len(f.States) == 0 {
		f.States = r.Action.From()
	}
	conditions, err := find.FailureConditions(db, f)
	if err != nil {
		return "", nil, err
	}
	where, args := conditions.Named()
	var branches []string
	for _, state := range find.StateConditions(f.States) {
		// each state by its own partial index
		branches = append(branches, "SELECT "+foundColumns+", 0 AS chosen FROM redrive.deliveries r"+where+" AND "+state)
	}
	return strings.Join(branches, " UNION ALL "), args, nil
}

// chosenSQL also finds what waits for its first attempt and has no record.
const chosenSQL = `SELECT c.id, coalesce(r.message_id, w.message_id) AS message_id, coalesce(r.integration, w.integration) AS integration,
        coalesce(r.state, CASE WHEN w.id IS NOT NULL THEN 'pending' END) AS state, coalesce(r.version, 0) AS version, r.changed_at, r.error_class, r.group_id,
        r.acknowledged_at, r.expires_at, c.version AS chosen
    FROM (SELECT id, max(version) AS version FROM %s AS c(id, version) GROUP BY id) c
    LEFT JOIN redrive.deliveries r ON r.id = c.id LEFT JOIN redrive.queue w ON w.id = c.id`

// chosenArgs keeps what is no id as an id that nothing has.
func chosenArgs(chosen []delivery.Chosen) map[string]any {
	ids, versions := make([]string, len(chosen)), make([]int, len(chosen))
	for i, c := range chosen {
		if ids[i], versions[i] = c.ID, c.Version; !delivery.IsUUID(c.ID) {
			ids[i] = fmt.Sprintf("00000000-0000-0000-0000-%012d", i)
		}
	}
	return map[string]any{"ids": &ids, "versions": &versions}
}

// frozen is what a freeze selected.
type frozen struct {
	selected     int
	integrations map[string]int
	excluded     map[string]int
}

// freezeSQL numbers what fits, so that the items of an integration stand together, the oldest first.
const freezeSQL = `, numbered AS MATERIALIZED (
    SELECT row_number() OVER (ORDER BY integration, changed_at, id) AS n, id, version, integration, group_id FROM judged WHERE why IS NULL
), items AS (
    INSERT INTO redrive.operation_items (operation_id, n, delivery_id, version, group_id) SELECT CAST(@operation AS uuid), n, id, version, group_id FROM numbered
), parts AS (
    INSERT INTO redrive.operation_parts (operation_id, integration, first, last, cursor, wave_size, allowance)
    SELECT CAST(@operation AS uuid), integration, min(n), max(n), min(n) - 1, nullif(CAST(@first_wave AS int), 0), 1 FROM numbered GROUP BY integration
), retried AS (
    INSERT INTO redrive.group_retries AS g (group_id, operation_id, selected)
    SELECT group_id, CAST(@operation AS uuid), count(*) FROM numbered WHERE CAST(@retries AS bool) AND group_id IS NOT NULL GROUP BY group_id ORDER BY group_id
    ON CONFLICT (group_id) DO UPDATE SET operation_id = excluded.operation_id, selected = excluded.selected, succeeded = NULL, failed = NULL
)
SELECT '' AS why, integration, count(*) AS n FROM numbered GROUP BY integration
UNION ALL
SELECT why, '', count(*) FROM judged WHERE why IS NOT NULL GROUP BY why`

func freeze(tx *gorm.DB, r delivery.OperationRequest, selection selection) (f frozen, err error) {
	if err := tx.Exec("SET LOCAL work_mem = '64MB'").Error; err != nil {
		return f, err
	}
	type row struct {
		Why, Integration string
		N                int
	}
	selection.args["operation"], selection.args["first_wave"] = r.ID, r.Pace.FirstWave()
	selection.args["retries"] = r.Action == delivery.ActionRetry
	rows, err := pg.Scan[row](tx, "WITH "+selection.sql+freezeSQL, selection.args)
	if err != nil {
		return f, err
	}
	f.integrations, f.excluded = map[string]int{}, map[string]int{}
	for _, r := range rows {
		if r.Why != "" {
			f.excluded[r.Why] = r.N
			continue
		}
		f.integrations[r.Integration] = r.N
		f.selected += r.N
	}
	if f.selected == 0 {
		return f, nothingSelected(f.excluded)
	}
	excluded, _ := json.Marshal(f.excluded)
	return f, tx.Exec("UPDATE redrive.operations SET selected = ?, excluded = ?::jsonb WHERE id = ?",
		f.selected, string(excluded), r.ID).Error
}

func nothingSelected(excluded map[string]int) error {
	if len(excluded) == 0 {
		return delivery.Mistake("nothing_selected", "filter")
	}
	return delivery.Mistake("nothing_selected.excluded", "filter", "why", leftOut(excluded))
}

// leftOut says how many were not selected, and why.
func leftOut(excluded map[string]int) delivery.Phrase {
	var why []delivery.Phrase
	for _, reason := range slices.Sorted(maps.Keys(excluded)) {
		why = append(why, delivery.Say("excluded", "count", excluded[reason], "why", delivery.Say("excluded."+reason)))
	}
	return delivery.Listed(why)
}
