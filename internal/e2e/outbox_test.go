package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// subscribed is an integrations file with one outbox integration "push" for events of type t.
func subscribed(url string) string {
	return fmt.Sprintf(`integrations:
  - name: push
    method: outbox
    subscribe: [t]
    outbox: {start: beginning}
    destination:
      http: {url: %q}
    idempotent: true
`, url)
}

// Two programs on one database: an event that a producer publishes by SQL is delivered once, whoever leads, and both tell the lag.
func TestEventsAreDeliveredWhoeverLeads(t *testing.T) {
	receiver := newLedger(t)
	database := onFreshDatabase(t)
	file := configFile(t, subscribed(receiver.URL))
	first := serve(t, database, file)
	second := serve(t, database, file)
	dsn := strings.TrimPrefix(database, "DATABASE_URL=")
	publish := func(n int) {
		t.Helper()
		if got := scan[int](t, dsn, fmt.Sprintf("SELECT count(redrive.publish('t', '{}')) FROM generate_series(1, %d)", n)); got != n {
			t.Fatalf("%d published", got)
		}
	}
	publish(20)
	await(t, "the events are delivered", func() bool { n, _ := receiver.requests(); return n == 20 })
	for _, p := range []*program{first, second} {
		await(t, "the metric is there", func() bool {
			answer, err := http.Get(p.url + "/metrics")
			if err != nil {
				return false
			}
			defer answer.Body.Close()
			text, _ := io.ReadAll(answer.Body)
			return strings.Contains(string(text), `redrive_outbox_lag_seconds{integration="push"} 0`)
		})
	}
	status := func(p *program) (text string) {
		for _, f := range p.must("GET", "/api/v1/integrations", nil)["items"].([]any)[0].(map[string]any)["facts"].([]any) {
			if fact := f.(map[string]any); fact["name"] == "relay" {
				text = fact["text"].(string)
			}
		}
		return text
	}
	leader, other := first, second
	if status(second) == "leads here" {
		leader, other = second, first
	}
	await(t, "one leads, and the other one knows", func() bool { return status(leader) == "leads here" && status(other) == "another process leads" })
	await(t, "all outcomes are written", func() bool {
		return scan[int](t, dsn, "SELECT count(*) FROM redrive.deliveries WHERE state = 'delivered'") == 20
	})
	leader.kill()
	publish(20)
	await(t, "the other one leads", func() bool { return status(other) == "leads here" })
	await(t, "all are delivered", func() bool { n, _ := receiver.requests(); return n == 40 })
	answer := other.must("POST", "/api/v1/messages", map[string]any{"type": "t", "payload": 1})
	if list := answer["deliveries"].([]any); len(list) != 1 || list[0].(map[string]any)["state"] != "pending" {
		t.Errorf("an event's answer is %v", answer)
	} else {
		other.awaitState(list[0].(map[string]any)["id"].(string), "delivered")
	}
	if requests, keys := receiver.requests(); requests != 41 || keys != 41 {
		t.Errorf("%d requests with %d keys", requests, keys)
	}
}
