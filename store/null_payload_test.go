package store_test

import (
	"testing"
	"time"
)

// A message without payload is a message: it is kept, claimed and moves between partitions.
func TestAPayloadMayBeNull(t *testing.T) {
	d := open(t)
	d.must(d.sql("SELECT redrive.enqueue('push', 't', NULL::bytea), redrive.enqueue('push', 't', ''::bytea)"))
	if n := value[int](d, "SELECT count(*) FROM redrive.messages WHERE payload IS NULL"); n != 1 {
		t.Errorf("%d messages without payload", n)
	}
	if claimed := d.claim("push", 10, time.Minute); len(claimed) != 2 {
		t.Errorf("%d claimed", len(claimed))
	}
	if n := value[int](d, `SELECT count(*) FROM pg_attribute a JOIN pg_inherits i ON i.inhrelid = a.attrelid
		WHERE i.inhparent = 'redrive.messages'::regclass AND a.attname = 'payload' AND a.attnotnull`); n != 0 {
		t.Errorf("%d partitions still want a payload", n)
	}
	d.must(d.sql("SELECT redrive.add_message_partition(((now() AT TIME ZONE 'UTC')::date + 30))"))
	if value[bool](d, "SELECT bool_or(attnotnull) FROM pg_attribute WHERE attname = 'payload' AND attrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'redrive.messages'::regclass)") {
		t.Error("a new partition wants a payload")
	}
}
