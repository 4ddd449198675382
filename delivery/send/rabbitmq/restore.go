package rabbitsend

import (
	"slices"

	"github.com/rabbitmq/amqp091-go"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// headerUser keeps whose message it was where the broker would not believe it.
const headerUser = "redrive-user-id"

// restore makes the message as it came from RabbitMQ, but for what was edited and what cannot go back; see delivery.LeftBehind.
func (s *Sender) restore(m delivery.Message) (p amqp091.Publishing, err error) {
	properties, headers := m.Wire()
	var foreign string
	for _, f := range properties {
		if delivery.ForeignUser(f, s.to) {
			foreign = string(f.Value)
			continue
		}
		if err := wire.SetRabbitMQ(&p, f); err != nil {
			return p, err
		}
	}
	headers = slices.DeleteFunc(headers, func(f delivery.Field) bool { return delivery.StaysBehind(f.Name) })
	if p.Headers, err = wire.RabbitMQTable(headers); err != nil {
		return p, err
	}
	if foreign != "" {
		p.Headers[headerUser] = foreign
	}
	return p, nil
}
