package delivery

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Loss is something of a message that a destination does not get as it is.
type Loss struct {
	What LossKind
	Name string // of a property or header; empty for a payload
}

// LossKind is what of it, and how.
type LossKind string

// What a destination does not get as it is.
const (
	LossProperty LossKind = "property"       // of RabbitMQ, not sent
	LossHeader   LossKind = "header"         // not sent
	LossType     LossKind = "type"           // of a header: its value is sent as text
	LossNull     LossKind = "null"           // the payload is null and arrives empty
	LossUser     LossKind = "user_id"        // sent as the header redrive-user-id: the broker would refuse another's name
	LossRouting  LossKind = "routing_header" // CC and BCC: not sent, or queues beside the one that it goes to would get it again
)

// StaysBehind says of a RabbitMQ header that it is never sent: what the broker notes of a death would grow with each round, and
// what routes would take the message elsewhere too.
func StaysBehind(name string) bool {
	lower := strings.ToLower(name)
	for _, prefix := range []string{"x-death", "x-first-death-", "x-last-death-"} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	return routes(name)
}

// routes names the headers by which RabbitMQ sends a message to more queues.
func routes(name string) bool { return name == "CC" || name == "BCC" }

// ForeignUser says of a property that it names a user whom the destination does not sign in as. The broker refuses such a message.
func ForeignUser(f Field, to RabbitMQDestination) bool {
	if f.Name != "user_id" {
		return false
	}
	u, err := url.Parse(to.URL)
	return err != nil || u.User.Username() != string(f.Value)
}

// Losses are what a destination does not get of a message as it is, in the order properties, headers, payload. Headers and
// properties that are added are no loss.
func Losses(m Message, d Destination) (list []Loss) {
	switch typed, keeps := d.To.(TypedTarget); {
	case keeps && m.TypedBy(d.Kind()):
		list = typed.Losses(m)
	case m.Typed():
		list = typedLosses(m, d)
	case m.Origin != nil && m.Origin.Broker != d.Kind():
		for name := range m.Origin.Raw {
			list = append(list, Loss{LossHeader, name})
		}
		slices.SortFunc(list, func(a, b Loss) int { return strings.Compare(a.Name, b.Name) })
	}
	if d.traits().Bare && !m.Typed() {
		for name := range m.Headers {
			list = append(list, Loss{LossHeader, name})
		}
		slices.SortFunc(list, func(a, b Loss) int { return strings.Compare(a.Name, b.Name) })
	}
	if to, is := d.To.(*HTTPDestination); is {
		list = append(list, to.withheld(m)...)
	}
	if m.Payload == nil && !m.Dropped && !d.traits().KnowsNull {
		list = append(list, Loss{What: LossNull})
	}
	return list
}

// Losses implements TypedTarget: they are what does not go back to RabbitMQ.
func (d *RabbitMQDestination) Losses(m Message) (list []Loss) {
	properties, headers := m.Wire()
	for _, f := range properties {
		if ForeignUser(f, *d) {
			list = append(list, Loss{LossUser, f.Name})
		}
	}
	for _, f := range headers {
		switch {
		case routes(f.Name):
			list = append(list, Loss{LossRouting, f.Name})
		case StaysBehind(f.Name):
			list = append(list, Loss{LossHeader, f.Name})
		}
	}
	return list
}

// Losses implements TypedTarget: what Kafka brought goes back to it as it was.
func (d *KafkaDestination) Losses(Message) []Loss { return nil }

// withheld are headers that would make a receiver take the message's sender for Redrive.
func (d *HTTPDestination) withheld(m Message) (list []Loss) {
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		if LoginHeader(name) && !d.Passes(name) {
			list = append(list, Loss{LossHeader, name})
		}
	}
	return list
}

// typedLosses are those of a broker's properties, headers and types on the way to something else.
func typedLosses(m Message, d Destination) (list []Loss) {
	properties, headers := m.Wire()
	for _, f := range properties {
		if (f.Name == "type" || f.Name == PropertyKey) &&
			!d.traits().Bare { // it was read as the message's, which travels in its own way
			continue
		}
		if f.Shown == "" || d.traits().Bare {
			list = append(list, Loss{LossProperty, f.Name})
		}
	}
	for _, f := range headers {
		switch {
		case f.Shown == "" && carriedBeside(f.Name):
		case f.Shown == "" || d.traits().Bare:
			list = append(list, Loss{LossHeader, Storable(f.Name)})
		case f.Type != "" || f.IsNull():
			list = append(list, Loss{LossType, f.Name})
		}
	}
	return list
}

// carriedBeside names headers that were read as the message's type, key and idempotency key, which travel in their own ways.
func carriedBeside(name string) bool {
	switch strings.ToLower(name) {
	case "idempotency-key", "redrive-type", "redrive-key":
		return true
	}
	return false
}
