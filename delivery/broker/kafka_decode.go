package broker

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
)

func (d *kafkaDriver) decode(r *kgo.Record) *taken {
	e := newEnvelope(r.Value, "ce_")
	e.key = keyText(r.Key)
	partition, offset := r.Partition, r.Offset
	e.origin = delivery.Origin{Broker: delivery.BrokerKafka, Place: r.Topic, Partition: &partition, Offset: &offset, At: r.Timestamp}
	// the time tells a record from another one at the same place of a topic that was deleted and made again
	e.identity = fmt.Sprintf("record %s/%d/%d@%d", r.Topic, r.Partition, r.Offset, r.Timestamp.UnixMilli())
	if again := d.again.Load(); again > 0 { // whose records may be copies, with the times that they had
		e.identity += fmt.Sprintf(" of topic %d", again+1)
	}
	for _, h := range r.Headers {
		e.fields = append(e.fields, delivery.Field{Name: h.Key, Value: h.Value})
	}
	var death *delivery.DeadOrigin
	var trace []byte
	if d.dead {
		e.fields, death, trace = died(e.origin, e.fields, nil)
	}
	for _, f := range e.fields { // of one that stands twice the last is seen
		e.header(f.Name, f.Value)
	}
	e.typed, e.inOrder, e.origin.Properties = true, true, []delivery.Field{}
	record := e.identity
	t := e.read(d.format)
	if key := t.message.RecordKey(); string(key) != string(r.Key) || (key == nil) != (r.Key == nil) {
		own := delivery.Field{Name: delivery.PropertyKey, Value: r.Key}
		t.message.Origin.Properties = append(t.message.Origin.Properties, own)
	}
	if d.dead {
		t.identity = short(record, maxIdentity) // the same event may die more than once
		t.message.Origin.Dead, t.trace = death, trace
	}
	return t
}
