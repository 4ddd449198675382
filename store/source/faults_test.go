package source_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/store/source"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
)

func TestSlotIsLost(t *testing.T) {
	c := storetest.Cluster(t, "max_slot_wal_keep_size=1MB", "min_wal_size=32MB", "max_wal_size=32MB")
	b := lay(t, c.DSN("redrive"), contentTable, "content")
	b.setUp()
	if slot := b.slot(); slot.SafeBytes == nil || slot.Lost || slot.Restart == 0 || slot.Confirmed == 0 {
		t.Errorf("%+v", slot)
	}
	st := b.stream(0)
	ended := make(chan error, 1)
	go func() { // it reads, but acknowledges nothing
		for {
			if _, err := st.Next(context.Background()); err != nil {
				ended <- err
				return
			}
		}
	}()
	eventually(t, "the loss", func() error {
		b.run("INSERT INTO content SELECT n, repeat('x', 1000) FROM generate_series(1, 2000) n; TRUNCATE content", "SELECT pg_switch_wal()", "CHECKPOINT")
		if slot := b.slot(); !slot.Lost {
			return fmt.Errorf("%+v", slot)
		}
		return nil
	})
	if slot := b.slot(); !strings.Contains(slot.Why.English(), "max_slot_wal_keep_size") || slot.SafeBytes != nil || slot.Lag < 1<<20 {
		t.Errorf("%+v", slot)
	}
	t.Log(<-ended) // the reader was ended by the source, a moment before the slot was given up
	if _, err := b.src.Stream(ctx(t), 0); !errors.Is(err, source.ErrSlotLost) || !strings.Contains(err.Error(), "take a new snapshot") {
		t.Errorf("a new reader: %v", err)
	}
	if found, _ := problems(t, b.src); len(found) != 1 || !strings.Contains(found[0], "it is lost") {
		t.Errorf("%q", found)
	}
	// the server tells the reader that it ends, and lets go of its slot a moment later
	eventually(t, "a slot that nobody reads", func() error { return b.src.DropSlot(ctx(t)) })
	b.setUp()
	st = b.stream(0)
	b.run("INSERT INTO content VALUES (1, 'after')")
	same(t, "after a new slot", b.told(st), `insert public.content {"id":1,"title":"after"} by id`)
}

// The server is killed again and again; from the last acknowledged position nothing is missing and nothing comes twice.
func TestServerIsKilled(t *testing.T) {
	c := storetest.Cluster(t)
	b := lay(t, c.DSN("redrive"), contentTable, "content")
	b.setUp()
	var position delivery.LSN
	var got, open []string
	inserted := 0
	for round := range 4 {
		began := b.began()
		st, err := b.src.Stream(ctx(t), position)
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			inserted++
			b.run(fmt.Sprintf("INSERT INTO content VALUES (%d, 'x')", inserted))
		}
		down := make(chan struct{})
		for n := 0; err == nil; n++ {
			if n == 20+round { // some events before the end
				go func() { // a shutdown waits for the reader to acknowledge
					defer close(down)
					if round%2 == 0 {
						c.Kill()
					} else {
						c.Restart()
					}
				}()
			}
			var event delivery.CaptureEvent
			event, err = st.Next(ctx(t))
			switch {
			case event.Change != nil:
				open = append(open, string(event.Change.Row["id"]))
				continue
			case event.Commit != nil:
				got, open, position = append(got, open...), nil, event.Commit.LSN
			case event.Idle != 0:
				position = event.Idle
			}
			_ = st.Acknowledge(position)
		}
		<-down
		open = nil
		if errors.Is(err, source.ErrSlotLost) || errors.Is(err, source.ErrSlotMissing) {
			t.Fatal(err)
		}
		_ = st.Close()
		b.reconnect(began)
		eventually(t, "the source's connections are new ones", func() error { _, err := b.src.Slot(ctx(t)); return err })
	}
	changes, _ := b.changes(b.stream(position))
	for _, change := range changes {
		got = append(got, string(change.Row["id"]))
	}
	var want []string
	for n := 1; n <= inserted; n++ {
		want = append(want, fmt.Sprint(n))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d changes, want %d: %v", len(got), len(want), got)
	}
}

func TestServerThatIsNotFit(t *testing.T) {
	c := storetest.Cluster(t, "wal_level=replica", "max_replication_slots=1", "max_slot_wal_keep_size=-1")
	b := lay(t, c.DSN("redrive"), contentTable, "content")
	b.run("SELECT pg_create_physical_replication_slot('taken')")
	_, err := b.src.SetUp(ctx(t))
	var refused *source.SetupError
	if !errors.As(err, &refused) || !slices.Contains(refused.SQL, "ALTER SYSTEM SET wal_level = 'logical'") || !strings.Contains(refused.Why.English(), "free replication slots: all 1 are taken") {
		t.Errorf("%v", err)
	}
	_, all := problems(t, b.src)
	if !slices.ContainsFunc(all, func(f delivery.CaptureFinding) bool { return f.What.English() == "max_slot_wal_keep_size" && f.Warning }) || strings.Contains(refused.Why.English(), "keep_size") {
		t.Errorf("%+v", all)
	}
}

func TestPublicationIsDropped(t *testing.T) {
	b := ready(t, contentTable, "content")
	st := b.stream(0)
	b.run(`DROP PUBLICATION "Odd ""name"""`, "INSERT INTO content VALUES (1)")
	var err error
	for err == nil {
		_, err = st.Next(ctx(t))
	}
	if !errors.Is(err, source.ErrPublicationMissing) {
		t.Error(err)
	}
}

// cable forwards connections to the server's socket, until it is cut: then it keeps them open and says nothing.
type cable struct {
	address string
	cut     chan struct{}
}

func lead(t *testing.T, dsn string) (*cable, string) {
	t.Helper()
	parsed, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	query := parsed.Query()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	w := &cable{address: query.Get("host") + "/.s.PGSQL." + query.Get("port"), cut: make(chan struct{})}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", w.address)
			if err != nil {
				_ = client.Close()
				continue
			}
			go w.pass(client, server)
			go w.pass(server, client)
		}
	}()
	query.Set("host", "127.0.0.1")
	query.Set("port", fmt.Sprint(listener.Addr().(*net.TCPAddr).Port))
	parsed.RawQuery = query.Encode()
	return w, parsed.String()
}

func (w *cable) pass(from, to net.Conn) {
	buffer := make([]byte, 1<<14)
	for {
		n, err := from.Read(buffer)
		select {
		case <-w.cut:
			if err == nil {
				continue
			}
		default:
			if n > 0 {
				_, _ = to.Write(buffer[:n])
			}
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

// An idle source keeps answering; one that has stopped to is taken for dead.
func TestSilenceEndsTheStream(t *testing.T) {
	b := ready(t, contentTable, "content")
	w, dsn := lead(t, b.dsn)
	b.src = open(t, b.settings, dsn)
	b.src.Hasten(50*time.Millisecond, 500*time.Millisecond, time.Minute)
	st := b.stream(0)
	began, moved := time.Now(), b.slot().Confirmed
	for time.Since(began) < time.Second || b.slot().Confirmed == moved { // twice the silence that is allowed
		if time.Since(began) > patience.Limit {
			t.Fatal("keepalives do not move the slot")
		}
		b.run("CREATE TABLE IF NOT EXISTS unpublished (n int); INSERT INTO unpublished VALUES (1)")
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		event, err := st.Next(short)
		cancel()
		switch {
		case event.Idle != 0:
			_ = st.Acknowledge(event.Idle)
		case !errors.Is(err, context.DeadlineExceeded):
			t.Fatalf("%+v, %v", event, err)
		}
	}
	close(w.cut)
	began = time.Now()
	var err error
	for err == nil {
		_, err = st.Next(ctx(t))
	}
	if !strings.Contains(err.Error(), "taken for dead") || time.Since(began) > patience.Prompt {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

// A reader that takes nothing would hold up the source's shutdown for ever.
func TestStalledReaderLetsGo(t *testing.T) {
	b := ready(t, contentTable, "content")
	b.src.Hasten(50*time.Millisecond, time.Minute, 300*time.Millisecond)
	st := b.stream(0)
	b.run("INSERT INTO content SELECT generate_series(1, 100000)")
	eventually(t, "the slot is free", func() error {
		if b.slot().Active {
			return errors.New("it is active")
		}
		return nil
	})
	read, err := 0, error(nil)
	for ; err == nil; read++ {
		_, err = st.Next(ctx(t))
	}
	if read > 100 || !strings.Contains(err.Error(), "nobody has taken changes") {
		t.Errorf("after %d events: %v", read, err)
	}
	if changes, _ := b.changes(b.stream(0)); len(changes) != 100000 {
		t.Errorf("then %d changes", len(changes))
	}
}
