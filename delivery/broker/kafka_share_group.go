package broker

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"redrive/delivery"
)

const (
	shareLock       = 30 * time.Second // Kafka's own
	shareReset      = "share.auto.offset.reset"
	shareIsolation  = "share.isolation.level"
	shareFetchRenew = 2 // the version of a fetch that knows renewing
)

// shareSettings are those of a group at the broker.
type shareSettings struct {
	limit int           // deliveries, after which the broker drops a record; 0: it does not say
	lock  time.Duration // a record is ours for so long
	own   map[string]string
	given map[string]bool // set for this group, not the broker's own
}

// lastDeliveries is from which delivery on a record is made durable before it is attempted, since the broker may not bring it again:
// the one before the last where there are enough.
func (g shareSettings) lastDeliveries() int { return max(g.limit-1, 2) }

// prepare asks for the topic, for share groups, and for what the group is set to. A group that never consumed the topic begins where
// any other group of ours does.
func (s *shareSession) prepare(ctx context.Context) error {
	if err := s.ask(ctx); err != nil {
		return err
	}
	if err := knowsShareGroups(ctx, s.client); err != nil {
		return err
	}
	source := s.driver.source
	settings, err := describeShareGroup(ctx, s.client, source.ShareGroup)
	if s.group = settings; err != nil {
		s.log.Warn("the settings of the share group cannot be read: what comes a second time is stored before it is attempted", "error", err)
	}
	if settings.own["share.renew.acknowledge.enable"] == "false" {
		return delivery.Fault("source.share_renewing", "group", source.ShareGroup)
	}
	_, known, err := shareOffsets(ctx, s.client, source)
	if err != nil {
		return delivery.Fault("asking.share_group", "group", source.ShareGroup, "why", err)
	}
	if !known {
		s.begin(ctx)
	}
	return nil
}

// begin makes a new group begin at the beginning and see no aborted transaction, unless somebody has set it otherwise.
func (s *shareSession) begin(ctx context.Context) {
	source := s.driver.source
	want := map[string]string{}
	for name, value := range map[string]string{shareReset: "earliest", shareIsolation: "read_committed"} {
		if !s.group.given[name] && s.group.own[name] != value {
			want[name] = value
		}
	}
	if len(want) == 0 {
		return
	}
	err := alterShareGroup(ctx, s.client, source.ShareGroup, want)
	if err == nil {
		return
	}
	s.log.Warn("the share group's settings cannot be changed: it begins at the end of the topic", "want", want, "error", err)
	if want[shareReset] != "" {
		s.holder.gap(delivery.SourceGap{What: delivery.Say("gap.share_begins", "group", source.ShareGroup, "topic", source.Topic, "why", err)})
	}
}

// knowsShareGroups reports what to do where the brokers do not know them.
func knowsShareGroups(ctx context.Context, client *kgo.Client) error {
	answer, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err != nil {
		return delivery.Fault("asking.version", "why", err)
	}
	for _, key := range answer.ApiKeys {
		if key.ApiKey == kmsg.ShareFetch.Int16() && key.MaxVersion >= shareFetchRenew {
			return nil
		}
	}
	return delivery.Fault("source.no_share_groups")
}

func describeShareGroup(ctx context.Context, client *kgo.Client, group string) (g shareSettings, err error) {
	g = shareSettings{lock: shareLock, own: map[string]string{}, given: map[string]bool{}}
	request := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	request.Resources = append(request.Resources, resource)
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return g, err
	}
	for _, r := range answer.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return g, err
		}
		for _, c := range r.Configs {
			if c.Value != nil {
				g.own[c.Name], g.given[c.Name] = *c.Value, c.Source == kmsg.ConfigSourceGroupConfig
			}
		}
	}
	g.limit, _ = strconv.Atoi(g.own["share.delivery.count.limit"])
	if ms, err := strconv.Atoi(g.own["share.record.lock.duration.ms"]); err == nil && ms > 0 {
		g.lock = time.Duration(ms) * time.Millisecond
	}
	return g, nil
}

func alterShareGroup(ctx context.Context, client *kgo.Client, group string, settings map[string]string) error {
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	for name, value := range settings {
		setting := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		setting.Name, setting.Value = name, &value
		resource.Configs = append(resource.Configs, setting)
	}
	request.Resources = append(request.Resources, resource)
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, r := range answer.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return err
		}
	}
	return nil
}

// shareOffsets is how many records a group has left to deal with, -1 where that is not known, and whether it ever consumed the topic.
func shareOffsets(ctx context.Context, client *kgo.Client, source delivery.KafkaSource) (lag int64, known bool, err error) {
	request := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	group := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
	group.GroupID = source.ShareGroup
	request.Groups = append(request.Groups, group)
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return -1, false, err
	}
	for _, g := range answer.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			return -1, false, err
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if t.Topic != source.Topic || p.StartOffset < 0 {
					continue
				}
				known = true
				if p.Lag < 0 || lag < 0 {
					lag = -1
				} else {
					lag += p.Lag
				}
			}
		}
	}
	if !known {
		lag = -1
	}
	return lag, known, nil
}

// removeFromShare makes the members of a share group leave that have a client id; without one they have left.
func removeFromShare(ctx context.Context, client *kgo.Client, group, clientID string) error {
	groups, err := kadm.NewClient(client).DescribeShareGroups(ctx, group)
	if err != nil {
		return err
	}
	for _, m := range groups[group].Members {
		if m.ClientID != clientID {
			continue
		}
		request := kmsg.NewPtrShareGroupHeartbeatRequest()
		request.GroupID, request.MemberID, request.MemberEpoch = group, m.MemberID, -1 // it leaves
		answer, err := request.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(answer.ErrorCode)
		}
		if err != nil && !errors.Is(err, kerr.UnknownMemberID) && !errors.Is(err, kerr.GroupIDNotFound) {
			return err
		}
	}
	return nil
}
