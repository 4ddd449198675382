package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/store/storetest/services"
)

// grouping is a rig on Kafka, and a look at its group.
type grouping struct {
	*rig
	admin *kadm.Client
	group string
}

func onKafka(t *testing.T) *grouping {
	t.Helper()
	e := &grouping{admin: services.SharedKafka(t).Admin(t)}
	e.rig = newRig(t, bed{name: "kafka", remembers: true, open: openKafka})
	e.group = e.in.Broker.From.(*delivery.KafkaSource).Group
	return e
}

// removals is a store that knows who was made to leave the group.
type removals struct {
	Store
	mu    *sync.Mutex
	names *[]string
}

func (r removals) ForgetGone(ctx context.Context, members []string) error {
	r.mu.Lock()
	*r.names = append(*r.names, members...)
	r.mu.Unlock()
	return r.Store.ForgetGone(ctx, members)
}

func (r removals) have(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(*r.names, name)
}

// members are the names in the group.
func (e *grouping) members() (names []string) {
	e.t.Helper()
	groups, err := e.admin.DescribeGroups(e.t.Context(), e.group)
	if err != nil {
		e.t.Fatal(err)
	}
	for _, m := range groups[e.group].Members {
		names = append(names, *m.InstanceID)
	}
	return names
}

// membership is the session that a consumer has now, and its name in the group.
func (l *life) membership() (*kafkaSession, string) {
	l.mortal.mu.Lock()
	defer l.mortal.mu.Unlock()
	s := l.mortal.last.(*kafkaSession)
	return s, s.member.name
}

// confirmed is how many records the broker has told a consumer are committed.
func (l *life) confirmed() (n int64) {
	s, _ := l.membership()
	s.positions.mu.Lock()
	defer s.positions.mu.Unlock()
	for _, at := range s.positions.parts {
		n += max(at.dealt, 0)
	}
	return n
}

// has is what a consumer holds; nothing while it has no session.
func (e *grouping) has(l *life) delivery.SourcePartitions {
	if p := l.Facts(e.t.Context()).Partitions; p != nil {
		return *p
	}
	return delivery.SourcePartitions{}
}

// A process that vanishes does not keep its partitions until its session is over: the next one makes its member leave. One that lives is
// left alone, and one that stops leaves by itself.
func TestAMemberWhoseProcessVanishedIsMadeToLeave(t *testing.T) {
	t.Parallel()
	e := onKafka(t)
	left := removals{e.db, &sync.Mutex{}, &[]string{}}
	watched := func(c *Config) { c.Store = left }
	first, other := e.start(watched), e.start(watched)
	e.place.publish(t, notes(30)...)
	e.ledger.arrived(t, 30)
	_, vanished := first.membership()
	_, living := other.membership()
	if left.have(vanished) || left.have(living) {
		t.Fatal("a member that lives was made to leave")
	}
	first.kill()
	e.eventually("the other one has all partitions", func() bool { return len(e.has(other).Numbers) == partitions })
	e.eventually("its session was not waited for", func() bool { return left.have(vanished) })
	other.kill()
	next := e.start(watched)
	e.eventually("the next one has all partitions", func() bool { return len(e.has(next).Numbers) == partitions })
	e.eventually("its session was not waited for", func() bool { return left.have(living) })
	e.place.publish(t, notes(60)[30:]...)
	e.ledger.arrived(t, 60)
	e.eventually("the dead are forgotten", func() bool { return e.count("redrive.source_members") == 1 })
	if err := next.stop(); err != nil {
		t.Fatal(err)
	}
	if names, noted := e.members(), e.count("redrive.source_members"); len(names) != 0 || noted != 0 {
		t.Errorf("%v are in the group, %d noted, after a stop", names, noted)
	}
	e.invariants(60)
}

// Who has no partition says whether it waits for one or whether there is none for it.
func TestWhoHasNoPartitionSaysWhy(t *testing.T) {
	t.Parallel()
	e := onKafka(t)
	release := e.ledger.hold(t)
	first := e.start()
	list := notes(8)
	for i := range list {
		list[i].key = fmt.Sprintf("key-%d", i)
	}
	e.place.publish(t, list...)
	e.eventually("under way", func() bool { return e.ledger.holding.Load() == 8 })
	second := e.start()
	e.eventually("waiting", func() bool { return second.Facts(t.Context()).Status == delivery.SourceJoining })
	if c := second.Condition(); c.State != delivery.ConditionFails || c.Reason.Key != "source.status.joining" {
		t.Errorf("it waits for the group, and %+v", c)
	}
	if f := second.Facts(t.Context()).Facts(); f[0].Value != 0 || !slices.ContainsFunc(f, func(f delivery.Fact) bool { return f.Says.Key == "source.partitions_awaited" }) {
		t.Errorf("%+v", f)
	}
	release()
	lives := []*life{first, second, e.start(), e.start()}
	spare := -1
	e.eventually("one has none, the others one each", func() bool {
		held := 0
		for i, l := range lives {
			p := e.has(l)
			if held += len(p.Numbers); p.Spare {
				spare = i
			}
		}
		return held == partitions && spare >= 0 && len(e.has(lives[spare]).Numbers) == 0
	})
	if c, f := lives[spare].Condition(), lives[spare].Facts(t.Context()); c.State != delivery.ConditionWorks || f.Status != delivery.SourceConnected || f.Partitions.Fact().Says.Key != "source.partitions_spare" {
		t.Errorf("it has nothing to do, and %+v %+v", c, f)
	}
	holder := lives[(spare+1)%len(lives)]
	if f := e.has(holder).Fact(); f.Value != 1 || f.Says.Key != "source.partitions" || e.has(holder).Since.IsZero() {
		t.Errorf("%+v", f)
	}
	if err := holder.stop(); err != nil {
		t.Fatal(err)
	}
	e.eventually("the one to spare takes over", func() bool { return len(e.has(lives[spare]).Numbers) == 1 })
	e.ledger.arrived(t, 8)
	e.invariants(8)
}

// Who is put out of the group by an administrator, or by a process that takes it for dead, joins again under its name.
func TestAMemberThatIsPutOutJoinsAgain(t *testing.T) {
	t.Parallel()
	e := onKafka(t)
	l := e.start()
	e.eventually("all partitions", func() bool { return len(e.has(l).Numbers) == partitions })
	session, own := l.membership()
	before := e.has(l).Since
	if _, err := e.admin.LeaveGroup(t.Context(), kadm.LeaveGroup(e.group).InstanceIDs(own)); err != nil {
		t.Fatal(err)
	}
	e.eventually("all partitions again", func() bool { p := e.has(l); return len(p.Numbers) == partitions && p.Since.After(before) })
	if again, name := l.membership(); again != session || name != own {
		t.Errorf("another session, as %s", name)
	}
	e.place.publish(t, notes(20)...)
	e.ledger.arrived(t, 20)
	e.requests(20)
}

// Another process with our very name, such as a clone of a machine, takes it: we go on under a new one, and neither disturbs the other.
func TestTwoProcessesNeverFightForAName(t *testing.T) {
	t.Parallel()
	e := onKafka(t)
	l := e.start()
	e.eventually("all partitions", func() bool { return len(e.has(l).Numbers) == partitions })
	_, own := l.membership()
	source := e.in.Broker.From.(*delivery.KafkaSource)
	lost := make(chan map[string][]int32, 100)
	thief, err := kgo.NewClient(kgo.SeedBrokers(source.Brokers...), kgo.ConsumerGroup(e.group), kgo.ConsumeTopics(source.Topic), kgo.InstanceID(own), kgo.DisableAutoCommit(),
		kgo.HeartbeatInterval(kafkaHeartbeat), kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { lost <- m }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(thief.Close)
	e.eventually("a new name", func() bool { _, name := l.membership(); return name != own })
	e.eventually("both are members, and all partitions have an owner", func() bool {
		_, name := l.membership()
		groups, err := e.admin.DescribeGroups(t.Context(), e.group)
		if err != nil {
			t.Fatal(err)
		}
		names := e.members()
		return len(names) == 2 && slices.Contains(names, own) && slices.Contains(names, name) && len(groups.AssignedPartitions()[source.Topic]) == partitions && len(e.has(l).Numbers) > 0
	})
	if len(lost) > 0 {
		t.Errorf("the other one lost %d times what it had", len(lost))
	}
}

// Processes are restarted one after the other: what stays with a process is not interrupted, neither when another one goes nor when it
// comes back.
func TestRollingRestartsStopNobody(t *testing.T) {
	t.Parallel()
	e := onKafka(t)
	stays, goes := e.start(), e.start()
	e.eventually("both have some", func() bool { return len(e.has(stays).Numbers) > 0 && len(e.has(goes).Numbers) > 0 })
	session, _ := stays.membership()
	of := func() map[int32]*partition {
		session.positions.mu.Lock()
		defer session.positions.mu.Unlock()
		return maps.Clone(session.positions.parts)
	}
	same := func(before, after map[int32]*partition) bool {
		for n, at := range before {
			if after[n] != at {
				return false
			}
		}
		return len(before) > 0
	}
	for round := range 2 {
		before := of()
		if err := goes.stop(); err != nil {
			t.Fatal(err)
		}
		e.eventually("all partitions", func() bool { return len(of()) == partitions })
		all := of()
		if !same(before, all) {
			t.Errorf("round %d: what it had was interrupted when the other one went", round)
		}
		goes = e.start()
		e.eventually("both have some", func() bool { return len(of()) < partitions && len(e.has(goes).Numbers) > 0 })
		if kept := of(); !same(kept, all) {
			t.Errorf("round %d: what it keeps was interrupted when the other one came", round)
		}
		e.place.publish(t, notes((round + 1) * 20)[round*20:]...)
		e.ledger.arrived(t, (round+1)*20)
	}
	e.requests(40)
}
