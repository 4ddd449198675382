package desk

import (
	"fmt"
	"slices"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// chunk is what a step acts on: of each part the items from first to last, and before them those that failed and are sent again.
type chunk struct {
	operation     openOperation
	integrations  []string
	firsts, lasts []int
	waves         []int // of each part
	again         []int // numbers of items
}

// release acts on what the plan set for each part, and moves cursors and counters.
func release(tx *gorm.DB, o openOperation, parts []delivery.PartStep) (acted int, err error) {
	c := chunk{operation: o}
	for i := range parts {
		if err := c.take(tx, &parts[i]); err != nil {
			return 0, err
		}
	}
	if len(c.integrations) == 0 {
		return 0, nil
	}
	list, changed, err := c.act(tx)
	if err != nil {
		return 0, err
	}
	for i := range parts {
		p := &parts[i]
		at := slices.Index(c.integrations, p.Integration)
		if at < 0 {
			continue
		}
		n, again := c.lasts[at]-p.Cursor, between(list, p.First, p.Cursor)
		p.Cursor, p.Skipped, p.Failed, p.WaveSent = c.lasts[at], p.Skipped+n-changed[at], p.Failed-again, p.WaveSent+changed[at]+again
		if !o.Action.Row().Queues {
			p.Succeeded += changed[at]
		}
		if p.Left() == 0 {
			p.Phase = delivery.PhaseDone
		}
		acted += changed[at] + again
	}
	return acted, c.tag(tx, list)
}

// take adds what a part releases: first what is sent again, each once, whatever becomes of it.
func (c *chunk) take(tx *gorm.DB, p *delivery.PartStep) error {
	n := min(p.Release, p.Left())
	if n <= 0 {
		return nil
	}
	if again := min(n, p.Again); again > 0 {
		numbers, err := pg.Read(tx, pg.Single[int], `UPDATE redrive.operation_items SET wave = ? WHERE operation_id = ? AND n IN (
			SELECT n FROM redrive.operation_items WHERE operation_id = ? AND n BETWEEN ? AND ? AND wave = 0 ORDER BY n LIMIT ?) RETURNING n`,
			p.Wave, c.operation.ID, c.operation.ID, p.First, p.Cursor, again)
		if err != nil {
			return fmt.Errorf("looking what is sent again: %w", err)
		}
		n, p.Again, c.again = n-again, p.Again-again, append(c.again, numbers...)
	}
	c.integrations, c.waves = append(c.integrations, p.Integration), append(c.waves, p.Wave)
	c.firsts, c.lasts = append(c.firsts, p.Cursor+1), append(c.lasts, p.Cursor+n)
	return nil
}

// between counts those of a list whose numbers are within bounds.
func between(list []lockedDelivery, first, last int) (n int) {
	for _, t := range list {
		if t.n >= first && t.n <= last {
			n++
		}
	}
	return n
}

// act carries the operation's action out on the items that are as they were at the freeze, and skips the others; of those that failed, on
// the ones that nobody has done anything with since. It returns what it changed, and how many of each part's new ones.
func (c *chunk) act(tx *gorm.DB) (list []lockedDelivery, changed []int, err error) {
	o := c.operation
	d := decision{
		Transition: o.Action.Row(),
		actor:      o.ActorID,
		reason:     o.Reason,
		category:   o.Category,
		evidence:   o.Evidence,
		End:        o.End,
		operation:  o.ID,
	}
	if list, err = permitted(tx, c.targets(), d); err != nil {
		return nil, nil, err
	}
	changed, skipped := c.sort(list)
	if err := c.skip(tx, skipped, d); err != nil {
		return nil, nil, fmt.Errorf("%s: skipping: %w", o.Action, err)
	}
	return list, changed, carryOut(tx, list, d)
}

// tag notes in which wave items are sent, where that is not the first, and forgets the outcome of those that are sent again.
func (c *chunk) tag(tx *gorm.DB, list []lockedDelivery) error {
	if len(c.again) > 0 {
		numbers := make([]int, 0, len(c.again))
		for _, t := range list {
			if slices.Contains(c.again, t.n) {
				numbers = append(numbers, t.n)
			}
		}
		err := tx.Exec("UPDATE redrive.operation_items SET outcome = NULL, reason = NULL, failing = false WHERE operation_id = ? AND n = ANY(?)",
			c.operation.ID, &numbers).Error
		if err != nil {
			return fmt.Errorf("sending again: %w", err)
		}
	}
	for i, wave := range c.waves {
		if wave > 1 && c.lasts[i] >= c.firsts[i] {
			err := tx.Exec("UPDATE redrive.operation_items SET wave = ? WHERE operation_id = ? AND n BETWEEN ? AND ?",
				wave, c.operation.ID, c.firsts[i], c.lasts[i]).Error
			if err != nil {
				return fmt.Errorf("noting the wave: %w", err)
			}
		}
	}
	return nil
}

// targets are the items of the chunk; rows are looked up one by one, whatever the planner believes of how many there are.
func (c *chunk) targets() targets {
	sql := `given AS MATERIALIZED (
    SELECT i.n, i.delivery_id AS id, i.version
    FROM unnest(CAST(@integrations AS text[]), CAST(@firsts AS int[]), CAST(@lasts AS int[])) AS g(integration, first, last)
    CROSS JOIN LATERAL (SELECT * FROM redrive.operation_items i WHERE i.operation_id = CAST(@operation AS uuid) AND i.n BETWEEN g.first AND g.last OFFSET 0) i`
	if len(c.again) > 0 {
		sql += `
    UNION ALL SELECT i.n, i.delivery_id, r.version FROM redrive.operation_items i JOIN redrive.deliveries r ON r.id = i.delivery_id
    WHERE i.operation_id = CAST(@operation AS uuid) AND i.n = ANY(CAST(@again AS int[])) AND r.operation_id = i.operation_id AND r.operation_item = i.n`
	}
	return targets{sql: sql + "\n)", args: map[string]any{"operation": c.operation.ID, "integrations": &c.integrations, "firsts": &c.firsts,
		"lasts": &c.lasts, "again": &c.again}}
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
	case delivery.ExcludedNotFound, delivery.ExcludedExpired, delivery.ExcludedNoRoute, delivery.ExcludedDropped, delivery.ExcludedOriginal:
		return who
	}
	return s.conflict().Who()
}
