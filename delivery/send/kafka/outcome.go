package kafkasend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// answers are what a broker's answer means: for nearly all that the record is not in the log.
var answers = map[*kerr.Error]delivery.Result{}

func init() {
	add := func(outcome delivery.Outcome, class, sentence string, codes ...*kerr.Error) {
		for _, code := range codes {
			answers[code] = delivery.Result{Outcome: outcome, ErrorClass: class, Error: sentence, Words: words(code)}
		}
	}
	add(delivery.OutcomePermanent, delivery.ClassTooLarge, "the record is larger than the topic takes",
		kerr.MessageTooLarge, kerr.RecordListTooLarge)
	add(delivery.OutcomePermanent, delivery.ClassUnroutable, "the broker has no such topic or partition",
		kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.InvalidTopicException)
	add(delivery.OutcomePermanent, delivery.ClassRefused, "the broker does not authorise us to write there",
		kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed)
	add(delivery.OutcomePermanent, delivery.ClassRefused, "the broker's policy refuses the record", kerr.PolicyViolation)
	add(delivery.OutcomePermanent, delivery.ClassBadRequest, "the broker takes the record for invalid", kerr.CorruptMessage,
		kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.UnsupportedForMessageFormat, kerr.UnsupportedCompressionType,
		kerr.InvalidRequiredAcks)
	add(delivery.OutcomePermanent, delivery.ClassRefused, "the broker refused the sign-in", kerr.SaslAuthenticationFailed,
		kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState, kerr.SecurityDisabled)
	add(delivery.OutcomeTransient, delivery.ClassRefused, "too few replicas are in sync", kerr.NotEnoughReplicas)
	add(delivery.OutcomeTransient, delivery.ClassRefused, "the partition has no leader at the moment",
		kerr.LeaderNotAvailable, kerr.NotLeaderForPartition, kerr.ReplicaNotAvailable, kerr.FencedLeaderEpoch,
		kerr.UnknownLeaderEpoch, kerr.ListenerNotFound)
	add(delivery.OutcomeUnknown, delivery.ClassTimeout, "the broker has the record, but too few replicas confirmed it",
		kerr.NotEnoughReplicasAfterAppend)
	add(delivery.OutcomeUnknown, delivery.ClassRefused,
		"the broker failed in a way that it did not expect", kerr.UnknownServerError)
	add(delivery.OutcomeUnknown, delivery.ClassTimeout, "the broker did not confirm in time", kerr.RequestTimedOut)
}

// judge reads how an attempt ended. Whether anything was sent decides between "try again" and "nobody knows". The sentences
// are the same for the same cause, because failures are grouped by them.
func judge(ctx context.Context, err error, seen evidence) delivery.Result {
	var answer *kerr.Error
	switch {
	case err == nil:
		return delivery.Result{Outcome: delivery.OutcomeOK}
	case seen.lost, errors.Is(err, errHeld):
		return wire.Unanswered(ctx, nil)
	case errors.As(err, &answer):
		return answered(answer)
	case isPlacement(err):
		result := answers[kerr.UnknownTopicOrPartition]
		result.Words = "" // the client says so
		return result
	case seen.staged:
		return wire.Unanswered(ctx, nil)
	}
	if seen.connect != nil && !isDial(err) {
		err = seen.connect
	}
	if seen.signsIn && errors.Is(err, io.EOF) {
		return delivery.Result{
			Outcome:    delivery.OutcomeTransient,
			ErrorClass: delivery.ClassRefused,
			Error:      "the broker hung up during the sign-in",
		}
	}
	return unsent(err)
}

// words are the answer's name and code, as the protocol has them.
func words(code *kerr.Error) string { return fmt.Sprintf("%s (code %d)", code.Message, code.Code) }

func answered(code *kerr.Error) delivery.Result {
	if result, ok := answers[code]; ok {
		return result
	}
	result := delivery.Result{
		Outcome:    delivery.OutcomeTransient,
		ErrorClass: delivery.ClassRefused,
		Error:      "the broker answered with an error",
		Words:      words(code),
	}
	if !code.Retriable {
		result.Outcome = delivery.OutcomePermanent
	}
	return result
}

// isPlacement: the client has no type for a partition that the topic does not have, only the text.
func isPlacement(err error) bool {
	return strings.Contains(err.Error(), "invalid record partitioning choice")
}

// unsent reads an error before which nothing was sent.
func unsent(err error) delivery.Result {
	result := wire.Unsent(wire.Broker, err)
	var closed *kgo.ErrFirstReadEOF
	if result.ErrorClass == delivery.ClassConnect && (errors.As(err, &closed) || errors.Is(err, io.EOF)) {
		result.Error = "the broker closed the connection at once; does it expect TLS or a sign-in?"
	}
	return result
}

func isDial(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) && operation.Op == "dial"
}
