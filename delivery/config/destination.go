package config

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"redrive/delivery"
)

var httpVerbs = []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// destination reads the one block that is given. None need be given where what somebody else's dead-letter queue holds goes back
// to where it came from, or where changes go to other integrations only.
func (c *checker) destination(i int, in rawIntegration, source *delivery.BrokerSource, capture *delivery.CDCSource) delivery.Destination {
	path := at(i, "destination.")
	r := in.Destination
	if r.Table != nil && in.Method != string(delivery.MethodBatch) {
		c.fail(path+"table", "destination.table: a table takes the rows of a batch; use method batch, or another destination")
	}
	if r.File != nil && in.Method != string(delivery.MethodBatch) {
		c.fail(path+"file", "destination.file: files hold the rows of a batch; use method batch, or another destination")
	}
	given := countTrue(r.given()...)
	switch {
	case given == 0 && source != nil && source.DeadLetters:
		return wayBack(source)
	case given == 0 && !ownDestination(in.Name, capture):
	case given == 0:
		c.fail(at(i, "destination"), "destination: missing; write destination: {http: {url: …}}")
	case given > 1:
		c.fail(at(i, "destination"), "destination: exactly one is needed, %d are given", given)
	case r.HTTP != nil:
		return delivery.Destination{HTTP: c.http(path+"http.", r.HTTP)}
	case r.Redis != nil:
		return delivery.Destination{Redis: c.redisDestination(path+"redis.", r.Redis)}
	case r.RabbitMQ != nil:
		return delivery.Destination{RabbitMQ: c.rabbitMQDestination(path+"rabbitmq.", r.RabbitMQ)}
	case r.Kafka != nil:
		return delivery.Destination{Kafka: c.kafkaDestination(path+"kafka.", r.Kafka)}
	case r.File != nil:
		return delivery.Destination{File: c.file(i, r.File)}
	case r.Table != nil:
		return delivery.Destination{Table: c.table(i, r.Table)}
	}
	return delivery.Destination{}
}

// given says of each block whether it is there.
func (r rawDestination) given() []bool {
	return []bool{r.HTTP != nil, r.Redis != nil, r.RabbitMQ != nil, r.Kafka != nil, r.File != nil, r.Table != nil}
}

// wayBack is the broker of a dead-letter queue; where exactly is in each message's origin.
func wayBack(source *delivery.BrokerSource) delivery.Destination {
	switch {
	case source.RabbitMQ != nil:
		return delivery.Destination{RabbitMQ: &delivery.RabbitMQDestination{RabbitMQServer: source.RabbitMQ.RabbitMQServer,
			Format: delivery.FormatNative, Timeout: delivery.DefaultTimeout}}
	case source.Kafka != nil:
		return delivery.Destination{Kafka: &delivery.KafkaDestination{KafkaServer: source.Kafka.KafkaServer,
			Format: delivery.FormatNative, Timeout: delivery.DefaultTimeout}}
	}
	return delivery.Destination{}
}

func countTrue(conditions ...bool) (n int) {
	for _, condition := range conditions {
		if condition {
			n++
		}
	}
	return n
}

func (c *checker) http(path string, r *rawHTTP) *delivery.HTTPDestination {
	h := &delivery.HTTPDestination{
		URL: c.httpURL(path+"url", r.URL), Method: c.verb(path+"method", r.Method), Headers: map[string]string{},
		Secret: c.secret(path+"secret", r.Secret), Format: c.httpFormat(path+"format", r.Format), Timeout: c.timeout(path+"timeout", r.Timeout),
	}
	for name, value := range r.Headers {
		value = c.expand(path+"headers", value)
		if !delivery.IsHeaderName(name) || !delivery.CanBeHeader(value) {
			c.fail(path+"headers", "headers: %q is no header name, or its value is not one line of text without blanks at its ends", name)
		}
		c.headerOfOurs(path, http.CanonicalHeaderKey(name), h.Format)
		h.Headers[http.CanonicalHeaderKey(name)] = value
	}
	return h
}

// headerOfOurs refuses a header that would not be sent as it is set.
func (c *checker) headerOfOurs(path, name string, format delivery.WireFormat) {
	switch {
	case delivery.OwnHeader(name):
		c.fail(path+"headers", "headers: %s is set by Redrive, leave it out", name)
	case format == delivery.FormatStructured && name == "Content-Type":
		c.fail(path+"headers", "headers: with format %s the Content-Type is application/cloudevents+json, leave it out", format)
	case format != delivery.FormatNative && strings.HasPrefix(name, "Ce-"):
		c.fail(path+"headers", "headers: %s is an attribute of the CloudEvent, which is made of the message", name)
	}
}

func (c *checker) httpFormat(path, text string) delivery.WireFormat {
	if delivery.WireFormat(text) == delivery.FormatStructured {
		return delivery.FormatStructured
	}
	if text != "" && delivery.WireFormat(text) != delivery.FormatNative && delivery.WireFormat(text) != delivery.FormatCloudEvents {
		c.fail(path, "format: %q is none of %s, %s and %s", text, delivery.FormatNative, delivery.FormatCloudEvents, delivery.FormatStructured)
		return delivery.FormatNative
	}
	return c.format(path, text)
}

func (c *checker) httpURL(path, text string) string {
	text = c.expand(path, text)
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		c.fail(path, "url: an http:// or https:// address is needed")
	} else if port, err := strconv.ParseUint("0"+u.Port(), 10, 16); err != nil || port == 0 && u.Port() != "" {
		c.fail(path, "url: the port must be 1 to 65535")
	}
	return text
}

// secret refuses what would sign nothing, or not with the key that was meant.
func (c *checker) secret(path, text string) string {
	secret := c.expand(path, text)
	if secret == "" && text != "" {
		c.fail(path, "secret: %s is empty, so nothing would be signed", text)
	}
	if encoded, prefixed := strings.CutPrefix(secret, "whsec_"); prefixed {
		if key, err := base64.StdEncoding.DecodeString(encoded); err != nil || len(key) == 0 {
			c.fail(path, "secret: it starts with whsec_, but what follows is not Base64")
		}
	}
	return secret
}

func (c *checker) verb(path, verb string) string {
	if verb == "" {
		return http.MethodPost
	}
	if !slices.Contains(httpVerbs, verb) {
		c.fail(path, "method: %q is none of %s", verb, strings.Join(httpVerbs, ", "))
	}
	return verb
}

func (c *checker) timeout(path, given string) time.Duration {
	if given == "" {
		return defaultTimeout
	}
	return c.duration(path, "timeout", given, 10*time.Millisecond, maxTimeout)
}
