package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"redrive/delivery"
)

// listed follows a list to its end.
func (d desk) listed(list func(ctx context.Context, integration, after string) (delivery.Page[delivery.Delivery], error)) (out []delivery.Delivery) {
	d.t.Helper()
	for after := ""; ; {
		page, err := list(d.t.Context(), "push", after)
		d.must(err)
		out = append(out, page.Items...)
		if after = page.Next; after == "" {
			return out
		}
	}
}

// The rows behind the numbers of the overview are as many as the numbers say.
func TestRowsBehindBacklogAndDelivered(t *testing.T) {
	d := open(t)
	d.must(d.sql("SELECT redrive.enqueue('push', 't', 'x', key => 'k' || n) FROM generate_series(1, 130) n"))
	d.must(d.sql("SELECT redrive.enqueue('sms', 't', 'x')"))
	var done []delivery.Completion
	for _, c := range d.claim("push", 60, time.Minute) {
		done = append(done, completion(c, delivery.Result{Outcome: delivery.OutcomeOK, HTTPStatus: 200}, delivery.StateDelivered))
	}
	d.complete(done...)
	d.claim("push", 5, time.Minute)
	in := func(state delivery.State) []delivery.Delivery {
		return d.listed(func(ctx context.Context, integration, after string) (delivery.Page[delivery.Delivery], error) {
			return d.Underway(ctx, integration, state, after)
		})
	}
	underway, delivered := in(""), d.listed(d.Delivered)
	if waiting, sending := in(delivery.StatePending), in(delivery.StateSending); len(waiting) != 65 || len(sending) != 5 || sending[0].State != delivery.StateSending {
		t.Errorf("%d wait, %d are being sent", len(waiting), len(sending))
	}
	states := map[delivery.State]int{}
	ids := map[string]bool{}
	for _, row := range slices.Concat(underway, delivered) {
		states[row.State]++
		ids[row.ID] = true
	}
	if states[delivery.StatePending] != 65 || states[delivery.StateSending] != 5 || states[delivery.StateDelivered] != 60 || len(ids) != 130 {
		t.Errorf("%v, %d different rows", states, len(ids))
	}
	if !slices.IsSortedFunc(underway[:60], func(a, b delivery.Delivery) int { return a.NextAttemptAt.Compare(*b.NextAttemptAt) }) {
		t.Error("the next one is not first")
	}
	health, err := d.Health(t.Context())
	d.must(err)
	for _, h := range health {
		if h.Name == "push" && (h.Pending != 65 || h.Sending != 5 || h.Delivered24h != 60) {
			t.Errorf("the overview counts %+v", h)
		}
	}
	if _, err := d.Underway(t.Context(), "push", "", "nonsense"); inputCode(t, err) != "bad_cursor" {
		t.Error(err)
	}
	if _, err := d.Delivered(t.Context(), "push", "nonsense"); inputCode(t, err) != "bad_cursor" {
		t.Error(err)
	}
}
