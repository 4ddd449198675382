package redissend

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"redrive/delivery"
	"redrive/delivery/wire"
)

var tooLarge = delivery.Result{
	Outcome:    delivery.OutcomePermanent,
	ErrorClass: delivery.ClassTooLarge,
	Error:      "the message is larger than Redis takes",
}

// failure reads an error. An answer of Redis says for certain that it did not publish; without one, it is known only while
// nothing was written.
func (s *Sender) failure(ctx context.Context, err error, written bool) delivery.Result {
	var answer redis.Error
	switch {
	case errors.As(err, &answer):
		result := refusal(err)
		result.Words = s.words(answer)
		return result
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted):
		return wire.Unsent(wire.Broker, context.DeadlineExceeded)
	case !written:
		return wire.Unsent(wire.Broker, err)
	}
	return wire.Unanswered(ctx, err)
}

// words are what Redis answered, without the login: some answers name the user.
func (s *Sender) words(answer redis.Error) string {
	text := answer.Error()
	for _, secret := range []string{s.to.Password, s.to.Username} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, delivery.Hidden)
		}
	}
	return text
}

// refusal reads an answer.
func refusal(err error) delivery.Result {
	transient := func(text string) delivery.Result {
		return delivery.Result{Outcome: delivery.OutcomeTransient, ErrorClass: delivery.ClassRefused, Error: text}
	}
	permanent := func(text string) delivery.Result {
		return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassRefused, Error: text}
	}
	switch {
	case redis.IsAuthError(err), strings.HasPrefix(err.Error(), "failed to authenticate"):
		return permanent("Redis does not accept the login")
	case redis.IsPermissionError(err):
		return permanent("Redis does not let this user publish to the channel")
	case strings.Contains(err.Error(), "invalid bulk length"):
		return tooLarge
	case redis.IsLoadingError(err):
		return transient("Redis is loading its data")
	case redis.IsMasterDownError(err), redis.IsReadOnlyError(err), redis.IsClusterDownError(err), redis.IsTryAgainError(err):
		return transient("Redis has no master at the moment")
	case redis.IsOOMError(err):
		return transient("Redis is out of memory")
	case redis.IsMaxClientsError(err):
		return transient("Redis takes no more connections")
	}
	return transient("Redis answered with an error")
}
