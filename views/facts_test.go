package views

import (
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

var (
	aPool     = delivery.Integration{Method: delivery.MethodPool, Pool: &delivery.PoolSettings{Workers: 50, Queue: 1000}}
	poolFacts = map[string][]delivery.Fact{"in-pool": {{Name: "busy", Value: 3, Limit: 50}, {Name: "queued", Value: 1234, Limit: 2000},
		{Name: "recording"}, {Name: "rejected", Total: true}, {Name: "journal_bytes", Value: 2048}, {Name: "new_thing", Value: 1}}}
)

// toldHealth is an integration of which everything is told that can be.
func toldHealth() delivery.IntegrationHealth {
	h := health()[4]
	why := delivery.Say("error.because", "what", delivery.Say("source.status.stopped"), "why", delivery.Say("slot.wal_level"))
	for _, part := range []delivery.Part{delivery.PartSource, delivery.PartRelay, delivery.PartSchedule, delivery.PartPool, delivery.PartDestination} {
		h.Parts = append(h.Parts, delivery.PartHealth{Part: part, Status: delivery.PartDegraded, Since: now, LastSuccess: &now, LastError: why, LastErrorAt: &now})
	}
	h.Parts = append(h.Parts, delivery.PartHealth{Part: delivery.PartSource, Status: delivery.PartOK, Since: now})
	h.Gaps = delivery.SourceGaps{Count: 2, Last: delivery.SourceGap{What: delivery.Say("gap.hung_up", "waited", 31*time.Second), NotedAt: now}}
	to := delivery.LSN(0x20)
	h.TableGaps = []delivery.CaptureGap{{Table: hostile, From: 0x10, To: &to, Why: delivery.Say("gap.withheld.columns", "columns", []string{hostile, hostile}),
		Note: delivery.Say("table.no_key"), FoundAt: now}, {Table: "public.orders", Why: delivery.Verbatim(hostile), Asked: true}}
	return h
}

// toldFacts are figures that say something: of a broker in each status, of a batch at its work, and with alarms.
func toldFacts() (facts []delivery.Fact) {
	waiting := int64(3)
	for _, status := range []delivery.SourceStatus{delivery.SourceConnecting, delivery.SourceConnected, delivery.SourceJoining, delivery.SourceReconnecting, delivery.SourceWaiting, delivery.SourceStopped} {
		facts = append(facts, delivery.SourceFacts{Status: status, Partitions: &delivery.SourcePartitions{Since: now}, Why: delivery.Say("source.held"), Prefetch: 50, Gaps: 3, Unwanted: 2, Waiting: &waiting,
			LastGap: delivery.SourceGap{From: &now, To: &now}}.Facts()...)
	}
	for _, state := range []delivery.RunState{delivery.RunQueued, delivery.RunRunning, delivery.RunEmpty, delivery.RunStored, delivery.RunFailed, delivery.RunSkipped} {
		facts = append(facts, delivery.BatchFacts(delivery.BatchFeed{Sequence: 7, NextRunAt: &now}, []delivery.BatchRun{{State: state, ScheduledAt: now}})...)
	}
	alarm := delivery.Listed([]delivery.Phrase{delivery.Say("capture.slot_unread"), delivery.Say("capture.bare", "tables", []string{hostile})})
	return append(facts, delivery.Fact{Name: "alarm", Value: 1, Says: alarm, Alarm: true}, delivery.Fact{Name: "relay", Says: delivery.Say("relay.here")},
		delivery.Fact{Name: "findings", Value: 1, Says: alarm}, delivery.Fact{Name: "lag_rows", Value: 10_000, Says: delivery.Say("more_than", "count", 10_000)})
}

func TestFactsInWords(t *testing.T) {
	l := Locale{}
	want := "3 of 50 at work · 1,234 of 2,000 queued · 0 rejected · journal of 2.0 KiB · new thing: 1"
	if got := l.facts(poolFacts["in-pool"], false); got != want {
		t.Errorf("%q", got)
	}
	cdc := []delivery.Fact{{Name: "connected", Says: delivery.Verbatim("streaming"), Value: 1}, {Name: "alarm"}, {Name: "snapshot", Value: 3, Limit: 9}, {Name: "position", Value: 9, Says: delivery.Verbatim("0/9")}, {Name: "changes", Value: 3, Total: true}, {Name: "lag_seconds"},
		{Name: "alarm", Value: 1, Says: delivery.Verbatim("no sign"), Alarm: true}}
	if got := l.facts(cdc, true); got != "streaming · snapshot: 3 of 9 rows" || !strings.Contains(l.facts(cdc, false), "at 0/9") || l.Say(delivery.Listed(alarms(cdc))) != "no sign" {
		t.Errorf("%q", got)
	}
	if got := l.crash(aPool); !strings.Contains(got, "at most 1,050 messages") {
		t.Error(got)
	}
	if l.crash(delivery.Integration{Method: delivery.MethodOutbox}) != "" {
		t.Error("an outbox loses nothing")
	}
}

// A member of a group says which partitions it has, or why it has none; the figure says how many.
func TestPartitionsInWords(t *testing.T) {
	for _, c := range []struct {
		status delivery.SourceStatus
		has    delivery.SourcePartitions
		want   string
	}{
		{delivery.SourceConnected, delivery.SourcePartitions{Numbers: []int32{0, 2}}, "connected · partitions 0, 2 since "},
		{delivery.SourceJoining, delivery.SourcePartitions{}, "waits for the group · no partition since "},
		{delivery.SourceConnected, delivery.SourcePartitions{Spare: true}, "connected · none is left over for this process since "},
	} {
		c.has.Since = now
		list := delivery.SourceFacts{Status: c.status, Partitions: &c.has}.Facts()
		if got := (Locale{}).facts(list, true); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
		if f := list[2]; f.Name != "partitions" || f.Value != int64(len(c.has.Numbers)) {
			t.Errorf("%+v", f)
		}
	}
}
