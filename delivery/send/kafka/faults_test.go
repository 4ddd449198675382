package kafkasend

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"redrive/delivery"
	"redrive/delivery/wire"
	"redrive/store/storetest/patience"
)

var produce = []kmsg.Key{kmsg.Produce}

func TestWhatTheBrokerAnswers(t *testing.T) {
	for _, c := range []struct {
		answer  *kerr.Error
		outcome delivery.Outcome
		class   string
		written int
	}{
		{kerr.MessageTooLarge, delivery.OutcomePermanent, delivery.ClassTooLarge, 0},
		{kerr.UnknownTopicOrPartition, delivery.OutcomePermanent, delivery.ClassUnroutable, 0},
		{kerr.TopicAuthorizationFailed, delivery.OutcomePermanent, delivery.ClassRefused, 0},
		{kerr.PolicyViolation, delivery.OutcomePermanent, delivery.ClassRefused, 0},
		{kerr.InvalidRecord, delivery.OutcomePermanent, delivery.ClassBadRequest, 0},
		{kerr.CorruptMessage, delivery.OutcomePermanent, delivery.ClassBadRequest, 0},
		{kerr.InvalidTimestamp, delivery.OutcomePermanent, delivery.ClassBadRequest, 0},
		{kerr.NotEnoughReplicas, delivery.OutcomeTransient, delivery.ClassRefused, 0},
		{kerr.NotLeaderForPartition, delivery.OutcomeTransient, delivery.ClassRefused, 0},
		{kerr.KafkaStorageError, delivery.OutcomeTransient, delivery.ClassRefused, 0},
		{kerr.UnknownServerError, delivery.OutcomeUnknown, delivery.ClassRefused, 0},
		// written, although the client's retries were not confirmed either: the broker recognised each as the same record
		{kerr.RequestTimedOut, delivery.OutcomeUnknown, "", 1},
		{kerr.NotEnoughReplicasAfterAppend, delivery.OutcomeUnknown, "", 1},
	} {
		t.Run(c.answer.Message, func(t *testing.T) {
			t.Parallel()
			cluster, d := cluster(t)
			s := open(t, d)
			fault := cluster.Fault(kfake.Fault{Keys: produce, Topic: d.Topic, Err: c.answer, Count: -1})
			got := s.Send(t.Context(), request(1, "k"))
			if c.class == "" {
				c.class = got.ErrorClass
			}
			want(t, got, c.outcome, c.class)
			fault.Remove()
			wantOK(t, s, 2) // the same sender goes on
			records := read(t, d, d.Topic, c.written+1)
			if last := headersOf(records[c.written])["redrive-id"]; last != request(2, "").Message.ID {
				t.Errorf("the last record is %s", last)
			}
		})
	}
}

func TestWhatPassesWithinAnAttempt(t *testing.T) {
	for _, answer := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend,
		kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidProducerEpoch, kerr.ConcurrentTransactions} {
		t.Run(answer.Message, func(t *testing.T) {
			t.Parallel()
			cluster, d := cluster(t)
			s := open(t, d)
			for i, inRow := range []int{0, 1, 2} {
				if inRow > 0 {
					cluster.Fault(kfake.Fault{Keys: produce, Topic: d.Topic, Err: answer, Count: inRow})
				}
				wantOK(t, s, i)
			}
			read(t, d, d.Topic, 3)
		})
	}
}

// The broker lost what it knew of the producer and goes on refusing its sequence: the attempt ends, and later ones need no
// restart. The client sends under a new epoch, since what is refused this way is not in the log.
func TestSequenceRefusedForLong(t *testing.T) {
	for _, answer := range []*kerr.Error{kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidProducerEpoch} {
		cluster, d := cluster(t)
		s := open(t, d)
		wantOK(t, s, 1)
		fault := cluster.Fault(kfake.Fault{Keys: produce, Err: answer, Count: -1})
		got := s.Send(t.Context(), request(2, "k"))
		if got.Outcome != delivery.OutcomeUnknown && got.Outcome != delivery.OutcomeTransient {
			t.Errorf("%s: %+v", answer.Message, got)
		}
		fault.Remove()
		wantOK(t, s, 3)
		read(t, d, d.Topic, 2)
	}
}

func TestSignInRefusedByTheBroker(t *testing.T) {
	const password = "correct horse battery"
	cluster, d := cluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "redrive", password))
	d.SASL = &delivery.SASL{Mechanism: "plain", Username: "redrive", Password: password}
	cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		response := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		said := "no user redrive with password " + password
		response.ErrorCode, response.ErrorMessage = kerr.SaslAuthenticationFailed.Code, &said
		return response, nil, true
	})
	var log bytes.Buffer
	s, err := New(d, wire.Dialer{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	got := s.Send(t.Context(), request(1, ""))
	_ = s.Close()
	want(t, got, delivery.OutcomePermanent, delivery.ClassRefused)
	if strings.Contains(fmt.Sprint(got)+log.String(), password) {
		t.Errorf("the password leaks: %+v\n%s", got, &log)
	}
}

// A record that the topic does not take must not take its neighbours along, which travel in the same batch.
func TestOversizedRecordHarmsNoNeighbour(t *testing.T) {
	_, d := cluster(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "20000"}))
	s := open(t, d)
	var group sync.WaitGroup
	for i := range 60 {
		group.Go(func() {
			r := request(i, "k")
			if i%10 == 0 {
				r.Message.Payload = noise(25_000)
			} else {
				r.Message.Payload = noise(2_000)
			}
			got := s.Send(t.Context(), r)
			if large := i%10 == 0; large && got.ErrorClass != delivery.ClassTooLarge || !large && got.Outcome != delivery.OutcomeOK {
				t.Errorf("%d: %+v", i, got)
			}
		})
	}
	group.Wait()
	read(t, d, d.Topic, 54)
}

func TestLargeRecordWhereTheTopicTakesIt(t *testing.T) {
	_, d := cluster(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "12000000"}))
	s := open(t, d)
	r := request(1, "k")
	r.Message.Payload = noise(delivery.MaxPayload)
	want(t, s.Send(t.Context(), r), delivery.OutcomeOK, "")
	if got := read(t, d, d.Topic, 1)[0].Value; !bytes.Equal(got, r.Message.Payload) {
		t.Error("the payload changed")
	}
}

func noise(n int) []byte {
	raw := make([]byte, n)
	_, _ = rand.Read(raw)
	return raw
}

// muted is a listener whose connections can be made to lose what the broker answers.
type muted struct {
	silent    atomic.Bool
	swallowed chan struct{} // takes one when an answer was thrown away
	delay     atomic.Int64  // of each answer
	mu        sync.Mutex
	open      []net.Conn
}

func newMuted() *muted { return &muted{swallowed: make(chan struct{}, 1)} }

func (m *muted) listen(network, address string) (net.Listener, error) {
	inner, err := net.Listen(network, address)
	return mutedListener{inner, m}, err
}

func (m *muted) hangUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, conn := range m.open {
		_ = conn.Close()
	}
	m.open = nil
}

type mutedListener struct {
	net.Listener
	m *muted
}

func (l mutedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.m.open = append(l.m.open, conn)
	return mutedConn{conn, l.m}, nil
}

type mutedConn struct {
	net.Conn
	m *muted
}

func (c mutedConn) Write(b []byte) (int, error) {
	time.Sleep(time.Duration(c.m.delay.Load()))
	if c.m.silent.Load() {
		select {
		case c.m.swallowed <- struct{}{}:
		default:
		}
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func TestAcknowledgementLost(t *testing.T) {
	line := newMuted()
	cluster, d := cluster(t, kfake.ListenFn(line.listen))
	d.Timeout = time.Second
	s := open(t, d)
	wantOK(t, s, 1)
	arrived := cluster.Fault(kfake.Fault{Keys: produce, Observe: true, Count: -1})
	line.silent.Store(true)
	began := time.Now()
	want(t, s.Send(t.Context(), request(2, "k")), delivery.OutcomeUnknown, delivery.ClassTimeout)
	if took := time.Since(began); took > d.Timeout+2*heldGrace {
		t.Errorf("the attempt took %s", took)
	}
	if arrived.Hits() == 0 {
		t.Fatal("the record never reached the broker")
	}
	line.silent.Store(false)
	// What was given up must neither be sent again nor make the broker take the next record for a copy of it.
	wantOK(t, s, 3)
	wantOK(t, s, 4)
	read(t, d, d.Topic, 4)
}

// The connection breaks after the record was written and before the answer: the client asks again under the same sequence.
func TestConnectionBreaksBeforeTheAcknowledgement(t *testing.T) {
	line := newMuted()
	cluster, d := cluster(t, kfake.ListenFn(line.listen))
	s := open(t, d)
	wantOK(t, s, 1)
	arrived := cluster.Fault(kfake.Fault{Keys: produce, Observe: true, Count: -1})
	line.silent.Store(true)
	go func() {
		_ = arrived.Wait(t.Context(), 1)
		<-line.swallowed // the answer is thrown away
		line.silent.Store(false)
		line.hangUp()
	}()
	wantOK(t, s, 2)
	read(t, d, d.Topic, 2)
}

func TestCancelledAfterTheRecordWasSent(t *testing.T) {
	line := newMuted()
	cluster, d := cluster(t, kfake.ListenFn(line.listen))
	s := open(t, d)
	wantOK(t, s, 1)
	arrived := cluster.Fault(kfake.Fault{Keys: produce, Observe: true, Count: -1})
	line.silent.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _ = arrived.Wait(t.Context(), 1); cancel() }()
	want(t, s.Send(ctx, request(2, "k")), delivery.OutcomeUnknown, delivery.ClassTimeout)
}

// The client gives up a partition's records together. An attempt that goes on must not end with its neighbour's.
func TestNeighbourCancelled(t *testing.T) {
	cluster, d := cluster(t)
	s := open(t, d) // which does not know the topic yet: records wait for it together
	hold := make(chan struct{})
	cluster.ControlKey(int16(kmsg.Metadata), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		cluster.SleepControl(func() { <-hold })
		return nil, nil, false
	})
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan delivery.Result, 1), make(chan delivery.Result, 1)
	go func() { first <- s.Send(ctx, request(1, "k")) }()
	buffered(t, s, 1)
	go func() { second <- s.Send(t.Context(), request(2, "k")) }()
	buffered(t, s, 2)
	cancel()
	want(t, <-first, delivery.OutcomeTransient, delivery.ClassConnect)
	close(hold)
	want(t, <-second, delivery.OutcomeOK, "")
	read(t, d, d.Topic, 1)
}

// buffered returns when the client holds that many records.
func buffered(t *testing.T, s *Sender, n int64) {
	t.Helper()
	for deadline := time.Now().Add(patience.Limit); s.crowd.client.BufferedProduceRecords() < n; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("the client never held %d records", n)
		}
	}
}

func TestLeaderMoves(t *testing.T) {
	cluster, d := cluster(t, kfake.NumBrokers(3))
	s := open(t, d)
	for i := range 12 {
		if err := cluster.MoveTopicPartition(d.Topic, 0, int32(i%3)); err != nil {
			t.Fatal(err)
		}
		wantOK(t, s, i)
	}
	read(t, d, d.Topic, 12)
}

func TestDeadLetterGoesBack(t *testing.T) {
	_, d := cluster(t, kfake.SeedTopics(4, "payments"))
	d.Topic = ""
	s := open(t, d)
	partition := int32(3)
	r := request(1, "")
	r.Message.Headers = map[string]string{"X-Tenant": "7", "kafka_dlt-exception-message": "boom", "redrive-attempt": "4"}
	r.Message.Origin = &delivery.Origin{Broker: "kafka", Place: "payments.DLT", Dead: &delivery.DeadOrigin{Place: "payments", Partition: &partition},
		Raw: map[string]string{"trace": base64.StdEncoding.EncodeToString([]byte{0, 255, 1}), "kafka_dlt-original-offset": "AAAAAAAAAAc="}}
	for range 2 { // a second round adds nothing
		want(t, s.Send(t.Context(), r), delivery.OutcomeOK, "")
	}
	for _, record := range read(t, d, "payments", 2) {
		headers := headersOf(record)
		if record.Partition != partition || len(record.Headers) != 7 || headers["trace"] != "\x00\xff\x01" || headers["X-Tenant"] != "7" {
			t.Errorf("partition %d, headers %q", record.Partition, headers)
		}
	}
	r.Message.Origin.Dead.Partition = new(int32)
	*r.Message.Origin.Dead.Partition = 99
	want(t, s.Send(t.Context(), r), delivery.OutcomePermanent, delivery.ClassUnroutable)
	r.Message.Origin.Raw["trace"] = "no Base64!"
	want(t, s.Send(t.Context(), r), delivery.OutcomePermanent, delivery.ClassBadRequest)
	want(t, s.Send(t.Context(), request(2, "")), delivery.OutcomePermanent, delivery.ClassUnroutable)
}

func TestCloudEvents(t *testing.T) {
	_, d := cluster(t)
	d.Format = delivery.FormatCloudEvents
	s := open(t, d)
	r := request(1, "order-7")
	r.Message.CreatedAt = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	r.Message.Headers = map[string]string{"X-Tenant": "7"}
	want(t, s.Send(t.Context(), r), delivery.OutcomeOK, "")
	r = request(2, "")
	r.Message.Headers = map[string]string{"ce-id": "A-1", "ce-source": "/sh%C3%B6p", "Content-Type": "text/plain", "ce_tenant": "9%20"}
	want(t, s.Send(t.Context(), r), delivery.OutcomeOK, "")
	for i, record := range read(t, d, d.Topic, 2) {
		expected := []map[string]string{
			{"ce_specversion": "1.0", "ce_id": request(1, "").Message.ID, "ce_source": "redrive/seller-push", "ce_type": "order.placed",
				"ce_time": "2026-05-01T12:00:00Z", "ce_subject": "order-7", "ce_partitionkey": "order-7", "ce_redriveattempt": "1",
				"ce_idempotencykey": request(1, "").IdempotencyKey, "content-type": "application/json", "X-Tenant": "7"},
			{"ce_specversion": "1.0", "ce_id": "A-1", "ce_source": "/shöp", "ce_type": "order.placed", "ce_tenant": "9%20", "ce_redriveattempt": "1",
				"ce_idempotencykey": request(2, "").IdempotencyKey, "content-type": "text/plain"},
		}[i]
		headers := headersOf(record)
		for name, value := range expected {
			if headers[name] != value {
				t.Errorf("%d: %s is %q, want %q", i, name, headers[name], value)
			}
		}
		if len(record.Headers) != len(expected)+5 {
			t.Errorf("%d: headers %v", i, headers)
		}
	}
}

func TestStillHeldIsUnknown(t *testing.T) {
	got := judge(t.Context(), errHeld, evidence{})
	want(t, got, delivery.OutcomeUnknown, delivery.ClassConnectionLost)
	got = judge(t.Context(), errors.New("anything"), evidence{staged: true})
	want(t, got, delivery.OutcomeUnknown, delivery.ClassConnectionLost)
}

// A ledger of many attempts, of which some are cancelled and whose connections break: what is called ok is in the log once,
// what is called failed is not there, what is called unknown is there once or not at all.
//
// The topic has one partition, because the emulator keeps a producer's epoch for all partitions together where Kafka keeps one
// for each: after a cancelled attempt changed the epoch, it answers INVALID_PRODUCER_EPOCH to what another partition still sends
// under the old one, and the client's answer to that writes a second copy (seen with three partitions: about 1 in 100).
func TestVerdictsAgreeWithTheLog(t *testing.T) {
	line := newMuted()
	_, d := cluster(t, kfake.ListenFn(line.listen), kfake.SeedTopics(1, "ledger"))
	d.Topic = "ledger"
	s := open(t, d)
	wantOK(t, s, 0)
	line.delay.Store(int64(time.Millisecond))
	done := make(chan struct{})
	var breaking sync.WaitGroup
	breaking.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(150 * time.Millisecond):
				line.hangUp()
			}
		}
	})
	const senders, each = 24, 60
	verdicts := make([]delivery.Outcome, senders*each+1)
	verdicts[0] = delivery.OutcomeOK
	var group sync.WaitGroup
	for k := range senders {
		group.Go(func() {
			for i := range each {
				n := 1 + k*each + i
				ctx, cancel := context.WithCancel(t.Context())
				if n%3 == 0 {
					time.AfterFunc(time.Duration(n%11)*time.Millisecond/2, cancel)
				}
				verdicts[n] = s.Send(ctx, request(n, fmt.Sprint(n%5))).Outcome
				cancel()
			}
		})
	}
	group.Wait()
	close(done)
	breaking.Wait()
	line.delay.Store(0)
	compareLedger(t, d, verdicts)
}

func compareLedger(t *testing.T, d delivery.KafkaDestination, verdicts []delivery.Outcome) {
	t.Helper()
	count, least := map[delivery.Outcome]int{}, 0
	for _, v := range verdicts {
		count[v]++
		if v == delivery.OutcomeOK {
			least++
		}
	}
	seen := map[string]int{}
	for _, record := range fetch(t, plainClient(t, d, fromStart(d.Topic)...), least) {
		seen[headersOf(record)["redrive-id"]]++
	}
	for n, v := range verdicts {
		copies := seen[request(n, "").Message.ID]
		if copies > 1 || v == delivery.OutcomeOK && copies != 1 || v != delivery.OutcomeOK && v != delivery.OutcomeUnknown && copies != 0 {
			t.Errorf("message %d: %s, and %d copies in the log", n, v, copies)
		}
	}
	t.Log(count)
	if count[delivery.OutcomeOK] == 0 || count[delivery.OutcomeUnknown] == 0 || count[delivery.OutcomeTransient] == 0 {
		t.Errorf("not every verdict was met: %v", count)
	}
}
