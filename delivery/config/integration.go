package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"redrive/delivery"
	"redrive/delivery/form"
)

const (
	defaultConcurrency = 16
	maxConcurrency     = 1000
	maxBackoff         = 30 * 24 * time.Hour
)

func (c *checker) integration(i int, r rawIntegration) delivery.Integration {
	if !delivery.IsName(r.Name) {
		c.Fail(at(i, "name"), "name: %q must be 1 to 63 lower-case letters, digits or hyphens", r.Name)
	}
	in := delivery.Integration{
		Name:        r.Name,
		Description: r.Description,
		Method:      c.method(i, r),
		Subscribe:   r.Subscribe,
		Idempotent:  bool(r.Idempotent),
		Ordered:     bool(r.Ordered),
		OnDead:      c.onDead(i, r),
		Pool:        c.pool(i, r),
		Broker:      c.broker(i, r),
		Outbox:      c.outbox(i, r),
		CDC:         c.cdc(i, r),
		Batch:       c.batch(i, r),
		Retry:       c.retry(i, r),
		OnFailure:   c.onFailure(i, r.OnFailure),
		Concurrency: c.number(at(i, "concurrency"), "concurrency", r.Concurrency, defaultConcurrency, 1, maxConcurrency),
		Mask:        r.Mask,
		Subject:     r.Subject,
		Labels:      r.Labels,
		Runbook:     r.Runbook,
	}
	in.Destination = c.destination(i, r, in.Broker, in.CDC)
	c.ignored(i, r)
	for n, eventType := range r.Subscribe {
		if strings.TrimSpace(eventType) == "" {
			c.Fail(at(i, fmt.Sprintf("subscribe[%d]", n)), "subscribe: an event type is empty")
		}
	}
	if r.Subject != "" && !delivery.CheckSubject(r.Subject) {
		c.Fail(at(i, "subject"), "subject: %q is no path to one value such as $.customer.id, nor header:NAME", r.Subject)
	}
	if err := delivery.CheckLabels(r.Labels); err != nil {
		c.Fail(at(i, "labels"), "labels: a key is 1 to 63 lower-case letters, digits or hyphens, its value 1 to %d letters, digits, dots, hyphens or underscores", delivery.MaxName)
	}
	if !isPage(r.Runbook) {
		c.Fail(at(i, "runbook"), "runbook: %q is no http or https address", r.Runbook)
	}
	for n, path := range r.Mask {
		if problem := delivery.CheckMask(path); problem != "" {
			c.Fail(at(i, fmt.Sprintf("mask[%d]", n)), "mask: %q %s", path, maskProblems[problem])
		}
	}
	return in
}

// maskProblems say what is wrong with a rule of mask.
var maskProblems = map[delivery.MaskProblem]string{
	delivery.NoMaskPath:     "is no JSON path such as $.phone, nor header:NAME, column:NAME, pattern:EXPRESSION or detect:NAME",
	delivery.NoMaskHeader:   "names no header; write header:X-Customer",
	delivery.NoMaskColumn:   "names no column; write column:phone",
	delivery.NoMaskPattern:  "is no regular expression of RE2 of at most 1000 bytes",
	delivery.FindsNothing:   "fits the empty text as well; an expression has to ask for at least one character",
	delivery.NoMaskDetector: "is no detector; there are detect:" + strings.Join(delivery.Detectors, ", detect:"),
}

// isPage reports whether a browser can open an address; none is one too.
func isPage(address string) bool {
	u, err := url.Parse(address)
	return address == "" || err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}

// ignored refuses settings that would do nothing where they stand.
func (c *checker) ignored(i int, r rawIntegration) {
	dead := r.Broker != nil && r.Broker.DeadLetters != noDeadLetters
	switch {
	case dead && len(r.Destination.given) > 0:
		c.Fail(at(i, "destination"),
			"destination: entries of a dead-letter queue go back to where they died; remove it, or dead_letters")
	case dead && len(r.Subscribe) > 0:
		c.Fail(at(i, "subscribe"), "subscribe: every entry of a dead-letter queue is taken; remove it, or dead_letters")
	case r.Outbox != nil && r.Outbox.Start != "" && len(r.Subscribe) == 0:
		c.Fail(at(i, "outbox.start"), "outbox.start: it says from where on events come, and the integration "+
			"subscribes to none; remove it, or write subscribe: [event type]")
	case r.Batch != nil && r.Batch.Empty == "send" && batchOf(r.Destination).NoRows != "":
		c.Fail(at(i, "batch.empty"), "batch.empty: %s; remove it", batchOf(r.Destination).NoRows)
	case r.Batch != nil && r.Batch.Empty == "send" && r.Batch.Per == string(delivery.PerRow):
		c.Fail(at(i, "batch.empty"), "batch.empty: row by row nothing is sent of a run without rows; remove it")
	}
}

func (c *checker) method(i int, r rawIntegration) delivery.Method {
	m := delivery.Method(r.Method)
	switch {
	case r.Method == "":
		c.Fail(at(i, "name"), "integration %q names no method; write method: outbox", r.Name)
	case !slices.Contains(delivery.Methods, m):
		c.Fail(at(i, "method"), "method: %q is none of pool, broker, outbox, batch, cdc", r.Method)
	}
	if bool(r.Ordered) && m == delivery.MethodPool {
		c.Fail(at(i, "ordered"), "ordered: a pool runs its tasks side by side and keeps no order; use method outbox")
	}
	if len(r.Subscribe) > 0 && m == delivery.MethodPool {
		c.Fail(at(i, "subscribe"), "subscribe: a pool takes commands only; use method outbox for events")
	}
	for name, given := range map[string]bool{"pool": r.Pool != nil, "broker": r.Broker != nil, "outbox": r.Outbox != nil,
		"batch": r.Batch != nil, "cdc": r.CDC != nil} {
		if given && name != r.Method {
			c.Fail(at(i, name), "%s: this block belongs to method %s, the integration uses %q", name, name, r.Method)
		}
	}
	return m
}

func (c *checker) retry(i int, in rawIntegration) delivery.RetryPolicy {
	p, r := delivery.DefaultRetry, in.Retry
	if in.Method == string(delivery.MethodPool) {
		p = delivery.DefaultPoolRetry
	}
	if r.Backoff != nil && len(r.Backoff) == 0 {
		c.Fail(at(i, "retry.backoff"), "retry.backoff: the list is empty; write at least one duration, 0s for none")
	}
	if r.Backoff != nil {
		p.Backoff = c.backoff(i, r.Backoff)
		p.Attempts = len(r.Backoff) + 1
	}
	if r.Attempts != nil {
		p.Attempts = int(*r.Attempts)
	}
	if p.Attempts < 1 || p.Attempts > 100 {
		c.Fail(at(i, "retry.attempts"), "retry.attempts: %d is not between 1 and 100", p.Attempts)
	}
	switch r.Jitter {
	case "":
	case string(delivery.JitterFull):
		p.Jitter = delivery.JitterFull
	case string(delivery.JitterNone):
		p.Jitter = delivery.JitterNone
	default:
		c.Fail(at(i, "retry.jitter"), "retry.jitter: %q is neither full nor none", r.Jitter)
	}
	return p
}

func (c *checker) backoff(i int, texts []string) []time.Duration {
	out := make([]time.Duration, len(texts))
	for n, text := range texts {
		out[n] = c.Duration(at(i, fmt.Sprintf("retry.backoff[%d]", n)), "retry.backoff", text, 0, maxBackoff)
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
	c.Fail(at(i, "on_failure"), "on_failure: %q is neither dead-letter nor ignore", text)
	return delivery.StateDead
}

// number returns what is given, within its bounds, or the default.
func (c *checker) number(path, setting string, given *form.Whole, standard, least, most int) int {
	if given == nil {
		return standard
	}
	n := int(*given)
	if n < least || n > most {
		c.Fail(path, "%s: %d is not between %d and %d", setting, n, least, most)
	}
	return n
}
