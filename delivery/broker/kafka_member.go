package broker

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
)

// options are those of a member. What was polled belongs to us until registered is called: no rebalance comes between.
func (s *kafkaSession) options() []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumerGroup(s.driver.source.Group),
		kgo.ConsumeTopics(s.driver.source.Topic),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), // a new group misses nothing
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(kafkaFetchBytes),
		kgo.FetchMaxPartitionBytes(kafkaPerPartition),
		kgo.FetchMaxWait(kafkaFetchWait),
		kgo.InstanceID(s.member.name), // so that the group can be told by name that it is gone
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(kafkaMembership),
		kgo.HeartbeatInterval(kafkaHeartbeat),
		kgo.RebalanceTimeout(kafkaRebalance),
		kgo.RetryBackoffFn(kafkaRetry),
		kgo.MetadataMinAge(kafkaMetadataAge),
		kgo.OnPartitionsAssigned(s.assigned),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.partitionsLost),
		kgo.KeepControlRecords(), // so that positions pass the ends of transactions
		kgo.OnOffsetsFetched(s.offsetsFetched),
		kgo.AdjustFetchOffsetsFn(s.begin),
		kgo.WithHooks(s),
	}
}

func (s *kafkaSession) assigned(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	s.positions.assign(partitions[s.driver.source.Topic])
	s.lookSoon() // where there is none, whether there could be one
}

// kafkaRetry is how long the client waits before it tries again what failed.
func kafkaRetry(tries int) time.Duration {
	wait := kafkaRetryLeast << min(max(tries-1, 0), 10)
	return min(wait, kafkaRetryMost) * time.Duration(75+rand.IntN(51)) / 100
}

// revoked hands partitions over in good order: what was not attempted is dropped, what is under way is awaited and written, and
// how far it came is committed before another member begins there.
func (s *kafkaSession) revoked(ctx context.Context, _ *kgo.Client, partitions map[string][]int32) {
	gone := s.positions.revoke(partitions[s.driver.source.Topic])
	if len(gone) == 0 {
		return
	}
	limited, cancel := context.WithTimeout(ctx, kafkaRebalance*3/4)
	defer cancel()
	s.holder.release(limited, func(t *taken) bool { return gone[t.receipt.(*recordInFlight).at] })
	if err := s.commit(limited); err != nil {
		s.holder.status(delivery.SourceConnected, delivery.Say("source.committing_over", "why", err))
	}
	_ = s.keep(limited)
	s.positions.forget(gone)
}

// partitionsLost: others have them already. What we still write about them must not move their positions.
func (s *kafkaSession) partitionsLost(ctx context.Context, _ *kgo.Client, partitions map[string][]int32) {
	gone := s.positions.revoke(partitions[s.driver.source.Topic])
	limited, cancel := context.WithTimeout(ctx, kafkaRebalance/4)
	defer cancel()
	_ = s.keep(limited) // of what was committed since the last time
	s.positions.forget(gone)
	s.positions.left()
	s.holder.release(limited, func(t *taken) bool { return gone[t.receipt.(*recordInFlight).at] })
}
