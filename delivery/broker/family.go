package broker

import (
	"net/url"
	"slices"
	"strings"

	"github.com/rabbitmq/amqp091-go"

	"redrive/delivery"
)

// family is a program that writes dead letters: the headers by which it does, in which of them each fact stands, and where an entry
// goes back to. To know one more of them is one more row.
type family struct {
	name   string
	broker string   // empty: any that has headers
	sign   []string // an entry is theirs by one of these headers; empty: by any of marks. One that ends in * is the beginning of names
	marks  []string // their headers, which stay behind

	// Names of headers, the first that is there counts. Of a header that stands twice, the first says where it came from and the last
	// how it ended.
	place, exchange, partition, offset, at []string
	group, attempts                        []string
	class, message, trace                  []string
	more                                   int // attempts than stand in that header

	lost   bool // what they write lacks the headers, and maybe key and value, so that the original is looked for
	copies bool // key and value, where there are any, are the original's bytes

	says map[string]string // what a message means that is a word of theirs; empty: nothing

	// queue makes a queue's name of what stands in place, and of the queue that the entry was taken from; nil: it is one.
	queue func(place, from string) string
	// read reads what no header says as text; nil: there is no such thing.
	read func(amqp091.Table) *delivery.DeadOrigin
}

// families are all of them. Of RabbitMQ's, whose headers have no order, the first that fits counts, so that a program that knows why
// it gave up goes before the broker that only moved the message; of Kafka's the one whose mark stands last.
var families = []family{
	{
		name:   "Spring Kafka",
		broker: delivery.BrokerKafka,
		marks:  []string{"kafka_dlt-*", "kafka_deliveryAttempt", "springDeserializerException*"},
		sign: []string{
			"kafka_dlt-original-topic",
			"kafka_dlt-original-offset",
			"kafka_dlt-exception-*",
			"kafka_dlt-key-exception-*",
		},
		place:     []string{"kafka_dlt-original-topic"},
		partition: []string{"kafka_dlt-original-partition"},
		offset:    []string{"kafka_dlt-original-offset"},
		at:        []string{"kafka_dlt-original-timestamp"},
		group:     []string{"kafka_dlt-original-consumer-group"},
		attempts:  []string{"kafka_deliveryAttempt"},
		class:     []string{"kafka_dlt-exception-cause-fqcn", "kafka_dlt-exception-fqcn", "kafka_dlt-key-exception-fqcn"},
		message:   []string{"kafka_dlt-exception-message", "kafka_dlt-key-exception-message"},
		trace:     []string{"kafka_dlt-exception-stacktrace", "kafka_dlt-key-exception-stacktrace"},
	},
	{
		name:   "Spring Kafka @RetryableTopic",
		broker: delivery.BrokerKafka,
		marks: []string{
			"kafka_original-*",
			"kafka_exception-*",
			"kafka_key-exception-*",
			"retry_topic-*",
			"kafka_dlt-original-consumer-group",
			"kafka_deliveryAttempt",
			"springDeserializerException*",
		},
		sign:      []string{"kafka_original-topic"},
		place:     []string{"kafka_original-topic"},
		partition: []string{"kafka_original-partition"},
		offset:    []string{"kafka_original-offset"},
		at:        []string{"kafka_original-timestamp", "retry_topic-original-timestamp"},
		group:     []string{"kafka_original-consumer-group", "kafka_dlt-original-consumer-group"},
		attempts:  []string{"retry_topic-attempts"},
		more:      -1, // it counts the attempt to come, so one less was made
		class:     []string{"kafka_exception-cause-fqcn", "kafka_exception-fqcn", "kafka_key-exception-fqcn"},
		message:   []string{"kafka_exception-message", "kafka_key-exception-message"},
		trace:     []string{"kafka_exception-stacktrace", "kafka_key-exception-stacktrace"},
	},
	{
		name:   "Spring Cloud Stream",
		broker: delivery.BrokerKafka,
		marks: []string{
			"x-original-topic",
			"x-original-partition",
			"x-original-offset",
			"x-original-timestamp",
			"x-original-timestamp-type",
			"x-exception-message",
			"x-exception-fqcn",
			"x-exception-stacktrace",
		},
		place:     []string{"x-original-topic"},
		partition: []string{"x-original-partition"},
		offset:    []string{"x-original-offset"},
		at:        []string{"x-original-timestamp"},
		class:     []string{"x-exception-fqcn"},
		message:   []string{"x-exception-message"},
		trace:     []string{"x-exception-stacktrace"},
	},
	{
		name: "Kafka Connect", broker: delivery.BrokerKafka, copies: true,
		marks:     []string{"__connect.errors.*"},
		place:     []string{"__connect.errors.topic"},
		partition: []string{"__connect.errors.partition"},
		offset:    []string{"__connect.errors.offset"},
		group:     []string{"__connect.errors.connector.name"},
		class:     []string{"__connect.errors.exception.class.name"},
		message:   []string{"__connect.errors.exception.message"},
		trace:     []string{"__connect.errors.exception.stacktrace"},
	},
	{
		name: "Kafka Streams", broker: delivery.BrokerKafka,
		marks:     []string{"__streams.errors.*"},
		place:     []string{"__streams.errors.topic"},
		partition: []string{"__streams.errors.partition"},
		offset:    []string{"__streams.errors.offset"},
		class:     []string{"__streams.errors.exception"},
		message:   []string{"__streams.errors.message"},
		trace:     []string{"__streams.errors.stacktrace"},
	},
	{
		name: "Kafka share group", broker: delivery.BrokerKafka, lost: true, copies: true,
		marks:     []string{"__dlq.errors.*"},
		place:     []string{"__dlq.errors.topic"},
		partition: []string{"__dlq.errors.partition"},
		offset:    []string{"__dlq.errors.offset"},
		group:     []string{"__dlq.errors.group"},
		attempts:  []string{"__dlq.errors.delivery.count"},
		message:   []string{"__dlq.errors.message"},
	},
	{
		name:    "Watermill",
		marks:   []string{"reason_poisoned", "topic_poisoned", "handler_poisoned", "subscriber_poisoned"},
		sign:    []string{"reason_poisoned"},
		place:   []string{"topic_poisoned"},
		group:   []string{"handler_poisoned"},
		message: []string{"reason_poisoned"},
	},
	{
		name: "Spring AMQP", broker: delivery.BrokerRabbitMQ,
		marks:    []string{"x-exception-message", "x-exception-stacktrace", "x-original-exchange", "x-original-routingKey"},
		place:    []string{"x-original-routingKey"},
		exchange: []string{"x-original-exchange"},
		message:  []string{"x-exception-message"},
		trace:    []string{"x-exception-stacktrace"},
	},
	{
		name:   "MassTransit",
		broker: delivery.BrokerRabbitMQ,
		marks: []string{
			"MT-Reason",
			"MT-Fault-ExceptionType",
			"MT-Fault-InputAddress",
			"MT-Fault-Message",
			"MT-Fault-MessageType",
			"MT-Fault-ConsumerType",
			"MT-Fault-Timestamp",
			"MT-Fault-StackTrace",
			"MT-Fault-RetryCount",
			"MT-Fault-RedeliveryCount", // MT-Fault-Address is the sender's own
			"MT-Host-MachineName",
			"MT-Host-ProcessName",
			"MT-Host-ProcessId",
			"MT-Host-Assembly",
			"MT-Host-AssemblyVersion",
			"MT-Host-MassTransitVersion",
			"MT-Host-FrameworkVersion",
			"MT-Host-OperatingSystemVersion",
			"publishId", // of who moved it, for what is confirmed: it overwrites the sender's
		},
		sign:     []string{"MT-Reason"},
		place:    []string{"MT-Fault-InputAddress"},
		at:       []string{"MT-Fault-Timestamp"},
		group:    []string{"MT-Fault-ConsumerType"},
		attempts: []string{"MT-Fault-RetryCount"},
		more:     1, // it counts retries, so one attempt more was made
		class:    []string{"MT-Fault-ExceptionType", "MT-Reason"},
		message:  []string{"MT-Fault-Message", "MT-Reason"},
		says:     map[string]string{"fault": "", "dead-letter": "no consumer of its endpoint takes messages of its type"},
		trace:    []string{"MT-Fault-StackTrace"},
		queue:    massTransitQueue,
	},
	{
		name:   "NServiceBus",
		broker: delivery.BrokerRabbitMQ,
		marks: []string{
			"NServiceBus.FailedQ",
			"NServiceBus.TimeOfFailure",
			"NServiceBus.ExceptionInfo.*",
			"NServiceBus.Retries*",
			"ServiceControl.EditOf",
			"NServiceBus.Transport.RabbitMQ.ConfirmationId", // as publishId
		}, // as ServiceControl has it
		sign:    []string{"NServiceBus.FailedQ"},
		place:   []string{"NServiceBus.FailedQ"},
		at:      []string{"NServiceBus.TimeOfFailure"},
		group:   []string{"NServiceBus.ExceptionInfo.Data.Handler type", "NServiceBus.ProcessingEndpoint"},
		class:   []string{"NServiceBus.ExceptionInfo.ExceptionType"},
		message: []string{"NServiceBus.ExceptionInfo.Message"},
		trace:   []string{"NServiceBus.ExceptionInfo.StackTrace"},
	},
	{
		name: "RabbitMQ", broker: delivery.BrokerRabbitMQ,
		marks: []string{"x-death", "x-first-death-*", "x-last-death-*"},
		read:  rabbitDeath,
	},
}

// familyNamed is nil for a name that none has.
func familyNamed(name string) *family {
	n := slices.IndexFunc(families, func(f family) bool { return f.name == name })
	if n < 0 {
		return nil
	}
	return &families[n]
}

// massTransitQueue is the endpoint's own queue: the last part of its address, which version 8 writes, else what the error queue is named
// after. It is empty where neither says it: the queue that an entry was taken from is none to send it back to.
func massTransitQueue(address, from string) string {
	if u, err := url.Parse(address); err == nil && u.Scheme != "" {
		parts := strings.Split(u.EscapedPath(), "/")
		if queue, err := url.PathUnescape(parts[len(parts)-1]); err == nil && queue != "" {
			return queue
		}
	}
	for _, ending := range []string{"_error", "_skipped"} {
		if queue, ok := strings.CutSuffix(from, ending); ok {
			return queue
		}
	}
	return ""
}

// marked reports whether a header is one of marks.
func marked(header string, marks []string) bool {
	return slices.ContainsFunc(marks, func(mark string) bool {
		beginning, open := strings.CutSuffix(mark, "*")
		return header == mark || open && strings.HasPrefix(header, beginning)
	})
}

// signs reports whether a header tells that the entry is theirs.
func (f family) signs(header string) bool {
	if len(f.sign) > 0 {
		return marked(header, f.sign)
	}
	return marked(header, f.marks)
}

// wrote finds the families whose marks an entry has, and which of them wrote it last. Without one, last is nil.
func wrote(broker string, headers []delivery.Field) (all []*family, last *family) {
	latest := -1
	for n := range families {
		f := &families[n]
		if f.broker != "" && f.broker != broker {
			continue
		}
		at := -1
		for n, h := range headers {
			if f.signs(h.Name) {
				at = n
			}
		}
		if at < 0 {
			continue
		}
		all = append(all, f)
		if last == nil || broker == delivery.BrokerKafka && at > latest {
			last, latest = f, at
		}
	}
	return all, last
}
