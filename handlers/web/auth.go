package web

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// require lets a request through whose bearer token or session has all of the permissions, each for at least one integration.
func (s *Core) require(access Access) echo.MiddlewareFunc {
	needs := access.Needs
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			p, err := s.Authenticate(c)
			if err != nil {
				return err
			}
			if p.ID == "" {
				return s.askWho(c)
			}
			c.Set(principalKey, p)
			if err := may(c, needs...); err != nil {
				s.lacks(c, p.ID)
				return err
			}
			if p.Session != "" && p.Age > s.freshFor() && access.AsksFresh() {
				return s.askAgain(c)
			}
			right := delivery.Right{Actor: p.ID, Session: p.Session, Secret: p.Secret, Holder: p.Holder, Need: needs, Rights: p.Rights}
			c.SetRequest(c.Request().WithContext(delivery.WithRight(c.Request().Context(), right)))
			err = next(c)
			var asked *delivery.AskedError
			if errors.As(err, &asked) {
				return s.answerAsked(c, asked)
			}
			var ended *delivery.RightError
			if errors.As(err, &ended) && ended.Missing == "" && isForm(c.Request()) {
				return s.keepForm(c)
			}
			return err
		}
	}
}

// askWho answers whoever is not signed in.
func (s *Core) askWho(c echo.Context) error {
	switch {
	case isForm(c.Request()):
		return s.keepForm(c)
	case !isAPI(c.Request()) && !isFragment(c.Request()) && !wantsJSON(c.Request()): // a part of a page cannot ask for a name
		return c.Redirect(http.StatusSeeOther, signInURL(c.Request()))
	}
	return NewProblem(http.StatusUnauthorized, "unauthorized")
}

// askAgain asks somebody to sign in again who did so some time ago.
func (s *Core) askAgain(c echo.Context) error {
	r := c.Request()
	switch {
	case isForm(r):
		return s.keepForm(c)
	case wantsJSON(r) || r.Method != http.MethodGet:
		return NewProblem(http.StatusForbidden, "fresh_sign_in")
	}
	return c.Redirect(http.StatusSeeOther, signInURL(r)+"&again=1")
}

// signInURL leads back to the page that was asked for; a form's target is no page.
func signInURL(r *http.Request) string {
	if r.Method != http.MethodGet {
		return "/sign-in"
	}
	return "/sign-in?next=" + url.QueryEscape(r.URL.RequestURI())
}

// Authenticate returns who makes the request; the zero principal is nobody. A bearer token wins over a session, because
// requests with one are not protected against other origins.
func (s *Core) Authenticate(c echo.Context) (principal, error) {
	if header := c.Request().Header.Get(echo.HeaderAuthorization); header != "" {
		return s.bearer(c, header)
	}
	if loaded, _ := c.Get(SessionLoaded).(bool); !loaded {
		return principal{}, nil
	}
	ctx := c.Request().Context()
	o, session, err := s.store.SignedIn(ctx, s.Sessions.Token(ctx))
	if errors.Is(err, delivery.ErrNotFound) {
		return principal{}, s.forget(c)
	}
	return principal{ID: o.ID, Person: o.ID, Name: o.Name, Role: o.Role, Rights: o.Rights(), Session: session.ID, Holder: session.ID,
		Language: o.Language, Method: session.Method, Age: session.Age}, err
}

// forget takes a session away from a browser that had one: nobody is signed in with it.
func (s *Core) forget(c echo.Context) error {
	if _, err := c.Cookie(s.Sessions.Cookie.Name); err != nil {
		return nil
	}
	return s.Sessions.Destroy(c.Request().Context())
}

func (s *Core) bearer(c echo.Context, header string) (principal, error) {
	token, ok := bearerToken(header)
	if !ok {
		return principal{}, s.wrongToken(c)
	}
	sum := sha256.Sum256([]byte(token))
	t, err := s.store.TokenByHash(c.Request().Context(), sum[:])
	var expired *delivery.ExpiredTokenError
	switch {
	case errors.Is(err, delivery.ErrNotFound) || err == nil && t.RevokedAt != nil:
		return principal{}, s.wrongToken(c)
	case errors.As(err, &expired): // said to nobody who does not have the whole secret
		if err := s.refused(c, refusal{"token.refused", "token", expired.Token, ""}); err != nil {
			return principal{}, err
		}
		return principal{}, NewProblem(http.StatusUnauthorized, "token_expired")
	case err != nil:
		return principal{}, err
	}
	s.uses.note(t.Secret, c.RealIP())
	return principal{ID: t.ID, Person: t.OwnerID(), Name: t.Actor(), Role: t.Role, Rights: t.Rights(), Secret: t.Secret, Holder: t.Holder, ViaToken: true}, nil
}

// wrongToken is the answer to a token that lets nobody in. It costs its address something: a right one is looked up first, and let in
// whatever came before it.
func (s *Core) wrongToken(c echo.Context) error {
	if err := s.refused(c, refusal{"token.refused", "token", unknownName, ""}); err != nil {
		return err
	}
	if wait := s.limit.wrongToken(c.RealIP()); wait > 0 {
		p := NewProblem(http.StatusTooManyRequests, "too_many_tries.token")
		p.RetryAfter = wait
		return p
	}
	return NewProblem(http.StatusUnauthorized, "invalid_token")
}

// bearerToken reads an Authorization header; the scheme's letter case does not matter (RFC 9110).
func bearerToken(header string) (token string, ok bool) {
	scheme, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}

const principalKey = "redrive.principal"

// principal is who makes a request.
type principal struct {
	ID       string          // never changes, see delivery.Actor…
	Person   string          // id of the person who signed in, or whose token it is; empty for a robot
	Name     string          // as it is now
	Role     delivery.Role   // for all integrations
	Rights   delivery.Rights // what may be done now
	Session  string          // its id; empty for a token
	Secret   string          // id of the token's; empty for a session
	Holder   string          // see delivery.Right
	Language string          // that they chose; empty: none
	Method   delivery.SignInMethod
	Age      time.Duration // since they last proved who they are
	ViaToken bool          // by bearer token, not by session
}

// NotSelf refuses whoever would change what they may do themselves, by a token of theirs as well: so there is always an administrator left.
func NotSelf(c echo.Context, o delivery.Operator) error {
	if o.ID == Who(c).Person {
		return BadField(http.StatusUnprocessableEntity, "own_account", "name")
	}
	return nil
}

// Who returns the signed-in person or token of a request; the zero value is nobody.
func Who(c echo.Context) principal {
	p, _ := c.Get(principalKey).(principal)
	return p
}
