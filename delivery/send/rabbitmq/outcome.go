package rabbitsend

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/rabbitmq/amqp091-go"

	"redrive/delivery"
	"redrive/delivery/wire"
)

const blockedSentence = "the broker raised an alarm and holds publishers back; nothing was sent"

// sizeSpoken finds size and limit in what RabbitMQ says of a message that is too large.
var sizeSpoken = regexp.MustCompile(`message size (\d+) is larger than .*?(\d+)`)

var (
	tooLarge = delivery.Result{
		Outcome:    delivery.OutcomePermanent,
		ErrorClass: delivery.ClassTooLarge,
		Error:      "the message is larger than the broker takes",
	}
	tooMuch = delivery.Result{
		Outcome:    delivery.OutcomePermanent,
		ErrorClass: delivery.ClassTooLarge,
		Error:      "the message's headers are larger than the broker takes",
	}
	notSent = delivery.Result{
		Outcome:    delivery.OutcomeTransient,
		ErrorClass: delivery.ClassConnect,
		Error:      "the connection to the broker failed before the message was sent",
	}
	notTaken = delivery.Result{Outcome: delivery.OutcomeTransient, ErrorClass: delivery.ClassRefused,
		Error: "the broker closed the channel because of another message before it took this one"}
)

// opening reads why there is no connection.
func opening(server delivery.RabbitMQServer, err error) delivery.Result {
	var said *amqp091.Error
	if !errors.As(err, &said) || !said.Server {
		return wire.Unsent(wire.Broker, err)
	}
	permanent := delivery.Result{
		Outcome:    delivery.OutcomePermanent,
		ErrorClass: delivery.ClassRefused,
		Words:      words(server, said),
	}
	switch {
	case said.Code == amqp091.AccessRefused:
		permanent.Error = "the broker does not accept the login"
	case said.Code == amqp091.NotAllowed && !strings.Contains(said.Reason, "limit"):
		permanent.Error = "the broker does not let this user into the virtual host"
	default:
		return delivery.Result{Outcome: delivery.OutcomeTransient, ErrorClass: delivery.ClassConnect, Words: words(server, said),
			Error: "the broker closed the connection before the message was sent"}
	}
	return permanent
}

// answered reads a confirm.
func (p *publication) answered(ack bool) delivery.Result {
	switch {
	case p.returned != 0:
		return delivery.Result{
			Outcome:    delivery.OutcomePermanent,
			ErrorClass: delivery.ClassUnroutable,
			Error:      "no queue takes the message",
			Words:      fmt.Sprintf("%d %s", p.returned, p.returnText),
		}
	case !ack:
		return delivery.Result{
			Outcome:    delivery.OutcomeTransient,
			ErrorClass: delivery.ClassRefused,
			Error:      "the broker answered that it does not take the message",
		}
	}
	return delivery.Result{Outcome: delivery.OutcomeOK}
}

// words are what the broker says, without the login: it names the user.
func words(server delivery.RabbitMQServer, said *amqp091.Error) string {
	text := fmt.Sprintf("%d %s", said.Code, said.Reason)
	if login, err := amqp091.ParseURI(server.URL); err == nil {
		text = strings.ReplaceAll(text, "'"+login.Username+"'", "'"+delivery.Hidden+"'")
		if login.Password != "" {
			text = strings.ReplaceAll(text, login.Password, delivery.Hidden)
		}
	}
	return text
}

// closing reads why the broker closed the channel on a message.
func closing(server delivery.RabbitMQServer, reason *amqp091.Error) delivery.Result {
	result := closed(reason)
	if result.ErrorClass != delivery.ClassTooLarge { // that one is known without asking the broker
		result.Words = words(server, reason)
	}
	return result
}

func closed(reason *amqp091.Error) delivery.Result {
	permanent := func(class, text string) delivery.Result {
		return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: class, Error: text}
	}
	switch {
	case reason.Code == amqp091.NotFound:
		return permanent(delivery.ClassUnroutable, "the broker has no such exchange")
	case reason.Code == amqp091.AccessRefused:
		return permanent(delivery.ClassRefused, "the broker does not let this user publish to the exchange")
	case reason.Code == amqp091.ContentTooLarge, sizeSpoken.MatchString(reason.Reason):
		return tooLarge
	case reason.Code == amqp091.PreconditionFailed:
		return permanent(delivery.ClassRefused, "the broker does not take such a message")
	}
	return delivery.Result{Outcome: delivery.OutcomeTransient, ErrorClass: delivery.ClassRefused,
		Error: "the broker closed the channel"}
}

// blame returns the tag of the message on which the broker closed the channel, 0 when that is not certain.
func blame(reason *amqp091.Error, connectionLost bool, tags []uint64, pending map[uint64]*publication) uint64 {
	if reason == nil || !reason.Server || connectionLost || len(tags) == 0 {
		return 0
	}
	if len(tags) == 1 {
		return tags[0]
	}
	size, _ := spokenSizes(reason)
	for _, tag := range tags {
		if size > 0 && pending[tag].size == size {
			return tag
		}
	}
	return 0
}

// spokenSizes are the size of a message that was too large and the limit, 0 if the reason is another one.
func spokenSizes(reason *amqp091.Error) (size, limit int) {
	if reason == nil {
		return 0, 0
	}
	if spoken := sizeSpoken.FindStringSubmatch(reason.Reason); spoken != nil {
		size, _ = strconv.Atoi(spoken[1]) // digits; 0 if there are too many
		limit, _ = strconv.Atoi(spoken[2])
	}
	return size, limit
}
