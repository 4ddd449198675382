package broker

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
)

func (d *kafkaDriver) decode(r *kgo.Record) *taken { return d.decodeAs(r, r) }

// decodeAs reads a record with the content of another, which is the original of a dead letter.
func (d *kafkaDriver) decodeAs(r, content *kgo.Record) *taken {
	e := newEnvelope(content.Value, "ce_")
	e.key = keyText(content.Key)
	partition, offset := r.Partition, r.Offset
	e.origin = delivery.Origin{Broker: delivery.BrokerKafka, Place: r.Topic, Partition: &partition, Offset: &offset, At: r.Timestamp}
	// the time tells a record from another one at the same place of a topic that was deleted and made again
	e.identity = "record " + r.Topic + "/" + strconv.Itoa(int(partition)) + "/" + strconv.FormatInt(offset, 10) + "@" +
		strconv.FormatInt(r.Timestamp.UnixMilli(), 10)
	if again := d.again.Load(); again > 0 { // whose records may be copies, with the times that they had
		e.identity += " of topic " + strconv.FormatInt(again+1, 10)
	}
	e.fields = fieldsOf(r)
	var death *delivery.DeadOrigin
	var trace []byte
	if d.dead {
		e.fields, death, trace = died(e.origin, e.fields, nil)
	}
	if content != r {
		e.fields = fieldsOf(content)
		if death.At.IsZero() {
			death.At = deathTime(content.Timestamp)
		}
	}
	for _, f := range e.fields { // of one that stands twice the last is seen
		e.header(f.Name, f.Value)
	}
	e.typed, e.inOrder, e.origin.Properties = true, true, []delivery.Field{}
	record := e.identity
	t := e.read(d.format)
	if key := t.message.RecordKey(); string(key) != string(content.Key) || (key == nil) != (content.Key == nil) {
		own := delivery.Field{Name: delivery.PropertyKey, Value: content.Key}
		t.message.Origin.Properties = append(t.message.Origin.Properties, own)
	}
	if d.dead {
		t.identity = short(record, maxIdentity) // the same event may die more than once
		t.message.Origin.Dead, t.trace = death, trace
	}
	return t
}

func fieldsOf(r *kgo.Record) (fields []delivery.Field) {
	for _, h := range r.Headers {
		fields = append(fields, delivery.Field{Name: h.Key, Value: h.Value})
	}
	return fields
}
