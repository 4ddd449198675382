package web

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// SessionOperator is the key of the signed-in operator's name within a session.
const SessionOperator = "operator"

// tokenActor stands before a token's name wherever an actor is written, so that no token can pass for a person.
const tokenActor = "token:"

// Require lets a request through whose bearer token or session may do what role may.
func (s *Core) Require(role delivery.Role) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			p, err := s.Authenticate(c)
			if err != nil {
				return err
			}
			switch {
			case p.Name == "" && isForm(c.Request()):
				return s.keepForm(c)
			case p.Name == "" && !isAPI(c.Request()):
				return c.Redirect(http.StatusSeeOther, signInURL(c.Request()))
			case p.Name == "":
				return NewProblem(http.StatusUnauthorized, "unauthorized")
			case !p.Role.Allows(role):
				return NewProblem(http.StatusForbidden, "forbidden.role", "role", role, "own", p.Role)
			}
			c.Set(principalKey, p)
			return next(c)
		}
	}
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
	name := s.SessionName(c)
	if name == "" {
		return principal{}, nil
	}
	o, err := s.store.OperatorByName(c.Request().Context(), name)
	if errors.Is(err, delivery.ErrNotFound) ||
		(err == nil && (o.DisabledAt != nil || !s.sessionHolds(c.Request().Context(), o))) {
		return principal{}, s.Sessions.Destroy(c.Request().Context())
	}
	return principal{Name: o.Name, Role: o.Role}, err
}

// SessionName returns whom the session of a request belongs to, empty without one.
func (s *Core) SessionName(c echo.Context) string {
	if loaded, _ := c.Get(SessionLoaded).(bool); !loaded {
		return ""
	}
	return s.Sessions.GetString(c.Request().Context(), SessionOperator)
}

func (s *Core) bearer(c echo.Context, header string) (principal, error) {
	refused := NewProblem(http.StatusUnauthorized, "invalid_token")
	token, ok := bearerToken(header)
	if !ok {
		return principal{}, refused
	}
	sum := sha256.Sum256([]byte(token))
	t, err := s.store.TokenByHash(c.Request().Context(), sum[:])
	if errors.Is(err, delivery.ErrNotFound) || (err == nil && t.RevokedAt != nil) {
		return principal{}, refused
	}
	return principal{Name: tokenActor + t.Name, Role: t.Role, ViaToken: true}, err
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
	Name     string
	Role     delivery.Role
	ViaToken bool // by bearer token, not by session
}

// Who returns the signed-in person or token of a request; the zero value is nobody.
func Who(c echo.Context) principal {
	p, _ := c.Get(principalKey).(principal)
	return p
}
