package web

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web/sso"
	"redrive/views"
)

// attemptCookie holds what tells the browser that began a sign-in at the provider from all others.
const attemptCookie = "redrive_sign_in"

// providerRoutes are single sign-on.
func (s *signIns) providerRoutes() {
	s.Route(http.MethodGet, views.SignInProvider, Open, s.toProvider)
	s.Route(http.MethodPost, views.SignInProvider, Open, s.keepForProvider)
	s.Route(http.MethodGet, views.ProviderBack, Open, s.fromProvider)
	s.Route(http.MethodPost, views.ProviderLogout, Open, s.providerLogout)
}

// attempt is a sign-in at the provider that is under way. All of it goes there and back as the state, sealed for this browser.
type attempt struct {
	sso.Attempt
	Next string `json:"next"`
	Form string `json:"form,omitempty"` // secret of a form that is kept here meanwhile

	kept string // the form
}

// maxNext is the longest address that is gone back to: states must not become too long for providers.
const maxNext = 1 << 10

func (s *signIns) toProvider(c echo.Context) error {
	a := attempt{Next: views.LocalPath(c.QueryParam("next"))}
	to, err := s.beginAtProvider(c, a)
	if err != nil {
		return s.providerProblem(c, err, a)
	}
	return c.Redirect(http.StatusSeeOther, to)
}

// keepForProvider keeps a form while its person is at the provider. From a form no browser would follow elsewhere: the policy of contents
// is against it.
func (s *signIns) keepForProvider(c echo.Context) error {
	a := attempt{Next: views.LocalPath(c.FormValue("next")), kept: c.FormValue("kept")}
	to, err := s.beginAtProvider(c, a)
	if err != nil {
		return s.providerProblem(c, err, a)
	}
	page := views.ProviderPage{Layout: s.Layout(c, "title.sign_in", views.SignIn), Provider: s.Config.SSO.Name(), To: to}
	page.User, page.Role, page.Rights = "", "", nil
	return Render(c, http.StatusOK, views.ProviderView(page))
}

// beginAtProvider returns where an attempt of this browser goes on. Whoever is signed in is to prove it again.
func (s *signIns) beginAtProvider(c echo.Context, a attempt) (to string, err error) {
	ctx := c.Request().Context()
	p, err := s.Authenticate(c)
	if err != nil {
		return "", err
	}
	if len(a.Next) > maxNext {
		a.Next = views.Overview
	}
	a.Attempt = sso.Attempt{Back: s.Config.PublicURL + views.ProviderBack, MaxAge: s.Sessions.Lifetime, Again: p.ID != ""}
	if a.Again {
		a.MaxAge = s.freshFor()
	}
	return s.Config.SSO.Begin(ctx, a.Attempt, func(begun sso.Attempt) (state string, err error) {
		if a.Attempt = begun; a.kept != "" {
			a.Form = rand.Text()
			err = s.store.KeepChallenge(ctx, a.Form, delivery.Challenge{Kind: delivery.ChallengeForm, Operator: p.ID, Data: []byte(a.kept),
				Address: addressKey(c.RealIP())})
		}
		if err != nil {
			return "", err
		}
		data, err := json.Marshal(a)
		if err != nil {
			return "", fmt.Errorf("keeping an attempt: %w", err)
		}
		return s.giveTicket(ctx, delivery.ChallengeProvider, s.attemptSecret(c), "", data)
	})
}

// attemptSecret is this browser's, which may have several attempts under way.
func (s *signIns) attemptSecret(c echo.Context) string {
	secret := Cookie(c.Request(), HostCookie(attemptCookie, s.Config))
	if len(secret) != len(rand.Text()) {
		secret = rand.Text()
	}
	c.SetCookie(&http.Cookie{Name: HostCookie(attemptCookie, s.Config), Value: secret, Path: "/", MaxAge: int(delivery.ChallengeTime.Seconds()), HttpOnly: true,
		Secure: s.Config.SecureCookies, SameSite: http.SameSiteLaxMode})
	return secret
}

// providerCode is what a provider's word for an error looks like.
var providerCode = regexp.MustCompile(`^[a-z_]{1,40}$`)

// fromProvider is where somebody comes back to: with a code, or with what the provider refused.
func (s *signIns) fromProvider(c echo.Context) error {
	ctx := c.Request().Context()
	kept, a, err := s.returned(c)
	switch code := c.QueryParam("error"); {
	case errors.Is(err, errTicketUsed):
		return s.refuseProvided(c, a, "sign_in.provider.lost", errUsed)
	case errors.Is(err, delivery.ErrNotFound):
		return s.refuseProvided(c, a, "sign_in.provider.lost", nil)
	case err != nil:
		return err
	case code != "":
		if !providerCode.MatchString(code) {
			code = "?"
		}
		return s.providerSaid(c, a, code)
	case c.QueryParam("iss") != "" && c.QueryParam("iss") != s.Config.SSO.Issuer(): // RFC 9207
		return s.refuseProvided(c, a, "sign_in.provider.bad", errors.New("another issuer answered"))
	}
	signed, err := s.Config.SSO.Finish(ctx, a.Attempt, c.QueryParam("code"))
	if err == nil && a.Again && s.Config.Now().Sub(signed.AuthenticatedAt) > a.MaxAge+s.freshFor() {
		return s.refuseProvided(c, a, "sign_in.provider.unproven", &sso.UnprovenError{Signed: signed})
	}
	if err != nil {
		return s.providerProblem(c, err, a)
	}
	if err := s.EndTicket(ctx, kept); errors.Is(err, delivery.ErrNotFound) {
		return s.refuseProvided(c, a, "sign_in.provider.lost", errUsed)
	} else if err != nil {
		return err
	}
	return s.openProvided(c, a, signed)
}

// returned is the attempt of this browser that the provider sends back, with the form that was kept for it.
func (s *signIns) returned(c echo.Context) (kept Ticket, a attempt, err error) {
	ctx := c.Request().Context()
	secret := Cookie(c.Request(), HostCookie(attemptCookie, s.Config))
	if kept, err = s.openTicket(ctx, delivery.ChallengeProvider, secret, c.QueryParam("state")); err != nil {
		return kept, a, err
	}
	if err := json.Unmarshal(kept.Data, &a); err != nil || a.Form == "" {
		return kept, a, err
	}
	form, err := s.store.TakeChallenge(ctx, a.Form, delivery.ChallengeForm)
	if a.kept = string(form.Data); a.kept == "" { // too many were kept at once, or another answer had it
		a.Next = views.Overview
		s.SetFlash(c, views.Flash{Kind: "warn", Text: Say(c, delivery.Say("sign_in.form_lost"))})
	}
	return kept, a, ignoreMissing(err)
}

func (s *signIns) providerSaid(c echo.Context, a attempt, code string) error {
	s.Config.Log.InfoContext(c.Request().Context(), "sign-in refused: by the provider", "request_id", requestID(c), "code", code, "from", c.RealIP())
	page := views.SignInPage{Next: a.Next, Kept: a.kept, Problem: Say(c, delivery.Say("sign_in.provider.said", "code", code))}
	return s.signInPage(c, http.StatusUnauthorized, page)
}

// providerProblem says what went wrong at the provider; what is nobody's mistake is passed on.
func (s *signIns) providerProblem(c echo.Context, err error, a attempt) error {
	var (
		away   *sso.AwayError
		token  *sso.TokenError
		noRole *sso.NoRoleError
	)
	switch {
	case errors.As(err, &away):
		s.Config.Log.WarnContext(c.Request().Context(), "single sign-on", "request_id", requestID(c), "error", away)
		return s.signInPage(c, http.StatusServiceUnavailable, views.SignInPage{Next: a.Next, Kept: a.kept})
	case errors.As(err, &noRole):
		return s.refuseProvided(c, a, "sign_in.provider.no_role", noRole)
	case errors.As(err, &token):
		return s.refuseProvided(c, a, "sign_in.provider.bad", token)
	}
	return err
}

// openProvided lets in whom the provider vouches for.
func (s *signIns) openProvided(c echo.Context, a attempt, signed sso.Signed) error {
	details, err := from(c)
	if err != nil {
		return err
	}
	o, err := s.store.SignInProvided(c.Request().Context(), signed.ProvidedPerson, details)
	switch {
	case err != nil:
		return err
	case o.DisabledAt != nil:
		return s.refuseProvided(c, a, "sign_in.provider.disabled", &sso.DisabledError{Signed: signed})
	}
	err = s.OpenSession(c, o, delivery.Session{Method: delivery.SignInProvider, AuthenticatedAt: signed.AuthenticatedAt,
		ProviderSession: signed.Session, IDToken: signed.IDToken})
	if err != nil {
		return err
	}
	return s.signedIn(c, o, views.SignInPage{Next: a.Next, Kept: a.kept})
}

// refuseProvided says that somebody is not let in, and writes down why.
func (s *signIns) refuseProvided(c echo.Context, a attempt, key string, why error) error {
	status := http.StatusUnauthorized
	var noRole *sso.NoRoleError
	var disabled *sso.DisabledError
	var unproven *sso.UnprovenError
	if errors.As(why, &noRole) || errors.As(why, &disabled) || errors.As(why, &unproven) {
		status = http.StatusForbidden
	}
	page := views.SignInPage{Next: a.Next, Kept: a.kept, Problem: Say(c, delivery.Say(key))}
	return errors.Join(s.signInPage(c, status, page), s.recordProvided(c, "session.sign-in-failed", why))
}

// Refusals that strangers can bring about are audited as long as they come one by one; all of them are in the log.
const (
	refusalBurst  = 20
	refusalRefill = 10 * time.Second
)

// recordProvided writes down what was refused of single sign-on. Without a reason nobody knows of whom it was.
func (s *signIns) recordProvided(c echo.Context, action string, why error) error {
	if why == nil || !s.limit.mayAudit(c.RealIP()) {
		s.Config.Log.WarnContext(c.Request().Context(), "single sign-on refused", "request_id", requestID(c), "action", action, "why", why, "from", c.RealIP())
		return nil
	}
	members := map[string]string{"from": c.RealIP(), "why": views.Excerpt(delivery.OneLine(why.Error()), maxDevice), "issuer": s.Config.SSO.Issuer()}
	var known interface{ Who() sso.Signed }
	if errors.As(why, &known) {
		members["subject"] = known.Who().Subject
	}
	details, err := json.Marshal(members)
	if err != nil {
		return err
	}
	return s.store.Record(c.Request().Context(), delivery.AuditEntry{Actor: delivery.ActorAnonymous, Action: action, SubjectType: "provider",
		Subject: s.Config.SSO.Name(), Details: details})
}

// providerLogout ends what the provider says has ended.
func (s *signIns) providerLogout(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	ctx := c.Request().Context()
	l, err := s.Config.SSO.Logout(ctx, c.FormValue("logout_token"))
	if err == nil {
		_, err = s.store.EndProvided(ctx, l)
	}
	var (
		away   *sso.AwayError
		token  *sso.TokenError
		before *delivery.InputError
	)
	switch {
	case errors.As(err, &away):
		return NewProblem(http.StatusServiceUnavailable, "provider_away")
	case errors.As(err, &before):
		return errors.Join(BadField(http.StatusBadRequest, before.Says.Key, before.Field), s.recordProvided(c, "session.end-refused", before))
	case errors.As(err, &token):
		return errors.Join(BadField(http.StatusBadRequest, "bad_logout_token", "logout_token"), s.recordProvided(c, "session.end-refused", token))
	case err != nil:
		return err
	}
	return c.NoContent(http.StatusOK)
}

// signOutThere is where a person signs out at the provider, too; empty where they did not sign in there.
func (s *signIns) signOutThere(c echo.Context, p principal) (string, error) {
	if p.Method != delivery.SignInProvider || s.Config.SSO == nil {
		return "", nil
	}
	token, err := s.store.IDToken(c.Request().Context(), p.Session)
	if err != nil && !errors.Is(err, delivery.ErrNotFound) {
		return "", err
	}
	return s.Config.SSO.SignOut(c.Request().Context(), token, s.Config.PublicURL+views.SignIn), nil
}
