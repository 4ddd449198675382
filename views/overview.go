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

// ignored counts what people decided to leave.
func (p OverviewPage) ignored() (n int) {
	for _, h := range p.Integrations {
		n += h.Ignored
	}
	return n
}

func (p OverviewPage) board() Board {
	return NewBoard(p.Integrations, Overview, p.Asked, p.Now)
}

func (p IntegrationsPage) board() Board {
	return NewBoard(p.Integrations, Integrations, p.Asked, p.Now)
}

// task is something to try in the demo.
type task struct {
	text, link string
	done       bool
}

// tasks are those that the reader may do.
func (p OverviewPage) tasks() (list []task) {
	if !p.Done.Told {
		return nil
	}
	if p.May(delivery.PermitEdit) {
		list = append(list, task{p.T("An order has no house number: give its address one, send it again, and see it delivered"),
			FailureList(delivery.Filter{Query: "house number"}), p.Done.Delivered})
	}
	if p.May(delivery.PermitBulk) {
		list = append(list, task{p.T("What was settled came back: open that group and retry it, a canary first"),
			GroupList(delivery.GroupFilter{Statuses: []delivery.GroupStatus{delivery.GroupRegressed}}), p.Done.Canary})
	}
	if p.May(delivery.PermitExport) {
		list = append(list, task{p.T("An auditor asks what was ignored: take it away as CSV"), Ignored, p.Done.Exported})
	}
	return list
}
