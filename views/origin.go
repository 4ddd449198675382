package views

import (
	"strconv"
	"strings"

	"redrive/delivery"
)

// originFact is one line of where a message came from.
type originFact struct{ name, value string }

// place is what a broker calls the place that messages are taken from.
func (l Locale) place(broker string) string {
	switch broker {
	case delivery.BrokerKafka:
		return l.T("Kafka topic")
	case delivery.BrokerRabbitMQ:
		return l.T("RabbitMQ queue")
	case "batch":
		return l.T("Rejected row of the file")
	case delivery.OriginPostgres:
		return l.T("Table")
	case delivery.BrokerRedis:
		return l.T("Redis channel")
	}
	return broker
}

// originFacts are what the broker told besides place and time; what it did not tell is left out.
func (l Locale) originFacts(o *delivery.Origin) []originFact {
	facts := []originFact{{l.T("Partition"), decimal(o.Partition)}, {l.T("Offset"), decimal(o.Offset)},
		{l.T("Deliveries by the share group"), l.deliveries(o)}, {l.T("Row"), rowOf(o)}, {l.T("Exchange"), o.Exchange}, {l.T("Routing key"), o.Routing}}
	if d := o.Dead; d != nil {
		facts = append(facts, originFact{l.T("Partition in which it died"), decimal(d.Partition)},
			originFact{l.T("Offset in which it died"), decimal(d.Offset)}, originFact{l.consumer(o.Broker), d.Group},
			originFact{l.T("Reason"), d.Reason})
		if d.Attempts > 0 {
			facts = append(facts, originFact{l.T("Attempts before it died"), l.Number(d.Attempts)})
		}
		if d.Count > 1 {
			facts = append(facts, originFact{l.T("Deaths"), l.Number(d.Count)})
		}
	}
	told := facts[:0]
	for _, f := range facts {
		if f.value != "" {
			told = append(told, f)
		}
	}
	return told
}

// missing says what of the record that died is not here, and why.
func (l Locale) missing(d *delivery.DeadOrigin) string {
	what := l.T("The headers of the record are missing.")
	if d.Missing.Record {
		what = l.T("The record is missing: key, value and headers.")
	}
	return what + " " + l.T("Why: %s.", l.Say(d.Missing.Why))
}

// consumer is what a broker calls those who take messages from it.
func (l Locale) consumer(broker string) string {
	if broker == delivery.BrokerKafka {
		return l.T("Consumer group")
	}
	return l.T("Consumer")
}

// diedName is what the time of a dead letter is of: Kafka's say when the record was produced.
func (l Locale) diedName(broker string) string {
	if broker == delivery.BrokerKafka {
		return l.T("Produced")
	}
	return l.T("Died")
}

func (l Locale) deliveries(o *delivery.Origin) string {
	if o.Deliveries == 0 {
		return ""
	}
	return l.Number(o.Deliveries)
}

func rowOf(o *delivery.Origin) string {
	if o.File == nil {
		return ""
	}
	return decimal(&o.File.Row)
}

func decimal[T int32 | int64](n *T) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(int64(*n), 10)
}

// answerName is what an attempt got for an answer: somebody else's dead letter has a stack trace instead.
func (p DeliveryPage) answerName(a delivery.Attempt) string {
	if a.ErrorClass == delivery.ClassForeign {
		return p.T("Stack trace")
	}
	return p.T("The receiver's answer")
}

// tryName numbers an attempt; one without a number was made by somebody else, before the message came here.
func (p DeliveryPage) tryName(a delivery.Attempt) string {
	if a.Number == 0 {
		return p.T("Before it came here")
	}
	return p.T("Try %d", a.Number)
}

// sender is who handed a message over, by their present name, which for all but people and tokens is what they are kept as.
func (l Locale) sender(name string) string {
	if role, is := strings.CutPrefix(name, delivery.SenderRole); is {
		return l.T("role %s of the database", role)
	}
	if integration, is := strings.CutPrefix(name, delivery.SenderIntegration); is {
		return l.T("integration %s", integration)
	}
	return name
}

// reuse says what tells a message from the first one of its key.
func (l Locale) reuse(r delivery.KeyReuse) string {
	switch r {
	case delivery.ReusedBySender:
		return l.T("another sender had the key")
	case delivery.ReusedByContent:
		return l.T("its sender had used the key for other content")
	}
	return l.T("the first message is kept no more")
}
