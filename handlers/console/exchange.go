package console

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// askedOf is what of a payload an address asks for. What is to be opened is a path, with the place to begin with behind an @.
func askedOf(query url.Values) views.OutlineAsk {
	path, from, _ := strings.Cut(query.Get("open"), "@")
	ask := views.OutlineAsk{Open: path, Find: query.Get("find")}
	ask.From, _ = strconv.Atoi(from) // what is no number is the beginning
	return ask
}

// chosenTry is the try that a page is about, by its place in the timeline from 1: the one asked for, else the last, or 0 for what is sent
// next, where that is another version.
func chosenTry(query url.Values, d *delivery.Detail) int {
	last := len(d.Timeline)
	if try, err := strconv.Atoi(query.Get("try")); err == nil && try >= 0 && try <= last {
		return try
	}
	if last > 0 && d.Timeline[last-1].Edit != max(d.Edit, 1) {
		return 0
	}
	return last
}

// exchange is what one try of a delivery sent and got, as people may see it. hide takes what is masked out of texts that may repeat it.
func (s *Console) exchange(c echo.Context, back string, d *delivery.Detail, hide delivery.Hider) views.Exchange {
	query := c.QueryParams()
	x := views.Exchange{Try: chosenTry(query, d), Tab: views.TabRequest}
	if x.Try > 0 {
		x.Attempt = &d.Timeline[x.Try-1]
	}
	if x.Attempt != nil && query.Get("tab") == views.TabAnswer {
		x.Tab = views.TabAnswer
	}
	sent, address := s.sentBy(d, x.Attempt)
	seen := s.RevealVersion(d.Message, sent, d.Integration)
	at := views.TryPlace(d.ID, back, x.Try, x.Tab)
	x.Payload = readable(seen, len(sent.Payload), askedOf(query), at)
	x.Payload.Dropped, x.Payload.Address = sent.Dropped, address
	x.Payload.Raw = mayReadRaw(c, seen, d.Integration)
	if seen.Masked && web.MayAll(c, []string{d.Integration}, delivery.PermitViewPayload, delivery.PermitReveal) {
		x.Payload.Reveal = views.FailureReveal(d.ID)
	}
	x.Headers, x.Properties = headersOf(seen), propertiesOf(seen)
	if x.Attempt == nil {
		return x
	}
	if e := x.Attempt.Exchange; e != nil {
		e = hide.Exchange(e)
		x.Method, x.Address, x.Steps, x.Withheld, x.Facts = e.Method, e.Address, e.Steps, e.Withheld, e.Facts
		x.Added, x.Answered = headerLines(e.Sent), headerLines(e.Answered)
		x.Headers = slices.DeleteFunc(x.Headers, func(h views.Header) bool { return slices.Contains(e.Withheld, h.Name) })
	}
	text := web.PayloadView{Hide: hide}.Response(x.Attempt.Response)
	x.Answer = content([]byte(text), askedOf(query))
	x.Answer.At, x.Cut = at, len(x.Attempt.Response) >= delivery.MaxAnswer
	return x
}

// sentBy is the message as an attempt sent it, or as the next one will, and where its exact bytes are.
func (s *Console) sentBy(d *delivery.Detail, a *delivery.Attempt) (sent delivery.Message, address string) {
	if len(d.Edits) == 0 {
		return d.Message, ""
	}
	edit := d.Edits[len(d.Edits)-1]
	for _, e := range d.Edits {
		if a != nil && e.Number == a.Edit {
			edit = e
		}
	}
	return web.VersionOf(d.Message, edit), views.VersionPayload(d.ID, edit.Number)
}

func headerLines(list []delivery.HeaderLine) (out []views.Header) {
	for _, h := range list {
		out = append(out, views.Header{Name: h[0], Value: h[1]})
	}
	return out
}
