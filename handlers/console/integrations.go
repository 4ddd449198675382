package console

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// overview shows what needs a person.
func (s *Console) overview(c echo.Context) error {
	page, err := s.overviewPage(c, s.Layout(c, "title.overview", views.Overview))
	if err != nil {
		return err
	}
	if page.Demo && web.Cookie(c.Request(), web.TasksCookie) != "off" {
		if page.Done, err = s.store.Since(c.Request().Context()); err != nil {
			return err
		}
	}
	return web.Render(c, http.StatusOK, views.OverviewView(page))
}

// overviewBoard is the part of the overview that an open page renews.
func (s *Console) overviewBoard(c echo.Context) error {
	page, err := s.overviewPage(c, web.ReaderOf(c))
	if err != nil {
		return err
	}
	return web.Render(c, http.StatusOK, views.OverviewBoardView(page))
}

func (s *Console) overviewPage(c echo.Context, l views.Layout) (views.OverviewPage, error) {
	health, err := s.Health(c.Request().Context())
	return views.OverviewPage{Layout: l, Integrations: health, Asked: boardRequest(c), Facts: s.AllFacts()}, err
}

// boardRequest reads what is asked of a board; what makes no sense is not asked.
func boardRequest(c echo.Context) views.BoardRequest {
	asked := views.BoardRequest{Find: strings.TrimSpace(c.QueryParam("find"))}
	asked.From, _ = strconv.Atoi(c.QueryParam("from"))
	if shown := c.QueryParam("shown"); shown != "" {
		asked.Shown = strings.Split(shown, ",")
	}
	return asked
}

// integrations lists the integrations.
func (s *Console) integrations(c echo.Context) error {
	health, err := s.Health(c.Request().Context())
	if err != nil {
		return err
	}
	return web.Render(c, http.StatusOK, views.IntegrationsView(views.IntegrationsPage{
		Layout: s.Layout(c, "title.integrations", views.Integrations), Integrations: health, Asked: boardRequest(c)}))
}

// integration shows one integration.
func (s *Console) integration(c echo.Context) error {
	return s.integrationPage(c, http.StatusOK, views.IntegrationPage{})
}

// lastChanges is how many changes an integration's page shows.
const lastChanges = 10

func (s *Console) integrationPage(c echo.Context, status int, page views.IntegrationPage) error {
	ctx, name := c.Request().Context(), c.Param("name")
	health, err := s.Health(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(health, func(h delivery.IntegrationHealth) bool { return h.Name == name })
	if at < 0 {
		return delivery.ErrNotFound
	}
	page.Layout, page.H, page.Facts = s.Layout(c, "", views.Integrations), health[at], s.Facts(name)
	page.Title = name
	page.Config = s.Named(name)
	if page.May(delivery.PermitAudit) {
		changes, err := s.store.Audit(ctx, delivery.AuditFilter{Subject: name, Limit: lastChanges})
		if err != nil {
			return err
		}
		page.Changes = changes.Items
	}
	return web.Render(c, status, views.IntegrationView(page))
}

// pauseByForm holds an integration back, or lets it go on.
func (s *Console) pauseByForm(paused bool) echo.HandlerFunc {
	return func(c echo.Context) error {
		name, reason, until := c.Param("name"), strings.TrimSpace(c.FormValue("reason")), strings.TrimSpace(c.FormValue("until"))
		if err := s.setPaused(c, name, paused, reason, until); err != nil {
			p, err := web.Mistake(err)
			if err != nil {
				return err
			}
			return s.integrationPage(c, p.Status,
				views.IntegrationPage{Wrong: name, Reason: reason, Until: until, Field: p.Field, Problem: web.Say(c, p.Says)})
		}
		done := "done.pause"
		if !paused {
			s.Config.Wake()
			done = "done.resume"
		}
		s.SetFlash(c, good(c, done, "integration", name))
		return c.Redirect(http.StatusSeeOther, views.Integration(name))
	}
}

// setPaused checks what was typed; until is a moment by the reader's clock, empty without an end.
func (s *Console) setPaused(c echo.Context, name string, paused bool, reason, until string) error {
	ctx, who := c.Request().Context(), web.Who(c).ID
	if paused && reason == "" {
		return web.BadField(http.StatusUnprocessableEntity, "reason_required.pause", "reason")
	}
	if err := delivery.CheckReason(reason); err != nil {
		return err
	}
	if !paused || until == "" {
		return s.store.SetPaused(ctx, name, paused, who, reason)
	}
	at, ok := parseLocal(until, web.ReaderOf(c).Locale.Zone)
	if !ok {
		return web.BadField(http.StatusUnprocessableEntity, "invalid_until.form", "until")
	}
	return s.store.PauseUntil(ctx, name, who, reason, at)
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
		return s.integrationPage(c, p.Status,
			views.IntegrationPage{Wrong: views.ResnapshotForm(name, table), Reason: reason, Problem: web.Say(c, p.Says)})
	}
	done := good(c, "done.resnapshot", "integration", name)
	if table != "" {
		done = good(c, "done.resnapshot.table", "table", table)
	}
	s.SetFlash(c, done)
	return c.Redirect(http.StatusSeeOther, views.Integration(name))
}
