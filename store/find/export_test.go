package find

import (
	"context"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// GroupsPlan carries a list of groups out and returns Postgres's plan, in JSON.
func (s *Lists) GroupsPlan(ctx context.Context, f delivery.GroupFilter) (plan string, err error) {
	from, conditions, err := groupConditions(f)
	if err != nil {
		return "", err
	}
	err = s.Snapshot(ctx, func(tx *gorm.DB) error {
		f := scopedGroups{f, within(tx, f.Filter)}
		if err := planned(tx, &f); err != nil {
			return err
		}
		query, args := groupQuery(f, from, conditions, f.Limit+1)
		plan, err = pg.ReadOne(tx, pg.Single[string], "EXPLAIN (ANALYZE, FORMAT JSON) "+query, args...)
		return err
	})
	return plan, err
}

// CountPlan does the same of counting by groups.
func (s *Lists) CountPlan(ctx context.Context, f delivery.Filter) (plan string, err error) {
	err = s.Snapshot(ctx, func(tx *gorm.DB) error {
		query, args := countQuery(within(tx, f), "g.dead")
		plan, err = pg.ReadOne(tx, pg.Single[string], "EXPLAIN (ANALYZE, FORMAT JSON) "+query, args...)
		return err
	})
	return plan, err
}
