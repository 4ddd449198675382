package redissend

import (
	"redrive/delivery"
	"redrive/delivery/form"
)

// Kind is the destination redis.
var Kind = form.Destination{
	Name:  delivery.BrokerRedis,
	Block: form.Reads(readBlock),
	New: func(to delivery.Target, m form.Means) (delivery.Sender, error) {
		return New(*to.(*delivery.RedisDestination), m.Dialer)
	},
	Least: `{addr: "h:1", channel: c}`,
	Pages: []form.Page{form.RedisPage},
}

func readBlock(r *form.Reader, path string, b *form.Redis) delivery.Target {
	if b.RequireSubscribers < 0 {
		r.Fail(path+"require_subscribers", "require_subscribers: %d is less than 0", b.RequireSubscribers)
	}
	return &delivery.RedisDestination{
		RedisServer:        b.Server(r, path),
		Channel:            r.Required(path, "channel", b.Channel),
		RequireSubscribers: int(b.RequireSubscribers),
		Format:             r.Format(path+"format", b.Format),
		Timeout:            r.Timeout(path+"timeout", b.Timeout),
	}
}
