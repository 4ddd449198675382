package kafkasend

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
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
	"redrive/store/storetest/services"
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
			cluster, d := emulated(t)
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

// What one broker answers by itself.
func TestWhatABrokerAnswersByItself(t *testing.T) {
	for name, c := range map[string]struct {
		setting, key string
		outcome      delivery.Outcome
		class, words string
	}{
		"no key where the last one of each is kept": {"cleanup.policy=compact", "", delivery.OutcomePermanent, delivery.ClassBadRequest, words(kerr.InvalidRecord)},
		"too large": {"max.message.bytes=100", "k", delivery.OutcomePermanent, delivery.ClassTooLarge, words(kerr.MessageTooLarge)},
	} {
		t.Run(name, func(t *testing.T) {
			d := anywhere(t, 1, c.setting)
			got := open(t, d).Send(t.Context(), request(1, c.key))
			if want(t, got, c.outcome, c.class); got.Words != c.words {
				t.Errorf("the broker says %q", got.Words)
			}
			read(t, d, d.Topic, 0)
		})
	}
	t.Run("no right", func(t *testing.T) {
		d := signedIn(t, delivery.FormatNative)
		d.SASL.Username = services.KafkaStranger
		got := open(t, d).Send(t.Context(), request(1, ""))
		if want(t, got, delivery.OutcomePermanent, delivery.ClassRefused); got.Words != words(kerr.TopicAuthorizationFailed) {
			t.Errorf("the broker says %q", got.Words)
		}
	})
}

// A topic that is deleted and made again under its name is another one: the same sender finds it.
func TestTopicIsMadeAgain(t *testing.T) {
	d := anywhere(t, 1)
	admin := services.KafkaAdmin(t, d.Brokers)
	s := open(t, d)
	wantOK(t, s, 1)
	if _, err := admin.DeleteTopic(t.Context(), d.Topic); err != nil {
		t.Fatal(err)
	}
	want(t, s.Send(t.Context(), request(2, "k")), delivery.OutcomePermanent, delivery.ClassUnroutable)
	services.CreateKafkaTopic(t, admin, d.Topic, 1)
	wantOK(t, s, 3)
	read(t, d, d.Topic, 1)
}

// A cluster is replaced by another one at the same address, which has a topic of the same name: the same sender goes on, from all
// attempts at once. Only what was written to a connection that had ended is of unknown outcome.
func TestClusterIsReplaced(t *testing.T) {
	cluster, d := emulated(t)
	d.Timeout = time.Minute
	s := open(t, d)
	wantOK(t, s, 1)
	_, port, _ := strings.Cut(d.Brokers[0], ":")
	cluster.Close()
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	another, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(number), kfake.SeedTopics(1, d.Topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(another.Close)
	first := 0 // records that the new cluster has
	if got := s.Send(t.Context(), request(2, "k")); got.Outcome == delivery.OutcomeOK {
		first = 1
	} else if got.Outcome != delivery.OutcomeUnknown {
		t.Errorf("%+v", got)
	}
	const n = 20
	results := make(chan delivery.Result, n)
	for i := range n {
		go func() { results <- s.Send(t.Context(), request(3+i, fmt.Sprint(i))) }()
	}
	for range n {
		if got := patience.Receive(t, "the result", results); got.Outcome != delivery.OutcomeOK {
			t.Errorf("%+v", got)
		}
	}
	read(t, d, d.Topic, n+first)
}

func TestWhatPassesWithinAnAttempt(t *testing.T) {
	for _, answer := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend,
		kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidProducerEpoch, kerr.ConcurrentTransactions} {
		t.Run(answer.Message, func(t *testing.T) {
			t.Parallel()
			cluster, d := emulated(t)
			s := open(t, d)
			for i, inRow := range []int{0, 1, 2} {
				fault := &kfake.FaultHandle{}
				if inRow > 0 {
					fault = cluster.Fault(kfake.Fault{Keys: produce, Topic: d.Topic, Err: answer, Count: inRow})
				}
				wantOK(t, s, i)
				if n := fault.Hits(); n != inRow {
					t.Errorf("%d of %d faults struck", n, inRow)
				}
			}
			read(t, d, d.Topic, 3)
		})
	}
}

// The broker lost what it knew of the producer and goes on refusing its sequence: the attempt ends, and later ones need no
// restart. The client sends under a new epoch, since what is refused this way is not in the log.
func TestSequenceRefusedForLong(t *testing.T) {
	t.Parallel()
	for _, answer := range []*kerr.Error{kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidProducerEpoch} {
		cluster, d := emulated(t)
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
	cluster, d := emulated(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "redrive", password))
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
	d := anywhere(t, 1, "max.message.bytes=20000")
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
	d := anywhere(t, 1, "max.message.bytes=12000000")
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

func TestAcknowledgementLost(t *testing.T) {
	t.Parallel()
	proxy, d := proxied(t, 1)
	s, count := open(t, d), written(t, d)
	wantOK(t, s, 1)
	proxy.LoseAnswers()
	s.timeout = fastTimeout
	began := time.Now()
	want(t, s.Send(t.Context(), request(2, "k")), delivery.OutcomeUnknown, delivery.ClassTimeout)
	if took := time.Since(began); took > patience.Here(s.timeout+2*heldGrace) {
		t.Errorf("the attempt took %s", took)
	}
	if n := count(); n != 2 {
		t.Fatalf("the broker has %d records: the fault did not work", n)
	}
	proxy.Heal()
	// What was given up must neither be sent again nor make the broker take the next record for a copy of it.
	wantOK(t, s, 3)
	wantOK(t, s, 4)
	read(t, d, d.Topic, 4)
}

// The connection breaks after the record was written and before the answer: the client asks again under the same sequence.
func TestConnectionBreaksBeforeTheAcknowledgement(t *testing.T) {
	proxy, d := proxied(t, 1)
	s, count := open(t, d), written(t, d)
	wantOK(t, s, 1)
	proxy.LoseAnswers()
	sent := sending(t.Context(), s, 2)
	patience.Until(t, "the record is written", func() bool { return count() == 2 })
	proxy.Heal()
	want(t, patience.Receive(t, "the result", sent), delivery.OutcomeOK, "")
	read(t, d, d.Topic, 2)
}

// The connection breaks in the middle of the record: nothing is written, and the client sends it again by the next one.
func TestConnectionBreaksWithinTheRecord(t *testing.T) {
	t.Parallel()
	proxy, d := proxied(t, 1)
	s, count := open(t, d), written(t, d)
	wantOK(t, s, 1)
	proxy.CutAfter(services.Upstream, 100)
	s.timeout = fastTimeout
	r := request(2, "k")
	r.Message.Payload = noise(10_000)
	if got := s.Send(t.Context(), r); got.Outcome != delivery.OutcomeUnknown && got.Outcome != delivery.OutcomeTransient {
		t.Errorf("%+v", got)
	}
	proxy.Heal()
	if n := count(); n != 1 {
		t.Errorf("the broker has %d records", n)
	}
	wantOK(t, s, 3)
	read(t, d, d.Topic, 2)
}

func TestCancelledAfterTheRecordWasSent(t *testing.T) {
	proxy, d := proxied(t, 1)
	s, count := open(t, d), written(t, d)
	wantOK(t, s, 1)
	proxy.LoseAnswers()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent := sending(ctx, s, 2)
	patience.Until(t, "the record is written", func() bool { return count() == 2 })
	cancel()
	want(t, patience.Receive(t, "the result", sent), delivery.OutcomeUnknown, delivery.ClassTimeout)
}

// A line across the world makes it slower and nothing else.
func TestSlowConnection(t *testing.T) {
	t.Parallel()
	proxy, d := proxied(t, 1)
	proxy.Delay(30 * time.Millisecond)
	s := open(t, d)
	for n := range 5 {
		began := time.Now()
		wantOK(t, s, n)
		if took := time.Since(began); took < 60*time.Millisecond {
			t.Errorf("sent within %v: the fault did not work", took)
		}
	}
	read(t, d, d.Topic, 5)
}

// The client gives up a partition's records together. An attempt that goes on must not end with its neighbour's.
func TestNeighbourCancelled(t *testing.T) {
	t.Parallel()
	proxy, d := proxied(t, 1)
	proxy.Silence()
	s := open(t, d) // which does not know the topic yet: records wait for it together
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := sending(ctx, s, 1)
	buffered(t, s, 1)
	second := sending(t.Context(), s, 2)
	buffered(t, s, 2)
	cancel()
	want(t, patience.Receive(t, "the result", first), delivery.OutcomeTransient, delivery.ClassConnect)
	proxy.Heal()
	want(t, patience.Receive(t, "the result", second), delivery.OutcomeOK, "")
	read(t, d, d.Topic, 1)
}

// buffered returns when the client holds that many records.
func buffered(t *testing.T, s *Sender, n int64) {
	t.Helper()
	for deadline := time.Now().Add(patience.Left(t)); s.crowd.client.BufferedProduceRecords() < n; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("the client never held %d records", n)
		}
	}
}

func TestLeaderMoves(t *testing.T) {
	cluster, d := emulated(t, kfake.NumBrokers(3))
	s := open(t, d)
	var asked atomic.Int64
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked.Add(1)
		return nil, nil, false
	})
	for i := range 12 {
		if err := cluster.MoveTopicPartition(d.Topic, 0, int32(i%3)); err != nil {
			t.Fatal(err)
		}
		wantOK(t, s, i)
	}
	if n := asked.Load(); n <= 12 {
		t.Errorf("%d requests for 12 records: no leader was another one", n)
	}
	read(t, d, d.Topic, 12)
}

func TestDeadLetterGoesBack(t *testing.T) {
	d := anywhere(t, 4)
	payments := d.Topic
	d.Topic = ""
	s := open(t, d)
	partition := int32(3)
	r := request(1, "")
	r.Message.Headers = map[string]string{"X-Tenant": "7", "kafka_dlt-exception-message": "boom", "redrive-attempt": "4"}
	r.Message.Origin = &delivery.Origin{Broker: "kafka", Place: "payments.DLT", Dead: &delivery.DeadOrigin{Place: payments, Partition: &partition},
		Raw: map[string]string{"trace": base64.StdEncoding.EncodeToString([]byte{0, 255, 1}), "kafka_dlt-original-offset": "AAAAAAAAAAc="}}
	for range 2 { // a second round adds nothing
		want(t, s.Send(t.Context(), r), delivery.OutcomeOK, "")
	}
	for _, record := range read(t, d, payments, 2) {
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
	d := anywhere(t, 1)
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
func TestVerdictsAgreeWithTheLog(t *testing.T) {
	t.Parallel()
	proxy, d := proxied(t, 3)
	s := open(t, d)
	wantOK(t, s, 0)
	proxy.Delay(time.Millisecond)
	const senders, each, breaks = 24, 60, 7
	broken := make(chan struct{}, breaks) // each when that many more attempts have begun
	var breaking sync.WaitGroup
	breaking.Go(func() {
		for range breaks {
			<-broken
			proxy.Drop()
		}
	})
	var begun atomic.Int64
	verdicts := make([]delivery.Outcome, senders*each+1)
	verdicts[0] = delivery.OutcomeOK
	var group sync.WaitGroup
	for k := range senders {
		group.Go(func() {
			for i := range each {
				n := 1 + k*each + i
				if at := begun.Add(1); at%(senders*each/(breaks+1)) == 0 && at < senders*each {
					broken <- struct{}{}
				}
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
	breaking.Wait()
	proxy.Heal()
	compareLedger(t, d, verdicts)
}

// The same of a broker that is killed under way and comes back.
func TestVerdictsAgreeWithTheLogOfABrokerThatWasKilled(t *testing.T) {
	t.Parallel()
	k := services.StartKafka(t)
	d := newTopic(t, k.Brokers, 3)
	d.Timeout = fastTimeout
	s := open(t, d)
	var verdicts []delivery.Outcome
	var mu sync.Mutex
	var confirmed atomic.Int64
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				mu.Lock()
				n := len(verdicts)
				verdicts = append(verdicts, "")
				mu.Unlock()
				outcome := s.Send(t.Context(), request(n, fmt.Sprint(n%5))).Outcome
				mu.Lock()
				verdicts[n] = outcome
				mu.Unlock()
				if outcome == delivery.OutcomeOK {
					confirmed.Add(1)
				}
			}
		})
	}
	stop := sync.OnceFunc(func() { close(done); group.Wait() })
	t.Cleanup(stop)
	patience.Until(t, "records are confirmed", func() bool { return confirmed.Load() > 200 })
	k.Kill()
	if err := k.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := confirmed.Load()
	patience.Until(t, "records are confirmed again", func() bool { return confirmed.Load() > before+200 })
	stop()
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
