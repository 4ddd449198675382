package desk

import (
	"fmt"
	"slices"

	"gorm.io/gorm"

	"redrive/delivery"
)

// chunk is what a step acts on: of each part the items from first to last.
type chunk struct {
	operation     openOperation
	integrations  []string
	firsts, lasts []int
}

// release acts on what the plan set for each part, and moves cursors and counters.
func release(tx *gorm.DB, o openOperation, parts []delivery.PartStep) (acted int, err error) {
	c := chunk{operation: o}
	for _, p := range parts {
		if n := min(p.Release, p.Waiting()); n > 0 {
			c.integrations = append(c.integrations, p.Integration)
			c.firsts, c.lasts = append(c.firsts, p.Cursor+1), append(c.lasts, p.Cursor+n)
		}
	}
	if len(c.integrations) == 0 {
		return 0, nil
	}
	changed, err := c.act(tx)
	if err != nil {
		return 0, err
	}
	for i := range parts {
		p := &parts[i]
		at := slices.Index(c.integrations, p.Integration)
		if at < 0 {
			continue
		}
		n := c.lasts[at] - p.Cursor
		p.Cursor, p.Skipped = c.lasts[at], p.Skipped+n-changed[at]
		if !o.Action.Row().Queues {
			p.Succeeded += changed[at]
		}
		if p.Waiting() == 0 {
			p.Phase = delivery.PhaseDone
		}
		acted += changed[at]
	}
	return acted, nil
}

// act carries the operation's action out on the items that are as they were at the freeze, and skips the others. It returns how many of
// each part it changed.
func (c *chunk) act(tx *gorm.DB) ([]int, error) {
	o := c.operation
	d := decision{
		Transition: o.Action.Row(),
		actor:      o.ActorID,
		reason:     o.Reason,
		category:   o.Category,
		evidence:   o.Evidence,
		until:      o.Until,
		operation:  o.ID,
	}
	list, err := permitted(tx, c.targets(), d)
	if err != nil {
		return nil, err
	}
	changed, skipped := c.sort(list)
	if err := c.skip(tx, skipped, d); err != nil {
		return nil, fmt.Errorf("%s: skipping: %w", o.Action, err)
	}
	return changed, carryOut(tx, list, d)
}

// targets are the items of the chunk; rows are looked up one by one, whatever the planner believes of how many there are.
func (c *chunk) targets() targets {
	return targets{sql: `given AS MATERIALIZED (
    SELECT i.n, i.delivery_id AS id, i.version
    FROM unnest(CAST(@integrations AS text[]), CAST(@firsts AS int[]), CAST(@lasts AS int[])) AS g(integration, first, last)
    CROSS JOIN LATERAL (SELECT * FROM redrive.operation_items i WHERE i.operation_id = CAST(@operation AS uuid) AND i.n BETWEEN g.first AND g.last OFFSET 0) i
)`, args: map[string]any{"operation": c.operation.ID, "integrations": &c.integrations, "firsts": &c.firsts, "lasts": &c.lasts}}
}

// sort counts what is taken of each part, and returns the numbers of what is not.
func (c *chunk) sort(list []lockedDelivery) (changed []int, skipped []int) {
	found := make(map[int]bool, len(list))
	for _, t := range list {
		found[t.n] = true
	}
	changed = make([]int, len(c.integrations))
	for i := range c.integrations {
		for n := c.firsts[i]; n <= c.lasts[i]; n++ {
			if found[n] {
				changed[i]++
			} else {
				skipped = append(skipped, n)
			}
		}
	}
	return changed, skipped
}

// skip notes why items were not changed. It looks after the locks were waited for, so that it sees who was faster.
func (c *chunk) skip(tx *gorm.DB, numbers []int, d decision) error {
	if len(numbers) == 0 {
		return nil
	}
	found, err := look(tx, c.targets(), numbers)
	if err != nil {
		return err
	}
	whys, who := make([]string, len(found)), make([]*string, len(found))
	for i, s := range found {
		whys[i], who[i] = s.excluded(d.Transition), s.faster(d.Transition).JSON()
	}
	return tx.Exec(`UPDATE redrive.operation_items i SET outcome = 'skipped', reason = w.why, who = w.who::jsonb
		FROM unnest(?::int[], ?::text[], ?::text[]) AS w(n, why, who) WHERE i.operation_id = ? AND i.n = w.n`, &numbers, &whys, &who, c.operation.ID).Error
}

// faster says who changed s first; the zero phrase where it was nobody.
func (s subject) faster(t delivery.Transition) (who delivery.Phrase) {
	switch s.excluded(t) {
	case delivery.ExcludedNotFound, delivery.ExcludedExpired, delivery.ExcludedNoRoute, delivery.ExcludedDropped:
		return who
	}
	return s.conflict().Who()
}
