package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones can be chosen on machines without the database

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/static"
	"redrive/views"
	"redrive/views/words"
)

const (
	themeCookie = "redrive_theme"
	zoneCookie  = "redrive_zone"
	keysCookie  = "redrive_keys"
	flashKey    = "flash"
)

// consoleRoutes adds the pages for people.
func (s *Server) consoleRoutes() {
	s.echo.GET("/static/*", echo.WrapHandler(static.Handler()))
	s.echo.GET("/favicon.ico", func(c echo.Context) error { return c.Redirect(http.StatusFound, static.URL("icon.svg")) })
	newSignIns(s).routes()
	s.echo.POST(views.Preferences, s.setPreferences)

	viewer, operator := s.require(delivery.RoleViewer), s.require(delivery.RoleOperator)
	for path, page := range map[string]echo.HandlerFunc{
		views.Overview: s.overview, views.Failures: s.failures, views.FailuresNews: s.failuresNews, views.Failures + "/:id": s.failure,
		views.Failures + "/:id/news": s.failureNews, views.Failures + "/:id/:action": s.backToFailure, "/messages/:id": s.message,
		views.FailuresLive: s.failuresLive, views.FailuresSuggest: s.suggest,
		views.Groups: s.groups, views.Groups + "/:id": s.group, views.Ignored: s.ignored, views.Audit: s.audit, views.Integrations: s.integrations,
		views.Account: s.account, views.Help: s.help, views.Integrations + "/:name/underway": s.traffic(false),
		views.Integrations + "/:name/delivered": s.traffic(true), views.Integrations + "/:name/runs": s.runs,
		views.Failures + "/:id/blocked": s.blocked,
	} {
		s.echo.GET(path, page, viewer)
	}
	s.echo.POST(views.Account, s.changePassword, viewer)
	s.echo.POST(views.SavedViews, s.saveView, viewer)
	s.echo.POST(views.SavedViews+"/:id/delete", s.deleteView, viewer)
	for _, d := range delivery.Decisions.Alone() {
		s.echo.POST(views.Failures+"/:id/"+string(d.Action), s.decide(d.Action), s.require(d.Role))
	}
	s.echo.GET("/messages/:id/payload", s.rawPayload, operator)
	s.echo.POST(views.Integrations+"/:name/runs", s.runByForm, operator)
	s.echo.GET("/files/:id/content", s.fileContent, operator)
	s.echo.POST(views.Integrations+"/:name/pause", s.pauseByForm(true), operator)
	s.echo.POST(views.Integrations+"/:name/resnapshot", s.resnapshotByForm, operator)
	s.echo.POST(views.Integrations+"/:name/resume", s.pauseByForm(false), operator)
	s.operationRoutes(viewer, operator)
	s.caseRoutes(viewer, operator)
	s.editRoutes(operator)
	s.adminRoutes()
}

func (s *Server) help(c echo.Context) error {
	return render(c, http.StatusOK, views.HelpView(views.HelpPage{Layout: s.layout(c, "title.help", views.Help)}))
}

// render builds the whole page before the first byte leaves.
func render(c echo.Context, status int, page templ.Component) error {
	var body bytes.Buffer
	if err := page.Render(c.Request().Context(), &body); err != nil {
		return fmt.Errorf("rendering: %w", err)
	}
	c.Response().Header().Add(echo.HeaderVary, "HX-Request")
	c.Response().Header().Set(echo.HeaderContentLength, strconv.Itoa(body.Len()))
	return c.HTMLBlob(status, body.Bytes())
}

// layout is what every page has around its content.
func (s *Server) layout(c echo.Context, title, section string) views.Layout {
	r, p := c.Request(), who(c)
	l := views.Layout{Locale: views.Locale{Lang: lang(c), Zone: time.UTC, Now: time.Now()}, ZoneName: "UTC", Section: section,
		User: p.Name, Role: p.Role, Fragment: isFragment(r), Demo: s.cfg.DemoHandler != nil, Release: s.cfg.Version, Here: section}
	l.Title = l.Say(delivery.Phrase{Key: title})
	if r.Method == http.MethodGet {
		l.Here = r.URL.RequestURI()
	}
	if theme := cookie(r, themeCookie); theme == "light" || theme == "dark" {
		l.Theme = theme
	}
	l.KeysOff = cookie(r, keysCookie) == "off"
	if zone, ok := loadZone(cookie(r, zoneCookie)); ok {
		l.Zone, l.ZoneName = zone, zone.String()
	}
	l.Flash = s.takeFlash(c)
	return l
}

// isFragment tells htmx's swaps from everything that needs a whole page.
func isFragment(r *http.Request) bool {
	return r.Header.Get("HX-Request") == "true" && r.Header.Get("HX-Boosted") != "true" && r.Header.Get("HX-History-Restore-Request") != "true"
}

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	value, err := url.PathUnescape(c.Value)
	if err != nil {
		return ""
	}
	return value
}

func loadZone(name string) (*time.Location, bool) {
	if name == "" || name == "Local" || len(name) > 64 {
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}

// setPreferences needs no session: the sign-in page can be dark, too.
func (s *Server) setPreferences(c echo.Context) error {
	s.setCookie(c, themeCookie, c.FormValue("theme"))
	s.setCookie(c, keysCookie, c.FormValue("keys"))
	if zone, ok := loadZone(strings.TrimSpace(c.FormValue("zone"))); ok {
		s.setCookie(c, zoneCookie, zone.String())
	} else if s.sessionName(c) != "" {
		s.setFlash(c, warn(c, "done.unknown_zone"))
	}
	return c.Redirect(http.StatusSeeOther, views.LocalPath(c.FormValue("return")))
}

func (s *Server) setCookie(c echo.Context, name, value string) {
	c.SetCookie(&http.Cookie{Name: name, Value: url.PathEscape(value), Path: "/", MaxAge: 365 * 24 * 3600, Secure: s.cfg.SecureCookies,
		SameSite: http.SameSiteLaxMode})
}

// lang is the language of whoever looks.
func lang(echo.Context) string { return words.English }

// say answers a phrase to whoever looks.
func say(c echo.Context, p delivery.Phrase) string { return words.Say(lang(c), p) }

// good tells what was done, warn what was not.
func good(c echo.Context, key string, args ...any) views.Flash {
	return views.Flash{Kind: "good", Text: say(c, delivery.Say(key, args...))}
}

func warn(c echo.Context, key string, args ...any) views.Flash {
	return views.Flash{Kind: "warn", Text: say(c, delivery.Say(key, args...))}
}

// setFlash keeps what an action did for the next page.
func (s *Server) setFlash(c echo.Context, f views.Flash) {
	if loaded, _ := c.Get(sessionLoaded).(bool); !loaded {
		return
	}
	if text, err := json.Marshal(f); err == nil {
		s.sessions.Put(c.Request().Context(), flashKey, string(text))
	}
}

func (s *Server) takeFlash(c echo.Context) *views.Flash {
	if loaded, _ := c.Get(sessionLoaded).(bool); !loaded || !s.sessions.Exists(c.Request().Context(), flashKey) {
		return nil
	}
	var f views.Flash
	if json.Unmarshal([]byte(s.sessions.PopString(c.Request().Context(), flashKey)), &f) != nil {
		return nil
	}
	return &f
}

// errorPage says in one sentence what went wrong; nothing internal.
func (s *Server) errorPage(c echo.Context, p problem) error {
	if p.Status < http.StatusInternalServerError && who(c).Name == "" {
		if known, err := s.authenticate(c); err == nil && known.Name != "" {
			c.Set(principalKey, known)
		}
	}
	l := s.layout(c, "", "")
	l.Title = l.T(p.Title)
	return render(c, p.Status, views.ErrorView(views.ErrorPage{Layout: l, Status: p.Status, Text: l.Say(p.says), RequestID: p.RequestID}))
}

// integrationNames are offered in filters.
func (s *Server) integrationNames() []string {
	names := make([]string, 0, len(s.cfg.Integrations))
	for _, i := range s.cfg.Integrations {
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
		if len(given(values)) == 0 {
			delete(query, name)
		}
	}
	query.Set("after", cursor)
	return r.URL.Path + "?" + query.Encode()
}

// mistake answers what a person can correct in the form; every other error is passed on.
func mistake(err error) (problem, error) {
	p := problemOf(err)
	if p.Status == http.StatusBadRequest || p.Status == http.StatusUnprocessableEntity {
		return p, nil
	}
	return p, err
}

// told is what a list's page says of a question that a person can correct, and its status; every other error is passed on.
func told(c echo.Context, err error) (text string, status int, passed error) {
	if err == nil {
		return "", http.StatusOK, nil
	}
	p, err := mistake(err)
	return say(c, p.says), p.Status, err
}
