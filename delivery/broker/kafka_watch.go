package broker

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"redrive/delivery"
)

// ask asks the brokers for the topic: the client itself waits for one that is not there without a word.
func (s *kafkaSession) ask(ctx context.Context) error {
	request := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &s.driver.source.Topic
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(ctx, s.client)
	if err != nil {
		return delivery.Fault("asking.brokers", "why", err)
	}
	for _, t := range answer.Topics {
		s.described(t)
		err := kerr.ErrorForCode(t.ErrorCode)
		if err != nil && !kerr.IsRetriable(err) || errors.Is(err, kerr.UnknownTopicOrPartition) {
			return s.present(ctx, delivery.Fault("asking.topic", "topic", s.driver.source.Topic, "why", err))
		}
	}
	return s.present(ctx, nil)
}

// watch asks again and again, because a connection that stands says little about the topic behind it.
func (s *kafkaSession) watch(ctx context.Context) {
	tick := time.NewTicker(s.driver.look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.look:
		}
		limited, cancel := context.WithTimeout(ctx, kafkaLook)
		err := s.ask(limited)
		if err == nil {
			s.lookAround(limited)
			err = s.survey(limited)
		}
		cancel()
		if ctx.Err() == nil {
			s.seen(err)
		}
	}
}

// seen tells people whether the brokers are there.
func (s *kafkaSession) seen(err error) {
	s.connected.Lock()
	defer s.connected.Unlock()
	switch {
	case err != nil:
		s.away = true
		s.holder.status(delivery.SourceReconnecting, delivery.Heard(err))
	case s.away:
		s.away = false
		s.holder.status(delivery.SourceConnected, delivery.Phrase{})
	}
}

func (s *kafkaSession) lookSoon() {
	select {
	case s.look <- struct{}{}:
	default:
	}
}

// OnBrokerConnect is called by the client; it reconnects by itself, so this is what people see of it.
func (s *kafkaSession) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	switch {
	case err == nil: // one that is there may not be all that are needed
		s.lookSoon()
	case !errors.Is(err, context.Canceled):
		s.seen(err)
	}
}
