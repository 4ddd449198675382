package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// failure is the page of one delivery.
func (s *Console) failure(c echo.Context) error {
	return s.failurePage(c, http.StatusOK, views.ActionForm{}, nil)
}

func (s *Console) failurePage(c echo.Context, status int, form views.ActionForm, conflict *delivery.ConflictError) error {
	page, err := s.deliveryPage(c)
	if err != nil {
		return err
	}
	page.Form, page.Conflict = form, conflict
	return web.Render(c, status, views.DeliveryView(page))
}

// deliveryPage is what is known about one delivery, as people may see it.
func (s *Console) deliveryPage(c echo.Context) (page views.DeliveryPage, err error) {
	id := c.Param("id")
	if !delivery.IsUUID(id) {
		return page, delivery.ErrNotFound
	}
	d, err := s.store.Delivery(c.Request().Context(), id)
	if err != nil {
		return page, err
	}
	page = views.DeliveryPage{Layout: s.Layout(c, views.TitleOf(d.Delivery), views.Failures), Return: backTo(c), Token: NewToken}
	page.Here = views.FailureFrom(id, page.Return)
	if page.Newer, page.Older, err = s.beside(c, page.Layout, page.Return, d.Delivery); err != nil {
		return page, err
	}
	page.File = s.fileOf(c, d.Message)
	held, err := s.store.IntegrationStates(c.Request().Context())
	if err != nil {
		return page, err
	}
	page.Held = held[d.Integration]
	for _, i := range s.Config.Integrations {
		if i.Name == d.Integration {
			page.Known, page.Address, page.Idempotent, page.Repeatable = true, i.Destination.Address(), i.Idempotent, i.Repeatable()
			page.Runbook = i.Runbook
		}
	}
	s.showContent(c, &page, &d)
	page.D = d
	page.TicketURL = s.ticketURL(d.Case.Ticket)
	page.People, err = s.people(c)
	return page, err
}

// showContent fills in what may be seen of what is sent, and hides what may not from everything that repeats it.
func (s *Console) showContent(c echo.Context, page *views.DeliveryPage, d *delivery.Detail) {
	page.Losses = s.Losses(d.Sent(), d.Integration)
	page.Versions = s.versions(page.Locale, *d)
	hide := s.hider(*d).Hide
	page.Shown = s.exchange(c, page.Return, d, hide)
	d.Error = hide.Error(d.ErrorClass, d.Error)
	for n, a := range d.Timeline {
		d.Timeline[n].Error = hide.Error(a.ErrorClass, a.Error)
	}
}

// backTo is the list that a person came from: named by the form, else by the browser.
func backTo(c echo.Context) string {
	if back := c.FormValue("return"); back != "" {
		return views.LocalPath(back)
	}
	from, err := url.Parse(c.Request().Referer())
	if err == nil && from.Host == c.Request().Host {
		for _, list := range []string{views.Failures, views.Groups, views.Ignored, views.Audit, views.Overview} {
			if from.Path == list {
				return views.LocalPath(from.RequestURI())
			}
		}
	}
	return views.Failures
}

// beside are the pages before and after a failure's in the list that somebody came from; empty at its ends, and for other pages.
func (s *Console) beside(c echo.Context, l views.Layout, back string, d delivery.Delivery) (before, after string, err error) {
	from, err := url.Parse(back)
	if err != nil || from.Path != views.Failures {
		return "", "", nil
	}
	filter, err := consoleFilter(from.Query(), l.Locale)
	if err != nil { // an address that somebody wrote: the way back will say what is wrong with it
		return "", "", nil
	}
	at, known := views.PlaceIn(back, d.ID)
	if !known {
		at = d.Place()
	}
	previous, next, err := s.store.Neighbours(c.Request().Context(), l.Mine(filter), at)
	if err != nil {
		_, err = web.Mistake(err)
		return "", "", err
	}
	return views.InList(back, previous), views.InList(back, next), nil
}

// backToFailure returns who reloads the address of a form.
func (s *Console) backToFailure(c echo.Context) error {
	return c.Redirect(http.StatusSeeOther, views.Failure(c.Param("id")))
}

// failureNews reports whether a delivery changed since it was shown.
func (s *Console) failureNews(c echo.Context) error {
	if !delivery.IsUUID(c.Param("id")) {
		return delivery.ErrNotFound
	}
	d, err := s.store.Delivery(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	l, text := views.Locale{Lang: web.Lang(c), Zone: time.UTC, Now: time.Now()}, ""
	seen := c.QueryParam("state") == string(d.State) && c.QueryParam("version") == l.T("%d", d.Version) &&
		c.QueryParam("attempts") == l.T("%d", d.Attempts)
	if !seen {
		text = l.Say(delivery.Say("news.changed", "state", l.State(d.Delivery)))
	}
	return c.JSON(http.StatusOK, map[string]string{"text": text})
}

// decide does one action of one person on one delivery.
func (s *Console) decide(action delivery.Action) echo.HandlerFunc {
	return func(c echo.Context) error {
		form := formOf(c, action)
		if !delivery.IsUUID(c.Param("id")) {
			return delivery.ErrNotFound
		}
		var d delivery.Delivery
		request, err := actionRequest(c, form)
		if err == nil {
			request.ID = c.Param("id")
			err = s.confirmTwice(c, request)
		}
		if err == nil {
			d, err = s.store.Act(c.Request().Context(), request)
		}
		var conflict *delivery.ConflictError
		if errors.As(err, &conflict) {
			return s.failurePage(c, http.StatusConflict, form, conflict)
		}
		if err != nil {
			p, err := web.Mistake(err)
			if err != nil {
				return err
			}
			form.Field, form.Problem = p.Field, web.Say(c, p.Says)
			return s.failurePage(c, p.Status, form, nil)
		}
		if action.Row().Queues {
			s.Config.Wake()
		}
		s.SetFlash(c, onceOnly(c, d, good(c, "done."+string(action))))
		return c.Redirect(http.StatusSeeOther, views.FailureFrom(request.ID, backTo(c)))
	}
}

// confirmTwice refuses to send again what may have its effect a second time, unless the form says so.
func (s *Console) confirmTwice(c echo.Context, a delivery.ActionRequest) error {
	if !a.Action.Row().Queues || c.FormValue(views.FieldTwice) != "" {
		return nil
	}
	d, err := s.store.Delivery(c.Request().Context(), a.ID)
	if err == nil && d.Version == a.Version && s.Named(d.Integration).Twice(d.Delivery) {
		return web.Unprocessable("twice_required", views.FieldTwice)
	}
	return err
}

// onceOnly tells who sends a form again that it was carried out before.
func onceOnly(c echo.Context, d delivery.Delivery, done views.Flash) views.Flash {
	if d.Repeated {
		return warn(c, "done.already")
	}
	return done
}

func formOf(c echo.Context, action delivery.Action) views.ActionForm {
	return views.ActionForm{
		Action:   action,
		Reason:   c.FormValue("reason"),
		Category: c.FormValue("category"),
		Until:    c.FormValue("until"),
		Evidence: c.FormValue("evidence"),
		Ends:     c.FormValue(views.FieldEnds) != "",
		End:      c.FormValue(views.FieldEnd),
		Count:    c.FormValue(delivery.FieldCount),
		Grows:    c.FormValue(delivery.FieldGrows),
		ForGood:  c.FormValue(views.FieldForGood) != "",
	}
}

// actionRequest checks what a person typed.
func actionRequest(c echo.Context, form views.ActionForm) (delivery.ActionRequest, error) {
	zone, ok := web.LoadZone(web.Cookie(c.Request(), web.ZoneCookie))
	if !ok {
		zone = time.UTC
	}
	a := delivery.ActionRequest{
		Action:   form.Action,
		Actor:    web.Who(c).ID,
		Reason:   form.Reason,
		Category: form.Category,
		Evidence: form.Evidence,
	}
	if err := web.FirstError(delivery.CheckReason(a.Reason), delivery.CheckEvidence(a.Evidence)); err != nil {
		return a, err
	}
	end, err := endOf(form, zone)
	if err != nil {
		return a, err
	}
	a.End = end
	if c.Param("id") != "" {
		a.Token = c.FormValue("token")
		if a.Version = parseVersion(c.FormValue("version")); a.Version < 1 {
			return a, web.BadField(http.StatusUnprocessableEntity, "version_required", "reason")
		}
	}
	return a, web.CheckAction(&a, time.Now())
}

// endOf reads the end that a form chose. A form of an earlier page, and one for which nobody chose, has a time or says for good.
func endOf(form views.ActionForm, zone *time.Location) (e delivery.End, err error) {
	wrong := func(key, field string) (delivery.End, error) {
		return e, web.BadField(http.StatusUnprocessableEntity, key, field, "max", map[string]int{delivery.FieldCount: delivery.MaxEndCount,
			delivery.FieldGrows: delivery.MaxEndGrows}[field])
	}
	typed := strings.TrimSpace(form.Until)
	switch {
	case form.ForGood || form.End == delivery.FieldForGood:
		e.ForGood = true
	case form.End == delivery.FieldCount:
		if e.Count, err = strconv.Atoi(strings.TrimSpace(form.Count)); err != nil || e.Count < 1 {
			return wrong("invalid_end.count", delivery.FieldCount)
		}
	case form.End == delivery.FieldGrows:
		if e.Grows, err = strconv.ParseFloat(strings.TrimSpace(form.Grows), 64); err != nil || !(e.Grows > 1) {
			return wrong("invalid_end.grows", delivery.FieldGrows)
		}
	case typed == "" && form.Ends:
		return wrong("invalid_until.none", delivery.FieldUntil)
	case typed != "":
		until, ok := parseLocal(typed, zone)
		if !ok {
			return wrong("invalid_until.form", delivery.FieldUntil)
		}
		e.Until = &until
	}
	return e, nil
}

// mayReadRaw reports whether a request may have the exact bytes, those with masked fields among them, of a message of the integrations.
func mayReadRaw(c echo.Context, seen web.PayloadView, integrations ...string) bool {
	needs := web.TakesBytes.Needs
	if seen.Masked {
		needs = append(slices.Clone(needs), delivery.PermitReveal)
	}
	return web.MayAll(c, integrations, needs...)
}

// rawPayload hands out the exact bytes and writes down who took them.
func (s *Console) rawPayload(c echo.Context) error {
	m, deliveries, err := s.findMessage(c)
	if err != nil {
		return err
	}
	names := integrationsOf(deliveries)
	return s.handOut(c, m, s.Reveal(m, names...), names...)
}

func (s *Console) handOut(c echo.Context, m delivery.Message, seen web.PayloadView, integrations ...string) error {
	if m.Dropped {
		return web.NewProblem(http.StatusGone, "payload_dropped")
	}
	if seen.Null {
		return web.NewProblem(http.StatusNotFound, "payload_null")
	}
	if !mayReadRaw(c, seen, integrations...) {
		return web.NewProblem(http.StatusForbidden, "masked.payload")
	}
	whose, err := s.DataSubject(c.Request().Context(), m, integrations...)
	if err != nil {
		return err
	}
	if err := s.Record(c, web.Who(c).ID, "message.payload-read", "message", m.ID, whose...); err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderContentDisposition, `attachment; filename="`+m.ID+`.bin"`)
	return c.Blob(http.StatusOK, echo.MIMEOctetStream, m.Payload)
}

func (s *Console) findMessage(c echo.Context) (delivery.Message, []delivery.Delivery, error) {
	if !delivery.IsUUID(c.Param("id")) {
		return delivery.Message{}, nil, delivery.ErrNotFound
	}
	return s.store.Message(c.Request().Context(), c.Param("id"))
}

func integrationsOf(deliveries []delivery.Delivery) []string {
	var names []string
	for _, d := range deliveries {
		if !slices.Contains(names, d.Integration) {
			names = append(names, d.Integration)
		}
	}
	return names
}

// message is a message and where it went.
func (s *Console) message(c echo.Context) error {
	m, deliveries, err := s.findMessage(c)
	if err != nil {
		return err
	}
	seen := s.Reveal(m, integrationsOf(deliveries)...)
	for n := range deliveries {
		deliveries[n].Error = seen.Hide.Error(deliveries[n].ErrorClass, deliveries[n].Error)
	}
	page := views.MessagePage{
		Layout:     s.Layout(c, m.Type, ""),
		Message:    m,
		Deliveries: deliveries,
		Headers:    headersOf(seen),
		Properties: propertiesOf(seen),
	}
	page.Payload = readable(seen, len(m.Payload), askedOf(c.QueryParams()), views.Place{Path: views.Message(m.ID)})
	page.Payload.Dropped = m.Dropped
	page.Payload.Raw = mayReadRaw(c, seen, integrationsOf(deliveries)...)
	return web.Render(c, http.StatusOK, views.MessageView(page))
}
