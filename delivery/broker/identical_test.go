package broker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/store/storetest"
)

// Whatever a record of Kafka is, it is the same when it comes back: null, empty, binary and what stands twice, of key, value and
// headers, in every combination, each by retry, edit and redirect.
func TestARecordComesBackIdentical(t *testing.T) {
	dead := name(t)
	l := newLog(t, dead, "streamed", "elsewhere")
	h := func(name string, value []byte) kgo.RecordHeader { return kgo.RecordHeader{Key: name, Value: value} }
	death := h("__streams.errors.topic", []byte("streamed"))
	var want []string
	for _, key := range [][]byte{nil, {}, []byte("k-7"), {0, 0xff}, []byte("base64:AP8="), []byte(strings.Repeat("long", 1000))} {
		for _, value := range [][]byte{nil, {}, []byte(`{"n": 1.50, "n": 2}`), {0xff, 0, '\n'}} {
			for _, headers := range [][]kgo.RecordHeader{
				nil,
				{h("null", nil)}, {h("empty", []byte{})}, {h("binary", []byte{0xff, 0})},
				{h("twice", []byte("b")), h("other", []byte("x")), h("twice", []byte("a")), h("twice", []byte("b")), h("twice", nil)},
				{h("z", []byte("1")), h("a", []byte("2")), h("A", []byte(" blanks ")), h("", []byte("no name")), h("bad name\n", []byte("grün"))},
				{h("Idempotency-Key", []byte("theirs")), h("redrive-key", []byte("k")), h("redrive-note", []byte("n")), h("x-original-note", []byte("theirs"))},
				{h("ce_specversion", []byte("1.0")), h("ce_id", []byte("1 2%")), h("ce_type", []byte("t")), h("ce_source", []byte("/s")), h("content-type", []byte("text/plain")), h("ce_partitionkey", []byte("p"))},
			} {
				for _, topic := range []string{"streamed", "streamed", "elsewhere"} { // one for each way
					l.produce(&kgo.Record{Topic: dead, Key: key, Value: value, Headers: append(slices.Clone(headers), death)})
					want = append(want, exactly(topic, key, value, headers))
				}
			}
		}
	}
	ways, gone := []func(delivery.Detail) error{l.retry, l.sameEdit, l.redirect}, map[string]int{}
	for _, id := range l.all(len(want)) {
		d, err := l.db.Delivery(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		what := l.stored(d)
		if err := ways[gone[what]%len(ways)](d); err != nil {
			t.Fatal(err)
		}
		gone[what]++
	}
	for what, n := range gone {
		if n != len(ways) || !slices.Contains(want, what) {
			t.Errorf("%d of %d were stored as\n%s", n, len(ways), what)
		}
	}
	var got []string
	for range want {
		back := l.next()
		theirs := slices.DeleteFunc(slices.Clone(back.Headers), func(h kgo.RecordHeader) bool {
			return slices.Contains(addedToRecords, h.Key)
		})
		got = append(got, exactly(back.Topic, back.Key, back.Value, theirs))
	}
	slices.Sort(want)
	slices.Sort(got)
	for n := range want {
		if want[n] != got[n] {
			t.Fatalf("one came back as\n%s\nwas\n%s", got[n], want[n])
		}
	}
}

// stored is what the desk holds of a dead letter, as it is told of a record.
func (l *logs) stored(d delivery.Detail) string {
	_, fields := d.Message.Wire()
	var headers []kgo.RecordHeader
	for _, f := range fields {
		headers = append(headers, kgo.RecordHeader{Key: f.Name, Value: f.Value})
	}
	return exactly("streamed", d.Message.RecordKey(), d.Message.Payload, headers)
}

// sameEdit is an edit that changes nothing of what is sent.
func (p *desk) sameEdit(d delivery.Detail) error {
	r := delivery.EditRequest{ID: d.ID, Version: d.Version, Actor: "tester", Reason: "none", Headers: maps.Clone(d.Message.Headers)}
	r.Payload, r.PayloadNull = d.Message.Payload, d.Message.Payload == nil
	_, err := p.db.Edit(p.t.Context(), r)
	return err
}

// all waits for so many dead letters.
func (p *desk) all(n int) (ids []string) {
	p.t.Helper()
	p.eventually(fmt.Sprintf("%d dead letters", n), func() bool {
		rows, _ := storetest.Session(p.t, p.dsn).Query(p.t.Context(), "SELECT id::text FROM redrive.deliveries WHERE state = 'dead'")
		var err error
		ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err == nil && len(ids) == n
	})
	return ids
}
