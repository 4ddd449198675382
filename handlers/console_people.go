package handlers

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/views"
)

func (s *Server) adminRoutes() {
	admin := s.require(delivery.RoleAdmin)
	s.echo.GET(views.Operators, func(c echo.Context) error { return s.operatorsPage(c, http.StatusOK, views.OperatorsPage{}) }, admin)
	s.echo.POST(views.Operators, s.addOperator, admin)
	s.echo.POST(views.Operators+"/:name/:what", s.changeOperator, admin)
	s.echo.GET(views.Tokens, func(c echo.Context) error { return s.tokensPage(c, http.StatusOK, views.TokensPage{}) }, admin)
	s.echo.POST(views.Tokens, s.addToken, admin)
	s.echo.POST(views.Tokens+"/:id/revoke", s.revokeToken, admin)
}

func (s *Server) operatorsPage(c echo.Context, status int, page views.OperatorsPage) error {
	people, err := s.cfg.Store.Operators(c.Request().Context())
	if err != nil {
		return err
	}
	page.Layout, page.Items = s.layout(c, "title.people", views.Operators), people
	return render(c, status, views.OperatorsView(page))
}

var (
	operatorName = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._@-]{0,63}$`)
	// reserved are the actors that are not people.
	reserved = []string{"policy", "engine", "anonymous", "system", "unknown", "redrive"}
)

// checkPassword says what is wrong with a password that a person chose.
func checkPassword(password string) error {
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return badField(http.StatusUnprocessableEntity, "password_too_short", "password", "min", minPassword)
	case len(password) > delivery.MaxPassword:
		return badField(http.StatusUnprocessableEntity, "password_too_long", "password", "max", delivery.MaxPassword)
	}
	return nil
}

func checkRole(role delivery.Role) error {
	if !slices.Contains(delivery.Roles, role) {
		return badField(http.StatusUnprocessableEntity, "invalid_role", "role")
	}
	return nil
}

func (s *Server) addOperator(c echo.Context) error {
	o := delivery.Operator{Name: strings.TrimSpace(c.FormValue("name")), Role: delivery.Role(c.FormValue("role"))}
	err := firstError(checkOperatorName(o.Name), checkRole(o.Role), checkPassword(c.FormValue("password")))
	if err == nil {
		o.PasswordHash, err = HashPassword(c.FormValue("password"))
	}
	if err == nil {
		_, err = s.cfg.Store.CreateOperator(c.Request().Context(), o, who(c).Name)
	}
	if err != nil {
		p, err := mistake(err)
		if err != nil {
			return err
		}
		return s.operatorsPage(c, p.Status, views.OperatorsPage{Name: o.Name, NewRole: o.Role, Problem: say(c, p.says)})
	}
	s.setFlash(c, good(c, "done.operator_added", "name", o.Name))
	return c.Redirect(http.StatusSeeOther, views.Operators)
}

func checkOperatorName(name string) error {
	if !operatorName.MatchString(name) || slices.Contains(reserved, strings.ToLower(name)) {
		return badField(http.StatusUnprocessableEntity, "invalid_name.operator", "name", "reserved", reserved)
	}
	return nil
}

// changeOperator changes role or password of another person, or disables one. Nobody changes the own role or disables
// themselves: so there is always an admin left.
func (s *Server) changeOperator(c echo.Context) error {
	ctx := c.Request().Context()
	name, what := c.Param("name"), c.Param("what")
	o, err := s.cfg.Store.OperatorByName(ctx, name)
	if err != nil {
		return err
	}
	if name == who(c).Name {
		err = badField(http.StatusUnprocessableEntity, "own_account", "name")
	} else {
		err = changed(&o, what, c.FormValue("role"), c.FormValue("password"))
	}
	if err == nil {
		err = s.cfg.Store.UpdateOperator(ctx, o, who(c).Name, what)
	}
	if err != nil {
		p, err := mistake(err)
		if err != nil {
			return err
		}
		return s.operatorsPage(c, p.Status, views.OperatorsPage{Last: name, Problem: say(c, p.says)})
	}
	s.setFlash(c, good(c, "done.operator_changed", "name", name))
	return c.Redirect(http.StatusSeeOther, views.Operators)
}

func changed(o *delivery.Operator, what, role, password string) (err error) {
	switch what {
	case "role":
		o.Role = delivery.Role(role)
		return checkRole(o.Role)
	case "password":
		if err = checkPassword(password); err == nil {
			o.PasswordHash, err = HashPassword(password)
		}
		return err
	case "disable":
		now := time.Now()
		o.DisabledAt = &now
	case "enable":
		o.DisabledAt = nil
	default:
		return delivery.ErrNotFound
	}
	return nil
}

func (s *Server) tokensPage(c echo.Context, status int, page views.TokensPage) error {
	tokens, err := s.cfg.Store.Tokens(c.Request().Context())
	if err != nil {
		return err
	}
	page.Layout, page.Items = s.layout(c, "title.tokens", views.Tokens), tokens
	return render(c, status, views.TokensView(page))
}

var tokenName = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,63}$`)

// addToken answers the secret with the page itself: it is kept nowhere.
func (s *Server) addToken(c echo.Context) error {
	t := delivery.Token{Name: strings.TrimSpace(c.FormValue("name")), Role: delivery.Role(c.FormValue("role"))}
	err := checkRole(t.Role)
	if !tokenName.MatchString(t.Name) {
		err = badField(http.StatusUnprocessableEntity, "invalid_name.token", "name")
	}
	secret := ""
	if err == nil {
		secret, err = s.createToken(c.Request().Context(), t, who(c).Name)
	}
	if err != nil {
		p, err := mistake(err)
		if err != nil {
			return err
		}
		return s.tokensPage(c, p.Status, views.TokensPage{Name: t.Name, NewRole: t.Role, Problem: say(c, p.says)})
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return s.tokensPage(c, http.StatusOK, views.TokensPage{Secret: secret})
}

func (s *Server) createToken(ctx context.Context, t delivery.Token, actor string) (secret string, err error) {
	raw := make([]byte, 24)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("handlers: token: %w", err)
	}
	secret = "redrive_" + hex.EncodeToString(raw)
	sum := sha256.Sum256([]byte(secret))
	_, err = s.cfg.Store.CreateToken(ctx, t, sum[:], actor)
	return secret, err
}

func (s *Server) revokeToken(c echo.Context) error {
	if !delivery.IsUUID(c.Param("id")) {
		return delivery.ErrNotFound
	}
	if err := s.cfg.Store.RevokeToken(c.Request().Context(), c.Param("id"), who(c).Name); err != nil {
		return err
	}
	s.setFlash(c, good(c, "done.token_revoked"))
	return c.Redirect(http.StatusSeeOther, views.Tokens)
}

func (s *Server) account(c echo.Context) error { return s.accountPage(c, http.StatusOK, "") }

func (s *Server) accountPage(c echo.Context, status int, wrong string) error {
	return render(c, status, views.AccountView(views.AccountPage{Layout: s.layout(c, "title.account", views.Account), Problem: wrong}))
}

// changePassword ends all other sessions of the person.
func (s *Server) changePassword(c echo.Context) error {
	ctx := c.Request().Context()
	if who(c).ViaToken {
		return newProblem(http.StatusForbidden, "forbidden.token_password")
	}
	o, err := s.cfg.Store.OperatorByName(ctx, who(c).Name)
	if err != nil {
		return err
	}
	if err = s.newPassword(ctx, &o, c.FormValue("current"), c.FormValue("new"), c.FormValue("again")); err != nil {
		p, err := mistake(err)
		if err != nil {
			return err
		}
		return s.accountPage(c, p.Status, say(c, p.says))
	}
	if err := s.sessions.RenewToken(ctx); err != nil {
		return fmt.Errorf("renewing the session: %w", err)
	}
	s.sessions.Put(ctx, sessionCredential, credentialMark(o))
	s.setFlash(c, good(c, "done.password"))
	return c.Redirect(http.StatusSeeOther, views.Account)
}

func (s *Server) newPassword(ctx context.Context, o *delivery.Operator, current, fresh, again string) error {
	fits, err := verifyPassword(ctx, o.PasswordHash, current)
	switch {
	case err != nil:
		return err
	case !fits:
		return badField(http.StatusUnprocessableEntity, "wrong_password", "current")
	case fresh != again:
		return badField(http.StatusUnprocessableEntity, "passwords_differ", "again")
	}
	if err := checkPassword(fresh); err != nil {
		return err
	}
	if o.PasswordHash, err = HashPassword(fresh); err != nil {
		return err
	}
	return s.cfg.Store.UpdateOperator(ctx, *o, o.Name, "password")
}
