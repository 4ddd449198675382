package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"redrive/delivery"
)

// openMany is open with more integrations: "pay" is ordered, "topic" goes to Kafka, "files" is a batch.
func openMany(t *testing.T) desk {
	t.Helper()
	d := open(t)
	pay, topic, files := integration("pay"), integration("topic"), integration("files")
	pay.Ordered = true
	topic.Destination = delivery.Destination{To: &delivery.KafkaDestination{}}
	files.Method = delivery.MethodBatch
	push := integration("push", "order.placed")
	push.Ordered = true
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{push, integration("sms"), pay, topic, files}))
	return d
}

func (d desk) redirect(id, to string) (delivery.Delivery, error) {
	return d.Redirect(d.t.Context(), delivery.RedirectRequest{ID: id, Integration: to, Actor: "ann", Reason: "the other one is up"})
}

func TestARedirectGoesToTheOtherIntegration(t *testing.T) {
	d := openMany(t)
	dead := d.dead(delivery.Message{Payload: []byte("1"), IdempotencyKey: "k"})
	targets, err := d.RedirectTargets(t.Context(), dead.ID)
	if err != nil || fmt.Sprint(targets) != "[pay sms]" {
		t.Errorf("targets %v: %v", targets, err)
	}
	d.edit(delivery.EditRequest{ID: dead.ID, Payload: []byte("2")})
	d.complete(completion(d.claimOne("push"), answered, delivery.StateDead))
	after, err := d.redirect(dead.ID, "sms")
	d.must(err)
	if after.Integration != "sms" || after.State != delivery.StatePending || after.Edit != 2 {
		t.Fatalf("redirected %+v", after)
	}
	for integration, want := range map[string]int{"push": 0, "sms": 1} { // the group goes with it
		f := delivery.Filter{Limit: 10, States: []delivery.State{delivery.StatePending}, Integrations: []string{integration}, ErrorClasses: []string{after.ErrorClass}}
		n, _, err := d.CountFailures(t.Context(), f, 10)
		if list := d.pages(f); err != nil || n != want || len(list) != want {
			t.Errorf("%s counts %d and lists %d, want %d: %v", integration, n, len(list), want, err)
		}
	}
	if list := d.claim("push", 10, time.Minute); len(list) > 0 {
		t.Errorf("push still has %+v", list)
	}
	c := d.claimOne("sms")
	if c.DeliveryID != dead.ID || string(c.Message.Payload) != "2" || c.IdempotencyKey() != "k" || c.Attempt != 3 {
		t.Errorf("claimed %+v", c)
	}
	d.complete(completion(c, answered, delivery.StateDead))
	failed := d.read(dead.ID)
	last := failed.History[len(failed.History)-1]
	if members := details(t, last); last.Action != "delivery.redirect" || members["from"] != "push" || members["to"] != "sms" || last.Reason == "" {
		t.Errorf("audit %+v", last)
	}
	if failed.GroupID != after.GroupID || failed.GroupID == dead.GroupID || failed.Integration != "sms" || failed.Message.Integration != "push" {
		t.Errorf("failed there as %+v", failed.Delivery)
	}
}

func TestRedirectsThatAreRefused(t *testing.T) {
	d := openMany(t)
	event := d.accept(delivery.Message{Kind: delivery.KindEvent, Type: "order.placed", Payload: []byte("1")})
	d.fanOut()
	c := d.claimOne("push")
	d.complete(completion(c, answered, delivery.StateDead))
	d.must(d.sql("INSERT INTO redrive.queue (id, message_id, integration) VALUES (redrive.delivery_id($1, 'sms'), $1, 'sms')", event.ID))
	for to, want := range map[string]string{"push": "same_integration", "none": "unknown_integration", "topic": "other_destination",
		"files": "batch_target", "sms": "already_there"} {
		_, err := d.redirect(c.DeliveryID, to)
		if code := inputCode(t, err); code != want {
			t.Errorf("to %s: %s, want %s", to, code, want)
		}
	}
	if targets, err := d.RedirectTargets(t.Context(), c.DeliveryID); err != nil || fmt.Sprint(targets) != "[pay]" {
		t.Errorf("targets %v: %v", targets, err)
	}
	if after := d.read(c.DeliveryID); after.State != delivery.StateDead || after.Integration != "push" || len(after.History) > 0 {
		t.Errorf("changed to %+v", after.Delivery)
	}
	var conflict *delivery.ConflictError
	_, err := d.Redirect(t.Context(), delivery.RedirectRequest{ID: c.DeliveryID, Version: 9, Integration: "pay", Actor: "ann", Reason: "r"})
	if !errors.As(err, &conflict) {
		t.Errorf("a stale version: %v", err)
	}
}

// What left the file is the case for which one redirects.
func TestARedirectSavesWhatHasNoIntegrationAnyMore(t *testing.T) {
	d := openMany(t)
	dead := d.dead(numbered(1))
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("sms")}))
	after, err := d.redirect(dead.ID, "sms")
	d.must(err)
	if after.State != delivery.StatePending || d.claimOne("sms").DeliveryID != dead.ID {
		t.Errorf("redirected %+v", after)
	}
}

// The lane that is left goes on; in the lane that is joined it waits for its turn.
func TestARedirectChangesLanes(t *testing.T) {
	d := openMany(t)
	of := func(integration string) delivery.Message {
		return delivery.Message{Integration: integration, Key: "k", Payload: []byte("1")}
	}
	stuck, behind := d.accept(of("push")).Deliveries[0].ID, d.accept(of("push")).Deliveries[0].ID
	first := d.accept(of("pay")).Deliveries[0].ID
	d.place()
	d.complete(completion(d.claimOne("push"), answered, delivery.StateDead))
	if list := d.claim("push", 10, time.Minute); len(list) > 0 {
		t.Fatalf("what waits behind a dead letter was claimed: %+v", list)
	}
	_, err := d.redirect(stuck, "pay")
	d.must(err)
	if c := d.claimOne("push"); c.DeliveryID != behind {
		t.Errorf("the lane that was left goes on with %s", c.DeliveryID)
	}
	list := d.claim("pay", 10, time.Minute)
	if len(list) != 1 || list[0].DeliveryID != first {
		t.Fatalf("pay sends %+v first", list)
	}
	if lane := d.read(stuck).Lane; lane.BehindID != first {
		t.Errorf("it waits for %q", lane.BehindID)
	}
	d.complete(completion(list[0], confirmed, delivery.StateDelivered))
	c := d.claimOne("pay")
	if c.DeliveryID != stuck {
		t.Errorf("then %s", c.DeliveryID)
	}
	d.complete(completion(c, confirmed, delivery.StateDelivered))
	if n := value[int](d, "SELECT count(*) FROM redrive.lanes WHERE integration = 'pay'"); n != 0 {
		t.Errorf("%d lanes are left", n)
	}
}

// Two deliveries of one message, redirected to one integration at once: one of them goes.
func TestOneOfTwoRedirectsArrives(t *testing.T) {
	d := openMany(t)
	both := integration("sms", "order.placed")
	push := integration("push", "order.placed")
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{push, both, integration("pay")}))
	for range 10 {
		d.accept(delivery.Message{Kind: delivery.KindEvent, Type: "order.placed", Payload: []byte("1")})
		d.fanOut()
		ids := make([]string, 2)
		for i, name := range []string{"push", "sms"} {
			c := d.claimOne(name)
			d.complete(completion(c, answered, delivery.StateDead))
			ids[i] = c.DeliveryID
		}
		errs := make(chan error, 2)
		for _, id := range ids {
			go func() { _, err := d.redirect(id, "pay"); errs <- err }()
		}
		one, other := <-errs, <-errs
		if (one == nil) == (other == nil) {
			t.Fatalf("%v, %v", one, other)
		}
		if code := inputCode(t, errors.Join(one, other)); code != "already_there" {
			t.Errorf("code %s", code)
		}
	}
}

// Whoever subscribes after a redirect does not get the message once more.
func TestARedirectArrivesOnceWhateverIsSubscribedToLater(t *testing.T) {
	d := openMany(t)
	event := d.accept(delivery.Message{Kind: delivery.KindEvent, Type: "order.placed", Payload: []byte("1")})
	d.fanOut()
	c := d.claimOne("push")
	d.complete(completion(c, answered, delivery.StateDead))
	push := integration("push", "order.placed")
	sync := func(subscribe ...string) {
		late := starting("late", delivery.OutboxSettings{Start: delivery.StartBeginning}, subscribe...)
		d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{push, integration("sms", subscribe...), late}))
	}
	sync("order.shipped")
	_, err := d.redirect(c.DeliveryID, "late")
	if code := inputCode(t, err); code != "relay_behind" {
		t.Errorf("while the relay has all of the log before it: %s", code)
	}
	if targets, err := d.RedirectTargets(t.Context(), c.DeliveryID); err != nil || fmt.Sprint(targets) != "[sms]" {
		t.Errorf("targets %v: %v", targets, err)
	}
	d.fanOut()
	for _, to := range []string{"late", "sms"} {
		_, err := d.redirect(c.DeliveryID, to)
		d.must(err)
		sync("order.shipped", "order.placed")
		d.accept(delivery.Message{Kind: delivery.KindEvent, Type: "order.shipped", Payload: []byte("2")})
		d.fanOut()
		if n := value[int](d, "SELECT count(*) FROM redrive.all_deliveries WHERE message_id = $1", event.ID); n != 1 {
			t.Fatalf("redirected to %s it has %d deliveries", to, n)
		}
		list := d.claim(to, 10, time.Minute)
		if !slices.ContainsFunc(list, func(sent delivery.Claimed) bool { return sent.DeliveryID == c.DeliveryID }) {
			t.Fatalf("%s is sent %+v", to, list)
		}
		for _, sent := range list {
			d.complete(completion(sent, answered, delivery.StateDead))
		}
		sync("order.shipped")
	}
}

// Nor does an integration get again what was redirected away from it, when a copy's log is read from its beginning.
func TestAnAdoptedLogKeepsRedirects(t *testing.T) {
	d := openMany(t)
	event := d.accept(delivery.Message{Kind: delivery.KindEvent, Type: "order.placed", Payload: []byte("1")})
	d.fanOut()
	c := d.claimOne("push")
	d.complete(completion(c, answered, delivery.StateDead))
	_, err := d.redirect(c.DeliveryID, "sms")
	d.must(err)
	d.complete(completion(d.claimOne("sms"), confirmed, delivery.StateDelivered))
	d.must(d.sql("UPDATE redrive.positions SET database_id = '1/1'"))
	done, err := d.AdoptOutbox(t.Context(), delivery.OutboxSettings{Start: delivery.StartBeginning}, "ann")
	if err != nil || done.Deliveries != 0 {
		t.Errorf("adopted %+v: %v", done, err)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.queue WHERE message_id = $1", event.ID); n != 0 {
		t.Errorf("%d waiting of what was delivered", n)
	}
}
