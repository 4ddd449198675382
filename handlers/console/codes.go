package console

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// codeRoutes are about the reader's second factor.
func (s *Console) codeRoutes() {
	s.Route(http.MethodPost, views.AccountCode, web.OwnFactors, s.proposeCodes)
	s.Route(http.MethodPost, views.AccountConfirm, web.OwnFactors, s.confirmCodes)
	s.Route(http.MethodPost, views.AccountNoCode, web.OwnFactors, s.removeCodes)
}

// self is the reader, who signs in here.
func (s *Console) self(c echo.Context) (delivery.Operator, error) {
	if web.Who(c).ViaToken {
		return delivery.Operator{}, web.NewProblem(http.StatusForbidden, "forbidden.token_password")
	}
	o, err := s.store.Operator(c.Request().Context(), web.Who(c).ID)
	if err == nil && !o.IsLocal() {
		err = delivery.Mistake("provided_person", "name")
	}
	return o, err
}

// proposeCodes shows a new secret, which counts for nothing before it is proved.
func (s *Console) proposeCodes(c echo.Context) error {
	o, err := s.self(c)
	if err != nil {
		return err
	}
	secret := web.NewCodeSecret()
	if err := s.store.ProposeCodeSecret(c.Request().Context(), o.ID, secret); err != nil {
		return s.accountProblem(c, err)
	}
	return s.newCodesPage(c, http.StatusOK, o, secret, "")
}

func (s *Console) newCodesPage(c echo.Context, status int, o delivery.Operator, secret []byte, problem string) error {
	square, err := web.QRCode(web.CodeAddress(secret, o.Name))
	if err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	page := views.NewCodesPage{Layout: s.Layout(c, "title.new_codes", views.Account), Secret: web.CodeSecretText(secret), Square: square, Problem: problem}
	return web.Render(c, status, views.NewCodesView(page))
}

// confirmCodes makes codes the second factor of whoever has sent one, and shows the recovery codes: they are kept nowhere.
func (s *Console) confirmCodes(c echo.Context) error {
	ctx := c.Request().Context()
	o, err := s.self(c)
	if err != nil {
		return err
	}
	proposed, err := s.store.CodeSecret(ctx, o.ID)
	if err != nil || proposed.Confirmed {
		return c.Redirect(http.StatusSeeOther, views.Account)
	}
	step, ok := web.CodeFits(proposed.Secret, c.FormValue("code"), s.Config.Now())
	if !ok {
		return s.newCodesPage(c, http.StatusUnprocessableEntity, o, proposed.Secret, web.Say(c, delivery.Say("second_factor.wrong")))
	}
	codes, hashes := web.NewRecoveryCodes()
	if err := s.store.ConfirmCodes(ctx, o, proposed.Secret, step, hashes); err != nil {
		if errors.Is(err, delivery.ErrNotFound) {
			return c.Redirect(http.StatusSeeOther, views.Account)
		}
		return err
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return web.Render(c, http.StatusOK, views.NewCodesView(views.NewCodesPage{Layout: s.Layout(c, "title.new_codes", views.Account), Recovery: codes}))
}

// removeCodes ends the reader's other sessions, as everything does that makes signing in easier.
func (s *Console) removeCodes(c echo.Context) error {
	o, err := s.self(c)
	if err != nil {
		return err
	}
	o, err = s.store.ChangeOperator(c.Request().Context(), delivery.OperatorChange{ID: o.ID, Actor: o.ID, RemoveCodes: true, Since: o.Generation})
	if err != nil {
		return s.accountProblem(c, err)
	}
	if err := s.OpenSession(c, o, delivery.Session{Method: web.Who(c).Method}); err != nil {
		return err
	}
	s.SetFlash(c, good(c, "done.codes_removed"))
	return c.Redirect(http.StatusSeeOther, views.Account)
}

// accountProblem says what a person can correct on the page of the account.
func (s *Console) accountProblem(c echo.Context, err error) error {
	p, err := web.Mistake(err)
	if err != nil {
		return err
	}
	return s.accountPage(c, p.Status, web.Say(c, p.Says))
}
