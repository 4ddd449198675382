package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/store/storetest/patience"
)

// parked is a broker's message numbered n, with one failed attempt unless next is pending.
func parked(n int, lane string, next delivery.State) delivery.Parked {
	p := delivery.Parked{DeliveryID: fmt.Sprintf("00000000-0000-5000-8000-%012d", n), Integration: "push", InboxKey: fmt.Sprint("m", n), Lane: lane, Next: next,
		Message: delivery.Message{ID: fmt.Sprintf("00000000-0000-5000-9000-%012d", n), Kind: delivery.KindCommand, Type: "t", Key: "k", Payload: []byte("\x00\xff"),
			Headers: map[string]string{"a": "b"}}}
	if next != delivery.StatePending {
		p.Attempts = []delivery.Attempt{failedAttempt(1)}
	}
	return p
}

func failedAttempt(number int) delivery.Attempt {
	return delivery.Attempt{Number: number, StartedAt: time.Now(), Duration: 12 * time.Millisecond, Outcome: delivery.OutcomeTransient,
		ErrorClass: delivery.ClassHTTP5xx, Error: "the receiver answered 503", HTTPStatus: 503, Response: []byte("busy")}
}

func (d desk) park(list ...delivery.Parked) int {
	d.t.Helper()
	n, err := d.Park(d.t.Context(), list)
	d.must(err)
	return n
}

func TestParkedMessagesLookLikeAnyOther(t *testing.T) {
	d := open(t)
	offset := int64(42)
	dead := parked(1, "", delivery.StateDead)
	dead.Attempts = append(dead.Attempts, failedAttempt(2))
	dead.Message.Origin = &delivery.Origin{Broker: "kafka", Place: "clicks\x00\xff", Offset: &offset, At: time.Now().UTC().Truncate(time.Second)}
	waits := parked(2, "", delivery.StatePending)
	waits.Attempts, waits.RetryIn = []delivery.Attempt{failedAttempt(1)}, time.Hour
	fresh := parked(3, "", delivery.StatePending)
	for _, want := range []int{3, 0} { // the second time nothing is new
		if n := d.park(dead, waits, fresh, fresh); n != want {
			t.Fatalf("%d were new, want %d", n, want)
		}
	}
	got := d.read(dead.DeliveryID)
	if got.State != delivery.StateDead || got.Attempts != 2 || got.ErrorClass != delivery.ClassHTTP5xx || got.GroupID == "" || len(got.Timeline) != 2 ||
		string(got.Message.Payload) != "\x00\xff" || got.Message.Headers["a"] != "b" || *got.Message.Origin.Offset != 42 || got.Message.Origin.Place != "clicks\uFFFD\uFFFD" {
		t.Errorf("dead: %+v %+v", got, got.Message.Origin)
	}
	if got := d.read(waits.DeliveryID); got.State != delivery.StatePending || got.NextAttemptAt == nil || time.Until(*got.NextAttemptAt) < 50*time.Minute || got.Attempts != 1 {
		t.Errorf("waits: %+v", got.Delivery)
	}
	if c := d.claimOne("push"); c.DeliveryID != fresh.DeliveryID || c.Attempt != 1 || c.LostLease {
		t.Errorf("claimed %+v", c)
	}
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: dead.DeliveryID, Actor: "kim"})
	if c := d.claimOne("push"); c.DeliveryID != dead.DeliveryID || c.Attempt != 3 || c.RoundStart != 2 || c.Message.Origin.Broker != "kafka" {
		t.Errorf("after a retry: %+v", c)
	}
	health, err := d.Health(t.Context())
	d.must(err)
	if health[0].Failed24h != 2 { // outcomes; what came before the last attempt is history
		t.Errorf("%d failed attempts are counted", health[0].Failed24h)
	}
}

func TestForeignDeadLettersHaveNoAttemptOfOurs(t *testing.T) {
	d := open(t)
	p := parked(1, "", delivery.StateDead)
	p.Attempts = []delivery.Attempt{{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassForeign, Error: "rejected in queue orders", StartedAt: time.Now()}}
	p.Message.Payload = make([]byte, 11<<20)
	p.Message.Origin = &delivery.Origin{Broker: "rabbitmq", Place: "orders.dlq", Dead: &delivery.DeadOrigin{Place: "orders", Reason: "rejected"}}
	d.park(p)
	got := d.read(p.DeliveryID)
	if got.Attempts != 0 || got.ErrorClass != delivery.ClassForeign || got.Message.Origin.Dead.Place != "orders" || len(got.Message.Payload) != 11<<20 {
		t.Errorf("%+v", got.Delivery)
	}
	health, err := d.Health(t.Context())
	d.must(err)
	if health[0].Failed24h != 0 || health[0].Dead != 1 {
		t.Errorf("%+v", health[0])
	}
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: p.DeliveryID, Actor: "kim"})
	if c := d.claimOne("push"); c.Attempt != 1 {
		t.Errorf("the first attempt of ours has number %d", c.Attempt)
	}
}

func TestInbox(t *testing.T) {
	d := open(t)
	ctx := t.Context()
	states, err := d.Begin(ctx, "push", []string{"a", "b", "b"})
	if err != nil || len(states) != 0 {
		t.Fatal("new:", states, err)
	}
	d.must(d.Unbegin(ctx, "push", []string{"b"}))
	d.must(d.Settle(ctx, "push", []string{"c"}, false, []delivery.Parked{parked(4, "", delivery.StateDead)}))
	states, err = d.Begin(ctx, "push", []string{"a", "b", "c", "m4"})
	if err != nil || len(states) != 3 || states["a"].State != delivery.InboxStarted || states["c"].State != delivery.InboxDone || states["m4"].State != delivery.InboxDone {
		t.Error("known:", states, err)
	}
	if begun := value[time.Time](d, "SELECT at FROM redrive.inbox WHERE key = 'a'"); !states["a"].At.Equal(begun) {
		t.Errorf("begun %s, not %s", states["a"].At, begun)
	}
	d.must(d.Settle(ctx, "push", []string{"a", "c"}, true, nil))
	d.must(d.Unbegin(ctx, "push", []string{"a"})) // it is done: nothing to take back
	if states, err = d.Inbox(ctx, "push", []string{"a", "x"}); err != nil || len(states) != 1 || states["a"].State != delivery.InboxDone {
		t.Error("done:", states, err)
	}
	if states, _ = d.Inbox(ctx, "other", []string{"a"}); len(states) != 0 {
		t.Error("another integration's inbox:", states)
	}
	if n, err := d.PruneInbox(ctx, "push", time.Hour); n != 0 || err != nil {
		t.Error("pruned too early:", n, err)
	}
	if n, err := d.PruneInbox(ctx, "push", -time.Hour); n != 3 || err != nil { // a, c and m4; b is only started
		t.Error("pruned:", n, err)
	}
	health, err := d.Health(ctx)
	d.must(err)
	if health[0].Delivered24h != 3 {
		t.Errorf("%d delivered", health[0].Delivered24h)
	}
}

// What was taken for new may be known: another process was as fast, or our first try was written and its answer lost.
func TestDeliveriesAreNotedOnceWhateverIsKnown(t *testing.T) {
	d := open(t)
	_, err := d.Begin(t.Context(), "push", []string{"begun"})
	d.must(err)
	for _, keys := range [][]string{{"new", "begun"}, {"new", "begun", "newer"}} {
		d.must(d.Settle(t.Context(), "push", keys, false, nil))
		states, err := d.Inbox(t.Context(), "push", keys)
		d.must(err)
		for _, key := range keys {
			if states[key].State != delivery.InboxDone {
				t.Errorf("%s of %v is %q", key, keys, states[key].State)
			}
		}
	}
}

func TestABadMessageLeavesNoInboxRow(t *testing.T) {
	d := open(t)
	bad := parked(1, "", delivery.StateDead)
	bad.Message.Type = ""
	if err := d.Settle(t.Context(), "push", []string{"a"}, false, []delivery.Parked{bad}); err == nil {
		t.Fatal("a message without type was taken")
	}
	if states, _ := d.Inbox(t.Context(), "push", []string{"a", "m1"}); len(states) != 0 {
		t.Error("half done:", states)
	}
}

func TestLanesLetOneGoAtATime(t *testing.T) {
	d := open(t)
	ctx := t.Context()
	d.park(parked(1, "k", delivery.StateDead), parked(2, "k", delivery.StatePending), parked(3, "other", delivery.StatePending))
	d.park(parked(4, "k", delivery.StatePending), parked(5, "k", delivery.StateIgnored))
	if c := d.claimOne("push"); c.DeliveryID != parked(3, "", "").DeliveryID {
		t.Fatalf("claimed %s before the dead letter of its key was settled", c.DeliveryID)
	} else {
		d.complete(completion(c, confirmed, delivery.StateDelivered))
	}
	blocked, err := d.BlockedKeys(ctx, "push", []string{"k", "other", "x"})
	if err != nil || len(blocked) != 1 || !blocked["k"] {
		t.Error("blocked:", blocked, err)
	}
	if waits := d.read(parked(2, "", "").DeliveryID); waits.NextAttemptAt != nil || waits.State != delivery.StatePending || waits.Lane.BehindID != parked(1, "", "").DeliveryID {
		t.Errorf("what waits behind it has a next attempt: %+v", waits)
	}
	if head := d.read(parked(1, "", "").DeliveryID); head.Lane.BehindID != "" || head.Lane.Waiting != 2 {
		t.Errorf("the head's lane: %+v", head.Lane)
	}
	// a retry of the head goes first, and lets the next go only when it is confirmed
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: parked(1, "", "").DeliveryID, Actor: "kim"})
	d.mustClaimAlone(1, answered, delivery.StateDead)
	d.act(delivery.ActionRequest{Action: delivery.ActionResolve, ID: parked(1, "", "").DeliveryID, Actor: "kim", Reason: "by phone"})
	d.mustClaimAlone(2, answered, delivery.StateIgnored)
	d.park(parked(6, "k", delivery.StatePending))
	d.mustClaimAlone(4, confirmed, delivery.StateDelivered)
	d.mustClaimAlone(6, confirmed, delivery.StateDelivered)
	if n := value[int](d, "SELECT count(*) FROM redrive.lanes"); n != 0 {
		t.Errorf("%d lanes are left", n)
	}
}

// mustClaimAlone claims all that may be claimed, which must be the n-th message only, and settles it.
func (d desk) mustClaimAlone(n int, r delivery.Result, next delivery.State) {
	d.t.Helper()
	list := d.claim("push", 10, time.Minute)
	if len(list) != 1 || list[0].DeliveryID != parked(n, "", "").DeliveryID {
		d.t.Fatalf("claimed %+v, want number %d alone", list, n)
	}
	d.complete(completion(list[0], r, next))
}

// One process parks into a lane while another settles its head, again and again: nothing may be left waiting for ever.
func TestLanesAreNeverForgotten(t *testing.T) {
	d := open(t)
	const messages = 300
	failed := make(chan error, 1)
	go func() {
		var err error
		for n := range messages {
			_, parkErr := d.Park(t.Context(), []delivery.Parked{parked(n, fmt.Sprint("k", n%2), delivery.StatePending)})
			err = errors.Join(err, parkErr)
		}
		failed <- err
	}()
	var order [2][]int
	deadline := time.Now().Add(patience.Limit)
	for got := 0; got < messages; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d after a minute", got, messages)
		}
		for _, c := range d.claim("push", 10, time.Minute) {
			var n int
			if _, err := fmt.Sscanf(c.DeliveryID[24:], "%d", &n); err != nil {
				t.Fatal(err)
			}
			order[n%2] = append(order[n%2], n)
			d.complete(completion(c, confirmed, delivery.StateDelivered))
			got++
		}
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(order[0]) || !slices.IsSorted(order[1]) {
		t.Errorf("out of order: %v", order)
	}
}

// What joins a lane at the very moment in which its head is settled must be let go.
func TestWhoJoinsWhileTheHeadIsSettledIsSeen(t *testing.T) {
	d := open(t)
	d.park(parked(1, "k", delivery.StatePending))
	head := d.claimOne("push")
	d.must(d.sql(`CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END';
		CREATE TRIGGER hold AFTER UPDATE OF next ON redrive.lanes FOR EACH ROW EXECUTE FUNCTION hold()`))
	gate, err := pgx.Connect(t.Context(), d.dsn)
	d.must(err)
	defer gate.Close(context.Background())
	_, err = gate.Exec(t.Context(), "SELECT pg_advisory_lock(1)")
	d.must(err)
	var both sync.WaitGroup
	both.Go(func() { d.park(parked(2, "k", delivery.StatePending)) })
	d.waitForBlocked(1)
	both.Go(func() { d.complete(completion(head, confirmed, delivery.StateDelivered)) })
	d.waitForBlocked(2)
	_, err = gate.Exec(t.Context(), "SELECT pg_advisory_unlock(1)")
	d.must(err)
	both.Wait()
	d.mustClaimAlone(2, confirmed, delivery.StateDelivered)
}

// waitForBlocked returns when that many sessions of this database wait for a lock.
func (d desk) waitForBlocked(n int) {
	d.t.Helper()
	for deadline := time.Now().Add(patience.Limit); time.Now().Before(deadline); {
		if value[int](d, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") >= n {
			return
		}
	}
	d.t.Fatalf("%d sessions never waited", n)
}
