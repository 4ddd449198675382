package web

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

func TestAFloodOfRefusalsIsAFewEntries(t *testing.T) {
	now := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	var written []delivery.AuditEntry
	r := newRefusals(func() time.Time { return now }, func(_ context.Context, e delivery.AuditEntry) error {
		written = append(written, e)
		return nil
	})
	alice, nobody := refusal{"session.sign-in-failed", "operator", "alice", ""}, refusal{"session.sign-in-failed", "operator", unknownName, ""}
	note := func(what refusal, address string) {
		t.Helper()
		if err := r.note(t.Context(), what, address); err != nil {
			t.Fatal(err)
		}
	}
	const many = 10_000
	for i := range many {
		note(alice, fmt.Sprintf("192.0.2.%d", i%100))
	}
	note(nobody, "192.0.2.1")
	if len(written) != 2 || string(written[0].Details) != `{"from":"192.0.2.0"}` || written[0].Subject != "alice" || written[1].Subject != unknownName {
		t.Fatalf("at once: %+v", written)
	}
	now = now.Add(tallyEvery)
	if err := r.flush(t.Context(), false); err != nil || len(written) != 3 || len(r.of) != 0 {
		t.Fatalf("after a minute: %+v %v", written, err)
	}
	counted := written[2]
	if text := string(counted.Details); counted.Subject != "alice" || counted.Actor != delivery.ActorAnonymous ||
		!strings.Contains(text, fmt.Sprintf(`"count":%d`, many-1)) || strings.Count(text, "192.0.2.") != talliedSources {
		t.Errorf("the count: %+v", counted)
	}
	note(alice, "192.0.2.1")
	note(alice, "192.0.2.1")
	now = now.Add(tallyEvery)
	note(alice, "192.0.2.2") // nobody flushed: the first of a new minute brings the count of the one before
	note(alice, "192.0.2.2")
	if err := r.flush(t.Context(), true); err != nil || len(written) != 7 {
		t.Errorf("at the end: %d entries, %v", len(written), err)
	}
}
