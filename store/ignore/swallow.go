package ignore

import (
	"encoding/json"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

// holding is a rule that holds, as it is applied.
type holding struct {
	id          int64
	integration string
	condition   delivery.Filter
	left        *int // how many it may still swallow; nil: any
	ofFile      bool
}

// holdingSQL reads the rules of integrations by their index. They are held: who ends one waits until what it swallows now is written, so that no
// failure hides behind a rule that is over. What holds is decided by the clock of the database and by what is counted.
const holdingSQL = `SELECT r.id, r.integration, r.filter, r.count - ` + swallowedSQL + `, r.of_file
FROM redrive.ignore_rules r WHERE r.integration = ANY(?) AND r.ended_at IS NULL AND NOT ` + reachedSQL + ` ORDER BY r.id FOR SHARE OF r`

// Swallow says by which rule each of the failures is ignored, 0 for none: by the first made that fits. It is called in the transaction that
// writes them, and reads the rules there: a rule holds for all that is written after it was made, whichever process does. Without a rule it costs
// one look at an index. Of what the policy of an integration ignores, ignored is true; the rule is then the one that the file has made.
func Swallow(tx *gorm.DB, list []Failing, ignored func(int) bool) ([]int64, error) {
	by := make([]int64, len(list))
	var names []string
	for _, x := range list {
		if !slices.Contains(names, x.Integration) {
			names = append(names, x.Integration)
		}
	}
	if len(names) == 0 {
		return by, nil
	}
	rules, err := pg.Read(tx, func(h *holding) []any {
		return []any{&h.id, &h.integration, pg.JSON{To: &h.condition}, &h.left, &h.ofFile}
	}, holdingSQL, &names)
	if err != nil {
		return nil, fmt.Errorf("reading ignore rules: %w", err)
	}
	for _, r := range rules {
		if err := r.apply(tx, list, ignored, by); err != nil {
			return nil, err
		}
	}
	return by, nil
}

// apply notes what a rule swallows of what no rule before it has.
func (r holding) apply(tx *gorm.DB, list []Failing, ignored func(int) bool, by []int64) error {
	var some []Failing
	var at []int
	for i, x := range list {
		if x.Integration == r.integration && by[i] == 0 && ignored(i) == r.ofFile {
			some, at = append(some, x), append(at, i)
		}
	}
	if len(some) == 0 {
		return nil
	}
	fits, err := match(tx, r.condition, some)
	if err != nil {
		return err
	}
	for n, fit := range fits {
		if !fit || r.left != nil && *r.left <= 0 {
			continue
		}
		if by[at[n]] = r.id; r.left != nil {
			*r.left--
		}
	}
	return nil
}

// CountedSQL counts what rules have swallowed, of rows of the name that have the id of one as rule, or 0.
func CountedSQL(rows string) string {
	return `
    INSERT INTO redrive.ignore_rule_hours AS h (rule_id, hour, swallowed, last_at)
    SELECT rule, date_trunc('hour', statement_timestamp(), 'UTC'), count(*), statement_timestamp() FROM ` + rows + ` WHERE rule > 0 GROUP BY rule ORDER BY rule
    ON CONFLICT (rule_id, hour) DO UPDATE SET swallowed = h.swallowed + excluded.swallowed, last_at = greatest(h.last_at, excluded.last_at)`
}

// SyncFile makes the rules that the integrations file stands for: one of each integration that ignores what finally fails. One that is not
// there any more ends, as others do, and the audit has it; that one is made is told by the file, and decided by nobody here.
func SyncFile(tx *gorm.DB, list []delivery.Integration) error {
	names := []string{}
	for _, i := range list {
		if i.OnFailure == delivery.StateIgnored {
			names = append(names, i.Name)
		}
	}
	because, _ := json.Marshal(delivery.Say("reopened.rule.file"))
	gone, err := pg.Read(tx, func(h *holding) []any { return []any{&h.id, &h.integration} }, `UPDATE redrive.ignore_rules
		SET ended_at = clock_timestamp(), ended_by = ?, ended_because = ?::jsonb
		WHERE of_file AND ended_at IS NULL AND NOT integration = ANY(?) RETURNING id, integration`, delivery.ActorPolicy, string(because), &names)
	if err != nil {
		return fmt.Errorf("ending rules of the file: %w", err)
	}
	for _, r := range gone {
		e := entry("end", r.id, delivery.ActorPolicy, "", map[string]any{"integration": r.integration, "on_failure": "ignore"})
		if err := audit.Record(tx, e); err != nil {
			return err
		}
	}
	err = tx.Exec(`INSERT INTO redrive.ignore_rules (integration, reason, for_good, of_file, made_by)
		SELECT n, p.reason, true, true, p.policy FROM unnest(?::text[]) n CROSS JOIN `+PolicySQL+` ORDER BY n
		ON CONFLICT (integration) WHERE of_file AND ended_at IS NULL DO NOTHING`, &names).Error
	if err != nil {
		return fmt.Errorf("making rules of the file: %w", err)
	}
	return nil
}

// PolicySQL is what a policy decides about what finally fails; a rule has its own reason, and its end.
const PolicySQL = `(SELECT 'ignored' AS state, 'policy' AS policy, 'ignore' AS action, statement_timestamp() AS acted_at,
    'the integration''s policy ignores what finally fails' AS reason) AS p`
