package cdc_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

// A table that was renamed, with the file, is the same table: what was committed before and after comes under the new name. So it is
// for a position of a version that knew of no tables.
func TestTheFileFollowsARename(t *testing.T) {
	b := ready(t, articles, rule("articles"))
	p := b.start()
	b.await("it streams", func() bool { return fact(p, "connected").Value == 1 })
	b.run("INSERT INTO articles VALUES (1, 1, '')")
	b.reached()
	p.stop()
	if _, err := connect(t, b.dsn).Exec(ctx(t), "UPDATE redrive.captures SET tables = '{}', verified = '0/0'"); err != nil {
		t.Fatal(err)
	}
	b.run("INSERT INTO articles VALUES (2, 2, '')")
	p = b.start()
	b.await("it streams", func() bool { return fact(p, "connected").Value == 1 })
	b.reached()
	p.stop()
	if len(b.position().Tables) != 1 || b.position().Verified == 0 {
		t.Errorf("%+v", b.position())
	}
	b.run("INSERT INTO articles VALUES (3, 3, '')")
	b.run("ALTER TABLE articles RENAME TO texts")
	b.run("INSERT INTO texts VALUES (4, 4, '')")
	b.in.CDC.Rules = []delivery.CDCRule{rule("texts")}
	p = b.start()
	b.await("it streams", func() bool { return fact(p, "connected").Value == 1 })
	b.run("INSERT INTO texts VALUES (5, 5, '')")
	b.reached()
	if got, want := b.texts("capture"), "insert articles 1 1, insert articles 2 2, insert texts 3 3, insert texts 4 4, insert texts 5 5"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	b.await("no alarm", func() bool { return !fact(p, "alarm").Alarm }) // a look may have come while nobody read
	if len(b.gaps()) > 0 {
		t.Errorf("gaps %v", b.gaps())
	}
}

// A rule that can never work is refused with its line, before anything is set up or passed over.
func TestARuleThatCanNeverWorkIsRefused(t *testing.T) {
	b := ready(t, "CREATE TABLE articles (id int PRIMARY KEY, v int, twice int GENERATED ALWAYS AS (v * 2) STORED); CREATE TABLE child () INHERITS (articles);", rule("articles"))
	wrong := rule("articles")
	wrong.Line, wrong.When = 12, "row.twice > 2"
	b.in.CDC.Rules = []delivery.CDCRule{wrong}
	p := b.start()
	refused := func() bool {
		f := fact(p, "alarm")
		return f.Alarm && strings.Contains(f.Says.English(), "line 12 of the integrations file: when: row.twice") && strings.Contains(f.Says.English(), "generated")
	}
	b.await("it is refused", refused)
	p.stop()
	if query[bool](b, b.src, "SELECT EXISTS (SELECT FROM pg_publication) OR EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)", b.in.CDC.Slot) {
		t.Error("it was set up all the same")
	}
	right := wrong
	right.When = "row.v > 1 and changed != ['x']"
	b.in.CDC.Rules = []delivery.CDCRule{right}
	p = b.start()
	b.await("it streams", func() bool { return fact(p, "connected").Value == 1 })
	if f := fact(p, "findings"); f.Alarm || f.Value != 3 || !strings.Contains(f.Says.English(), "of a deleted row") || !strings.Contains(f.Says.English(), "names nothing but a changed key") ||
		!strings.Contains(f.Says.English(), "public.child come under their own names") {
		t.Errorf("%+v", f)
	}
	p.stop()
	b.in.CDC.Rules = []delivery.CDCRule{wrong}
	p = b.start()
	b.await("it is refused later, too", refused)
	b.run("INSERT INTO articles (id, v) VALUES (1, 2)")
	p.stop()
	b.in.CDC.Rules = []delivery.CDCRule{right}
	p = b.start()
	b.await("nothing was passed over meanwhile", func() bool { return b.texts("capture") == "insert articles 1 2" })
	if len(b.gaps()) > 0 {
		t.Errorf("gaps %v", b.gaps())
	}
}

// A source that never answers, or refuses, is an alarm with the reason and since when, long before any time-out of its own.
func TestASourceThatIsNeverReadIsAnAlarm(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, url := range map[string]string{"silent": "postgres://u@" + silent.Addr().String() + "/x?sslmode=disable", "refused": "postgres://u@127.0.0.1:1/x?sslmode=disable"} {
		t.Run(name, func(t *testing.T) {
			b := ready(t, articles, rule("articles"))
			began := time.Now().UTC().Truncate(time.Second)
			src := b.src
			b.src, b.in.CDC.URL = url, url
			p := b.start()
			b.await("the alarm", func() bool {
				f := fact(p, "alarm")
				return f.Alarm && strings.Contains(f.Says.English(), "have not been read since ")
			})
			text := fact(p, "alarm").Says.English()
			_, rest, _ := strings.Cut(text, "have not been read since ")
			since, _, _ := strings.Cut(rest, ": ")
			if at, err := time.Parse(time.RFC3339, since); err != nil || at.Before(began) || name == "refused" && !strings.Contains(text, "refused") {
				t.Errorf("%s: %v", text, err)
			}
			b.src = src // for the cleanup
		})
	}
}
