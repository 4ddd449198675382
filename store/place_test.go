package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/store"
	"redrive/store/storetest/patience"
)

var errDone = errors.New("done")

// ordered makes "push" an ordered integration.
func (d desk) ordered(onDead delivery.OnDead) {
	d.t.Helper()
	in := integration("push", "order.placed")
	in.Ordered, in.OnDead = true, onDead
	d.must(d.SyncIntegrations(d.t.Context(), []delivery.Integration{in, integration("sms")}))
}

// leading does work as the leader of a room and returns what it answered.
func (d desk) leading(room string, work func(ctx context.Context, l *store.Leader) error) (failed error) {
	d.t.Helper()
	ctx, stop := context.WithTimeout(d.t.Context(), patience.Limit)
	defer stop()
	d.must(d.Lead(ctx, room, func(ctx context.Context, l *store.Leader) error {
		failed = work(ctx, l)
		return nil
	}, nil))
	return failed
}

// lead does work as the relay's leader.
func (d desk) lead(work func(ctx context.Context, l *store.Leader) error) {
	d.t.Helper()
	d.must(d.leading("outbox", work))
}

// place places all that waits for a place and returns how many.
func (d desk) place() (n int) {
	d.t.Helper()
	d.lead(func(ctx context.Context, l *store.Leader) (err error) {
		n, err = l.Place(ctx, 1000)
		return err
	})
	return n
}

// keyed enqueues a command of a key whose type is its name.
func (d desk) keyed(key, name string) string {
	d.t.Helper()
	return d.accept(delivery.Message{Key: key, Type: name}).Deliveries[0].ID
}

// turns claims all that may go now, settles it as given and returns the names, sorted.
func (d desk) turns(r delivery.Result, next delivery.State) []string {
	d.t.Helper()
	var names []string
	for _, c := range d.claim("push", 100, time.Minute) {
		names = append(names, c.Message.Type)
		d.complete(completion(c, r, next))
	}
	slices.Sort(names)
	return names
}

func (d desk) mustTurn(r delivery.Result, next delivery.State, want ...string) {
	d.t.Helper()
	if got := d.turns(r, next); !slices.Equal(got, want) {
		d.t.Fatalf("it was the turn of %v, want %v", got, want)
	}
}

func TestPlacesAreGivenInTheOrderOfMessages(t *testing.T) {
	d := open(t)
	d.ordered(delivery.OnDeadBlock)
	for _, name := range []string{"a1", "a2", "b1", "a3", "b2"} {
		d.keyed(name[:1], name)
	}
	d.keyed("", "free")
	d.mustTurn(confirmed, delivery.StateDelivered, "free") // without a key there is no order to wait for
	if n := d.place(); n != 5 {
		t.Fatalf("%d placed", n)
	}
	if n := d.place(); n != 0 {
		t.Fatalf("%d placed twice", n)
	}
	d.mustTurn(confirmed, delivery.StateDelivered, "a1", "b1")
	d.keyed("a", "a4")
	d.place()
	d.mustTurn(confirmed, delivery.StateDelivered, "a2", "b2")
	d.mustTurn(confirmed, delivery.StateDelivered, "a3")
	d.mustTurn(confirmed, delivery.StateDelivered, "a4")
	if n := value[int](d, "SELECT count(*) FROM redrive.lanes"); n != 0 {
		t.Errorf("%d lanes are left", n)
	}
}

// Several commands of one transaction are as close together as commands can be.
func TestAProducersOwnOrderIsKept(t *testing.T) {
	d := open(t)
	d.ordered(delivery.OnDeadBlock)
	d.must(d.sql("SELECT redrive.enqueue('push', 'n' || n, '', 'k') FROM generate_series(1, 500) n"))
	for d.place() > 0 {
	}
	got := value[bool](d, `SELECT bool_and(type = 'n' || position + 1) FROM redrive.queue JOIN redrive.messages m ON m.id = message_id`)
	if !got {
		t.Error("places are not in the order of the calls")
	}
}

func TestPlacesHaveALimitAndGoOn(t *testing.T) {
	d := open(t)
	d.ordered(delivery.OnDeadBlock)
	for n := range 5 {
		d.keyed("k", fmt.Sprint("n", n))
	}
	d.lead(func(ctx context.Context, l *store.Leader) error {
		for _, want := range []int{2, 2, 1, 0} {
			if n, err := l.Place(ctx, 2); n != want || err != nil {
				return fmt.Errorf("%d placed, want %d: %w", n, want, errors.Join(err, errDone))
			}
		}
		return nil
	})
	for n := range 5 {
		d.mustTurn(confirmed, delivery.StateDelivered, fmt.Sprint("n", n))
	}
}

func TestDeliverAfterHoldsInALane(t *testing.T) {
	d := open(t)
	d.ordered(delivery.OnDeadBlock)
	later := time.Now().Add(time.Hour)
	first := d.accept(delivery.Message{Key: "k", Type: "first", DeliverAfter: &later}).Deliveries[0].ID
	d.keyed("x", "head")
	second := d.accept(delivery.Message{Key: "x", Type: "second", DeliverAfter: &later}).Deliveries[0].ID
	d.keyed("k", "behind")
	d.place()
	d.mustTurn(confirmed, delivery.StateDelivered, "head")
	d.mustTurn(confirmed, delivery.StateDelivered)
	for _, id := range []string{first, second} {
		if next := d.read(id).NextAttemptAt; next == nil || next.Sub(later).Abs() > time.Millisecond {
			t.Errorf("due %v, want %v", next, later)
		}
	}
}

// One way of settling the head after the other: each lets the next go, and no more.
func TestSettlingTheHeadLetsTheNextGo(t *testing.T) {
	d := open(t)
	d.ordered(delivery.OnDeadBlock)
	ids := map[string]string{}
	for _, name := range []string{"k1", "k2", "k3", "k4", "k5"} {
		ids[name] = d.keyed("k", name)
	}
	d.keyed("other", "other")
	d.place()
	d.mustTurn(answered, delivery.StateDead, "k1", "other")
	d.mustTurn(confirmed, delivery.StateDelivered) // a dead letter blocks its key
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: ids["k1"]})
	d.place()                                      // a retried head has its place
	d.mustTurn(answered, delivery.StateDead, "k1") // failed again: it still blocks
	d.mustTurn(confirmed, delivery.StateDelivered)
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: ids["k1"]})
	d.mustTurn(confirmed, delivery.StateDelivered, "k1")
	d.mustTurn(answered, delivery.StateDead, "k2")
	d.act(delivery.ActionRequest{Action: delivery.ActionIgnore, ID: ids["k2"], Reason: "x", Category: "test-data"})
	d.mustTurn(answered, delivery.StateDead, "k3")
	d.act(delivery.ActionRequest{Action: delivery.ActionResolve, ID: ids["k3"], Reason: "x"})
	d.mustTurn(answered, delivery.StateIgnored, "k4") // by policy
	// what left its lane goes outside of the order when it comes back
	d.act(delivery.ActionRequest{Action: delivery.ActionReopen, ID: ids["k2"]})
	d.keyed("k", "k6")
	d.place()
	d.mustTurn(confirmed, delivery.StateDelivered, "k5")
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: ids["k2"]})
	d.mustTurn(confirmed, delivery.StateDelivered, "k2", "k6")
	if n := value[int](d, "SELECT (SELECT count(*) FROM redrive.lanes) + (SELECT count(*) FROM redrive.queue)"); n != 1 { // other's
		t.Errorf("%d lanes or deliveries are left", n)
	}
}

func TestSkipLeavesNobodyBehindADeadLetter(t *testing.T) {
	d := open(t)
	d.ordered(delivery.OnDeadSkip)
	first := d.keyed("k", "k1")
	d.keyed("k", "k2")
	d.keyed("k", "k3")
	d.place()
	d.mustTurn(answered, delivery.StateDead, "k1")
	d.mustTurn(confirmed, delivery.StateDelivered, "k2")
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: first})
	d.mustTurn(confirmed, delivery.StateDelivered, "k1", "k3") // outside of the order
}

// ordered and on_dead change in the file while deliveries wait: nothing is stuck, and nothing overtakes.
func TestAChangeOfTheFileStrandsNothing(t *testing.T) {
	d := open(t)
	d.keyed("k", "k1")
	tomorrow := time.Now().Add(24 * time.Hour)
	d.accept(delivery.Message{Key: "late", Type: "late", DeliverAfter: &tomorrow})
	d.ordered(delivery.OnDeadBlock) // what waits is lined up, what comes is behind it
	d.keyed("k", "k2")
	d.keyed("k", "k3")
	d.place()
	d.mustTurn(answered, delivery.StateDead, "k1")
	d.mustTurn(confirmed, delivery.StateDelivered)
	d.ordered(delivery.OnDeadSkip) // the dead letter blocks no more
	d.mustTurn(answered, delivery.StatePending, "k2")
	d.keyed("k", "k4")
	d.keyed("k", "k5")
	d.keyed("late", "later")
	d.place()
	d.keyed("k", "k6")                                                                                       // has no place yet
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("push"), integration("sms")})) // no order any more
	d.mustTurn(confirmed, delivery.StateDelivered, "k2", "k3", "k4", "k5", "later")
	d.place()
	d.mustTurn(confirmed, delivery.StateDelivered, "k6")
	d.keyed("k", "k7")
	d.mustTurn(confirmed, delivery.StateDelivered, "k7")
	if n := value[int](d, "SELECT count(*) FROM redrive.queue WHERE due_at = 'infinity'"); n != 0 {
		t.Errorf("%d are due never", n)
	}
}
