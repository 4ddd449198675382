package triage

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/store"
)

func TestZZ(t *testing.T) {
	dsn := os.Getenv("ZZ")
	ctx := context.Background()
	db, err := store.Open(ctx, dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	conn, _ := pgx.Connect(ctx, dsn)
	p, err := newPicker(ctx, conn)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(name string, n int, count bool, set func(f *delivery.Filter)) {
		var took []time.Duration
		worst, what := time.Duration(0), ""
		for i := range n + 6 {
			var f delivery.Filter
			set(&f)
			began := time.Now()
			var err error
			if count {
				_, _, err = db.CountFailures(ctx, f, 10000)
			} else {
				_, err = db.Failures(ctx, f)
			}
			d := time.Since(began)
			if i < 6 {
				continue
			}
			took = append(took, d)
			if d > worst || err != nil {
				worst = d
				raw, _ := json.Marshal(f)
				what = string(raw)
				if err != nil {
					what = err.Error() + what
				}
			}
		}
		slices.Sort(took)
		ms := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
		flag := ""
		if ms(0.97) > 9 {
			flag = what
		}
		fmt.Printf("%-45s %7.2f %7.2f %7.2f %s\n", name, ms(0.5), ms(0.97), ms(1), flag)
	}
	switch os.Getenv("ZZM") {
	case "combo":
		for i := range 6 {
			ask(fmt.Sprint("combo ", i), 60, false, func(f *delivery.Filter) {
				f.States = some(p, listed, 1+p.IntN(2))
				p.combination(f)
			})
		}
		return
	case "count":
		for _, facet := range facets {
			ask("count "+facet.name, 25, true, func(f *delivery.Filter) { f.States = []delivery.State{one(p, listed)}; facet.set(p, f) })
		}
		return
	}
	for _, s := range listed {
		for _, facet := range facets {
			ask(string(s)+" "+facet.name, 25, false, func(f *delivery.Filter) { f.States = []delivery.State{s}; facet.set(p, f) })
		}
	}
}

func TestYY(t *testing.T) {
	ctx := context.Background()
	db, err := store.Open(ctx, os.Getenv("ZZ"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	conn, _ := pgx.Connect(ctx, os.Getenv("ZZ"))
	p, err := newPicker(ctx, conn)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Options: Options{Runs: 12}, conn: conn, db: db, pick: p}
	var all []question
	all = append(append(append(b.lists(), b.groupQuestions()...), b.others()...), b.searches()...)
	for _, q := range all {
		if q.name != os.Getenv("ZZM") {
			continue
		}
		for range 20 {
			ask, _ := q.prepare()
			began := time.Now()
			_, err := ask(ctx)
			fmt.Println(time.Since(began), err)
		}
	}
}
