package views

import (
	"maps"
	"slices"
	"strings"

	"redrive/delivery"
)

// named is a fact of a list: what it is, and how it stands.
type named struct{ Name, Text string }

// settings says in words how an integration treats what it sends, and what fails.
func (p IntegrationPage) settings() []named {
	c := p.Config
	list := []named{
		{p.T("Tries"), p.N(c.Retry.Attempts, "%s try", "up to %s tries")},
		{p.T("Outcome unknown"), p.unknown()},
		{p.T("What fails for good"), p.onFailure()},
		{p.T("At the same time"), p.N(c.Concurrency, "%s attempt", "%s attempts")},
	}
	if waits := p.waits(); waits != "" {
		list = slices.Insert(list, 1, named{p.T("Between tries"), waits})
	}
	if timeout := c.Destination.Timeout(); timeout > 0 {
		list = append(list, named{p.T("Deadline of a try"), p.Span(timeout)})
	}
	if c.Ordered {
		list = append(list, named{p.T("Order"), p.T("strictly in the order of each key")})
	}
	if len(c.Subscribe) > 0 {
		list = append(list, named{p.T("Event types"), strings.Join(c.Subscribe, ", ")})
	}
	if len(c.Mask) > 0 {
		list = append(list, named{p.T("Masked fields"), strings.Join(c.Mask, ", ")})
	}
	return list
}

// waits are the pauses between automatic tries.
func (p IntegrationPage) waits() string {
	waits := make([]string, len(p.Config.Retry.Backoff))
	for i, wait := range p.Config.Retry.Backoff {
		waits[i] = p.Span(wait)
	}
	return strings.Join(waits, ", ")
}

func (p IntegrationPage) unknown() string {
	switch {
	case p.Config.Idempotent:
		return p.T("tried again: the receiver drops duplicates")
	case p.Config.Destination.Settles():
		return p.T("it looks what is there before it sends again")
	}
	return p.T("goes to a person")
}

func (p IntegrationPage) onFailure() string {
	if p.Config.OnFailure == delivery.StateIgnored {
		return p.T("is ignored by policy")
	}
	return p.T("becomes a dead letter")
}

// from is what its messages are taken from; empty where they are handed to it.
func (p IntegrationPage) from() string {
	switch c := p.Config; {
	case c.Broker != nil:
		return c.Broker.Address()
	case c.CDC != nil:
		return c.CDC.Address()
	}
	return ""
}

func (p IntegrationPage) typed(form string) string {
	if p.Wrong == form {
		return p.Reason
	}
	return ""
}

// wrong is what is wrong with the reason of a form.
func (p IntegrationPage) wrong(form string) string {
	if p.Wrong == form && p.Field != "until" {
		return p.Problem
	}
	return ""
}

// wrongUntil is what is wrong with the end of a pause.
func (p IntegrationPage) wrongUntil() string {
	if p.Field == "until" {
		return p.Problem
	}
	return ""
}

// labelsOf are labels as people write them, by key.
func labelsOf(labels map[string]string) (list []string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		list = append(list, key+"="+labels[key])
	}
	return list
}
