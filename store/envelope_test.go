package store_test

import (
	"log/slog"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/store"
	"redrive/store/storetest"
)

// Null stays null and empty stays empty, whichever way a message came in.
func TestNullAndEmptyStayWhatTheyAre(t *testing.T) {
	d := open(t)
	given := map[string][]byte{}
	for name, payload := range map[string][]byte{"null": nil, "empty": {}} {
		d.accept(delivery.Message{Integration: "push", Type: name + " command", Payload: payload})
		_, err := d.Accept(t.Context(), delivery.Message{Kind: delivery.KindEvent, Type: "order.placed", Key: name + " event", Payload: payload})
		d.must(err)
		p := parked(len(given)+1, "", delivery.StatePending)
		p.Message.Type, p.Message.Payload, p.Attempts = name+" parked", payload, nil
		d.park(p)
		for _, way := range []string{" command", " event", " parked"} {
			given[name+way] = payload
		}
	}
	d.fanOut()
	var claimed []delivery.Claimed
	d.eventually("not all is there to be claimed", func() bool {
		claimed = append(claimed, d.claim("push", 10, time.Minute)...)
		return len(claimed) >= len(given)
	})
	for _, c := range claimed {
		name := c.Message.Type
		if name == "order.placed" {
			name = c.Message.Key
		}
		want, known := given[name]
		if !known || (want == nil) != (c.Message.Payload == nil) || len(c.Message.Payload) != 0 {
			t.Errorf("%s is sent as %#v", name, c.Message.Payload)
		}
	}
	if len(claimed) != len(given) {
		t.Errorf("%d of %d claimed", len(claimed), len(given))
	}
}

// A version without payload is none that retention took, and what it replaced is not found any more.
func TestAVersionWithoutPayload(t *testing.T) {
	d := open(t)
	id := d.fails(delivery.Message{Payload: []byte(`{"word": "kumquat"}`)}, "no")
	d.index()
	d.finds(true, id, delivery.Filter{Words: "kumquat"})
	d.edit(delivery.EditRequest{ID: id, PayloadNull: true})
	c := d.claimOne("push")
	if c.Message.Payload != nil {
		t.Errorf("sends %q", c.Message.Payload)
	}
	d.complete(completion(c, answered, delivery.StateDead))
	d.index()
	d.finds(false, id, delivery.Filter{Words: "kumquat"})
	edits := d.read(id).Edits
	if len(edits) != 2 || edits[0].Null || !edits[1].Null || edits[1].Dropped || edits[1].Omitted {
		t.Errorf("versions %+v", edits)
	}
	one, err := d.EditOf(t.Context(), id, 2)
	if d.must(err); !one.Null || one.Payload != nil {
		t.Errorf("version %+v", one)
	}
}

// What retention took of edits before null meant something is still said to be taken.
func TestUpgradeKnowsWhichEditsWereDropped(t *testing.T) {
	dsn, db := storetest.Earlier(t, 6)
	exec := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	const id = "00000000-0000-7000-8000-000000000001"
	exec("INSERT INTO redrive.edits (delivery_id, number, payload, actor, reason, after_attempt) VALUES ('" + id + "', 2, NULL, 'a', 'b', 1), ('" + id + "', 3, '', 'a', 'b', 1)")
	s, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for number, dropped := range map[int]bool{2: true, 3: false} {
		e, err := s.EditOf(t.Context(), id, number)
		if err != nil || e.Dropped != dropped || e.Null {
			t.Errorf("version %d: %+v %v", number, e, err)
		}
	}
}
