package views

import (
	"strings"
	"testing"

	"redrive/delivery"
)

var (
	aPool     = delivery.Integration{Method: delivery.MethodPool, Pool: &delivery.PoolSettings{Workers: 50, Queue: 1000}}
	poolFacts = map[string][]delivery.Fact{"in-pool": {{Name: "busy", Value: 3, Limit: 50}, {Name: "queued", Value: 1234, Limit: 2000},
		{Name: "recording"}, {Name: "rejected", Total: true}, {Name: "journal_bytes", Value: 2048}, {Name: "new_thing", Value: 1}}}
)

func TestFactsInWords(t *testing.T) {
	l := Locale{}
	want := "3 of 50 at work · 1,234 of 2,000 queued · 0 rejected · journal of 2.0 KiB · new thing: 1"
	if got := l.facts(poolFacts["in-pool"], false); got != want {
		t.Errorf("%q", got)
	}
	cdc := []delivery.Fact{{Name: "connected", Says: delivery.Verbatim("streaming"), Value: 1}, {Name: "alarm"}, {Name: "snapshot", Value: 3, Limit: 9}, {Name: "position", Value: 9, Says: delivery.Verbatim("0/9")}, {Name: "changes", Value: 3, Total: true}, {Name: "lag_seconds"},
		{Name: "alarm", Value: 1, Says: delivery.Verbatim("no sign"), Alarm: true}}
	if got := l.facts(cdc, true); got != "streaming · snapshot: 3 of 9 rows · at 0/9" || l.Say(delivery.Listed(alarms(cdc))) != "no sign" {
		t.Errorf("%q", got)
	}
	if got := l.crash(aPool); !strings.Contains(got, "at most 1,050 messages") {
		t.Error(got)
	}
	if l.crash(delivery.Integration{Method: delivery.MethodOutbox}) != "" {
		t.Error("an outbox loses nothing")
	}
}
