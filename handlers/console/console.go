package console

import (
	"net/http"
	"strings"
	_ "time/tzdata" // zones can be chosen on machines without the database

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/static"
	"redrive/views"
)

const ()

// Routes adds the pages for people.
func (s *Console) Routes() {
	s.Echo.GET("/static/*", echo.WrapHandler(static.Handler()))
	s.Echo.GET("/favicon.ico", func(c echo.Context) error { return c.Redirect(http.StatusFound, static.URL("icon.svg")) })
	web.NewSignIns(s.Core).Routes()
	s.Echo.POST(views.Preferences, s.setPreferences)

	viewer, operator := s.Require(delivery.RoleViewer), s.Require(delivery.RoleOperator)
	for path, page := range map[string]echo.HandlerFunc{
		views.Overview: s.overview, views.Failures: s.failures, views.FailuresNews: s.failuresNews, views.Failures + "/:id": s.failure,
		views.Failures + "/:id/news": s.failureNews, views.Failures + "/:id/:action": s.backToFailure, "/messages/:id": s.message,
		views.FailuresLive: s.failuresLive, views.FailuresSuggest: s.suggest,
		views.Groups: s.groups, views.Groups + "/:id": s.group, views.Ignored: s.ignored, views.Audit: s.audit, views.Integrations: s.integrations,
		views.Account: s.account, views.Help: s.help, views.Integrations + "/:name/underway": s.traffic(false),
		views.Integrations + "/:name/delivered": s.traffic(true), views.Integrations + "/:name/runs": s.runs,
		views.Failures + "/:id/blocked": s.blocked,
	} {
		s.Echo.GET(path, page, viewer)
	}
	s.Echo.POST(views.Account, s.changePassword, viewer)
	s.Echo.POST(views.SessionEnd(views.Account, ":id"), s.endOwnSession, viewer)
	s.Echo.POST(views.SavedViews, s.saveView, viewer)
	s.Echo.POST(views.SavedViews+"/:id/delete", s.deleteView, viewer)
	for _, d := range delivery.Decisions.Alone() {
		s.Echo.POST(views.Failures+"/:id/"+string(d.Action), s.decide(d.Action), s.Require(d.Role))
	}
	s.Echo.GET("/messages/:id/payload", s.rawPayload, operator)
	s.Echo.POST(views.Integrations+"/:name/runs", s.runByForm, operator)
	s.Echo.GET("/files/:id/content", s.FileContent, operator)
	s.Echo.POST(views.Integrations+"/:name/pause", s.pauseByForm(true), operator)
	s.Echo.POST(views.Integrations+"/:name/resnapshot", s.resnapshotByForm, operator)
	s.Echo.POST(views.Integrations+"/:name/resume", s.pauseByForm(false), operator)
	s.operationRoutes(viewer, operator)
	s.caseRoutes(viewer, operator)
	s.editRoutes(operator)
	s.adminRoutes()
}

func (s *Console) help(c echo.Context) error {
	return web.Render(c, http.StatusOK, views.HelpView(views.HelpPage{Layout: s.Layout(c, "title.help", views.Help)}))
}

// setPreferences needs no session: the sign-in page can be dark, too.
func (s *Console) setPreferences(c echo.Context) error {
	s.SetCookie(c, web.ThemeCookie, c.FormValue("theme"))
	s.SetCookie(c, web.KeysCookie, c.FormValue("keys"))
	if zone, ok := web.LoadZone(strings.TrimSpace(c.FormValue("zone"))); ok {
		s.SetCookie(c, web.ZoneCookie, zone.String())
	} else if p, err := s.Authenticate(c); err == nil && p.ID != "" {
		s.SetFlash(c, warn(c, "done.unknown_zone"))
	}
	return c.Redirect(http.StatusSeeOther, views.LocalPath(c.FormValue("return")))
}

// good tells what was done, warn what was not.
func good(c echo.Context, key string, args ...any) views.Flash {
	return views.Flash{Kind: "good", Text: web.Say(c, delivery.Say(key, args...))}
}

func warn(c echo.Context, key string, args ...any) views.Flash {
	return views.Flash{Kind: "warn", Text: web.Say(c, delivery.Say(key, args...))}
}

// integrationNames are offered in filters.
func (s *Console) integrationNames() []string {
	names := make([]string, 0, len(s.Config.Integrations))
	for _, i := range s.Config.Integrations {
		names = append(names, i.Name)
	}
	return names
}

// nextURL is the address of this list's following page; empty on the last.
func nextURL(r *http.Request, cursor string) string {
	if cursor == "" {
		return ""
	}
	query := r.URL.Query()
	for name, values := range query {
		if len(web.Given(values)) == 0 {
			delete(query, name)
		}
	}
	query.Set("after", cursor)
	return r.URL.Path + "?" + query.Encode()
}

// told is what a list's page says of a question that a person can correct, and its status; every other error is passed on.
func told(c echo.Context, err error) (text string, status int, passed error) {
	if err == nil {
		return "", http.StatusOK, nil
	}
	p, err := web.Mistake(err)
	return web.Say(c, p.Says), p.Status, err
}
