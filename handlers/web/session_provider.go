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

// attempt is a sign-in at the provider that is under way.
type attempt struct {
	sso.Attempt
	Next string `json:"next"`
	Kept string `json:"kept,omitempty"`
}

func (s *signIns) toProvider(c echo.Context) error {
	to, err := s.beginAtProvider(c, attempt{Next: views.LocalPath(c.QueryParam("next"))})
	if err != nil {
		return s.providerProblem(c, err, attempt{Next: views.LocalPath(c.QueryParam("next"))})
	}
	return c.Redirect(http.StatusSeeOther, to)
}

// keepForProvider keeps a form while its person is at the provider. From a form no browser would follow elsewhere: the policy of contents
// is against it.
func (s *signIns) keepForProvider(c echo.Context) error {
	a := attempt{Next: views.LocalPath(c.FormValue("next")), Kept: c.FormValue("kept")}
	to, err := s.beginAtProvider(c, a)
	if err != nil {
		return s.providerProblem(c, err, a)
	}
	page := views.ProviderPage{Layout: s.Layout(c, "title.sign_in", views.SignIn), Provider: s.Config.SSO.Name(), To: to}
	page.User, page.Role, page.Rights = "", "", nil
	return Render(c, http.StatusOK, views.ProviderView(page))
}

// beginAtProvider keeps an attempt for this browser and returns where it goes on. Whoever is signed in is to prove it again.
func (s *signIns) beginAtProvider(c echo.Context, a attempt) (to string, err error) {
	ctx := c.Request().Context()
	p, err := s.Authenticate(c)
	if err != nil {
		return "", err
	}
	oldest, again := s.Sessions.Lifetime, p.ID != ""
	if again {
		oldest = s.freshFor()
	}
	if a.Attempt, to, err = s.Config.SSO.Begin(ctx, s.Config.PublicURL+views.ProviderBack, oldest, again); err != nil {
		return "", err
	}
	data, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("keeping an attempt: %w", err)
	}
	return to, s.store.KeepChallenge(ctx, s.attemptSecret(c)+a.State, delivery.Challenge{Kind: delivery.ChallengeProvider, Operator: p.ID, Data: data})
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
	kept, err := s.store.TakeChallenge(ctx, Cookie(c.Request(), HostCookie(attemptCookie, s.Config))+c.QueryParam("state"), delivery.ChallengeProvider)
	var a attempt
	if err == nil && !kept.Used {
		err = json.Unmarshal(kept.Data, &a)
	}
	switch code := c.QueryParam("error"); {
	case errors.Is(err, delivery.ErrNotFound):
		return s.refuseProvided(c, a, "sign_in.provider.lost", nil)
	case err != nil:
		return err
	case kept.Used:
		return s.refuseProvided(c, a, "sign_in.provider.lost", errors.New("its state was used before"))
	case code != "":
		if !providerCode.MatchString(code) {
			code = "?"
		}
		return s.providerSaid(c, a, code)
	case c.QueryParam("iss") != "" && c.QueryParam("iss") != s.Config.SSO.Issuer(): // RFC 9207
		return s.refuseProvided(c, a, "sign_in.provider.bad", errors.New("another issuer answered"))
	}
	signed, err := s.Config.SSO.Finish(ctx, a.Attempt, c.QueryParam("code"))
	if err != nil {
		return s.providerProblem(c, err, a)
	}
	return s.openProvided(c, a, signed)
}

func (s *signIns) providerSaid(c echo.Context, a attempt, code string) error {
	s.Config.Log.InfoContext(c.Request().Context(), "sign-in refused: by the provider", "request_id", requestID(c), "code", code, "from", c.RealIP())
	page := views.SignInPage{Next: a.Next, Kept: a.Kept, Problem: Say(c, delivery.Say("sign_in.provider.said", "code", code))}
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
		return s.signInPage(c, http.StatusServiceUnavailable, views.SignInPage{Next: a.Next, Kept: a.Kept})
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
	return s.signedIn(c, o, views.SignInPage{Next: a.Next, Kept: a.Kept})
}

// refuseProvided says that somebody is not let in, and writes down why.
func (s *signIns) refuseProvided(c echo.Context, a attempt, key string, why error) error {
	status := http.StatusUnauthorized
	var noRole *sso.NoRoleError
	var disabled *sso.DisabledError
	if errors.As(why, &noRole) || errors.As(why, &disabled) {
		status = http.StatusForbidden
	}
	page := views.SignInPage{Next: a.Next, Kept: a.Kept, Problem: Say(c, delivery.Say(key))}
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
