package config

import (
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

func TestOutboxStart(t *testing.T) {
	moment := time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]delivery.OutboxSettings{"{}": {Start: delivery.StartNow}, "{start: now}": {Start: delivery.StartNow},
		"{start: beginning}":                   {Start: delivery.StartBeginning},
		`{start: "2026-01-31T10:00:00+01:00"}`: {Start: delivery.StartAt, StartTime: moment}} {
		f, err := Parse("f.yaml", []byte(strings.Replace(good, "    concurrency: 4\n", "    outbox: "+text+"\n", 1)), lookup)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := *f.Integrations[0].Outbox; got != want {
			t.Errorf("%s is %+v", text, got)
		}
	}
	idle := strings.Replace(good, "name: plain\n", "name: plain\n    outbox: {start: beginning}\n", 1)
	if _, err := Parse("f.yaml", []byte(idle), lookup); err == nil || !strings.HasPrefix(err.Error(), "f.yaml line 15: outbox.start: it says from where") {
		t.Errorf("a start without events: %v", err)
	}
	for _, text := range []string{"yesterday", "continue", "at"} {
		_, err := Parse("f.yaml", []byte(strings.Replace(good, "    concurrency: 4\n", "    outbox: {start: "+text+"}\n", 1)), lookup)
		if err == nil || !strings.Contains(err.Error(), `outbox.start: "`+text+`" is neither now, beginning nor a time`) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
