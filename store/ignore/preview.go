package ignore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/record"
)

const (
	previewAtMost = 5000 // failures that a preview looks at
	examples      = 5
)

// past is a failure on which the machine gave up, or will never again.
type past struct {
	Failing
	failedAt  time.Time
	delivered bool
}

// pastSQL selects the latest failures of an integration on which the machine gave up: each state by its own index, as far as the limit goes. Of
// what was delivered or is tried again only what somebody had asked for: the machine gave up on that before.
var pastSQL = `SELECT r.id::text, r.message_id::text, r.integration, coalesce(r.error_class, ''), coalesce(f.error, ''), coalesce(r.group_id, ''),
    coalesce(g.message, ''), coalesce(r.key, ''), coalesce(r.type, ''), r.failed_at, r.state = 'delivered'
FROM (` + eachState("dead", "ignored", "resolved", "pending", "delivered") + `) r
JOIN redrive.failure_details f ON f.delivery_id = r.id LEFT JOIN redrive.groups g ON g.id = r.group_id
WHERE r.state IN ('dead', 'ignored', 'resolved') OR f.action IS NOT NULL OR r.operation_id IS NOT NULL
ORDER BY r.failed_at DESC, r.id DESC LIMIT CAST(@most AS int)`

func eachState(states ...string) string {
	list := make([]string, len(states))
	for i, state := range states {
		list[i] = fmt.Sprintf(`(SELECT * FROM redrive.deliveries r WHERE r.state = '%s' AND r.integration = @integration AND r.failed_at IS NOT NULL
    AND r.changed_at >= CAST(@from AS timestamptz) AND r.failed_at >= CAST(@from AS timestamptz) ORDER BY r.changed_at DESC, r.id DESC LIMIT CAST(@most AS int))`, state)
	}
	return strings.Join(list, " UNION ALL ")
}

// PreviewIgnoreRule says what a rule would have swallowed in the last 30 days.
func (s *Rules) PreviewIgnoreRule(ctx context.Context, r delivery.IgnoreRuleRequest) (p delivery.IgnorePreview, err error) {
	err = s.Snapshot(ctx, func(tx *gorm.DB) error {
		if err := check(tx, &r); err != nil {
			return err
		}
		p, err = preview(tx, r.Integration, r.Filter)
		return err
	})
	return p, pg.DomainError(err)
}

func preview(tx *gorm.DB, integration string, f delivery.Filter) (p delivery.IgnorePreview, err error) {
	now, err := pg.ReadOne(tx, pg.Single[time.Time], "SELECT clock_timestamp()")
	if err != nil {
		return p, err
	}
	p.From = now.AddDate(0, 0, -delivery.PreviewDays)
	all, err := pg.Read(tx, func(x *past) []any {
		return []any{&x.ID, &x.MessageID, &x.Integration, &x.Class, &x.Failing.Error, &x.GroupID, &x.Group, &x.Key, &x.Type, &x.failedAt, &x.delivered}
	}, pastSQL, map[string]any{"integration": integration, "from": p.From, "most": previewAtMost + 1})
	if err != nil {
		return p, fmt.Errorf("looking at the last failures: %w", err)
	}
	if p.Whole = len(all) <= previewAtMost; !p.Whole {
		all = all[:previewAtMost]
	}
	p.Looked = len(all)
	list := make([]Failing, len(all))
	for i, x := range all {
		list[i] = x.Failing
	}
	fits, err := match(tx, f, list)
	if err != nil {
		return p, err
	}
	return p, sum(tx, &p, now, all, fits)
}

// sum adds up what fits: by days, the latest first.
func sum(tx *gorm.DB, p *delivery.IgnorePreview, now time.Time, all []past, fits []bool) (err error) {
	var shown []string
	for i, x := range all {
		if !fits[i] {
			continue
		}
		day := x.failedAt.UTC().Truncate(24 * time.Hour)
		if n := len(p.Days); n == 0 || !p.Days[n-1].Day.Equal(day) {
			p.Days = append(p.Days, delivery.IgnoreDay{Day: day})
		}
		last := &p.Days[len(p.Days)-1]
		p.Swallows++
		last.Swallowed++
		if x.delivered {
			p.Retried++
			last.Retried++
		}
		if x.failedAt.After(now.Add(-24 * time.Hour)) {
			p.LastDay++
		}
		if len(shown) < examples {
			shown = append(shown, x.ID)
		}
	}
	if len(shown) > 0 {
		p.Examples, err = record.ListAt(tx, shown)
	}
	return err
}
