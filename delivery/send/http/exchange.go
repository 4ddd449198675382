package httpsend

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"redrive/delivery"
)

// told is what is kept of an attempt: what was sent beside the message, the head of the answer if there was one, and times.
func (s *Sender) told(m delivery.Message, header http.Header, address *url.URL, response *http.Response, p *progress) *delivery.Exchange {
	e := &delivery.Exchange{Method: s.to.Method, Address: delivery.RedactURL(address.String()), Steps: p.steps()}
	own := make(http.Header, len(m.Headers))
	for name, value := range m.Headers {
		own.Set(name, value)
		if !s.to.Passes(name) {
			e.Withheld = append(e.Withheld, name)
		}
	}
	for name, values := range header {
		if name = http.CanonicalHeaderKey(name); !slices.Equal(own[name], values) {
			e.Sent = append(e.Sent, s.shown(name, values))
		}
	}
	if response != nil {
		for name, values := range response.Header {
			e.Answered = append(e.Answered, s.shown(name, values))
		}
	}
	byName := func(a, b delivery.HeaderLine) int { return strings.Compare(a[0], b[0]) }
	slices.SortFunc(e.Sent, byName)
	slices.SortFunc(e.Answered, byName)
	slices.Sort(e.Withheld)
	return e
}

func (s *Sender) shown(name string, values []string) delivery.HeaderLine {
	return delivery.ShownHeader(name, delivery.HideValues(strings.Join(values, ", "), s.secrets))
}

// steps are how long the parts of an exchange took, as far as it came.
func (p *progress) steps() []delivery.ExchangeStep {
	var e delivery.Exchange
	if p.conn != nil && p.fresh {
		e.Took(delivery.StepConnect, p.conn.took)
		e.Took(delivery.StepTLS, p.secured)
	}
	e.Took(delivery.StepFirstByte, time.Duration(p.first.Load()))
	return e.Steps
}
