package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

func (s *Console) adminRoutes() {
	admin := s.Require(delivery.RoleAdmin)
	s.Echo.GET(views.Operators,
		func(c echo.Context) error { return s.operatorsPage(c, http.StatusOK, views.OperatorsPage{}) }, admin)
	s.Echo.POST(views.Operators, s.addOperator, admin)
	s.Echo.POST(views.Operators+"/:name/:what", s.changeOperator, admin)
	s.Echo.GET(views.Tokens, func(c echo.Context) error { return s.tokensPage(c, http.StatusOK, views.TokensPage{}) }, admin)
	s.Echo.POST(views.Tokens, s.addToken, admin)
	s.Echo.POST(views.Tokens+"/:id/revoke", s.revokeToken, admin)
}

func (s *Console) operatorsPage(c echo.Context, status int, page views.OperatorsPage) error {
	people, err := s.store.Operators(c.Request().Context())
	if err != nil {
		return err
	}
	page.Layout, page.Items = s.Layout(c, "title.people", views.Operators), people
	return web.Render(c, status, views.OperatorsView(page))
}

// checkPassword says what is wrong with a password that a person chose.
func checkPassword(password string) error {
	switch {
	case utf8.RuneCountInString(password) < web.MinPassword:
		return web.BadField(http.StatusUnprocessableEntity, "password_too_short", "password", "min", web.MinPassword)
	case len(password) > delivery.MaxPassword:
		return web.BadField(http.StatusUnprocessableEntity, "password_too_long", "password", "max", delivery.MaxPassword)
	}
	return nil
}

func (s *Console) addOperator(c echo.Context) error {
	o := delivery.Operator{Name: strings.TrimSpace(c.FormValue("name")), Role: delivery.Role(c.FormValue("role"))}
	err := web.FirstError(o.Check(), checkPassword(c.FormValue("password")))
	if err == nil {
		o.PasswordHash, err = web.HashPassword(c.FormValue("password"))
	}
	if err == nil {
		_, err = s.store.CreateOperator(c.Request().Context(), o, web.Who(c).Name)
	}
	if err != nil {
		p, err := web.Mistake(err)
		if err != nil {
			return err
		}
		return s.operatorsPage(c, p.Status, views.OperatorsPage{Name: o.Name, NewRole: o.Role, Problem: web.Say(c, p.Says)})
	}
	s.SetFlash(c, good(c, "done.operator_added", "name", o.Name))
	return c.Redirect(http.StatusSeeOther, views.Operators)
}

// changeOperator changes role or password of another person, or disables one. Nobody changes the own role or disables
// themselves: so there is always an admin left.
func (s *Console) changeOperator(c echo.Context) error {
	ctx := c.Request().Context()
	name, what := c.Param("name"), c.Param("what")
	o, err := s.store.OperatorByName(ctx, name)
	if err != nil {
		return err
	}
	if name == web.Who(c).Name {
		err = web.BadField(http.StatusUnprocessableEntity, "own_account", "name")
	} else {
		err = changed(&o, what, c.FormValue("role"), c.FormValue("password"))
	}
	if err == nil {
		err = s.store.UpdateOperator(ctx, o, web.Who(c).Name, what)
	}
	if err != nil {
		p, err := web.Mistake(err)
		if err != nil {
			return err
		}
		return s.operatorsPage(c, p.Status, views.OperatorsPage{Last: name, Problem: web.Say(c, p.Says)})
	}
	s.SetFlash(c, good(c, "done.operator_changed", "name", name))
	return c.Redirect(http.StatusSeeOther, views.Operators)
}

func changed(o *delivery.Operator, what, role, password string) (err error) {
	switch what {
	case "role":
		o.Role = delivery.Role(role)
		return o.Role.Check()
	case "password":
		if err = checkPassword(password); err == nil {
			o.PasswordHash, err = web.HashPassword(password)
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

func (s *Console) tokensPage(c echo.Context, status int, page views.TokensPage) error {
	tokens, err := s.store.Tokens(c.Request().Context())
	if err != nil {
		return err
	}
	page.Layout, page.Items = s.Layout(c, "title.tokens", views.Tokens), tokens
	return web.Render(c, status, views.TokensView(page))
}

// addToken returns the secret with the page itself: it is kept nowhere.
func (s *Console) addToken(c echo.Context) error {
	t := delivery.Token{Name: strings.TrimSpace(c.FormValue("name")), Role: delivery.Role(c.FormValue("role"))}
	err, secret := t.Check(), ""
	if err == nil {
		secret, err = s.createToken(c.Request().Context(), t, web.Who(c).Name)
	}
	if err != nil {
		p, err := web.Mistake(err)
		if err != nil {
			return err
		}
		return s.tokensPage(c, p.Status, views.TokensPage{Name: t.Name, NewRole: t.Role, Problem: web.Say(c, p.Says)})
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return s.tokensPage(c, http.StatusOK, views.TokensPage{Secret: secret})
}

func (s *Console) createToken(ctx context.Context, t delivery.Token, actor string) (secret string, err error) {
	raw := make([]byte, 24)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("handlers: token: %w", err)
	}
	secret = "redrive_" + hex.EncodeToString(raw)
	sum := sha256.Sum256([]byte(secret))
	_, err = s.store.CreateToken(ctx, t, sum[:], actor)
	return secret, err
}

func (s *Console) revokeToken(c echo.Context) error {
	if !delivery.IsUUID(c.Param("id")) {
		return delivery.ErrNotFound
	}
	if err := s.store.RevokeToken(c.Request().Context(), c.Param("id"), web.Who(c).Name); err != nil {
		return err
	}
	s.SetFlash(c, good(c, "done.token_revoked"))
	return c.Redirect(http.StatusSeeOther, views.Tokens)
}

func (s *Console) account(c echo.Context) error { return s.accountPage(c, http.StatusOK, "") }

func (s *Console) accountPage(c echo.Context, status int, wrong string) error {
	return web.Render(c, status,
		views.AccountView(views.AccountPage{Layout: s.Layout(c, "title.account", views.Account), Problem: wrong}))
}

// changePassword ends all other sessions of the person.
func (s *Console) changePassword(c echo.Context) error {
	ctx := c.Request().Context()
	if web.Who(c).ViaToken {
		return web.NewProblem(http.StatusForbidden, "forbidden.token_password")
	}
	o, err := s.store.OperatorByName(ctx, web.Who(c).Name)
	if err != nil {
		return err
	}
	if err = s.newPassword(ctx, &o, c.FormValue("current"), c.FormValue("new"), c.FormValue("again")); err != nil {
		p, err := web.Mistake(err)
		if err != nil {
			return err
		}
		return s.accountPage(c, p.Status, web.Say(c, p.Says))
	}
	if err := s.Sessions.RenewToken(ctx); err != nil {
		return fmt.Errorf("renewing the session: %w", err)
	}
	s.Sessions.Put(ctx, web.SessionCredential, web.CredentialMark(o))
	s.SetFlash(c, good(c, "done.password"))
	return c.Redirect(http.StatusSeeOther, views.Account)
}

func (s *Console) newPassword(ctx context.Context, o *delivery.Operator, current, fresh, again string) error {
	fits, err := web.VerifyPassword(ctx, o.PasswordHash, current)
	switch {
	case err != nil:
		return err
	case !fits:
		return web.BadField(http.StatusUnprocessableEntity, "wrong_password", "current")
	case fresh != again:
		return web.BadField(http.StatusUnprocessableEntity, "passwords_differ", "again")
	}
	if err := checkPassword(fresh); err != nil {
		return err
	}
	if o.PasswordHash, err = web.HashPassword(fresh); err != nil {
		return err
	}
	return s.store.UpdateOperator(ctx, *o, o.Name, "password")
}
