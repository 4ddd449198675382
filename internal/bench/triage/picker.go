package triage

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
)

// picker chooses what is asked for. It always chooses the same in the same order.
type picker struct {
	*rand.Rand
	groups   []delivery.Group // with dead letters, the large one first
	dead     []row
	open     int
	settled  int
	large    string // group
	operator []string
}

// row is a dead letter with what it can be found by.
type row struct {
	id, message, key, order, email, sku, customer, error string
	at                                                   time.Time
}

func newPicker(ctx context.Context, conn *pgx.Conn) (*picker, error) {
	p := &picker{Rand: rand.New(rand.NewPCG(4711, 6)), operator: []string{"ann", "bela", "chris", "dana"}}
	rows, err := conn.Query(ctx, `SELECT g.id, g.integration, g.error_class, g.message, c.dead FROM redrive.groups g
		JOIN redrive.group_counts c ON c.group_id = g.id WHERE c.dead > 0 ORDER BY c.dead DESC, g.id`)
	if err != nil {
		return nil, err
	}
	if p.groups, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (g delivery.Group, err error) {
		return g, r.Scan(&g.ID, &g.Integration, &g.ErrorClass, &g.Message, &g.Dead)
	}); err != nil {
		return nil, fmt.Errorf("reading groups: %w", err)
	}
	rows, err = conn.Query(ctx, `SELECT r.id::text, r.message_id::text, m.key, d->>'order', d->'customer'->>'email',
			d->'items'->0->>'sku', d->'customer'->>'id', f.error, r.changed_at
		FROM (SELECT * FROM redrive.deliveries WHERE state = 'dead' ORDER BY hashtext(id::text), id LIMIT 1000) r
		JOIN redrive.messages m ON m.id = r.message_id JOIN redrive.failure_details f ON f.delivery_id = r.id
		CROSS JOIN LATERAL (SELECT convert_from(m.payload, 'UTF8')::jsonb AS d) j`)
	if err != nil {
		return nil, err
	}
	if p.dead, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (d row, err error) {
		return d, r.Scan(&d.id, &d.message, &d.key, &d.order, &d.email, &d.sku, &d.customer, &d.error, &d.at)
	}); err != nil {
		return nil, fmt.Errorf("reading dead letters: %w", err)
	}
	if len(p.groups) == 0 || len(p.dead) == 0 {
		return nil, fmt.Errorf("nothing is dead in this database")
	}
	p.large = p.groups[0].ID
	return p, conn.QueryRow(ctx, `SELECT sum(dead + pending), sum(ignored + resolved + delivered) FROM redrive.group_counts`).
		Scan(&p.open, &p.settled)
}

// rare is a word of an error that few others have.
func (p *picker) rare() string {
	for {
		for _, word := range strings.Fields(one(p, p.dead).error) {
			if len(word) >= 8 && strings.IndexFunc(word, unicode.IsDigit) >= 0 && !strings.ContainsAny(word, ":[") {
				return word
			}
		}
	}
}

func one[T any](p *picker, list []T) T { return list[p.IntN(len(list))] }

// some returns n different ones.
func some[T any](p *picker, list []T, n int) []T {
	out := make([]T, 0, n)
	for _, i := range p.Perm(len(list))[:min(n, len(list))] {
		out = append(out, list[i])
	}
	return out
}

// group is the large one as often as people look at it.
func (p *picker) group() delivery.Group {
	if p.IntN(5) == 0 {
		return p.groups[0]
	}
	return one(p, p.groups)
}

func (p *picker) integration() string { return one(p, routes).name }

// facets are the ways to narrow a list; each sets one field.
var facets = []struct {
	name string
	set  func(*picker, *delivery.Filter)
}{
	{"integration", func(p *picker, f *delivery.Filter) { f.Integrations = []string{p.integration()} }},
	{"three integrations", func(p *picker, f *delivery.Filter) {
		for _, r := range some(p, routes, 3) {
			f.Integrations = append(f.Integrations, r.name)
		}
	}},
	{"method", func(p *picker, f *delivery.Filter) {
		f.Methods = []delivery.Method{one(p, []delivery.Method{delivery.MethodOutbox, delivery.MethodPool, delivery.MethodBatch})}
	}},
	{"destination", func(p *picker, f *delivery.Filter) {
		f.Destinations = []string{one(p, []string{"http", "redis", "file"})}
	}},
	{"class", func(p *picker, f *delivery.Filter) { f.ErrorClasses = []string{p.group().ErrorClass} }},
	{"two classes", func(p *picker, f *delivery.Filter) {
		f.ErrorClasses = []string{p.group().ErrorClass, delivery.ClassGone}
	}},
	{"group", func(p *picker, f *delivery.Filter) { f.Groups = []string{p.group().ID} }},
	{"five groups", func(p *picker, f *delivery.Filter) {
		for _, g := range some(p, p.groups, 5) {
			f.Groups = append(f.Groups, g.ID)
		}
	}},
	{"group message", func(p *picker, f *delivery.Filter) { f.GroupMessages = []string{p.group().Message} }},
	{"type", func(p *picker, f *delivery.Filter) { f.Types = []string{one(p, routes).kind} }},
	{"attempts", func(p *picker, f *delivery.Filter) {
		low := 1 + p.IntN(8)
		f.Attempts = delivery.Range{Min: &low, Max: &low}
	}},
	{"attempts of an integration", func(p *picker, f *delivery.Filter) {
		low := 2 + p.IntN(6)
		f.Integrations, f.Attempts = []string{p.integration()}, delivery.Range{Min: &low}
	}},
	{"time", func(p *picker, f *delivery.Filter) {
		from := one(p, p.dead).at
		to := from.Add(time.Duration(1+p.IntN(48)) * time.Hour)
		f.From, f.To = &from, &to
	}},
	{"key", func(p *picker, f *delivery.Filter) { f.Key = one(p, p.dead).key }},
	{"message", func(p *picker, f *delivery.Filter) { f.MessageID = one(p, p.dead).message }},
	{"ids", func(p *picker, f *delivery.Filter) {
		for _, r := range some(p, p.dead, 50) {
			f.IDs = append(f.IDs, r.id)
		}
	}},
	{"operator", func(p *picker, f *delivery.Filter) { f.Actors = []string{one(p, p.operator)} }},
	{"assignee", func(p *picker, f *delivery.Filter) { f.Assignees = []string{one(p, p.operator)} }},
	{"no assignee", func(p *picker, f *delivery.Filter) { f.Assignees = []string{delivery.NoAssignee} }},
	{"tag", func(p *picker, f *delivery.Filter) {
		f.Tags = []string{one(p, []string{"vip", "partner", "month-end"})}
	}},
	{"ticket", func(p *picker, f *delivery.Filter) { f.Ticket = fmt.Sprintf("OPS-%d", 100+p.IntN(900)) }},
	{"acknowledged", func(p *picker, f *delivery.Filter) { f.Acknowledged = new(bool); *f.Acknowledged = true }},
	{"not acknowledged", func(p *picker, f *delivery.Filter) { f.Acknowledged = new(bool) }},
}

// combination narrows a list in two to four ways at once.
func (p *picker) combination(f *delivery.Filter) {
	for _, i := range p.Perm(len(facets))[:2+p.IntN(3)] {
		facets[i].set(p, f)
	}
	if p.IntN(3) == 0 {
		f.Sort = delivery.SortOldest
	}
}
