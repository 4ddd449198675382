package web

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/views"
	"redrive/views/words"
)

// TasksCookie is off for whoever does not want to see the tasks of the demo.
const TasksCookie = "redrive_tasks"

// ThemeCookie is light or dark; without it the system decides.
const ThemeCookie = "redrive_theme"

// ZoneCookie is the name of the time zone that times are shown in.
const ZoneCookie = "redrive_zone"

// LangCookie is the language that somebody chose who is not signed in, or was when they chose.
const LangCookie = "redrive_lang"

// KeysCookie is off for whoever wants no single keys.
const KeysCookie = "redrive_keys"

const flashKey = "flash"

// Render builds the whole page before the first byte leaves.
func Render(c echo.Context, status int, page templ.Component) error {
	var body bytes.Buffer
	if err := page.Render(c.Request().Context(), &body); err != nil {
		return fmt.Errorf("rendering: %w", err)
	}
	c.Response().Header().Add(echo.HeaderVary, "HX-Request")
	inLanguage(c, Lang(c))
	c.Response().Header().Set(echo.HeaderContentLength, strconv.Itoa(body.Len()))
	return c.HTMLBlob(status, body.Bytes())
}

// Layout is what every page has around its content.
func (s *Core) Layout(c echo.Context, title, section string) views.Layout {
	r, l := c.Request(), ReaderOf(c)
	l.Section, l.Here = section, section
	l.Fragment = isFragment(r)
	l.Demo = s.Config.DemoHandler != nil
	l.Release = s.Config.Version
	l.Title = l.Say(delivery.Phrase{Key: title})
	if r.Method == http.MethodGet {
		l.Here = r.URL.RequestURI()
	}
	if theme := Cookie(r, ThemeCookie); theme == "light" || theme == "dark" {
		l.Theme = theme
	}
	l.KeysOff = Cookie(r, KeysCookie) == "off"
	l.Flash = s.takeFlash(c)
	l.FourEyes = delivery.FourEyesOf(s.Config.Integrations)
	if l.May(delivery.PermitApprove) {
		l.Waiting, _ = s.store.ApprovalsToDo(r.Context(), Who(c).Person) // a page is worth more than a number beside it
	}
	return l
}

// ReaderOf is the layout of what an open page asks by itself: who reads, and how. The next page's flash is not for it.
func ReaderOf(c echo.Context) views.Layout {
	p := Who(c)
	l := views.Layout{
		Locale:   views.Locale{Lang: Lang(c), Zone: time.UTC, Now: time.Now()},
		ZoneName: "UTC",
		Chosen:   chosenLang(c),
		User:     p.Name,
		UserID:   p.ID,
		Role:     p.Role,
		Rights:   p.Rights,
	}
	if zone, ok := LoadZone(Cookie(c.Request(), ZoneCookie)); ok {
		l.Zone, l.ZoneName = zone, zone.String()
	}
	return l
}

// isFragment reports whether htmx swaps the answer into a page that is there.
func isFragment(r *http.Request) bool {
	return r.Header.Get("HX-Request") == "true" && r.Header.Get("HX-Boosted") != "true" &&
		r.Header.Get("HX-History-Restore-Request") != "true"
}

// Cookie returns the value of a cookie of ours, empty without it.
func Cookie(r *http.Request, name string) string {
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

// LoadZone returns the time zone of a name, and whether there is one.
func LoadZone(name string) (*time.Location, bool) {
	if name == "" || name == "Local" || len(name) > 64 {
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}

// SetCookie keeps a preference for a year.
func (s *Core) SetCookie(c echo.Context, name, value string) {
	c.SetCookie(&http.Cookie{Name: name, Value: url.PathEscape(value), Path: "/", MaxAge: 365 * 24 * 3600,
		Secure: s.Config.SecureCookies, SameSite: http.SameSiteLaxMode})
}

// SetFlash keeps what an action did for the next page.
func (s *Core) SetFlash(c echo.Context, f views.Flash) {
	if loaded, _ := c.Get(SessionLoaded).(bool); !loaded {
		return
	}
	if text, err := json.Marshal(f); err == nil {
		s.Sessions.Put(c.Request().Context(), flashKey, string(text))
	}
}

func (s *Core) takeFlash(c echo.Context) *views.Flash {
	if loaded, _ := c.Get(SessionLoaded).(bool); !loaded || !s.Sessions.Exists(c.Request().Context(), flashKey) {
		return nil
	}
	var f views.Flash
	if json.Unmarshal([]byte(s.Sessions.PopString(c.Request().Context(), flashKey)), &f) != nil {
		return nil
	}
	return &f
}

// errorPage says in one sentence what went wrong; nothing internal.
func (s *Core) errorPage(c echo.Context, p Problem) error {
	if p.Status < http.StatusInternalServerError && Who(c).ID == "" {
		if known, err := s.Authenticate(c); err == nil && known.ID != "" {
			c.Set(principalKey, known)
		}
	}
	l := s.Layout(c, "", "")
	l.Title = l.T(p.Title)
	return Render(c, p.Status,
		views.ErrorView(views.ErrorPage{Layout: l, Status: p.Status, Text: l.Say(p.Says), RequestID: p.RequestID}))
}

// Mistake returns what a person can correct in the form; every other error is passed on.
func Mistake(err error) (Problem, error) {
	p := ProblemOf(err)
	if p.Status == http.StatusBadRequest || p.Status == http.StatusUnprocessableEntity {
		return p, nil
	}
	return p, err
}

// Lang is the language of whoever looks: what they chose, else what their browser asks for, else that of the settings.
func Lang(c echo.Context) string {
	setting, _ := c.Get(settingLang).(string)
	return cmp.Or(chosenLang(c), words.Accepted(c.Request().Header.Get(acceptLanguage)), setting, words.English)
}

// chosenLang is the language that a person chose for their account, else for this browser; empty: none.
func chosenLang(c echo.Context) string {
	for _, lang := range []string{Who(c).Language, Cookie(c.Request(), LangCookie)} {
		if words.Spoken(lang) {
			return lang
		}
	}
	return ""
}

// settingLang is where a request keeps REDRIVE_LANG.
const settingLang = "redrive.lang"

const acceptLanguage = "Accept-Language"

// inLanguage tells browsers and caches which language an answer is in, and by what it was chosen.
func inLanguage(c echo.Context, lang string) {
	c.Response().Header().Set("Content-Language", lang)
	c.Response().Header().Add(echo.HeaderVary, acceptLanguage)
}

// Say returns a phrase to whoever looks.
func Say(c echo.Context, p delivery.Phrase) string { return words.Say(Lang(c), p) }
