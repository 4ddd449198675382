package delivery

import "time"

// Exchange is what is known of one attempt beside its message and what the other side said: how it was sent, the head of the answer,
// and how long its parts took. Credentials are hidden in it.
type Exchange struct {
	Method   string         `json:"method,omitempty"`   // of HTTP
	Address  string         `json:"address,omitempty"`  // as people may see it
	Sent     []HeaderLine   `json:"sent,omitempty"`     // headers that the message does not have, or has with other values
	Withheld []string       `json:"withheld,omitempty"` // headers of the message that were not sent
	Answered []HeaderLine   `json:"answered,omitempty"`
	Facts    []HeaderLine   `json:"facts,omitempty"` // what was sent where, by the Fact constants, of what is not HTTP
	Steps    []ExchangeStep `json:"steps,omitempty"` // in their order
}

// HeaderLine is a header's name and value.
type HeaderLine [2]string

// ExchangeStep is a part of an attempt, and how long it took in microseconds.
type ExchangeStep struct {
	Name   string `json:"name"`
	Micros int64  `json:"us"`
}

// Steps of an attempt. They are stored.
const (
	StepConnect   = "connect"    // until the connection stood, with the look-up of its name; none: it was kept from before
	StepTLS       = "tls"        // the handshake
	StepFirstByte = "first_byte" // from the connection to the first byte of the answer
	StepConfirm   = "confirm"    // from handing the message to the broker to its answer
)

// Facts of an exchange. They are stored.
const (
	FactPath       = "path"  // of a file
	FactTable      = "table" // with its schema where the integration names it
	FactRows       = "rows"
	FactTopic      = "topic"
	FactPartition  = "partition"
	FactOffset     = "offset"
	FactExchange   = "exchange" // of RabbitMQ; empty: the default one
	FactRoutingKey = "routing_key"
	FactConfirm    = "confirm" // how the broker confirmed
	FactChannel    = "channel" // of Redis
	FactReceivers  = "receivers"
)

// Bounds of what is kept of an exchange.
const (
	maxHeaderLines = 40
	maxHeaderValue = 512
)

// Took adds a step that took some time.
func (e *Exchange) Took(step string, took time.Duration) {
	if took > 0 {
		e.Steps = append(e.Steps, ExchangeStep{step, took.Microseconds()})
	}
}

// To is e with the address of a destination, where it has none of its own.
func (e *Exchange) To(d Destination) *Exchange {
	if e == nil {
		e = &Exchange{}
	}
	if e.Address == "" {
		e.Address = d.Address()
	}
	return e
}

// Tells reports whether it is kept how an attempt with this result was made: of each but a first one that was confirmed.
func (r Request) Tells(result Result) bool { return result.Outcome != OutcomeOK || r.Attempt > 1 }

// Told is what is kept of an attempt of which only the broker's answer is timed, from when it began, if it tells anything.
func (r Request) Told(result Result, began time.Time, facts func() []HeaderLine) *Exchange {
	if !r.Tells(result) {
		return nil
	}
	e := Exchange{Facts: facts()}
	e.Took(StepConfirm, time.Since(began))
	return &e
}

// Took is how long it took.
func (s ExchangeStep) Took() time.Duration { return time.Duration(s.Micros) * time.Microsecond }

// ShownHeader is a header as people may see it: without its value where that is a credential by its name.
func ShownHeader(name, value string) HeaderLine {
	if IsCredential(name) || LoginHeader(name) {
		value = Hidden
	}
	return HeaderLine{name, value}
}

// changed is e with its texts through f.
func (e *Exchange) changed(f func(string) string) *Exchange {
	if e == nil {
		return nil
	}
	c := *e
	c.Method, c.Address = f(e.Method), f(e.Address)
	c.Sent, c.Answered, c.Facts, c.Withheld = lines(e.Sent, f), lines(e.Answered, f), lines(e.Facts, f), nil
	for _, name := range e.Withheld[:min(len(e.Withheld), maxHeaderLines)] {
		c.Withheld = append(c.Withheld, f(name))
	}
	return &c
}

func lines(list []HeaderLine, f func(string) string) (out []HeaderLine) {
	for _, h := range list[:min(len(list), maxHeaderLines)] {
		out = append(out, HeaderLine{f(h[0]), f(h[1])})
	}
	return out
}

// Storable is e as it can be stored: of bounded size, and without what no column takes.
func (e *Exchange) Storable() *Exchange {
	return e.changed(func(text string) string {
		if len(text) > maxHeaderValue {
			text = FirstBytes(text, maxHeaderValue) + cutSign
		}
		return Storable(text)
	})
}
