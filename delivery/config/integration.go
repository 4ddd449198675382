package config

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"redrive/delivery"
)

const (
	defaultConcurrency = 16
	maxConcurrency     = 1000
	defaultTimeout     = 5 * time.Second
	maxTimeout         = 5 * time.Minute
	maxBackoff         = 30 * 24 * time.Hour
)

var (
	headerName    = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
	headerControl = regexp.MustCompile(`[\x00-\x08\x0a-\x1f\x7f]`)
	nameShape     = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	httpVerbs     = []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	allMethods    = []delivery.Method{delivery.MethodPool, delivery.MethodBroker, delivery.MethodOutbox, delivery.MethodBatch, delivery.MethodCDC}
)

func (c *checker) integration(i int, r rawIntegration) delivery.Integration {
	if !nameShape.MatchString(r.Name) {
		c.fail(at(i, "name"), "name: %q must be 1 to 63 lower-case letters, digits or hyphens", r.Name)
	}
	in := delivery.Integration{
		Name: r.Name, Description: r.Description, Method: c.method(i, r), Subscribe: r.Subscribe, Idempotent: r.Idempotent,
		Destination: c.destination(i, r.Destination), Retry: c.retry(i, r.Retry), OnFailure: c.onFailure(i, r.OnFailure),
		Concurrency: c.concurrency(i, r.Concurrency), Mask: r.Mask,
	}
	for n, eventType := range r.Subscribe {
		if strings.TrimSpace(eventType) == "" {
			c.fail(at(i, fmt.Sprintf("subscribe[%d]", n)), "subscribe: an event type is empty")
		}
	}
	for n, path := range r.Mask {
		if !delivery.ValidPath(path) {
			c.fail(at(i, fmt.Sprintf("mask[%d]", n)), "mask: %q is no JSON path such as $.phone", path)
		}
	}
	return in
}

func (c *checker) method(i int, r rawIntegration) delivery.Method {
	m := delivery.Method(r.Method)
	switch {
	case r.Method == "":
		c.fail(at(i, "name"), "integration %q names no method; write method: outbox", r.Name)
	case !slices.Contains(allMethods, m):
		c.fail(at(i, "method"), "method: %q is none of pool, broker, outbox, batch, cdc", r.Method)
	case m != delivery.MethodOutbox:
		c.fail(at(i, "method"), "method: this version runs outbox only, not %q", r.Method)
	}
	if r.Ordered {
		c.fail(at(i, "ordered"), "ordered: this version does not keep an order per key; remove the setting")
	}
	for name, block := range map[string]map[string]any{"pool": r.Pool, "broker": r.Broker, "batch": r.Batch, "cdc": r.CDC} {
		if block != nil {
			c.fail(at(i, name), "%s: this block belongs to method %s, the integration uses %q", name, name, r.Method)
		}
	}
	return m
}

func (c *checker) destination(i int, r rawDestination) delivery.Destination {
	for name, block := range map[string]map[string]any{"kafka": r.Kafka, "rabbitmq": r.RabbitMQ, "redis": r.Redis, "file": r.File,
		"table": r.Table} {
		if block != nil {
			c.fail(at(i, "destination."+name), "destination: this version sends by http only, not %s", name)
		}
	}
	if r.HTTP == nil {
		c.fail(at(i, "destination"), "destination: missing; write destination: {http: {url: …}}")
		return delivery.Destination{}
	}
	path := at(i, "destination.http.")
	h := &delivery.HTTPDestination{
		URL: c.httpURL(path+"url", r.HTTP.URL), Method: c.verb(path+"method", r.HTTP.Method), Headers: map[string]string{},
		Secret: c.secret(path+"secret", r.HTTP.Secret), Timeout: c.timeout(path+"timeout", r.HTTP.Timeout),
	}
	for name, value := range r.HTTP.Headers {
		value = c.expand(path+"headers", value)
		if !headerName.MatchString(name) || headerControl.MatchString(value) {
			c.fail(path+"headers", "headers: %q is no header name, or its value is not one line of text", name)
		}
		h.Headers[http.CanonicalHeaderKey(name)] = value
	}
	return delivery.Destination{HTTP: h}
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

func (c *checker) duration(path, setting, text string, least, most time.Duration) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		c.fail(path, "%s: %q is no duration such as 500ms, 5s or 2h", setting, text)
	} else if d < least || d > most {
		c.fail(path, "%s: %s is not between %s and %s", setting, text, least, most)
	}
	return d
}

func (c *checker) retry(i int, r rawRetry) delivery.RetryPolicy {
	p := delivery.DefaultRetry
	if r.Backoff != nil && len(r.Backoff) == 0 {
		c.fail(at(i, "retry.backoff"), "retry.backoff: the list is empty; write at least one duration, 0s for none")
	}
	if r.Backoff != nil {
		p.Backoff = c.backoff(i, r.Backoff)
		p.Attempts = len(r.Backoff) + 1
	}
	if r.Attempts != nil {
		p.Attempts = *r.Attempts
	}
	if p.Attempts < 1 || p.Attempts > 100 {
		c.fail(at(i, "retry.attempts"), "retry.attempts: %d is not between 1 and 100", p.Attempts)
	}
	switch r.Jitter {
	case "", string(delivery.JitterFull):
		p.Jitter = delivery.JitterFull
	case string(delivery.JitterNone):
		p.Jitter = delivery.JitterNone
	default:
		c.fail(at(i, "retry.jitter"), "retry.jitter: %q is neither full nor none", r.Jitter)
	}
	return p
}

func (c *checker) backoff(i int, texts []string) []time.Duration {
	out := make([]time.Duration, len(texts))
	for n, text := range texts {
		out[n] = c.duration(at(i, fmt.Sprintf("retry.backoff[%d]", n)), "retry.backoff", text, 0, maxBackoff)
	}
	return out
}

func (c *checker) onFailure(i int, text string) delivery.State {
	switch text {
	case "", "dead-letter":
		return delivery.StateDead
	case "ignore":
		return delivery.StateIgnored
	}
	c.fail(at(i, "on_failure"), "on_failure: %q is neither dead-letter nor ignore", text)
	return delivery.StateDead
}

func (c *checker) concurrency(i int, given *int) int {
	if given == nil {
		return defaultConcurrency
	}
	if *given < 1 || *given > maxConcurrency {
		c.fail(at(i, "concurrency"), "concurrency: %d is not between 1 and %d", *given, maxConcurrency)
	}
	return *given
}
