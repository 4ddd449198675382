package console

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// overview shows one row for each integration.
func (s *Console) overview(c echo.Context) error {
	health, err := s.Health(c.Request().Context())
	if err != nil {
		return err
	}
	return web.Render(c, http.StatusOK,
		views.OverviewView(views.OverviewPage{Layout: s.Layout(c, "title.overview", views.Overview), Integrations: health,
			Facts: s.AllFacts()}))
}

// ignored lists what was hidden, by whom and why.
func (s *Console) ignored(c echo.Context) error {
	page := views.IgnoredPage{
		Layout:      s.Layout(c, "title.ignored", views.Ignored),
		Integration: c.QueryParam("integration"),
		Names:       s.integrationNames(c),
	}
	rows, err := s.store.Failures(c.Request().Context(), delivery.Filter{States: []delivery.State{delivery.StateIgnored},
		Integrations: web.Given([]string{page.Integration}), After: c.QueryParam("after"), Limit: 50})
	if err != nil {
		return err
	}
	page.Items, page.Next = rows.Items, nextURL(c.Request(), rows.Next)
	return web.Render(c, http.StatusOK, views.IgnoredView(page))
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

// integrations shows every integration with its facts.
func (s *Console) integrations(c echo.Context) error {
	return s.integrationsPage(c, http.StatusOK, views.IntegrationsPage{})
}

func (s *Console) integrationsPage(c echo.Context, status int, page views.IntegrationsPage) error {
	health, err := s.Health(c.Request().Context())
	if err != nil {
		return err
	}
	page.Layout, page.Integrations = s.Layout(c, "title.integrations", views.Integrations), health
	page.Facts = s.AllFacts()
	page.Config = map[string]delivery.Integration{}
	for _, i := range s.Config.Integrations {
		page.Config[i.Name] = i
	}
	return web.Render(c, status, views.IntegrationsView(page))
}

// traffic lists the rows behind an integration's backlog, or behind what it delivered.
func (s *Console) traffic(delivered bool) echo.HandlerFunc {
	return func(c echo.Context) error {
		name, title, list := c.Param("name"), "title.underway", s.store.Underway
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

// pauseByForm holds an integration back, or lets it go on.
func (s *Console) pauseByForm(paused bool) echo.HandlerFunc {
	return func(c echo.Context) error {
		name, reason := c.Param("name"), strings.TrimSpace(c.FormValue("reason"))
		err := error(nil)
		switch {
		case paused && reason == "":
			err = web.BadField(http.StatusUnprocessableEntity, "reason_required.pause", "reason")
		case len(reason) > delivery.MaxReason:
			err = delivery.CheckReason(reason)
		default:
			err = s.store.SetPaused(c.Request().Context(), name, paused, web.Who(c).ID, reason)
		}
		if err != nil {
			p, err := web.Mistake(err)
			if err != nil {
				return err
			}
			return s.integrationsPage(c, p.Status,
				views.IntegrationsPage{Wrong: name, Reason: reason, Problem: web.Say(c, p.Says)})
		}
		if !paused {
			s.Config.Wake()
		}
		done := "done.pause"
		if !paused {
			done = "done.resume"
		}
		s.SetFlash(c, good(c, done, "integration", name))
		return c.Redirect(http.StatusSeeOther, views.Integrations)
	}
}

// resnapshotByForm asks for an integration's tables to be read again.
func (s *Console) resnapshotByForm(c echo.Context) error {
	name, table, reason := c.Param("name"), c.FormValue("table"), strings.TrimSpace(c.FormValue("reason"))
	err := error(nil)
	switch {
	case len(table) > web.MaxTable:
		err = web.BadField(http.StatusUnprocessableEntity, "too_long.table", "table", "max", web.MaxTable)
	case reason == "":
		err = web.BadField(http.StatusUnprocessableEntity, "reason_required.resnapshot", "reason")
	case len(reason) > delivery.MaxReason:
		err = delivery.CheckReason(reason)
	default:
		err = s.RequestSnapshot(c, name, table, reason)
	}
	if err != nil {
		p, err := web.Mistake(err)
		if err != nil {
			return err
		}
		if p.Code == "unknown_table" { // it has no form of its own
			table = ""
		}
		return s.integrationsPage(c, p.Status,
			views.IntegrationsPage{Wrong: views.ResnapshotForm(name, table), Reason: reason, Problem: web.Say(c, p.Says)})
	}
	done := good(c, "done.resnapshot", "integration", name)
	if table != "" {
		done = good(c, "done.resnapshot.table", "table", table)
	}
	s.SetFlash(c, done)
	return c.Redirect(http.StatusSeeOther, views.Integrations)
}
