package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/scs/v2"
	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/views"
)

// Standard times of sessions: a working day at most, and not over a long break; what hands out or changes much asks for a sign-in of just now.
const (
	StandardLifetime = 12 * time.Hour
	StandardIdle     = 2 * time.Hour
	StandardFresh    = 15 * time.Minute
)

// newSessions keeps sessions in the store.
func newSessions(store Store, cfg Config) *scs.SessionManager {
	m := scs.New()
	m.Store = store
	m.Lifetime = cmp.Or(cfg.SessionLifetime, StandardLifetime)
	m.IdleTimeout = min(cmp.Or(cfg.SessionIdle, StandardIdle), m.Lifetime)
	m.Cookie.Name = HostCookie("redrive_session", cfg)
	m.Cookie.HttpOnly = true
	m.Cookie.SameSite = http.SameSiteLaxMode
	m.Cookie.Secure = cfg.SecureCookies
	return m
}

// freshFor is how long a sign-in is fresh.
func (s *Core) freshFor() time.Duration { return cmp.Or(s.Config.FreshSignIn, StandardFresh) }

// HostCookie is the name of a cookie that no other host and no page in the clear can set, where browsers can keep such.
func HostCookie(name string, cfg Config) string {
	if cfg.SecureCookies {
		return "__Host-" + name
	}
	return name
}

// openedKey is where a request keeps the session that it begins.
const openedKey = "redrive.opened"

// maxDevice bounds what a browser may call itself.
const maxDevice = 200

// OpenSession begins a new session, which is the person's as they are now: one of before ends. how is the way in which they proved who
// they are.
func (s *Core) OpenSession(c echo.Context, o delivery.Operator, how delivery.Session) error {
	if err := s.Sessions.RenewToken(c.Request().Context()); err != nil {
		return fmt.Errorf("renewing the session: %w", err)
	}
	how.OperatorID, how.Generation = o.ID, o.Generation
	c.Set(openedKey, how)
	return nil
}

// sessionOf is what the store keeps of a request's session.
func sessionOf(c echo.Context) delivery.Session {
	session, _ := c.Get(openedKey).(delivery.Session)
	session.Device, session.Address = views.Excerpt(delivery.OneLine(c.Request().UserAgent()), maxDevice), c.RealIP()
	return session
}

// signIns is the way in and out.
type signIns struct {
	*Core
	decoy func() string // hash for names that do not exist, so that they take as long
}

// NewSignIns returns the way in and out, without its routes.
func NewSignIns(s *Core) *signIns {
	return &signIns{Core: s, decoy: sync.OnceValue(func() string {
		hash, _ := HashPassword(strconv.FormatInt(time.Now().UnixNano(), 36)) // an unreadable hash is refused as well
		return hash
	})}
}

// Routes adds the pages.
func (s *signIns) Routes() {
	s.Route(http.MethodGet, views.SignIn, Open, s.form)
	s.Route(http.MethodPost, views.SignIn, Open, s.signIn)
	s.Route(http.MethodPost, views.SignInCode, Open, s.signInByCode)
	s.Route(http.MethodPost, views.SignOut, Open, s.signOut)
	if s.Passkeys != nil {
		s.Route(http.MethodPost, views.SignInBegin, Open, s.beginPasskey)
		s.Route(http.MethodPost, views.SignInPasskey, Open, s.signInByPasskey)
	}
	if s.Config.SSO != nil {
		s.providerRoutes()
	}
}

func (s *signIns) form(c echo.Context) error {
	next := views.LocalPath(c.QueryParam("next"))
	p, err := s.Authenticate(c)
	again := err == nil && p.ID != "" && c.QueryParam("again") != "" && p.Age > s.freshFor()
	if err == nil && p.ID != "" && !again {
		return c.Redirect(http.StatusSeeOther, next)
	}
	return s.signInPage(c, http.StatusOK, views.SignInPage{Next: next, Name: p.Name, Again: again})
}

func (s *Core) signInPage(c echo.Context, status int, p views.SignInPage) error {
	p.Layout = s.Layout(c, "title.sign_in", views.SignIn)
	p.User, p.Role, p.Rights = "", "", nil
	p.Passkeys = s.Passkeys != nil
	if provider := s.Config.SSO; provider != nil {
		p.Provider, p.Away = provider.Name(), provider.Ready(c.Request().Context()) != nil
	}
	return Render(c, status, views.SignInView(p))
}

func (s *signIns) signIn(c echo.Context) error {
	ctx := c.Request().Context()
	name, password := strings.TrimSpace(c.FormValue("name")), c.FormValue("password")
	page := views.SignInPage{Name: name, Next: views.LocalPath(c.FormValue("next")), Kept: c.FormValue("kept")}
	if name == "" || password == "" || utf8.RuneCountInString(name) > delivery.MaxName || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		page.Problem = Say(c, delivery.Say("sign_in.required"))
		return s.signInPage(c, http.StatusUnprocessableEntity, page)
	}
	from, err := s.placeOf(c, name)
	if err != nil {
		return err
	}
	slow, wait, end := s.limit.begin(from, name)
	if wait > 0 {
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(int(wait.Seconds())+1))
		page.Problem = Say(c, delivery.Say("sign_in.too_many"))
		return s.signInPage(c, http.StatusTooManyRequests, page)
	}
	var o delivery.Operator
	ok := false
	if err = hold(ctx, slow); err == nil {
		o, ok, err = s.check(ctx, name, password)
	}
	end(ok, !o.HasCodes) // who has to guess the code goes on guessing
	if err != nil {
		return err
	}
	if ok && o.HasCodes {
		return s.askCode(c, o, http.StatusOK, views.CodePage{Next: page.Next, Kept: page.Kept})
	}
	if ok {
		err = s.open(c, o, delivery.Session{Method: delivery.SignInPassword})
		if ok = !errors.Is(err, delivery.ErrNotFound); ok && err != nil {
			return err
		}
	}
	if !ok {
		page.Problem = Say(c, delivery.Say("sign_in.wrong"))
		err := s.signInPage(c, http.StatusUnauthorized, page)
		c.Response().Flush() // the answer is as quick for a name that exists
		return errors.Join(err, s.recordRefusal(c, o))
	}
	return s.signedIn(c, o, page)
}

// signedIn leads on whoever has signed in: to what they typed before, or to the page that they asked for.
func (s *signIns) signedIn(c echo.Context, o delivery.Operator, page views.SignInPage) error {
	if page.Kept != "" {
		return s.goOn(c, o, page)
	}
	return c.Redirect(http.StatusSeeOther, page.Next)
}

// check returns the operator whom the name means, and whether the password fits. It takes as long for unknown names.
func (s *signIns) check(ctx context.Context, name, password string) (delivery.Operator, bool, error) {
	o, err := s.store.OperatorByName(ctx, name)
	unknown := errors.Is(err, delivery.ErrNotFound)
	if err != nil && !unknown {
		return o, false, err
	}
	hash := o.PasswordHash
	if unknown || hash == "" {
		hash, unknown = s.decoy(), true
	}
	fits, err := VerifyPassword(ctx, hash, password)
	if err != nil {
		return o, false, fmt.Errorf("checking a password: %w", err)
	}
	return o, fits && !unknown && o.DisabledAt == nil, nil
}

// open writes who came before the session says so. Whoever was disabled or changed since the password was read is refused.
func (s *signIns) open(c echo.Context, o delivery.Operator, how delivery.Session) error {
	details, err := from(c)
	if err != nil {
		return err
	}
	if err := s.store.SignIn(c.Request().Context(), o, details); err != nil {
		return err
	}
	if err := s.rememberPlace(c, o); err != nil {
		return err
	}
	return s.OpenSession(c, o, how)
}

// recordRefusal audits a try. A name that nobody has is not written down: what was typed as a name may have been a password.
func (s *signIns) recordRefusal(c echo.Context, o delivery.Operator) error {
	if o.Name == "" {
		s.Config.Log.WarnContext(c.Request().Context(), "sign-in refused: unknown name",
			"request_id", requestID(c), "from", c.RealIP())
		o.Name = unknownName
	}
	return s.refused(c, refusal{"session.sign-in-failed", "operator", o.Name, ""})
}

func (s *signIns) signOut(c echo.Context) error {
	ctx := c.Request().Context()
	p, err := s.Authenticate(c)
	if err != nil {
		return err
	}
	elsewhere := ""
	if p.ID != "" && !p.ViaToken {
		if elsewhere, err = s.signOutThere(c, p); err != nil {
			return err
		}
		if err := s.Record(c, p.ID, "session.sign-out", "operator", p.Name); err != nil {
			return err
		}
		if err := s.Sessions.Destroy(ctx); err != nil {
			return fmt.Errorf("ending the session: %w", err)
		}
	}
	c.Response().Header().Set("Clear-Site-Data", `"cache"`) // the back button shows nothing after this
	if elsewhere != "" {
		return s.signInPage(c, http.StatusOK, views.SignInPage{Next: views.Overview, SignOutThere: elsewhere})
	}
	return c.Redirect(http.StatusSeeOther, views.SignIn)
}

// Record writes an audit entry that belongs to no other change.
func (s *Core) Record(c echo.Context, actor, action, subjectType, subject string, more ...string) error {
	details, err := from(c, more...)
	if err != nil {
		return err
	}
	err = s.store.Record(c.Request().Context(), delivery.AuditEntry{Actor: actor, Action: action, SubjectType: subjectType,
		Subject: subject, Details: details})
	if err != nil {
		return fmt.Errorf("writing the audit entry %s: %w", action, err)
	}
	return nil
}

// from is where a request comes from, as the details of an audit entry. More alternates between names and values of others.
func from(c echo.Context, more ...string) (json.RawMessage, error) {
	members := map[string]string{"from": c.RealIP()}
	for i := 0; i+1 < len(more); i += 2 {
		members[more[i]] = more[i+1]
	}
	return json.Marshal(members)
}
