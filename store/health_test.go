package store_test

import (
	"slices"
	"testing"
	"time"

	"redrive/delivery"
)

// A process begins with the status that another one has left: since when it is so stays, to the moment, however long a word of it takes
// and whatever the clock of the process says.
func TestTheTimeOfAStatusOutlivesItsProcess(t *testing.T) {
	s := open(t)
	save := func(worker string, kept bool, h delivery.PartHealth, seen time.Time) delivery.PartHealth {
		t.Helper()
		s.must(s.SaveHealth(t.Context(), worker, []delivery.SeenHealth{{Integration: "push", PartHealth: h, SeenAt: seen, Kept: kept}}))
		all, err := s.PartHealth(t.Context())
		if s.must(err); len(all["push"]) != 1 {
			t.Fatalf("%+v", all)
		}
		return all["push"][0]
	}
	now := time.Now()
	h := delivery.PartHealth{Part: delivery.PartDestination, Status: delivery.PartDegraded, Since: now.Add(-time.Minute)}
	known := save("first", false, h, now)
	if again := save("second", true, known, now.Add(time.Second)); !again.Since.Equal(known.Since) {
		t.Errorf("degraded since %s, then since %s", known.Since, again.Since)
	}
	known.Status, known.Since = delivery.PartOK, now
	if after := save("second", false, known, now.Add(2*time.Second)); after.Status != delivery.PartOK || after.Since.Before(now.Add(-time.Second)) {
		t.Errorf("it works since %s, not since %s", after.Since, now)
	}
}

// Of what several processes see of a part the worst counts, as long as it was seen lately; what the latest saw is known after it.
func TestHealthOfSeveralProcesses(t *testing.T) {
	s := open(t)
	now, part := time.Now(), delivery.PartSource
	see := func(worker string, status delivery.PartStatus, seen time.Time, why string) {
		t.Helper()
		h := delivery.SeenHealth{Integration: "push", SeenAt: seen, PartHealth: delivery.PartHealth{Part: part, Status: status, Since: seen.Add(-time.Minute)}}
		if why != "" {
			h.LastError, h.LastErrorAt = delivery.Verbatim(why), &seen
		} else {
			h.LastSuccess = &seen
		}
		if err := s.SaveHealth(t.Context(), worker, []delivery.SeenHealth{h}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want delivery.PartStatus, why string) delivery.PartHealth {
		t.Helper()
		all, err := s.PartHealth(t.Context())
		at := slices.IndexFunc(all["push"], func(h delivery.PartHealth) bool { return h.Part == part })
		if err != nil || at < 0 {
			t.Fatal(all, err)
		}
		h := all["push"][at]
		if h.Status != want || !h.LastError.Equal(delivery.Verbatim(why)) {
			t.Errorf("%+v, want %s because of %q", h, want, why)
		}
		return h
	}
	see("a", delivery.PartOK, now, "")
	first := expect(delivery.PartOK, "")
	see("a", delivery.PartOK, now.Add(time.Millisecond), "")
	if again := expect(delivery.PartOK, ""); !again.Since.Equal(first.Since) {
		t.Errorf("the status began at %s and then at %s", first.Since, again.Since)
	}
	see("b", delivery.PartDegraded, now, "away")
	expect(delivery.PartDegraded, "away")
	see("b", delivery.PartDegraded, now.Add(-time.Minute), "away") // it sees nothing any more
	if h := expect(delivery.PartOK, "away"); h.LastSuccess == nil || h.LastErrorAt == nil {
		t.Errorf("what was is forgotten: %+v", h)
	}
	part = delivery.PartDestination
	see("b", delivery.PartDegraded, now.Add(-time.Second), "refused")
	see("a", delivery.PartOK, now, "") // nobody tries again
	expect(delivery.PartOK, "refused")
	part = delivery.PartSource
	see("c", delivery.PartDegraded, now.Add(-time.Hour), "long ago")
	see("a", delivery.PartOK, now, "")
	s.must(s.sql("DO $$ BEGIN ASSERT (SELECT count(*) FROM redrive.health WHERE part = 'source') = 2, 'what processes saw that are gone is kept'; END $$"))
}

// Whoever listens first after a time without listeners knows how long it was, once; where another listens all the while there is none.
func TestWhoListensNext(t *testing.T) {
	s := open(t)
	listen := func(worker string, since time.Duration) *delivery.SourceGap {
		t.Helper()
		gap, err := s.Listen(t.Context(), delivery.Listening{Integration: "push", Place: "here", Worker: worker, Since: since})
		if err != nil {
			t.Fatal(err)
		}
		return gap
	}
	change := func(statement string) {
		t.Helper()
		s.must(s.sql(statement))
	}
	if gap := listen("a", 0); gap != nil {
		t.Errorf("the first ever: %s", gap)
	}
	change("UPDATE redrive.listeners SET heard_at = heard_at - interval '3 seconds', beat_at = beat_at - interval '3 seconds'")
	for range 2 { // a may be alive: nobody knows yet
		if gap := listen("b", 0); gap != nil {
			t.Errorf("too early: %s", gap)
		}
	}
	listen("a", time.Minute)
	if gap := listen("b", 0); gap != nil {
		t.Errorf("a listened all the while: %s", gap)
	}
	if err := s.Unlisten(t.Context(), delivery.Listening{Integration: "push", Place: "here", Worker: "a"}); err != nil {
		t.Fatal(err)
	}
	change("UPDATE redrive.listeners SET heard_at = heard_at - interval '20 seconds', beat_at = beat_at - interval '20 seconds'") // b is killed
	gap := listen("c", 0)
	if gap == nil || gap.To.Sub(*gap.From) < 19*time.Second {
		t.Errorf("the gap is %v", gap)
	}
	if gap := listen("c", 0); gap != nil {
		t.Errorf("once more: %s", gap)
	}
	if gap, err := s.Listen(t.Context(), delivery.Listening{Integration: "push", Place: "elsewhere", Worker: "d"}); gap != nil || err != nil {
		t.Errorf("another place: %v %v", gap, err)
	}
	if noted, err := s.NoteGap(t.Context(), delivery.NotedGap{Integration: "push", Place: "here", SourceGap: delivery.SourceGap{What: delivery.Say("gap.hung_up", "waited", "something\x00 else")}}); err != nil || !noted {
		t.Fatal(noted, err)
	}
	if g, err := s.SourceGaps(t.Context(), "push"); g.Count != 2 || g.Last.From != nil || !g.Last.What.Equal(delivery.Say("gap.hung_up", "waited", "something\uFFFD else")) || err != nil {
		t.Errorf("%+v, %v", g, err)
	}
	health, err := s.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range health {
		if h.Name == "push" && h.Gaps.Count != 2 {
			t.Errorf("the page shows %+v", h.Gaps)
		}
	}
}
