package kafkasend

import (
	"redrive/delivery"
	"redrive/delivery/form"
)

// Kind is the destination kafka.
var Kind = form.Destination{
	Name:  delivery.BrokerKafka,
	Block: form.Reads(readBlock),
	New: func(to delivery.Target, m form.Means) (delivery.Sender, error) {
		return New(*to.(*delivery.KafkaDestination), m.Dialer)
	},
	Least: `{brokers: ["h:1"], topic: t}`,
	Pages: []form.Page{form.KafkaPage},
}

func readBlock(r *form.Reader, path string, b *form.Kafka) delivery.Target {
	for setting, given := range map[string]string{"group": b.Group, "share_group": b.ShareGroup} {
		if given != "" {
			r.Fail(path+setting, "%s belongs to a source", setting)
		}
	}
	return &delivery.KafkaDestination{KafkaServer: b.Server(r, path), Topic: r.Required(path, "topic", b.Topic),
		Format: r.Format(path+"format", b.Format), Timeout: r.Timeout(path+"timeout", b.Timeout), KeepTime: b.KeepsTime(r, path)}
}
