package console

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/handlers/web/passkey"
	"redrive/views"
)

// passkeyRoutes are about the reader's passkeys.
func (s *Console) passkeyRoutes() {
	if s.Passkeys == nil {
		return
	}
	s.Route(http.MethodPost, views.PasskeyBegin, web.OwnFactors, s.beginNewPasskey)
	s.Route(http.MethodPost, views.AccountPasskeys, web.OwnFactors, s.addPasskey)
	s.Route(http.MethodPost, views.PasskeyRemove(":id"), web.OwnFactors, s.removePasskey)
}

func (s *Console) beginNewPasskey(c echo.Context) error {
	o, err := s.self(c)
	if err != nil {
		return err
	}
	p, err := s.PersonWithPasskeys(c.Request().Context(), o.ID)
	if err != nil {
		return err
	}
	options, session, err := s.Passkeys.BeginNew(p)
	if err != nil {
		return err
	}
	return s.BeginPasskey(c, delivery.ChallengeNewPasskey, o.ID, options, session)
}

func (s *Console) addPasskey(c echo.Context) error {
	o, err := s.self(c)
	if err != nil {
		return err
	}
	made, err := s.newPasskey(c, o)
	if err == nil {
		err = s.store.AddPasskey(c.Request().Context(), o, made)
	}
	if err != nil {
		return s.accountProblem(c, err)
	}
	s.SetFlash(c, good(c, "done.passkey_added", "name", made.Name))
	return c.Redirect(http.StatusSeeOther, views.Account)
}

// newPasskey reads the passkey that the reader's browser made for the reader.
func (s *Console) newPasskey(c echo.Context, o delivery.Operator) (made delivery.Passkey, err error) {
	name := strings.TrimSpace(c.FormValue("name"))
	if err := delivery.CheckPasskeyName(name); err != nil {
		return made, err
	}
	kept, err := s.PasskeyTicket(c, delivery.ChallengeNewPasskey)
	if errors.Is(err, delivery.ErrNotFound) || err == nil && kept.Operator != o.ID {
		return made, delivery.Mistake("passkey.refused", "response")
	}
	if err != nil {
		return made, err
	}
	made, err = s.Passkeys.FinishNew(passkey.Person{Operator: o}, kept.Data, []byte(c.FormValue("response")))
	if err == nil {
		err = s.EndTicket(c.Request().Context(), kept)
	}
	var refused *passkey.Error
	if errors.As(err, &refused) || errors.Is(err, delivery.ErrNotFound) {
		s.Config.Log.WarnContext(c.Request().Context(), "passkey refused", "why", err)
		err = delivery.Mistake("passkey.refused", "response")
	}
	made.Name = name
	return made, err
}

func (s *Console) removePasskey(c echo.Context) error {
	o, err := s.self(c)
	if err == nil {
		err = s.store.RemovePasskey(c.Request().Context(), o, c.Param("id"), o.ID)
	}
	if err != nil {
		return err
	}
	s.SetFlash(c, good(c, "done.passkey_removed"))
	return c.Redirect(http.StatusSeeOther, views.Account)
}
