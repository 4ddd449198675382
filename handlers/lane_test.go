package handlers

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/store"
)

// The head of a key says what it blocks, the others what they wait for: on its page, in the list behind it, and in the API.
func TestTheHeadOfAKeyShowsWhatItBlocks(t *testing.T) {
	s := newSite(t)
	in := testIntegrations()
	in[0].Ordered = true
	s.must(s.store.SyncIntegrations(t.Context(), in))
	var ids []string
	for n := range 73 {
		a, err := s.store.Accept(t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "push", Type: fmt.Sprint("t", n), Key: "order-7"})
		s.must(err)
		ids = append(ids, a.Deliveries[0].ID)
	}
	var placing error
	s.must(s.store.Lead(t.Context(), "outbox", func(ctx context.Context, l *store.Leader) error {
		_, placing = l.Place(ctx, 1000)
		return nil
	}, nil))
	s.must(placing)
	s.engine(ids[0], "push", delivery.StateDead, delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "404"})

	head := read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+ids[0]), http.StatusOK).Lane
	if head.Behind != nil || head.Waiting != 72 || len(head.Blocked) != 20 || head.Blocked[0].ID != ids[1] || head.Blocked[19].Type != "t20" || head.Blocked[0].CreatedAt == nil {
		t.Errorf("the head's lane: %+v", head)
	}
	third := read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+ids[2]), http.StatusOK).Lane
	if third.Behind == nil || *third.Behind != ids[0] || third.Waiting != 0 || third.Blocked == nil {
		t.Errorf("the third's lane: %+v", third)
	}

	b := s.signedIn("vera", delivery.RoleViewer)
	page := string(b.open("/failures/" + ids[0]).body)
	for _, want := range []string{"Blocks 72 later deliveries of this key", "/failures/" + ids[20], "/failures/" + ids[0] + "/blocked"} {
		if !strings.Contains(page, want) {
			t.Errorf("the head's page lacks %q", want)
		}
	}
	if strings.Contains(page, ">t21<") {
		t.Error("the head's page lists more than 20")
	}
	if page := string(b.open("/failures/" + ids[2]).body); !strings.Contains(page, "Waits behind") || !strings.Contains(page, "/failures/"+ids[0]) {
		t.Error("the third's page does not name the head")
	}
	list := "/failures/" + ids[0] + "/blocked"
	var shown int
	for pages := 0; list != "" && pages < 5; pages++ {
		body := string(b.open(list).body)
		for shown+1 < len(ids) && strings.Contains(body, "/failures/"+ids[shown+1]) {
			shown++
		}
		_, rest, more := strings.Cut(body, "/blocked?after=")
		list = ""
		if more {
			cursor, _, _ := strings.Cut(rest, `"`)
			list = "/failures/" + ids[0] + "/blocked?after=" + cursor
		}
	}
	if shown != 72 {
		t.Errorf("the pages list %d of 72 in the order of their turn", shown)
	}
	// the whole queue is listed too, with those that are due never at its end
	if a := b.open("/integrations/push/underway"); a.StatusCode != http.StatusOK || !strings.Contains(string(a.body), ids[1]) {
		t.Errorf("underway: %d", a.StatusCode)
	}
}
