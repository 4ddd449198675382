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
	"redrive/views/words"
)

// Routes adds the pages for people.
func (s *Console) Routes() {
	s.Route(http.MethodGet, "/static/*", web.Open, echo.WrapHandler(static.Handler()))
	s.Route(http.MethodGet, "/favicon.ico", web.Open, func(c echo.Context) error { return c.Redirect(http.StatusFound, static.URL("icon.svg")) })
	web.NewSignIns(s.Core).Routes()
	s.Route(http.MethodPost, views.Preferences, web.Open, s.setPreferences)

	for path, page := range map[string]echo.HandlerFunc{
		views.Overview: s.overview, views.Failures: s.failures, views.FailuresNews: s.failuresNews, views.Failures + "/:id": s.failure,
		views.Failures + "/:id/news": s.failureNews, views.Failures + "/:id/:action": s.backToFailure, "/messages/:id": s.message,
		views.FailuresSuggest: s.suggest,
		views.Groups:          s.groups, views.Groups + "/:id": s.group, views.Ignored: s.ignored, views.Integrations: s.integrations,
		views.OverviewBoard: s.overviewBoard, views.Integrations + "/:name": s.integration,
		views.Integrations + "/:name/underway":  s.traffic(false),
		views.Integrations + "/:name/delivered": s.traffic(true), views.Integrations + "/:name/runs": s.runs,
		views.Failures + "/:id/blocked": s.blocked,
	} {
		s.get(path, page, delivery.PermitView)
	}
	s.Route(http.MethodGet, views.FailuresLive, web.Permit(delivery.PermitView).Lasting(), s.failuresLive)
	s.get(views.Audit, s.audit, delivery.PermitAudit)
	s.Route(http.MethodGet, views.Help, web.SignedIn, s.help)
	s.Route(http.MethodGet, views.Go, web.SignedIn, s.goAnywhere)
	s.accountRoutes()
	for path, list := range map[string]echo.HandlerFunc{views.FailuresCSV: s.failuresFile(asCSV), views.FailuresJSON: s.failuresFile(asJSON),
		views.IgnoredCSV: s.ignoredFile(asCSV), views.IgnoredJSON: s.ignoredFile(asJSON)} {
		s.Route(http.MethodGet, path, web.Permit(delivery.PermitView, delivery.PermitExport).Audited(), list)
	}
	for path, list := range map[string]echo.HandlerFunc{views.AuditCSV: s.auditFile(asCSV), views.AuditJSON: s.auditFile(asJSON)} {
		s.Route(http.MethodGet, path, web.Permit(delivery.PermitAudit, delivery.PermitExport).Audited(), list)
	}
	s.post(views.FailuresSeen, s.failuresSeen, delivery.PermitView)
	s.post(views.SavedViews, s.saveView, delivery.PermitView)
	s.post(views.SavedViews+"/:id/delete", s.deleteView, delivery.PermitView)
	for _, d := range delivery.Decisions.Alone() {
		s.post(views.Failures+"/:id/"+string(d.Action), s.decide(d.Action), d.Needs)
	}
	s.Route(http.MethodGet, "/messages/:id/payload", web.TakesBytes, s.rawPayload)
	s.Route(http.MethodGet, "/files/:id/content", web.TakesBytes, s.FileContent)
	s.revealRoutes()
	s.post(views.Integrations+"/:name/runs", s.runByForm, delivery.PermitResend)
	s.post(views.Integrations+"/:name/resnapshot", s.resnapshotByForm, delivery.PermitResend)
	s.post(views.Integrations+"/:name/pause", s.pauseByForm(true), delivery.PermitPause)
	s.post(views.Integrations+"/:name/resume", s.pauseByForm(false), delivery.PermitPause)
	s.operationRoutes()
	s.approvalRoutes()
	s.caseRoutes()
	s.editRoutes()
	s.adminRoutes()
	s.secretRoutes()
	s.ignoreRuleRoutes()
}

// get serves a page to whoever has the permissions.
func (s *Console) get(path string, page echo.HandlerFunc, needs ...delivery.Permission) {
	s.Route(http.MethodGet, path, web.Permit(needs...), page)
}

// post takes a form from whoever has the permissions.
func (s *Console) post(path string, form echo.HandlerFunc, needs ...delivery.Permission) {
	s.Route(http.MethodPost, path, web.Permit(needs...), form)
}

func (s *Console) help(c echo.Context) error {
	return web.Render(c, http.StatusOK, views.HelpView(views.HelpPage{Layout: s.Layout(c, "title.help", views.Help)}))
}

// setPreferences needs no session: the sign-in page can be dark, too. What a form does not have stays as it is.
func (s *Console) setPreferences(c echo.Context) error {
	given, err := c.FormParams()
	if err != nil {
		return web.NewProblem(http.StatusBadRequest, "bad_form")
	}
	for field, cookie := range map[string]string{"theme": web.ThemeCookie, "keys": web.KeysCookie, "tasks": web.TasksCookie} {
		if given.Has(field) {
			s.SetCookie(c, cookie, given.Get(field))
		}
	}
	who, err := s.Authenticate(c)
	if err != nil {
		who.ID = ""
	}
	if given.Has("language") {
		if err := s.setLanguage(c, who.ID, given.Get("language")); err != nil {
			return err
		}
	}
	if zone, ok := web.LoadZone(strings.TrimSpace(given.Get("zone"))); ok {
		s.SetCookie(c, web.ZoneCookie, zone.String())
	} else if given.Has("zone") && who.ID != "" {
		s.SetFlash(c, warn(c, "done.unknown_zone"))
	}
	return c.Redirect(http.StatusSeeOther, views.LocalPath(given.Get("return")))
}

// setLanguage keeps a language with the account of whoever is signed in, and in the browser: its next page may be that to sign in.
func (s *Console) setLanguage(c echo.Context, person, lang string) error {
	if lang != "" && !words.Spoken(lang) {
		return web.BadField(http.StatusUnprocessableEntity, "invalid_language", "language")
	}
	s.SetCookie(c, web.LangCookie, lang)
	if person == "" {
		return nil
	}
	return s.store.ChooseLanguage(c.Request().Context(), person, lang)
}

// good tells what was done, warn what was not.
func good(c echo.Context, key string, args ...any) views.Flash {
	return views.Flash{Kind: "good", Text: web.Say(c, delivery.Say(key, args...))}
}

func warn(c echo.Context, key string, args ...any) views.Flash {
	return views.Flash{Kind: "warn", Text: web.Say(c, delivery.Say(key, args...))}
}

// integrationNames are offered in filters.
func (s *Console) integrationNames(c echo.Context) []string {
	seen := web.Who(c).Rights.Scope(delivery.PermitView)
	names := make([]string, 0, len(s.Config.Integrations))
	for _, i := range s.Config.Integrations {
		if seen.Has(i.Name) {
			names = append(names, i.Name)
		}
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
