package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"redrive/delivery"
)

// A group keeps the partitions of a member whose process was killed until the member's session is over. So each session of ours is a
// member under a name of its own, noted in the database before it joins, beside a lock that ends with the process. Whoever finds a noted
// member whose lock is free makes it leave. The name is never used again: no two processes can have the same one, and a member that
// was taken for dead by mistake only joins again.
const (
	kafkaGone  = 2 * time.Second // between two looks for members that are gone
	kafkaLeave = 5 * time.Second
)

// member is a name in a group, and the sign that its process lives.
type member struct {
	driver *kafkaDriver
	name   string
	stop   context.CancelFunc
	kept   sync.WaitGroup
	taken  atomic.Bool // by another process, such as a clone of this machine
}

// newMember notes a member under a new name. Until end it counts as living.
func (d *kafkaDriver) newMember(ctx context.Context) (*member, error) {
	m := &member{driver: d, name: "redrive-" + d.integration + "-" + rand.Text()}
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	m.stop = stop
	noted, failed := make(chan struct{}), make(chan error, 1)
	m.kept.Go(func() {
		d.store.KeepMember(keeping, d.integration, m.name, sync.OnceFunc(func() { close(noted) }), func(err error) {
			select {
			case failed <- err:
			default:
			}
		})
	})
	select {
	case <-noted:
		return m, nil
	case err := <-failed:
		m.end()
		return nil, delivery.Fault("asking.membership", "why", err)
	case <-ctx.Done():
		m.end()
		return nil, ctx.Err()
	}
}

// end ends the sign of life.
func (m *member) end() {
	m.stop()
	m.kept.Wait()
}

// succeed looks for members that are gone: at once, as whoever restarts is the first to ask, and then again and again. Later one has to
// be missing twice, since a process may lose its connection to the database for a moment.
func (s *kafkaSession) succeed(ctx context.Context) {
	tick := time.NewTicker(kafkaGone)
	defer tick.Stop()
	missing := map[string]bool(nil)
	for {
		missing = s.removeGone(ctx, missing)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// removeGone makes members leave that are missing and were so before; without a look before, those that are missing now. It answers
// who is missing. What fails is tried again at the next look.
func (s *kafkaSession) removeGone(ctx context.Context, before map[string]bool) map[string]bool {
	missing := map[string]bool{}
	gone, err := s.driver.store.GoneMembers(ctx, s.driver.integration)
	if err != nil {
		return missing
	}
	var left []string
	for _, name := range gone {
		missing[name] = true
		if name != s.member.name && (before == nil || before[name]) && s.remove(ctx, name, "") == nil {
			left = append(left, name)
		}
	}
	if len(left) > 0 {
		_ = s.driver.store.ForgetGone(ctx, left)
	}
	return missing
}

// remove makes a member leave the group; one that is not there has left.
func (s *kafkaSession) remove(ctx context.Context, name, id string) error {
	ctx, cancel := context.WithTimeout(ctx, kafkaLeave)
	defer cancel()
	if s.driver.source.ShareGroup != "" {
		return removeFromShare(ctx, s.client, s.driver.source.ShareGroup, name)
	}
	request := kmsg.NewPtrLeaveGroupRequest()
	request.Group, request.MemberID = s.driver.source.Group, id
	m := kmsg.NewLeaveGroupRequestMember()
	m.InstanceID, m.MemberID = &name, id
	request.Members = append(request.Members, m)
	answer, err := request.RequestWith(ctx, s.client)
	if err != nil {
		return err
	}
	err = kerr.ErrorForCode(answer.ErrorCode)
	for _, m := range answer.Members {
		err = errors.Join(err, kerr.ErrorForCode(m.ErrorCode))
	}
	if errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.GroupIDNotFound) {
		return nil
	}
	return err
}

// leave ends the membership at once, so that others get the partitions: the client itself lets a member with a name come back.
func (s *kafkaSession) leave(ctx context.Context) error {
	defer s.member.end()
	err := s.client.LeaveGroupContext(ctx)
	// a name that somebody else took is theirs now
	if id, _ := s.client.GroupMetadata(); id != "" && !s.member.taken.Load() {
		if removed := s.remove(ctx, s.member.name, id); removed != nil {
			return errors.Join(err, removed)
		}
	}
	_ = s.driver.store.ForgetMember(ctx, s.member.name) // else it counts as gone, and removing it once more does no harm
	return err
}

// rejoins reports whether the client joins again by itself, under the same name, after an error of its membership.
func rejoins(err error) bool {
	refused, ok := errors.AsType[*kerr.Error](err)
	return !ok || refused.Retriable || errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.IllegalGeneration) ||
		errors.Is(err, kerr.RebalanceInProgress)
}

// lookAround finds out, where the group has given us nothing, whether there is nothing for us: others have all partitions.
func (s *kafkaSession) lookAround(ctx context.Context) {
	if !s.positions.none() {
		return
	}
	admin := kadm.NewClient(s.client)
	topics, err := admin.ListTopics(ctx, s.driver.source.Topic)
	if err != nil {
		return
	}
	groups, err := admin.DescribeGroups(ctx, s.driver.source.Group)
	if err == nil {
		err = groups.Error()
	}
	if err != nil { // who may not ask believes what the group says
		s.positions.others(true)
		return
	}
	held := groups.AssignedPartitions()
	all := true
	for n := range topics[s.driver.source.Topic].Partitions {
		all = all && held.Lookup(s.driver.source.Topic, n)
	}
	s.positions.others(all)
}
