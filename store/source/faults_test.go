package source_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/store/source"
	"redrive/store/storetest"
)

func TestSlotIsLost(t *testing.T) {
	c := storetest.Cluster(t, "max_slot_wal_keep_size=1MB", "min_wal_size=32MB", "max_wal_size=32MB")
	b := lay(t, c.DSN("redrive"), contentTable, "content")
	b.setUp()
	if slot := b.slot(); slot.SafeBytes == nil || slot.Lost || slot.Restart == 0 || slot.Confirmed == 0 {
		t.Errorf("%+v", slot)
	}
	st := b.stream(0)
	// the reader is there but acknowledges nothing
	eventually(t, "the loss", func() error {
		b.run("INSERT INTO content SELECT n, repeat('x', 1000) FROM generate_series(1, 2000) n; TRUNCATE content", "SELECT pg_switch_wal()", "CHECKPOINT")
		if slot := b.slot(); !slot.Lost {
			return fmt.Errorf("%+v", slot)
		}
		return nil
	})
	if slot := b.slot(); !strings.Contains(slot.Why, "max_slot_wal_keep_size") || slot.SafeBytes != nil || slot.Lag < 1<<20 {
		t.Errorf("%+v", slot)
	}
	var err error
	for err == nil {
		_, err = st.Next(ctx(t))
	}
	if !errors.Is(err, source.ErrSlotLost) || !strings.Contains(err.Error(), "take a new snapshot") {
		t.Errorf("under the reader: %v", err)
	}
	if _, err := b.src.Stream(ctx(t), 0); !errors.Is(err, source.ErrSlotLost) {
		t.Errorf("a new reader: %v", err)
	}
	if found, _ := problems(t, b.src); len(found) != 1 || !strings.Contains(found[0], "it is lost") {
		t.Errorf("%q", found)
	}
	if err := b.src.DropSlot(ctx(t)); err != nil {
		t.Fatal(err)
	}
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
		st, err := b.src.Stream(ctx(t), position)
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			inserted++
			b.run(fmt.Sprintf("INSERT INTO content VALUES (%d, 'x')", inserted))
		}
		for n := 0; err == nil; n++ {
			if n == 20+round { // some events before the end
				if round%2 == 0 {
					c.Kill()
				} else {
					c.Restart()
				}
			}
			var event delivery.CaptureEvent
			event, err = st.Next(ctx(t))
			switch {
			case event.Change != nil:
				open = append(open, string(event.Change.Row["id"]))
			case event.Commit != nil:
				got, open, position = append(got, open...), nil, event.Commit.LSN
				if n%3 == 0 {
					_ = st.Acknowledge(position)
				}
			case event.Idle != 0:
				position = event.Idle
				_ = st.Acknowledge(position)
			}
		}
		open = nil
		if errors.Is(err, source.ErrSlotLost) || errors.Is(err, source.ErrSlotMissing) {
			t.Fatal(err)
		}
		_ = st.Close()
		eventually(t, "the server comes back", func() error { _, err := b.src.Slot(ctx(t)); return err })
		b.sql = connect(t, b.dsn)
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
	if !errors.As(err, &refused) || !slices.Contains(refused.SQL, "ALTER SYSTEM SET wal_level = 'logical'") || !strings.Contains(refused.Why, "free replication slots: all 1 are taken") {
		t.Errorf("%v", err)
	}
	_, all := problems(t, b.src)
	if !slices.ContainsFunc(all, func(f delivery.CaptureFinding) bool { return f.What == "max_slot_wal_keep_size" && f.Warning }) || strings.Contains(refused.Why, "keep_size") {
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
