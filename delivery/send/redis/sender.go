// Package redissend publishes messages to Redis pub/sub channels. Pub/sub has no memory: the answer counts who listened.
package redissend

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"redrive/delivery"
	"redrive/delivery/wire"
)

const (
	// connections bounds how many publishes are under way at once; the others wait for one within their timeout.
	connections   = 32
	limitSetting  = "proto-max-bulk-len"
	smallestLimit = 1 << 20 // Redis does not let itself be limited to less
)

// Sender publishes to one channel.
type Sender struct {
	to     delivery.RedisDestination
	client *redis.Client
}

var _ delivery.Sender = (*Sender)(nil)

// New checks the destination; nothing is dialled yet.
func New(d delivery.RedisDestination, dialer wire.Dialer) (*Sender, error) {
	if d.Addr == "" || d.Channel == "" {
		return nil, errors.New("a redis destination needs addr and channel")
	}
	if d.Timeout <= 0 {
		d.Timeout = delivery.DefaultTimeout
	}
	options, err := dialer.RedisOptions(d.RedisServer)
	if err != nil {
		return nil, err
	}
	options.PoolSize, options.PipelinePoolSize = connections, -1
	// all of them end with the attempt, whose context is shorter
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout, options.PoolTimeout = d.Timeout, d.Timeout, d.Timeout, d.Timeout
	return &Sender{to: d, client: redis.NewClient(options)}, nil
}

// Close ends the connections.
func (s *Sender) Close() error {
	if err := s.client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("closing the connections to Redis: %w", err)
	}
	return nil
}

// Send publishes once within the destination's timeout.
func (s *Sender) Send(ctx context.Context, r delivery.Request) (result delivery.Result) {
	ctx, cancel := context.WithTimeout(ctx, s.to.Timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return wire.Unsent(wire.Broker, err)
	}
	message := &body{bytes: r.Message.Payload}
	if s.to.Format == delivery.FormatCloudEvents {
		var err error
		if message.bytes, err = event(r); err != nil {
			return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassBadRequest, Error: err.Error()}
		}
	}
	began := time.Now()
	listeners, err := s.client.Publish(ctx, s.to.Channel, message).Result()
	defer func() {
		result.Exchange = r.Told(result, began, func() []delivery.HeaderLine { return s.told(listeners, err) })
	}()
	if err != nil {
		result := s.failure(ctx, err, message.written)
		if result.ErrorClass == delivery.ClassConnectionLost && s.exceeds(ctx, len(message.bytes)) {
			return tooLarge
		}
		return result
	}
	return s.judge(listeners)
}

// exceeds asks for the largest message that Redis takes. It hangs up on a larger one, and its answer is often lost with the
// connection. Who may not ask does not know.
func (s *Sender) exceeds(ctx context.Context, size int) bool {
	if size <= smallestLimit {
		return false
	}
	limit, err := strconv.Atoi(s.client.ConfigGet(ctx, limitSetting).Val()[limitSetting]) // an error leaves no limit
	return err == nil && size > limit
}

// told says where it was published, and how many received it where that is known.
func (s *Sender) told(listeners int64, err error) []delivery.HeaderLine {
	facts := []delivery.HeaderLine{{delivery.FactChannel, s.to.Channel}}
	if err == nil {
		facts = append(facts, delivery.HeaderLine{delivery.FactReceivers, strconv.FormatInt(listeners, 10)})
	}
	return facts
}

// judge compares how many listened with how many have to.
func (s *Sender) judge(listeners int64) delivery.Result {
	if listeners >= int64(s.to.RequireSubscribers) {
		return delivery.Result{Outcome: delivery.OutcomeOK}
	}
	return delivery.Result{Outcome: delivery.OutcomeTransient, ErrorClass: delivery.ClassNoSubscribers,
		Error: fmt.Sprintf("%d subscribers received it, %d are required", listeners, s.to.RequireSubscribers)}
}

// body is a payload that knows whether the client took it to write it. The client asks for the bytes once it has a
// connection that is signed in: before that nothing was sent, from then on it may have arrived.
type body struct {
	bytes   []byte
	written bool
}

// MarshalBinary is called by the client when it writes the command.
func (b *body) MarshalBinary() ([]byte, error) {
	b.written = true
	return b.bytes, nil
}

// event is the message as a CloudEvent in JSON. The payload is Base64, so that its bytes stay as they are.
func event(r delivery.Request) ([]byte, error) {
	attributes, err := wire.EventAttributes(r)
	if err != nil {
		return nil, err
	}
	if r.Message.Payload != nil {
		attributes["data_base64"] = base64.StdEncoding.EncodeToString(r.Message.Payload)
	} else if wire.HeaderValue(r.Message, "Content-Type") == "" {
		delete(attributes, "datacontenttype") // of no data
	}
	raw, err := json.Marshal(attributes)
	if err != nil {
		return nil, errors.New("the message cannot be written as a CloudEvent")
	}
	return raw, nil
}
