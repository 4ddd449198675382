package triage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"redrive/delivery"

	"redrive/delivery/progress"
)

// target is what a question may take.
type target struct {
	percentile int
	limit      time.Duration
}

var (
	listTarget   = target{99, 10 * time.Millisecond}
	searchTarget = target{95, 50 * time.Millisecond}
	pageTarget   = target{99, 50 * time.Millisecond}
)

// question is asked many times, each time with other values. prepare chooses them, ask is what is timed; it answers how many were found.
type question struct {
	name    string
	target  target
	prepare func() (ask func(context.Context) (int, error), err error)
}

// inDatabase asks the store in this process.
func (b *bench) inDatabase(ctx context.Context) error {
	questions := []question{{"round trip (SELECT 1)", target{}, func() (func(context.Context) (int, error), error) {
		return func(ctx context.Context) (n int, err error) { return n, b.conn.QueryRow(ctx, "SELECT 1").Scan(&n) }, nil
	}}}
	questions = append(questions, b.lists()...)
	questions = append(questions, b.groupQuestions()...)
	questions = append(questions, b.others()...)
	return b.askAll(ctx, "in the database", append(questions, b.searches()...))
}

// patience is when a question that takes long has been asked often enough.
const patience = 60 * time.Second

func (b *bench) askAll(ctx context.Context, where string, questions []question) error {
	step := progress.Begin(ctx, "questions "+where, int64(len(questions)))
	defer step.End()
	for _, q := range questions {
		step.Add(1)
		if !strings.Contains(where+" "+q.name, b.Only) {
			continue
		}
		line := Line{Where: where, Name: q.name, target: q.target}
		began := time.Now()
		for n := range b.Runs + warmUp {
			ask, err := q.prepare()
			if err == nil {
				err = line.time(ctx, n >= warmUp, ask)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if line.Err = err; err != nil || time.Since(began) > patience {
				break
			}
		}
		b.report.add(line)
	}
	return b.report.print(b.Out, where)
}

// warmUp is more than the five runs after which Postgres may keep a plan for any values.
const warmUp = 8

func (l *Line) time(ctx context.Context, counts bool, ask func(context.Context) (int, error)) error {
	began := time.Now()
	found, err := ask(ctx)
	if took := time.Since(began); counts && err == nil {
		l.took, l.found = append(l.took, took), l.found+found
	}
	return err
}

// listOf asks for a page of what a filter selects.
func (b *bench) listOf(name string, t target, set func(*delivery.Filter)) question {
	return question{name, t, func() (func(context.Context) (int, error), error) {
		var f delivery.Filter
		set(&f)
		return func(ctx context.Context) (int, error) {
			page, err := b.db.Failures(ctx, f)
			return len(page.Items), about(f, err)
		}, nil
	}}
}

// about says of an error what was asked.
func about(f delivery.Filter, err error) error {
	if err == nil {
		return nil
	}
	text, _ := json.Marshal(f) // of texts and numbers
	return fmt.Errorf("%w, asked for %s", err, text)
}

var listed = []delivery.State{
	delivery.StateDead,
	delivery.StatePending,
	delivery.StateIgnored,
	delivery.StateResolved,
	delivery.StateDelivered,
}

func (b *bench) lists() []question {
	var list []question
	for _, state := range listed {
		list = append(list, b.listOf("list "+string(state), listTarget,
			func(f *delivery.Filter) { f.States = []delivery.State{state} }))
	}
	list = append(list, b.listOf("list any state", listTarget, func(f *delivery.Filter) { f.States = listed }),
		b.listOf("list dead, oldest first", listTarget, func(f *delivery.Filter) { f.Sort = delivery.SortOldest }),
		b.listOf("list dead, 500 rows", listTarget, func(f *delivery.Filter) { f.Limit = 500 }))
	for _, facet := range facets {
		list = append(list, b.listOf("list dead by "+facet.name, listTarget, func(f *delivery.Filter) { facet.set(b.pick, f) }))
	}
	for _, state := range listed[1:] {
		list = append(list, b.listOf("list "+string(state)+" by one facet", listTarget, func(f *delivery.Filter) {
			f.States = []delivery.State{state}
			one(b.pick, facets).set(b.pick, f)
		}))
	}
	return append(list,
		b.listOf("list dead, new since a look", listTarget, func(f *delivery.Filter) {
			from := one(b.pick, b.pick.dead).at
			f.From = &from
		}),
		b.listOf("list dead by combinations", listTarget, func(f *delivery.Filter) { b.pick.combination(f) }),
		b.listOf("list of random states by combinations", listTarget, func(f *delivery.Filter) {
			f.States = some(b.pick, listed, 1+b.pick.IntN(2))
			b.pick.combination(f)
		}), b.later("second page", 2), b.later("tenth page", 10))
}

// later asks for a later page of dead letters; the way there is not timed.
func (b *bench) later(name string, n int) question {
	return question{"list dead, " + name, listTarget, func() (func(context.Context) (int, error), error) {
		var f delivery.Filter
		if b.pick.IntN(2) == 0 {
			facets[6*b.pick.IntN(2)].set(b.pick, &f) // integration or group
		}
		for range n - 1 {
			page, err := b.db.Failures(context.Background(), f)
			if err != nil {
				return nil, err
			}
			if page.Next == "" {
				break
			}
			f.After = page.Next
		}
		return func(ctx context.Context) (int, error) {
			page, err := b.db.Failures(ctx, f)
			return len(page.Items), err
		}, nil
	}}
}

func (b *bench) groupsOf(name string, set func(*delivery.GroupFilter)) question {
	return question{name, listTarget, func() (func(context.Context) (int, error), error) {
		var f delivery.GroupFilter
		set(&f)
		return func(ctx context.Context) (int, error) {
			page, err := b.db.Groups(ctx, f)
			return len(page.Items), err
		}, nil
	}}
}

func (b *bench) groupQuestions() []question {
	var list []question
	for _, order := range delivery.GroupSorts {
		sorted := func(name string, set func(*delivery.GroupFilter)) {
			list = append(list, b.groupsOf("groups by "+string(order)+name, func(f *delivery.GroupFilter) {
				f.Sort = order
				set(f)
			}))
		}
		sorted("", func(*delivery.GroupFilter) {})
		sorted(", of an integration", func(f *delivery.GroupFilter) { facets[0].set(b.pick, &f.Filter) })
		sorted(", of a state", func(f *delivery.GroupFilter) { f.States = []delivery.State{one(b.pick, listed)} })
		sorted(", of a status", func(f *delivery.GroupFilter) {
			f.Statuses = []delivery.GroupStatus{one(b.pick, delivery.GroupStatuses)}
		})
	}
	return append(append(list, b.laterGroups()), b.moreGroups()...)
}

// laterGroups asks for a later page of groups in any order; the way there is not timed.
func (b *bench) laterGroups() question {
	return question{"groups, fifth page", listTarget, func() (func(context.Context) (int, error), error) {
		f := delivery.GroupFilter{Sort: one(b.pick, delivery.GroupSorts)}
		for range 4 {
			page, err := b.db.Groups(context.Background(), f)
			if err != nil {
				return nil, err
			}
			if page.Next == "" {
				break
			}
			f.After = page.Next
		}
		return func(ctx context.Context) (int, error) {
			page, err := b.db.Groups(ctx, f)
			return len(page.Items), err
		}, nil
	}}
}

func (b *bench) moreGroups() []question {
	return []question{
		b.groupsOf("groups of any state", func(f *delivery.GroupFilter) { f.States = listed }),
		b.groupsOf("groups of a state, sorted", func(f *delivery.GroupFilter) {
			f.States = []delivery.State{one(b.pick, listed)}
			f.Sort = one(b.pick, delivery.GroupSorts)
		}),
		b.groupsOf("groups by combined keys", func(f *delivery.GroupFilter) {
			f.By = some(b.pick, delivery.GroupKeys[:4], 1+b.pick.IntN(4))
		}),
		b.groupsOf("groups by text and other keys", func(f *delivery.GroupFilter) {
			f.By = append(some(b.pick, delivery.GroupKeys[:4], b.pick.IntN(4)), delivery.ByMessage)
		}),
		b.groupsOf("groups of a method, destination or class", func(f *delivery.GroupFilter) { facets[2+b.pick.IntN(3)].set(b.pick, &f.Filter) }),
		b.groupsOf("groups by text", func(f *delivery.GroupFilter) {
			f.Query = one(b.pick, []string{"answered", "refused", "deadlock", "expired"})
		}),
		b.groupsOf("groups by a rare text", func(f *delivery.GroupFilter) { f.Query = "station " + station(b.pick.IntN(max(b.Groups, 200))) }),
		{"group", listTarget, func() (func(context.Context) (int, error), error) {
			id := b.pick.group().ID
			return func(ctx context.Context) (int, error) { return atLeastOne(b.db.Group(ctx, id)) }, nil
		}},
	}
}

func atLeastOne[T any](_ T, err error) (int, error) { return 1, err }

func (b *bench) others() []question {
	return []question{
		{"failure", listTarget, func() (func(context.Context) (int, error), error) {
			id := one(b.pick, b.pick.dead).id
			return func(ctx context.Context) (int, error) { return atLeastOne(b.db.Delivery(ctx, id)) }, nil
		}},
		{"overview (health)", listTarget, func() (func(context.Context) (int, error), error) {
			return func(ctx context.Context) (int, error) {
				list, err := b.db.Health(ctx)
				return len(list), err
			}, nil
		}},
		{"news (generation)", listTarget, func() (func(context.Context) (int, error), error) {
			return func(ctx context.Context) (int, error) { return atLeastOne(b.db.DeadGeneration(ctx)) }, nil
		}},
		b.countOf("count dead", func(*delivery.Filter) {}),
		b.countOf("count by one facet", func(f *delivery.Filter) { one(b.pick, facets).set(b.pick, f) }),
		b.countOf("count of random states by combinations", func(f *delivery.Filter) {
			f.States = some(b.pick, listed, 1+b.pick.IntN(2))
			b.pick.combination(f)
		}),
		{"suggest", listTarget, func() (func(context.Context) (int, error), error) {
			field, typed := b.suggestion()
			return func(ctx context.Context) (int, error) {
				list, err := b.db.Suggest(ctx, field, typed)
				return len(list), err
			}, nil
		}},
	}
}

func (b *bench) countOf(name string, set func(*delivery.Filter)) question {
	return question{name, listTarget, func() (func(context.Context) (int, error), error) {
		var f delivery.Filter
		set(&f)
		return func(ctx context.Context) (int, error) {
			n, _, err := b.db.CountFailures(ctx, f, countAtMost)
			return n, about(f, err)
		}, nil
	}}
}

// countAtMost is the most that a list says of itself.
const countAtMost = 10_000

func (b *bench) suggestion() (field, typed string) {
	values := map[string]string{
		"integration": b.pick.integration(),
		"class":       b.pick.group().ErrorClass,
		"key":         one(b.pick, b.pick.dead).key,
		"assignee":    one(b.pick, b.pick.operator),
		"tag":         "vip",
		"type":        one(b.pick, routes).kind,
	}
	field = one(b.pick, []string{"integration", "class", "key", "assignee", "tag", "type"})
	return field, values[field][:b.pick.IntN(min(len(values[field]), 6))]
}

func (b *bench) searches() []question {
	p, list := b.pick, []question{}
	add := func(name string, set func(*delivery.Filter)) {
		list = append(list, b.listOf("search "+name, searchTarget, set))
	}
	add("error text, rare", func(f *delivery.Filter) { f.Query = p.rare() })
	add("error text, medium", func(f *delivery.Filter) {
		f.Query = one(p, []string{"NullPointerException", "certificate has expired", "no such host"})
	})
	add("error text, common", func(f *delivery.Filter) {
		f.Query = one(p, []string{"the receiver answered", "order 1", "answered 503"})
	})
	add("error text, absent", func(f *delivery.Filter) { f.Query = fmt.Sprintf("flux %d", p.IntN(1e6)) })
	add("error text of two letters", func(f *delivery.Filter) { f.Query = one(p, []string{"53", "be", "zq"}) })
	add("error text in an integration",
		func(f *delivery.Filter) { f.Query, f.Integrations = "deadlock", []string{p.integration()} })
	add("payload words, rare", func(f *delivery.Filter) { f.Words = one(p, p.dead).email })
	add("payload words, medium", func(f *delivery.Filter) { f.Words = "gift " + one(p, []string{"Weber", "Klein", "Roth"}) })
	add("payload words, common", func(f *delivery.Filter) { f.Words = one(p, []string{"web", "EUR", "door"}) })
	add("payload words, absent", func(f *delivery.Filter) { f.Words = fmt.Sprintf("flux%d", p.IntN(1e6)) })
	add("payload path, rare", func(f *delivery.Filter) {
		f.Paths = []delivery.PathValue{{Path: "$.order", Value: one(p, p.dead).order}}
	})
	add("payload path, medium", func(f *delivery.Filter) {
		f.Paths = []delivery.PathValue{{Path: "$.customer.id", Value: one(p, p.dead).customer}}
	})
	add("payload path, common", func(f *delivery.Filter) {
		f.Paths = []delivery.PathValue{{Path: "$.country", Value: one(p, []string{"DE", "KR"})}}
	})
	add("payload path, absent", func(f *delivery.Filter) {
		f.Paths = []delivery.PathValue{{Path: "$.customer.id", Value: fmt.Sprint(900_000_000 + p.IntN(1000))}}
	})
	add("payload path and words", func(f *delivery.Filter) {
		f.Words, f.Paths = "door", []delivery.PathValue{{Path: "$.country", Value: "DE"}, {Path: "$.channel", Value: "web"}}
	})
	return list
}

// failures is an error when a question could not be asked.
func (r *Report) failures() error {
	var errs []error
	for _, l := range r.Lines {
		if l.Err != nil {
			errs = append(errs, fmt.Errorf("%s, %s: %w", l.Where, l.Name, l.Err))
		}
	}
	return errors.Join(errs...)
}
