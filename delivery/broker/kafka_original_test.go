package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	limits "redrive/store/storetest/patience"
	"redrive/store/storetest/services"
	"redrive/views/words"
)

// shared are the headers of a dead letter as a share group writes it.
func shared(r *kgo.Record) []kgo.RecordHeader {
	return []kgo.RecordHeader{
		{Key: "__dlq.errors.topic", Value: []byte(r.Topic)},
		{Key: "__dlq.errors.partition", Value: fmt.Append(nil, r.Partition)},
		{Key: "__dlq.errors.offset", Value: fmt.Append(nil, r.Offset)},
		{Key: "__dlq.errors.group", Value: []byte("sg")},
		{Key: "__dlq.errors.delivery.count", Value: []byte("1")},
		{Key: "__dlq.errors.message", Value: []byte("Offset rejected by client.")},
	}
}

// lostBed is a dead-letter topic and the one in which its letters died.
type lostBed struct {
	*desk
	k            *services.Kafka
	client       *kgo.Client
	died, origin string
}

func newLostBed(t *testing.T, k *services.Kafka, original delivery.Original) *lostBed {
	t.Helper()
	b := &lostBed{k: k, died: name(t) + "-died", origin: name(t)}
	k.CreateTopic(t, b.died, 1)
	k.CreateTopic(t, b.origin, 1)
	var err error
	if b.client, err = kgo.NewClient(kgo.SeedBrokers(k.Brokers...), kgo.ConsumeTopics(b.origin), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	server := delivery.KafkaServer{Brokers: k.Brokers}
	from := &delivery.KafkaSource{KafkaServer: server, Topic: b.died, Group: b.died}
	to := &delivery.KafkaDestination{KafkaServer: server, Topic: b.died, Timeout: time.Minute}
	b.desk = newDesk(t, delivery.BrokerSource{From: from, Original: original}, delivery.Destination{To: from.WayBack()}, delivery.Destination{To: to})
	return b
}

func (b *lostBed) produce(r *kgo.Record) *kgo.Record {
	b.t.Helper()
	if err := b.client.ProduceSync(b.t.Context(), r).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
	return r
}

// dies writes the letter of a record, which may have been changed to be another one.
func (b *lostBed) dies(r *kgo.Record, copies bool) delivery.Detail {
	b.t.Helper()
	letter := &kgo.Record{Topic: b.died, Headers: shared(r)}
	if copies {
		letter.Key, letter.Value = r.Key, r.Value
	}
	b.produce(letter)
	return b.dead()
}

// next is the record that comes back, behind those that were there.
func (b *lostBed) next(offset int64) *kgo.Record {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), limits.Left(b.t))
	defer cancel()
	for {
		for _, r := range b.client.PollFetches(ctx).Records() {
			if r.Offset == offset {
				return r
			}
		}
		if ctx.Err() != nil {
			b.t.Fatal("no record came back")
		}
	}
}

// A share group's letter has lost headers, and maybe the record. What is shown, edited and sent back is what died.
func TestTheOriginalIsReadFromWhereItDied(t *testing.T) {
	b := newLostBed(t, services.SharedKafka(t), delivery.OriginalLost)
	offset := int64(0)
	for n, r := range []kgo.Record{
		{Key: []byte("k"), Value: []byte(`{"n": 1.50}`), Headers: []kgo.RecordHeader{{Key: "x-shop", Value: []byte("17")}, {Key: "twice", Value: []byte("a")}, {Key: "twice"}, {Key: "trace", Value: []byte{0, 0xff}}}},
		{Value: nil, Key: []byte("gone")},
		{Value: []byte{}, Key: []byte{}},
		{Value: []byte{0xff, 0}, Key: nil, Headers: []kgo.RecordHeader{{Key: "__streams.errors.topic", Value: []byte("before")}}}, // it had died before
	} {
		for _, copies := range []bool{true, false} {
			what := fmt.Sprintf("record %d, copied %t", n, copies)
			r := r
			r.Topic = b.origin
			b.produce(&r)
			got := b.dies(&r, copies)
			dead := got.Message.Origin.Dead
			if !dead.Fetched || dead.Missing != nil || dead.Place != b.origin || *dead.Offset != r.Offset || !dead.At.Equal(r.Timestamp.Truncate(time.Millisecond)) || dead.Group != "sg" {
				t.Errorf("%s: it died %s", what, asJSON(dead))
			}
			if err := b.retry(got); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			b.delivered(got.ID)
			offset += 2
			sameRecord(t, what, r, b.next(offset-1))
		}
	}
}

// Where there is no original any more, the page says what is missing and why, and an empty record is never sent in its place.
func TestTheOriginalIsGone(t *testing.T) {
	k := services.SharedKafka(t)
	b := newLostBed(t, k, delivery.OriginalLost)
	first := b.produce(&kgo.Record{Topic: b.origin, Key: []byte("k"), Value: []byte("first")})
	second := b.produce(&kgo.Record{Topic: b.origin, Key: []byte("k"), Value: []byte("second")})
	aborted := b.aborted()
	b.produce(&kgo.Record{Topic: b.origin, Value: []byte("behind")})
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: b.origin, At: 1})
	if _, err := k.Admin(t).DeleteRecords(t.Context(), offsets); err != nil {
		t.Fatal(err)
	}
	other, younger, nowhere, beyond, end := *second, *second, *second, *second, *second
	b.eventually("the end of the transaction", func() bool {
		ends, err := k.Admin(t).ListEndOffsets(t.Context(), b.origin)
		stable, err2 := k.Admin(t).ListCommittedOffsets(t.Context(), b.origin)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		last, _ := ends.Lookup(b.origin, 0)
		readable, _ := stable.Lookup(b.origin, 0)
		end.Offset = last.Offset // where the next record will stand
		return readable.Offset == last.Offset
	})
	other.Value = []byte("another")
	nowhere.Topic, beyond.Offset = "no-such-topic-"+b.origin, 99
	younger.Value, younger.Key = nil, nil
	for _, tc := range []struct {
		why    string
		record *kgo.Record
		copies bool
		age    time.Duration
	}{
		{"beyond", &end, false, 0}, {"deleted", first, false, 0}, {"deleted", first, true, 0}, {"hole", aborted, false, 0}, {"another", &other, true, 0},
		{"another", &younger, false, time.Hour}, {"beyond", &beyond, false, 0}, {"no_topic", &nowhere, false, 0},
	} {
		letter := &kgo.Record{Topic: b.died, Headers: shared(tc.record)}
		if tc.age > 0 {
			letter.Timestamp = time.Now().Add(-tc.age)
		}
		if tc.copies {
			letter.Key, letter.Value = tc.record.Key, tc.record.Value
		}
		b.produce(letter)
		got := b.dead()
		missing := got.Message.Origin.Dead.Missing
		if missing == nil || missing.Why.Key != "original."+tc.why || missing.Record == tc.copies || got.Message.Origin.Dead.Fetched {
			t.Errorf("%s, copied %t: it died %s", tc.why, tc.copies, asJSON(got.Message.Origin.Dead))
			continue
		}
		if text := words.Say(words.English, missing.Why); strings.Contains(text, "{topic}") || text == missing.Why.String() {
			t.Errorf("nobody can read %q", text)
		}
		var refused *delivery.InputError
		if err := b.retry(got); tc.copies && err != nil || !tc.copies && (!errors.As(err, &refused) || refused.Code != "original_missing") {
			t.Errorf("%s, copied %t: a retry is answered by %v", tc.why, tc.copies, err)
		}
		if !tc.copies {
			if err := b.redirect(got); !errors.As(err, &refused) || refused.Code != "original_missing" {
				t.Errorf("%s: a redirect is answered by %v", tc.why, err)
			}
			b.bulk(got)
			if err := b.edit(got); err != nil && tc.why != "no_topic" {
				t.Errorf("%s: an edit is answered by %v", tc.why, err)
			}
		}
		b.eventually("it is no dead letter any more, or failed again", func() bool {
			d, err := b.db.Delivery(t.Context(), got.ID)
			if err == nil && d.State == delivery.StateDead && d.ErrorClass != delivery.ClassForeign {
				err = b.ignore(d)
			}
			return err == nil && d.State != delivery.StateDead && d.State != delivery.StatePending && d.State != delivery.StateSending
		})
	}
}

// bulk: an operation leaves it out too.
func (b *lostBed) bulk(d delivery.Detail) {
	b.t.Helper()
	dry, err := b.db.DryRun(b.t.Context(), delivery.OperationRequest{Action: delivery.ActionRetry, Chosen: []delivery.Chosen{{ID: d.ID}}, Actor: "tester"})
	if err != nil || dry.Eligible != 0 || dry.Excluded[delivery.ExcludedOriginal] != 1 {
		b.t.Errorf("an operation would take %+v, %v", dry, err)
	}
}

// aborted is a record whose transaction was.
func (b *lostBed) aborted() *kgo.Record {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.k.Brokers...), kgo.TransactionalID(name(b.t)), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	r := &kgo.Record{Topic: b.origin, Value: []byte("never")}
	if err = client.BeginTransaction(); err == nil {
		if err = client.ProduceSync(b.t.Context(), r).FirstErr(); err == nil {
			err = client.EndTransaction(b.t.Context(), kgo.TryAbort)
		}
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// As it is set: letters alone, or the originals of everybody.
func TestWhoseOriginalsAreRead(t *testing.T) {
	k := services.SharedKafka(t)
	for original, want := range map[delivery.Original][]string{
		delivery.OriginalLost: {"fetched", "letter"}, delivery.OriginalFetch: {"fetched", "fetched"}, delivery.OriginalAsIs: {"original.as_is", "letter"},
	} {
		b := newLostBed(t, k, original)
		r := b.produce(&kgo.Record{Topic: b.origin, Key: []byte("k"), Value: []byte(`{"id": 1}`), Headers: []kgo.RecordHeader{{Key: "x-shop", Value: []byte("17")}}})
		var got []string
		connect := []kgo.RecordHeader{{Key: "__connect.errors.topic", Value: []byte(b.origin)}, {Key: "__connect.errors.partition", Value: []byte("0")},
			{Key: "__connect.errors.offset", Value: fmt.Append(nil, r.Offset)}}
		for _, headers := range [][]kgo.RecordHeader{shared(r), connect} {
			b.produce(&kgo.Record{Topic: b.died, Key: r.Key, Value: r.Value, Headers: headers})
			d := b.dead()
			switch dead := d.Message.Origin.Dead; {
			case dead.Missing != nil:
				got = append(got, dead.Missing.Why.Key)
			case dead.Fetched && d.Message.Headers["x-shop"] == "17":
				got = append(got, "fetched")
			default:
				got = append(got, "letter")
			}
			if err := b.ignore(d); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", original, got, want)
		}
	}
}
