package views

import (
	"slices"
	"time"

	"redrive/delivery"
)

func healthWord(l Locale, h delivery.IntegrationHealth) string {
	word, _ := l.health(h)
	return word
}

func healthKind(l Locale, h delivery.IntegrationHealth) string {
	_, kind := l.health(h)
	return kind
}

// partWords are the parts of an integration for people.
var partWords = map[delivery.Part]string{
	delivery.PartSource:      "source",
	delivery.PartRelay:       "relay",
	delivery.PartSchedule:    "schedule",
	delivery.PartPool:        "workers",
	delivery.PartDestination: "destination",
}

func (l Locale) part(p delivery.Part) string { return l.T(partWords[p]) }

func (l Locale) partStatus(s delivery.PartStatus) string {
	if s == delivery.PartDegraded {
		return l.T("degraded")
	}
	return l.T("ok")
}

func partKind(p delivery.PartHealth) string {
	if p.Status == delivery.PartDegraded {
		return "bad"
	}
	return "good"
}

// unsaid are the degraded parts that no alarm of a figure speaks of.
func unsaid(h delivery.IntegrationHealth, list []delivery.Fact) (out []delivery.PartHealth) {
	for _, p := range delivery.Degraded(h.Parts) {
		said := func(alarm delivery.Phrase) bool { return alarm.Short().Holds(p.LastError) }
		if !slices.ContainsFunc(alarms(list), said) {
			out = append(out, p)
		}
	}
	return out
}

// failedSince lists what failed on an integration within the strip's 24 hours, whatever became of it.
func (l Locale) failedSince(name string) string {
	day := l.Now.Add(-24 * time.Hour).UTC().Truncate(time.Minute)
	return FailureList(delivery.Filter{Integrations: []string{name}, States: delivery.States, From: &day})
}

// dead counts the dead letters that nobody looks after.
func (p OverviewPage) dead() (n int) {
	for _, h := range p.Integrations {
		n += h.Dead - h.Acknowledged
	}
	return n
}

func (p OverviewPage) acknowledged() (n int) {
	for _, h := range p.Integrations {
		n += h.Acknowledged
	}
	return n
}

// summary says how much is on its way.
func (p OverviewPage) summary() string {
	waiting := 0
	for _, h := range p.Integrations {
		waiting += h.Pending + h.Sending
	}
	return p.N(waiting, "%s delivery is on its way", "%s deliveries are on their way")
}

// policy says in words how an integration treats failures.
func (p IntegrationsPage) policy(c delivery.Integration) []string {
	out := []string{p.N(c.Retry.Attempts, "%s try", "up to %s tries")}
	if c.Idempotent {
		out = append(out, p.T("receiver drops duplicates"))
	} else if c.Destination.Settles() {
		out = append(out, p.T("looks what is there before it sends again"))
	} else {
		out = append(out, p.T("unknown outcomes go to a person"))
	}
	if c.OnFailure == delivery.StateIgnored {
		out = append(out, p.T("failures are ignored by policy"))
	}
	if len(c.Mask) > 0 {
		out = append(out, p.N(len(c.Mask), "%s masked field", "%s masked fields"))
	}
	return append(out, p.N(c.Concurrency, "%s at a time", "%s at a time"))
}

func (p IntegrationsPage) typed(name string) string {
	if p.Wrong == name {
		return p.Reason
	}
	return ""
}

func (p IntegrationsPage) wrong(name string) string {
	if p.Wrong == name {
		return p.Problem
	}
	return ""
}
