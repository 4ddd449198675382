package console

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// ignored lists what was hidden, by whom and why.
func (s *Console) ignored(c echo.Context) error {
	page := views.IgnoredPage{
		Layout:      s.Layout(c, "title.ignored", views.Ignored),
		Integration: c.QueryParam("integration"),
		Names:       s.integrationNames(c),
	}
	filter := delivery.Filter{States: []delivery.State{delivery.StateIgnored}, Integrations: web.Given([]string{page.Integration})}
	page.Month = c.QueryParam("month")
	if err := inMonth(&filter, page.Month, page.Zone); err != nil {
		return err
	}
	if page.May(delivery.PermitExport) {
		page.CSV = views.FailureFile(filter)
	}
	filter.After, filter.Limit = c.QueryParam("after"), delivery.DefaultPage
	rows, err := s.store.Failures(c.Request().Context(), filter)
	if err != nil {
		return err
	}
	page.Items, page.Next = rows.Items, nextURL(c.Request(), rows.Next)
	return web.Render(c, http.StatusOK, views.IgnoredView(page))
}

// inMonth leaves of a filter what came to its state in a month; all where none is named.
func inMonth(f *delivery.Filter, month string, zone *time.Location) error {
	if month == "" {
		return nil
	}
	from, err := time.ParseInLocation(views.MonthForm, month, zone)
	if err != nil {
		return web.BadParameter("invalid_parameter.time", "month", "name", "month")
	}
	to := from.AddDate(0, 1, 0)
	f.From, f.To = &from, &to
	return nil
}

// audit lists who did what.
func (s *Console) audit(c echo.Context) error {
	l := s.Layout(c, "title.audit", views.Audit)
	q := url.Values{}
	for name, values := range c.QueryParams() {
		if values = web.Given(values); len(values) > 0 {
			q[name] = values
		}
	}
	page := views.AuditPage{Layout: l, Actor: q.Get("actor"), Action: q.Get("action"), Subject: q.Get("subject"),
		From: localTime(q, "from", l.Locale), To: localTime(q, "to", l.Locale)}
	filter, err := web.AuditFilter(q)
	var rows delivery.Page[delivery.AuditEntry]
	if err == nil {
		rows, err = s.store.Audit(c.Request().Context(), filter)
	}
	status := 0
	if page.Problem, status, err = told(c, err); err != nil {
		return err
	}
	if page.Head, err = s.store.AuditHead(c.Request().Context()); err != nil {
		return err
	}
	page.Items, page.Next = rows.Items, nextURL(c.Request(), rows.Next)
	return web.Render(c, status, views.AuditView(page))
}

// traffic lists the rows behind an integration's backlog, or behind what it delivered.
func (s *Console) traffic(delivered bool) echo.HandlerFunc {
	return func(c echo.Context) error {
		name, title := c.Param("name"), "title.underway"
		var states []delivery.State
		if err := web.OneOf(c.QueryParams(), "state", []delivery.State{delivery.StatePending, delivery.StateSending}, &states); err != nil {
			return err
		}
		state := delivery.State("") // both
		if len(states) == 1 {
			state = states[0]
		}
		list := func(ctx context.Context, name, after string) (delivery.Page[delivery.Delivery], error) {
			return s.store.Underway(ctx, name, state, after)
		}
		if delivered {
			title, list = "title.delivered", s.store.Delivered
		}
		held, err := s.store.IntegrationStates(c.Request().Context())
		if err != nil {
			return err
		}
		if _, known := held[name]; !known {
			return delivery.ErrNotFound
		}
		rows, err := list(c.Request().Context(), name, c.QueryParam("after"))
		if err != nil {
			return err
		}
		page := views.TrafficPage{
			Layout:      s.Layout(c, "", views.Overview),
			Integration: name,
			Delivered:   delivered,
			State:       state,
			Held:        held[name],
			Items:       rows.Items,
		}
		page.Title, page.Next = page.Say(delivery.Say(title, "integration", name)), nextURL(c.Request(), rows.Next)
		return web.Render(c, http.StatusOK, views.TrafficView(page))
	}
}

// blocked lists what waits until a delivery is settled, because it is of the same key.
func (s *Console) blocked(c echo.Context) error {
	id := c.Param("id")
	if !delivery.IsUUID(id) {
		return delivery.ErrNotFound
	}
	d, err := s.store.Delivery(c.Request().Context(), id)
	if err != nil {
		return err
	}
	rows, err := s.store.Blocked(c.Request().Context(), id, c.QueryParam("after"))
	if err != nil {
		return err
	}
	page := views.TrafficPage{Layout: s.Layout(c, "", views.Failures), Integration: d.Integration, Behind: id, Items: rows.Items}
	page.Title, page.Next = page.Say(delivery.Say("title.behind", "id", views.Short(id),
		"key", d.Key)), nextURL(c.Request(), rows.Next)
	return web.Render(c, http.StatusOK, views.TrafficView(page))
}
