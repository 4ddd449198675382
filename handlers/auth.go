package handlers

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// sessionOperator is the key of the signed-in operator's name within a session.
const sessionOperator = "operator"

// tokenActor stands before a token's name wherever an actor is written, so that no token can pass for a person.
const tokenActor = "token:"

// require lets a request through whose bearer token or session may do what role may.
func (s *Server) require(role delivery.Role) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			p, err := s.authenticate(c)
			if err != nil {
				return err
			}
			switch {
			case p.Name == "" && isForm(c.Request()):
				return s.keepForm(c)
			case p.Name == "" && !isAPI(c.Request()):
				return c.Redirect(http.StatusSeeOther, signInURL(c.Request()))
			case p.Name == "":
				return newProblem(http.StatusUnauthorized, "unauthorized")
			case !p.Role.Allows(role):
				return newProblem(http.StatusForbidden, "forbidden.role", "role", role, "own", p.Role)
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

// authenticate answers who makes the request; the zero principal is nobody. A bearer token wins over a session, because
// requests with one are not protected against other origins.
func (s *Server) authenticate(c echo.Context) (principal, error) {
	if header := c.Request().Header.Get(echo.HeaderAuthorization); header != "" {
		return s.bearer(c, header)
	}
	name := s.sessionName(c)
	if name == "" {
		return principal{}, nil
	}
	o, err := s.cfg.Store.OperatorByName(c.Request().Context(), name)
	if errors.Is(err, delivery.ErrNotFound) || (err == nil && (o.DisabledAt != nil || !s.sessionHolds(c.Request().Context(), o))) {
		return principal{}, s.sessions.Destroy(c.Request().Context())
	}
	return principal{Name: o.Name, Role: o.Role}, err
}

func (s *Server) sessionName(c echo.Context) string {
	if loaded, _ := c.Get(sessionLoaded).(bool); !loaded {
		return ""
	}
	return s.sessions.GetString(c.Request().Context(), sessionOperator)
}

func (s *Server) bearer(c echo.Context, header string) (principal, error) {
	refused := newProblem(http.StatusUnauthorized, "invalid_token")
	token, ok := bearerToken(header)
	if !ok {
		return principal{}, refused
	}
	sum := sha256.Sum256([]byte(token))
	t, err := s.cfg.Store.TokenByHash(c.Request().Context(), sum[:])
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
