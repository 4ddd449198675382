package store_test

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// letters is a text that no normalising makes equal to another.
func letters() string {
	return strings.Map(func(r rune) rune { return 'a' + (r-'0')%26 }, rand.Text())
}

// What goes to another integration makes no more groups there than what fails there.
func TestRedirectsAreFewGroups(t *testing.T) {
	d := open(t)
	var done []delivery.Completion
	for range 55 {
		d.accept(delivery.Message{Integration: "push"})
	}
	for _, c := range d.claim("push", 100, time.Hour) {
		done = append(done, completion(c, delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "the receiver answered 422: " + letters()}, delivery.StateDead))
	}
	d.complete(done...)
	for _, c := range done {
		_, err := d.redirect(c.DeliveryID, "sms")
		d.must(err)
	}
	many, _ := delivery.ManyTexts("sms", delivery.ClassHTTP4xx)
	if n, in := value[int](d, "SELECT count(*) FROM redrive.groups WHERE integration = 'sms'"), value[int](d, "SELECT count(*) FROM redrive.deliveries WHERE group_id = $1", many); n != 51 || in != 5 {
		t.Errorf("%d groups of %d redirected failures, %d of them in the one for all", n, len(done), in)
	}
}

// A receiver whose answers no normalising makes equal gets few groups, and takes none from others.
func TestTextsThatAlwaysDifferAreFewGroups(t *testing.T) {
	d := open(t)
	d.fails(delivery.Message{Integration: "push"}, "known before")
	var all []string
	for range 3 { // batches that do not see each other's groups before they are written
		for range 40 {
			all = append(all, d.accept(delivery.Message{Integration: "push"}).Deliveries[0].ID)
		}
		var done []delivery.Completion
		for _, c := range d.claim("push", 100, time.Hour) {
			done = append(done, completion(c, delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "the receiver answered 422: " + letters()}, delivery.StateDead))
		}
		if late := d.complete(done...); late != 0 || len(done) != 40 {
			t.Fatalf("%d of %d were late", late, len(done))
		}
	}
	count := func(where string) int { return value[int](d, "SELECT count(*) FROM redrive.groups WHERE "+where) }
	if n := count("true"); n != 51 {
		t.Errorf("%d groups, want 50 and one for the others", n)
	}
	id, text := delivery.ManyTexts("push", delivery.ClassHTTP4xx)
	if n := value[int](d, "SELECT count(*) FROM redrive.deliveries WHERE group_id = $1", id); n != len(all)+1-50 || count("message = '"+text+"'") != 1 {
		t.Errorf("%d of %d failures are in the group for all", n, len(all)+1)
	}
	again := d.fails(delivery.Message{Integration: "push"}, "known before")
	other := d.fails(delivery.Message{Integration: "sms"}, "the receiver answered 422: "+letters())
	for _, delivered := range []string{again, other} {
		if got := value[string](d, "SELECT group_id FROM redrive.deliveries WHERE id = $1", delivered); got == id {
			t.Error("a known group, or another integration's, is not found any more")
		}
	}
	d.must(d.sql("UPDATE redrive.groups SET first_seen = first_seen - interval '2 hours'"))
	d.fails(delivery.Message{Integration: "push"}, letters())
	if n := count("true"); n != 53 {
		t.Errorf("%d groups after an hour, want one more", n)
	}
	d.must(d.sql("INSERT INTO redrive.groups (id, integration, error_class, message, first_seen) SELECT 'old' || n, 'push', 'http_4xx', n::text, now() - interval '9 days' FROM generate_series(1, 1000) n"))
	d.fails(delivery.Message{Integration: "push"}, letters())
	if n := count("id NOT LIKE 'old%'"); n != 53 {
		t.Errorf("%d groups beside 1000 that are alive", n)
	}
}

// What a database says of a batch's query is shown beside the SQLSTATE; what may repeat data is not, where fields are masked.
func TestAQueryThatFailsComesWithItsWords(t *testing.T) {
	d := open(t)
	d.must(d.sql(`CREATE TABLE public.people (id int PRIMARY KEY, name text); INSERT INTO public.people VALUES (1, 's3cret');
		CREATE FUNCTION public.refuse(x text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no % today', x; END $$`))
	for query, want := range map[string][2]string{
		"SELECT 1 / (id - 1) FROM public.people":                  {"the query failed (SQLSTATE 22012): division by zero"},
		"SELECT nme FROM public.people":                           {`the query failed (SQLSTATE 42703): column "nme" does not exist`},
		"SELECT * FROM public.nobody":                             {`the query failed (SQLSTATE 42P01): relation "public.nobody" does not exist`},
		"SELECT name::int FROM public.people":                     {`the query failed (SQLSTATE 22P02): invalid input syntax for type integer: "s3cret"`, "the query failed (SQLSTATE 22P02)"},
		"SELECT public.refuse(name) FROM public.people":           {"the query failed (SQLSTATE P0001): no s3cret today", "the query failed (SQLSTATE P0001)"},
		"SELECT repeat('9', 9)::int * id * 99 FROM public.people": {"the query failed (SQLSTATE 22003): integer out of range"},
	} {
		source, err := d.OpenBatchSource(t.Context(), wire.Dialer{}.DialContext, "", "UTC")
		d.must(err)
		err = source.Read(t.Context(), delivery.BatchSelection{Query: query}, func([]delivery.BatchColumn) error { return nil }, func([][]byte) error { return nil })
		source.Close()
		if err == nil || delivery.Explain(err, false).English() != want[0] {
			t.Errorf("%s: %v", query, err)
			continue
		}
		masked := delivery.Explain(err, true).English()
		if want[1] == "" && masked != want[0] || !strings.HasPrefix(masked, want[1]) || strings.Contains(masked+err.Error(), "s3cret") {
			t.Errorf("%s, masked: %s; in the log: %v", query, masked, err)
		}
	}
	if slices.Contains([]bool{delivery.QuotesData("23505", `duplicate key value violates unique constraint "x"`, ""), !delivery.QuotesData("23514", "no", "exec_stmt_raise")}, true) {
		t.Error("a constraint's name is no data, what a function raises may be")
	}
}
