package batch_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
	"redrive/store/storetest/services"
)

// careful is the victim's integration with a receiver that drops no duplicates and answers nothing later.
func careful(in delivery.Integration, to delivery.Destination) delivery.Integration {
	in.Destination, in.Idempotent, in.Batch.Acknowledgement = to, false, nil
	return in
}

// settled are destinations, what they hold in the end, and what becomes of a delivery whose worker was killed while it sent.
var settled = map[string]func(t *testing.T) (to delivery.Destination, arrived func() int, becomes delivery.State){
	"directory": func(t *testing.T) (delivery.Destination, func() int, delivery.State) {
		dir := t.TempDir()
		return fileTo(delivery.FileDestination{Dir: dir}), func() int { return entries(t, dir) }, delivery.StateDelivered
	},
	"sftp": func(t *testing.T) (delivery.Destination, func() int, delivery.State) {
		s := services.StartSSHD(t)
		return fileTo(delivery.FileDestination{SFTP: &delivery.SFTPServer{Addr: s.Addr, Path: s.Dir, User: s.User, Key: s.Key, KnownHosts: s.KnownHosts}}),
			func() int { return entries(t, s.Dir) }, delivery.StateDelivered
	},
	"table": func(t *testing.T) (delivery.Destination, func() int, delivery.State) {
		b := &bed{t: t, dsn: storetest.Empty(t)}
		b.sql(`CREATE TABLE points (id bigint PRIMARY KEY, name text, written integer DEFAULT 0);
			CREATE FUNCTION count_writes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.written := NEW.written + 1; RETURN NEW; END $$;
			CREATE TRIGGER count_writes BEFORE INSERT OR UPDATE ON points FOR EACH ROW EXECUTE FUNCTION count_writes()`)
		return delivery.Destination{To: &delivery.TableDestination{URL: b.dsn, Table: "points", Key: []string{"id"}, Timeout: patience.Limit}},
			func() int {
				return value[int](b, "SELECT count(DISTINCT written)::int * max(written) FROM points WHERE id <= 20")
			}, delivery.StateDelivered
	},
	"http": func(t *testing.T) (delivery.Destination, func() int, delivery.State) {
		var requests atomic.Int32
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
		t.Cleanup(server.Close)
		return delivery.Destination{To: &delivery.HTTPDestination{URL: server.URL, Method: http.MethodPost, Timeout: patience.Limit}},
			func() int { return int(requests.Load()) }, delivery.StateDead
	},
}

func fileTo(d delivery.FileDestination) delivery.Destination {
	d.Timeout, d.Format = patience.Limit, delivery.FileFormat{Kind: delivery.FileCSV, Header: true}
	return delivery.Destination{To: &d}
}

func entries(t *testing.T, dir string) int {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A process is killed in the middle of the transfer, and when all of it was there but not noted. Who can look delivers it, once;
// who cannot leaves it to a person. Both attempts are counted once, and the first is dated when it began.
func TestKilledWhileItSends(t *testing.T) {
	for name, open := range settled {
		for _, step := range []string{"transfer", "sent"} {
			if name == "http" && step == "transfer" {
				continue // the rows are the message itself: nothing is read while it is sent
			}
			t.Run(name+" "+step, func(t *testing.T) {
				t.Parallel()
				to, arrived, becomes := open(t)
				killedSending(t, step, to, becomes)
				if n := arrived(); n != 1 {
					t.Errorf("%d arrived", n)
				}
			})
		}
	}
}

func killedSending(t *testing.T, step string, to delivery.Destination, becomes delivery.State) {
	b := newBed(t, func(in *delivery.Integration) { *in = careful(victimIntegration(""), to) })
	b.sql(pointsTable)
	b.sql("INSERT INTO points SELECT n, 'kim ' || n FROM generate_series(1, 20) n")
	b.request("")
	before := value[time.Time](b, "SELECT clock_timestamp()")
	b.kill("", step, "")
	after := value[time.Time](b, "SELECT clock_timestamp()")
	b.sql("UPDATE redrive.queue SET due_at = clock_timestamp()") // the lease has run out
	b.runRooms()
	id := b.file(1).DeliveryID
	b.state(id, becomes)
	d, err := b.Delivery(t.Context(), id)
	b.must(err)
	want := 1
	if becomes == delivery.StateDelivered {
		want = 2
	}
	// a claim that the killed process had sent may be carried out after its end: one more that vanished
	if extra := len(d.Timeline) - want; d.Attempts != len(d.Timeline) || extra < 0 || extra > 1 {
		t.Fatalf("%d attempts, want %d: %+v", d.Attempts, want, d.Timeline)
	}
	lost := d.Timeline[0]
	if lost.ErrorClass != delivery.ClassLeaseLost || lost.Outcome != delivery.OutcomeUnknown || lost.StartedAt.Before(before) || lost.StartedAt.After(after) {
		t.Errorf("the lost attempt began between %s and %s: %+v", before, after, lost)
	}
	if becomes == delivery.StateDelivered && (d.Timeline[d.Attempts-1].Outcome != delivery.OutcomeOK || d.Timeline[d.Attempts-1].Number != d.Attempts) {
		t.Errorf("the last attempt: %+v", d.Timeline[d.Attempts-1])
	}
}
