package rabbitsend

import (
	"redrive/delivery"
	"redrive/delivery/form"
)

// Kind is the destination rabbitmq.
var Kind = form.Destination{
	Name:  delivery.BrokerRabbitMQ,
	Block: form.Reads(readBlock),
	New: func(to delivery.Target, m form.Means) (delivery.Sender, error) {
		return New(*to.(*delivery.RabbitMQDestination), m.Dialer)
	},
	Least: `{url: "amqp://h", routing_key: q}`,
	Pages: []form.Page{form.RabbitMQPage},
}

func readBlock(r *form.Reader, path string, b *form.RabbitMQ) delivery.Target {
	if b.Queue != "" {
		r.Fail(path+"queue", "queue belongs to a source; a destination names an exchange and a routing_key")
	}
	if b.Exchange == "" && b.RoutingKey == "" {
		r.Fail(path+"url", "rabbitmq: name an exchange, or a routing_key, which without an exchange is a queue's name")
	}
	return &delivery.RabbitMQDestination{RabbitMQServer: b.Server(r, path), Exchange: b.Exchange, RoutingKey: b.RoutingKey,
		Format: r.Format(path+"format", b.Format), Timeout: r.Timeout(path+"timeout", b.Timeout)}
}
