package console

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// tokenRoutes are for whoever administers: robots' tokens are theirs to make, and everybody's to revoke.
func (s *Console) tokenRoutes(admin delivery.Permission) {
	s.get(views.Tokens, func(c echo.Context) error { return s.tokensPage(c, http.StatusOK, s.allTokens()) }, admin)
	s.post(views.Tokens, func(c echo.Context) error { return s.addToken(c, s.allTokens()) }, admin)
	s.post(views.TokenStep(views.Tokens, ":id", "rotate"), func(c echo.Context) error { return s.rotateToken(c, s.allTokens()) }, admin)
	s.post(views.TokenStep(views.Tokens, ":id", "revoke"), s.revokeToken, admin)
}

// ownTokenRoutes are about the reader's tokens, which only a person makes.
func (s *Console) ownTokenRoutes() {
	own := views.AccountTokens
	s.Route(http.MethodGet, own, web.SignedIn, func(c echo.Context) error { return s.tokensPage(c, http.StatusOK, s.ownTokens()) })
	s.Route(http.MethodPost, own, web.OwnFactors, func(c echo.Context) error { return s.addToken(c, s.ownTokens()) })
	s.Route(http.MethodPost, views.TokenStep(own, ":id", "rotate"), web.OwnFactors, func(c echo.Context) error { return s.rotateToken(c, s.ownTokens()) })
	s.Route(http.MethodPost, views.TokenStep(own, ":id", "revoke"), web.SignedIn, s.revokeOwnToken)
}

// allTokens is the page of everybody's tokens, ownTokens that of the reader's.
func (s *Console) allTokens() views.TokensPage {
	return views.TokensPage{At: views.Tokens, Lifetimes: s.Config.TokenLifetimes}
}

func (s *Console) ownTokens() views.TokensPage {
	return views.TokensPage{At: views.AccountTokens, Own: true, Lifetimes: s.Config.TokenLifetimes}
}

func (s *Console) tokensPage(c echo.Context, status int, page views.TokensPage) (err error) {
	title, section := "title.tokens", views.Tokens
	switch who := web.Who(c); {
	case !page.Own:
		page.Items, err = s.store.Tokens(c.Request().Context())
	case who.Person != "":
		page.Items, err = s.store.TokensOf(c.Request().Context(), who.Person)
	}
	if err != nil {
		return err
	}
	if page.Own {
		title, section, page.ReadOnly = "title.own_tokens", views.Account, web.Who(c).ViaToken
	}
	if page.Secret != "" {
		c.Response().Header().Set("Cache-Control", "no-store")
	}
	page.Layout = s.Layout(c, title, section)
	return web.Render(c, status, views.TokensView(page))
}

// tokenProblem says on the page what a person can correct.
func (s *Console) tokenProblem(c echo.Context, err error, page views.TokensPage) error {
	p, err := web.Mistake(err)
	if err != nil {
		return err
	}
	page.Problem = web.Say(c, p.Says)
	return s.tokensPage(c, p.Status, page)
}

// addToken returns the secret with the page itself: it is kept nowhere.
func (s *Console) addToken(c echo.Context, page views.TokensPage) error {
	t, err := s.typedToken(c, page.Own)
	if err == nil {
		page.Secret, _, err = web.NewToken(c, s.store, t)
	}
	if err != nil {
		page.Name, page.Typed, page.Integrations, page.Labels = t.Name, c.Request().PostForm, c.FormValue("integrations"), c.FormValue("labels")
		page.Secret = ""
		return s.tokenProblem(c, err, page)
	}
	return s.tokensPage(c, http.StatusOK, page)
}

// typedToken reads a form. What cannot be is an *delivery.InputError.
func (s *Console) typedToken(c echo.Context, own bool) (t delivery.Token, err error) {
	t.Name = strings.TrimSpace(c.FormValue("name"))
	if own {
		o, err := s.person(c)
		if err != nil {
			return t, err
		}
		t.Owner = &o
	}
	grant, err := grantOf(c)
	if err != nil {
		return t, err
	}
	t.Give(grant)
	days, err := whole(c, "days")
	if err == nil {
		t.Lifetime, err = s.Config.TokenLifetimes.Of(days * 24)
	}
	return t, web.FirstError(err, t.Check())
}

// person is the reader, if a person and not a token asks.
func (s *Console) person(c echo.Context) (delivery.Operator, error) {
	if web.Who(c).ViaToken {
		return delivery.Operator{}, web.NewProblem(http.StatusForbidden, "forbidden.own_token")
	}
	return s.store.Operator(c.Request().Context(), web.Who(c).ID)
}

// whole reads a number; an empty field is 0.
func whole(c echo.Context, field string) (int, error) {
	text := strings.TrimSpace(c.FormValue(field))
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, delivery.Mistake("invalid_field.integer", field, "field", field)
	}
	return int(n), nil
}

func (s *Console) rotateToken(c echo.Context, page views.TokensPage) error {
	r, err := s.typedRotation(c, page.Own)
	if err == nil {
		page.Secret, err = web.RotateToken(c, s.store, r)
	}
	if err != nil {
		page.Secret = ""
		return s.tokenProblem(c, err, page)
	}
	page.Overlap = r.Overlap
	return s.tokensPage(c, http.StatusOK, page)
}

func (s *Console) typedRotation(c echo.Context, own bool) (r delivery.TokenRotation, err error) {
	if own {
		if _, err = s.ownToken(c); err != nil {
			return r, err
		}
	} else if err = web.OfRobot(c, s.store); err != nil {
		return r, err
	}
	r.ID = c.Param("id")
	days, err := whole(c, "days")
	if err == nil {
		r.Lifetime, err = s.Config.TokenLifetimes.Of(days * 24)
	}
	if err != nil {
		return r, err
	}
	hours, err := whole(c, "overlap")
	if err == nil {
		r.Overlap, err = delivery.TokenOverlap(hours)
	}
	return r, err
}

// ownToken is the token of the address, if it is the reader's, who is a person. Whose a token is never changes.
func (s *Console) ownToken(c echo.Context) (t delivery.Token, err error) {
	o, err := s.person(c)
	if err == nil && !delivery.IsUUID(c.Param("id")) {
		err = delivery.ErrNotFound
	}
	if err == nil {
		t, err = s.store.Token(c.Request().Context(), c.Param("id"))
	}
	if err == nil && t.OwnerID() != o.ID {
		err = delivery.ErrNotFound
	}
	return t, err
}

func (s *Console) revokeToken(c echo.Context) error { return s.revoked(c, views.Tokens) }

func (s *Console) revokeOwnToken(c echo.Context) error {
	if _, err := s.ownToken(c); err != nil {
		return err
	}
	return s.revoked(c, views.AccountTokens)
}

func (s *Console) revoked(c echo.Context, back string) error {
	if err := s.store.RevokeToken(c.Request().Context(), strings.ToLower(c.Param("id")), web.Who(c).ID); err != nil {
		return err
	}
	s.SetFlash(c, good(c, "done.token_revoked"))
	return c.Redirect(http.StatusSeeOther, back)
}
