package delivery

import (
	"testing"
	"time"
)

func TestParseOutboxStart(t *testing.T) {
	for text, want := range map[string]OutboxSettings{"now": {Start: StartNow}, "beginning": {Start: StartBeginning}, "continue": {Start: StartContinue},
		"2026-01-31T10:00:00+01:00": {Start: StartAt, StartTime: time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC)}} {
		if got, ok := ParseOutboxStart(text); !ok || got != want {
			t.Errorf("%s is %+v, %t", text, got, ok)
		}
	}
	for _, text := range []string{"", "at", "Now", "2026-01-31"} {
		if got, ok := ParseOutboxStart(text); ok {
			t.Errorf("%q is %+v", text, got)
		}
	}
}
