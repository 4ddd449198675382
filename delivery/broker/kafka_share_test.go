package broker

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"redrive/delivery"
	limits "redrive/store/storetest/patience"
	"redrive/store/storetest/services"
)

// openShare is a share group on a topic of the run's Kafka, which has begun before the test does: a new one waits for its second
// heartbeat.
func openShare(t *testing.T) place {
	p := newShare(t)
	beginAt(t, p, 0)
	return p
}

func newShare(t *testing.T) place {
	topic := name(t)
	p := kafkaPlace(t, services.SharedKafka(t), topic)
	source := p.source.From.(*delivery.KafkaSource)
	source.Group, source.ShareGroup = "", "redrive-share-"+topic
	client, all := shareClient(t), p.left
	p.left = func(t *testing.T) int {
		t.Helper()
		lag, known, err := shareOffsets(t.Context(), client, *source)
		if err != nil {
			t.Fatal(err)
		}
		if !known {
			return all(t)
		}
		return int(lag)
	}
	return p
}

func shareClient(t *testing.T, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(services.SharedKafka(t).Brokers...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// beginAt makes a group that begins at an offset of each partition.
func beginAt(t *testing.T, p place, offset int64) {
	t.Helper()
	source := p.source.From.(*delivery.KafkaSource)
	admin := services.SharedKafka(t).Admin(t)
	var offsets kadm.Offsets
	for n := range int32(partitions) {
		offsets.AddOffset(source.Topic, n, offset, -1)
	}
	limits.Until(t, "the share group", func() bool { // whose coordinator learns late of a topic that is new
		answer, err := admin.AlterShareGroupOffsets(t.Context(), source.ShareGroup, offsets)
		return err == nil && answer.Error() == nil
	})
}

// set changes settings of a place's group at the broker.
func set(t *testing.T, p place, settings map[string]string) {
	t.Helper()
	if err := alterShareGroup(t.Context(), shareClient(t), p.source.From.(*delivery.KafkaSource).ShareGroup, settings); err != nil {
		t.Fatal(err)
	}
}

func onShare(open func(t *testing.T) place) bed {
	return bed{name: "kafka share group", remembers: true, open: open}
}

// A new share group begins at the beginning and sees nothing that was not committed, as other groups do; somebody's choice stands.
func TestWhereAShareGroupBegins(t *testing.T) {
	for _, reset := range []string{"", "latest"} {
		t.Run("reset "+reset, func(t *testing.T) {
			r := newRig(t, onShare(newShare))
			r.place.publish(t, notes(5)...)
			if reset != "" {
				set(t, r.place, map[string]string{shareReset: reset})
			}
			l := r.start()
			source := *r.place.source.From.(*delivery.KafkaSource)
			client := shareClient(t)
			later := 0
			r.eventually("the group began", func() bool {
				if reset != "" { // what is there when it begins does not arrive
					r.place.publish(t, note{id: fmt.Sprintf("later%d", later)})
					later++
				}
				return len(r.ledger.all()) > 0
			})
			if reset == "" {
				r.ledger.arrived(t, 5)
			}
			if err := l.stop(); err != nil {
				t.Fatal(err)
			}
			if _, found := byID(r.ledger.all())["n0000"]; found != (reset == "") {
				t.Errorf("what was there before: %v", found)
			}
			settings, err := describeShareGroup(t.Context(), client, source.ShareGroup)
			if err != nil {
				t.Fatal(err)
			}
			if got := settings.own[shareReset]; reset == "" && got != "earliest" || reset != "" && got != reset {
				t.Errorf("%s is %s", shareReset, got)
			}
			if got := settings.own[shareIsolation]; got != "read_committed" {
				t.Errorf("%s is %s", shareIsolation, got)
			}
		})
	}
}

// An attempt takes longer than the lock of its record: the lock is renewed, and another member gets nothing of it.
func TestLocksAreRenewed(t *testing.T) {
	t.Parallel() // it waits most of the time
	r := newRig(t, onShare(openShare), func(in *delivery.Integration) { in.Idempotent = false })
	const lasts = 5 * time.Second // a machine that stands still for most of it loses locks
	set(t, r.place, map[string]string{"share.record.lock.duration.ms": fmt.Sprint(lasts.Milliseconds())})
	release := r.ledger.hold(t)
	first := r.start()
	r.place.publish(t, notes(20)...) // 8 are attempted, 12 wait
	r.eventually("under way", func() bool { return r.ledger.holding.Load() == 8 && first.Facts(t.Context()).Received == 20 })
	second := r.start()
	from := time.Now()
	r.eventually("renewed for longer than a lock lasts", func() bool {
		s := first.mortal.last.(*shareSession)
		s.mu.Lock()
		defer s.mu.Unlock()
		earliest := from.Add(time.Hour)
		for _, until := range s.held {
			if until.Before(earliest) {
				earliest = until
			}
		}
		return len(s.held) == 20 && earliest.Sub(from) > 2*lasts
	})
	if n := second.Facts(t.Context()).Received; n != 0 {
		t.Errorf("another member got %d of them", n)
	}
	release()
	r.ledger.arrived(t, 20)
	for _, l := range []*life{first, second} {
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
	}
	r.invariants(20)
	r.requests(20)
	r.nothingLeft()
}

// A message that hangs holds up none behind it, with more workers and members than there are partitions.
func TestNothingWaitsBehindAMessageThatHangs(t *testing.T) {
	t.Parallel()
	r := newRig(t, onShare(openShare), func(in *delivery.Integration) { in.Concurrency = 2 })
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	r.ledger.set(func(e entry) int {
		if e.id == "n0000" {
			<-held
		}
		return 200
	})
	var lives []*life
	for range partitions + 1 {
		lives = append(lives, r.start())
	}
	sent := 0
	r.eventually("all members take part", func() bool {
		if len(byID(r.ledger.all())) == sent { // the topic never runs out of records before a member has joined
			r.place.publish(t, notes(sent + 30)[sent:]...)
			sent += 30
		}
		return !slices.ContainsFunc(lives, func(l *life) bool { return l.Facts(t.Context()).Received < 2 })
	})
	r.ledger.arrived(t, sent)
	r.eventually("only the one that hangs is left", func() bool { return r.place.left(t) == 1 })
	release()
	for _, l := range lives {
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
	}
	r.invariants(sent)
	r.requests(sent)
	r.nothingLeft()
}

// The broker drops a record that was given out too often. Whatever it was given out for, it is stored before that.
func TestTheLastDeliveriesAreStoredFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, onShare(openShare))
	release := r.ledger.hold(t)
	r.place.publish(t, notes(3)...)
	const limit = 5 // the broker's own
	for life := 1; life < limit; life++ {
		var reached chan struct{}
		l := r.start(func(c *Config) { reached = r.freeze(c.Store.(*gate)) }) // and it vanishes before anything is stored
		r.eventually("taken", func() bool { return l.Facts(t.Context()).Received == 3 })
		if life >= limit-1 {
			limits.Receive(t, "an outcome to be written", reached)
		}
		l.kill()
	}
	l := r.start()
	r.eventually("stored", func() bool { return r.count("redrive.messages WHERE origin->>'deliveries' = '5'") == 3 })
	l.kill()
	release()
	r.ledger.arrived(t, 3)
	r.invariants(3)
	r.nothingLeft()
}

// What is a dead letter here is rejected, so that the broker's own dead letters and figures say the same; all else is accepted.
func TestDeadLettersAreRejected(t *testing.T) {
	t.Parallel()
	admin := services.SharedKafka(t).Admin(t)
	r := newRig(t, onShare(openShare))
	letters := "dlq." + name(t)
	services.CreateKafkaTopic(t, admin, letters, 1, "errors.deadletterqueue.group.enable=true")
	set(t, r.place, map[string]string{"errors.deadletterqueue.topic.name": letters, "errors.deadletterqueue.copy.record.enable": "true"})
	r.ledger.set(func(e entry) int {
		switch e.id {
		case "n0001":
			return 400 // dead at once
		case "n0002":
			return 503 // to be tried again, by the engine
		}
		return 200
	})
	l := r.start()
	r.place.publish(t, notes(6)...)
	r.ledger.arrived(t, 6)
	r.eventually("dealt with", func() bool { f := l.Facts(t.Context()); return f.Delivered == 4 && f.Parked == 2 })
	client := shareClient(t, kgo.ConsumeTopics(letters))
	ctx, cancel := context.WithTimeout(t.Context(), limits.Left(t))
	defer cancel()
	got := client.PollFetches(ctx).Records()
	if len(got) != 1 || !strings.Contains(string(got[0].Value), "n0001") {
		t.Errorf("dead letters of the broker: %v", got)
	}
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	r.nothingLeft()
	end, err := admin.ListEndOffsets(t.Context(), letters)
	if err != nil || end.Offsets()[letters][0].At != 1 {
		t.Errorf("the broker has %v dead letters (%v)", end.Offsets(), err)
	}
}

// A broker that has no share groups is said to have none, with what to do.
func TestABrokerWithoutShareGroups(t *testing.T) {
	topic := name(t)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic), kfake.MaxVersions(kversion.V3_9_0()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	source := delivery.KafkaSource{KafkaServer: delivery.KafkaServer{Brokers: cluster.ListenAddrs()}, Topic: topic, ShareGroup: "g"}
	d, err := newKafka(Config{Integration: delivery.Integration{Broker: &delivery.BrokerSource{From: &source}}, Log: slog.Default()}, source)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.connect(t.Context(), 10, nil)
	if err == nil || !strings.Contains(err.Error(), "Kafka 4.2 or later") || !strings.Contains(err.Error(), "use group instead of share_group") {
		t.Errorf("got %v", err)
	}
}

// A member whose process vanished does not keep its partitions until its session is over: the next process makes it leave.
func TestAShareMemberThatVanishedIsMadeToLeave(t *testing.T) {
	t.Parallel()
	r := newRig(t, onShare(openShare))
	source := *r.place.source.From.(*delivery.KafkaSource)
	const gone = "redrive-seller-push-gone"
	living, die := context.WithCancel(t.Context())
	noted, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		r.db.KeepMember(living, r.in.Name, gone, func() { close(noted) }, func(err error) { t.Error(err) })
	}()
	limits.Receive(t, "the note of a member", noted)
	client := shareClient(t, kgo.ClientID(gone))
	join := kmsg.NewPtrShareGroupHeartbeatRequest() // and never again
	join.GroupID, join.MemberID, join.SubscribedTopicNames = source.ShareGroup, "a member that is gone", []string{source.Topic}
	answer, err := join.RequestWith(t.Context(), client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
	die()
	<-ended
	l := r.start()
	r.eventually("alone in the group", func() bool {
		groups, err := kadm.NewClient(client).DescribeShareGroups(t.Context(), source.ShareGroup)
		members := groups[source.ShareGroup].Members
		return err == nil && len(members) == 1 && members[0].ClientID != gone
	})
	r.place.publish(t, notes(30)...)
	r.ledger.arrived(t, 30)
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	if n := r.count("redrive.source_members"); n != 0 {
		t.Errorf("%d members are noted after a stop", n)
	}
	r.requests(30)
}
