package views

import (
	"time"

	"redrive/delivery"
)

// Tabs of an exchange.
const (
	TabRequest = "request"
	TabAnswer  = "answer"
)

// Exchange is what one try sent and got, as people may see it.
type Exchange struct {
	Try             int               // place in the timeline, from 1; 0: what is sent next
	Attempt         *delivery.Attempt // nil: what is sent next
	Tab             string
	Method, Address string
	Steps           []delivery.ExchangeStep
	Facts           []delivery.HeaderLine
	Payload         Payload
	Headers         []Header // of the message
	Properties      []Header
	Added           []Header // by the integration
	Withheld        []string // headers of the message that were not sent
	Answer          Payload
	Answered        []Header
	Cut             bool // the answer was longer than what is kept
}

// name is what people call a failure: its business key, else its type.
func (p DeliveryPage) name() string {
	if p.D.Key != "" {
		return p.D.Key
	}
	return p.D.Type
}

// TitleOf names the page of a failure.
func TitleOf(d delivery.Delivery) string {
	title := Visible(d.Type) + " → " + d.Integration
	if d.Key != "" {
		title = Visible(Excerpt(d.Key, 80)) + " · " + title
	}
	return title
}

// elsewhere is the page of an action that knows the list which the failure was opened from.
func (p DeliveryPage) elsewhere(address string) string {
	if p.Return == Failures {
		return address
	}
	return with(address, "return", p.Return)
}

// groupRows is the list of exactly the failures that GroupCount counts.
func (p DeliveryPage) groupRows() string {
	return FailureList(delivery.Filter{Groups: []string{p.D.GroupID}})
}

// TryPlace is the page of a failure that shows a tab of one of its tries.
func TryPlace(id, back string, try int, tab string) Place {
	return Place{Path: Failure(id), Fields: []Header{{Name: "return", Value: back}, {Name: "try", Value: itoa(try)}, {Name: "tab", Value: tab}}}
}

// tryAt is the address of a tab of a try.
func (p DeliveryPage) tryAt(try int, tab string) string {
	address := FailureFrom(p.D.ID, p.Return)
	return address + "&try=" + itoa(try) + "&tab=" + tab + "#exchange"
}

// tabFor is the tab that says most of an attempt.
func (p DeliveryPage) tabFor(n int) string {
	if p.answers(n) {
		return TabAnswer
	}
	return TabRequest
}

// answers reports whether an answer to the n-th attempt is kept.
func (p DeliveryPage) answers(n int) bool {
	a := p.D.Timeline[n]
	return len(a.Response) > 0 || a.Exchange != nil && len(a.Exchange.Answered) > 0
}

func (p DeliveryPage) tryLink(n int) string {
	if p.answers(n) {
		return p.answerName(p.D.Timeline[n])
	}
	return p.T("What was sent")
}

func (p DeliveryPage) exchangeName() string {
	a := p.Shown.Attempt
	switch {
	case a == nil:
		return p.T("What is sent next")
	case p.sentVersion(*a) > 0:
		return p.T("%s: what was sent, version %d, and the answer", p.tryName(*a), p.sentVersion(*a))
	}
	return p.T("%s: what was sent, and the answer", p.tryName(*a))
}

func (p DeliveryPage) exchangeTabs() []StateTab {
	tabs := []StateTab{{Name: TabRequest, Href: p.tryAt(p.Shown.Try, TabRequest), Current: p.Shown.Tab == TabRequest}}
	if p.Shown.Attempt != nil {
		tabs = append(tabs, StateTab{Name: TabAnswer, Href: p.tryAt(p.Shown.Try, TabAnswer), Current: p.Shown.Tab == TabAnswer})
	}
	return tabs
}

func (p DeliveryPage) tabName(tab string) string {
	if tab == TabAnswer {
		return p.answerName(*p.Shown.Attempt)
	}
	return p.T("Request")
}

func (p DeliveryPage) noAnswer() string {
	if p.Shown.Attempt.HTTPStatus != 0 {
		return p.T("The answer had no content.")
	}
	return p.T("No answer is kept of this try.")
}

// step is a part of an exchange with its time.
func (l Locale) step(s delivery.ExchangeStep) string {
	took := l.Lapse(s.Took())
	switch s.Name {
	case delivery.StepConnect:
		return l.T("connecting %s", took)
	case delivery.StepTLS:
		return l.T("TLS %s", took)
	case delivery.StepFirstByte:
		return l.T("first byte after %s", took)
	case delivery.StepConfirm:
		return l.T("the broker's answer after %s", took)
	}
	return s.Name + " " + took
}

// sentWhere is a fact of an exchange.
func (l Locale) sentWhere(f delivery.HeaderLine) string {
	switch f[0] {
	case delivery.FactPath:
		return l.T("file %s", f[1])
	case delivery.FactTable:
		return l.T("table %s", f[1])
	case delivery.FactRows:
		return l.T("rows: %s", f[1])
	case delivery.FactTopic:
		return l.T("topic %s", f[1])
	case delivery.FactPartition:
		return l.T("partition %s", f[1])
	case delivery.FactOffset:
		return l.T("offset %s", f[1])
	case delivery.FactExchange:
		if f[1] == "" {
			return l.T("default exchange")
		}
		return l.T("exchange %s", f[1])
	case delivery.FactRoutingKey:
		return l.T("routing key %s", f[1])
	case delivery.FactConfirm:
		return l.T("the broker's confirm: %s", f[1])
	case delivery.FactChannel:
		return l.T("channel %s", f[1])
	case delivery.FactReceivers:
		return l.T("receivers: %s", f[1])
	}
	return f[0] + " " + f[1]
}

// Lapse writes a short time with as many digits as tell it from others.
func (l Locale) Lapse(d time.Duration) string {
	if d < 10*time.Millisecond {
		return l.T("%.1f ms", float64(d.Microseconds())/1000)
	}
	return l.Span(d)
}

// remedyHref is where a remedy can be looked at.
func remedyHref(r delivery.Remedy) string {
	if r.Operation {
		return Operation(r.ID)
	}
	return Failure(r.ID)
}

// remedy says who did what, and how that went.
func (l Locale) remedy(r delivery.Remedy) string {
	failures := l.N(r.Deliveries, "%s failure", "%s failures")
	confirmed := l.Number(r.Confirmed)
	switch {
	case r.Action == delivery.ActionIgnore:
		return l.T("%s ignored %s", l.actor(r.Actor), failures)
	case r.Action == delivery.ActionResolve:
		return l.T("%s settled %s by other means", l.actor(r.Actor), failures)
	case r.Operation:
		return l.T("%s sent %s again by an operation; %s of its %s were confirmed", l.actor(r.Actor), failures, confirmed, l.Number(r.Sent))
	case r.Action == delivery.ActionEdit:
		return l.T("%s edited %s; %s confirmed since", l.actor(r.Actor), failures, confirmed)
	case r.Action == delivery.ActionRedirect:
		return l.T("%s redirected %s; %s confirmed since", l.actor(r.Actor), failures, confirmed)
	}
	return l.T("%s sent %s again; %s confirmed since", l.actor(r.Actor), failures, confirmed)
}

// remedyWhy says why, with the ticket.
func (l Locale) remedyWhy(r delivery.Remedy) string {
	var parts []string
	if r.Category != "" {
		parts = append(parts, l.Category(r.Category))
	}
	for _, text := range []string{r.Reason, r.Evidence} {
		if text != "" {
			parts = append(parts, text)
		}
	}
	if r.Ticket != "" {
		parts = append(parts, l.T("ticket %s", r.Ticket))
	}
	return l.dots(parts...)
}

// repeats reports whether what was done can be done with what is open of the group.
func (p DeliveryPage) repeats(r delivery.Remedy) bool {
	for _, a := range openActions {
		if a == r.Action {
			return p.D.GroupCount > 0
		}
	}
	return false
}

// canaryAgain is how many go first when something is done again.
const canaryAgain = "10"

// sameAgain fills in the question before a bulk operation: all that is open of the group, the same action, a canary. The reason is left
// to the person.
func (p DeliveryPage) sameAgain(r delivery.Remedy) []Header {
	open := delivery.Filter{Groups: []string{p.D.GroupID}, States: []delivery.State{delivery.StateDead}}
	fields := []Header{{Name: "action", Value: string(r.Action)}, {Name: "filter", Value: open.Values().Encode()}, {Name: "return", Value: p.Here}}
	if r.Action.Row().Queues {
		return append(fields, Header{Name: "canary", Value: canaryAgain}, Header{Name: "stop_above", Value: "20"})
	}
	return append(fields, Header{Name: "category", Value: r.Category})
}

func (p DeliveryPage) againName(r delivery.Remedy) string {
	if r.Action.Row().Queues {
		return p.T("Do the same, %s first …", canaryAgain)
	}
	return p.T("Do the same …")
}
