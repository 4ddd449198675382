package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/views"
)

// askCode asks somebody whose password fits for a code. The page has a ticket for that, which is good for one try.
func (s *signIns) askCode(c echo.Context, o delivery.Operator, status int, page views.CodePage) error {
	page.Ticket = rand.Text()
	data, err := json.Marshal(o.Generation)
	if err != nil {
		return err
	}
	err = s.store.KeepChallenge(c.Request().Context(), page.Ticket, delivery.Challenge{Kind: delivery.ChallengeCode, Operator: o.ID, Data: data})
	if err != nil {
		return err
	}
	page.Layout = s.Layout(c, "title.code", views.SignIn)
	page.User, page.Role, page.Rights = "", "", nil
	return Render(c, status, views.CodeView(page))
}

// signInByCode takes the code after the password.
func (s *signIns) signInByCode(c echo.Context) error {
	ctx := c.Request().Context()
	page := views.SignInPage{Next: views.LocalPath(c.FormValue("next")), Kept: c.FormValue("kept")}
	o, err := s.ofTicket(ctx, c.FormValue("ticket"))
	if errors.Is(err, delivery.ErrNotFound) {
		page.Problem = Say(c, delivery.Say("sign_in.code.over"))
		return s.signInPage(c, http.StatusUnauthorized, page)
	}
	if err != nil {
		return err
	}
	details, err := from(c)
	if err != nil {
		return err
	}
	wrong, err := s.takeCode(ctx, o, c.FormValue("code"), details)
	if err != nil {
		return err
	}
	if wrong != "" {
		err := s.askCode(c, o, http.StatusUnauthorized, views.CodePage{Next: page.Next, Kept: page.Kept, Problem: Say(c, delivery.Say(wrong))})
		return errors.Join(err, s.store.FailCode(ctx, o, details))
	}
	err = s.open(c, o, delivery.Session{Method: delivery.SignInCode})
	if errors.Is(err, delivery.ErrNotFound) {
		page.Problem = Say(c, delivery.Say("sign_in.code.over"))
		return s.signInPage(c, http.StatusUnauthorized, page)
	}
	if err != nil {
		return err
	}
	s.limit.forgive(c.RealIP(), o.Name)
	return s.signedIn(c, o, page)
}

// ofTicket returns whose password was right when a ticket was given, as they were then, or delivery.ErrNotFound.
func (s *signIns) ofTicket(ctx context.Context, ticket string) (o delivery.Operator, err error) {
	kept, err := s.store.TakeChallenge(ctx, ticket, delivery.ChallengeCode)
	if err != nil || kept.Used {
		return o, errors.Join(err, delivery.ErrNotFound)
	}
	if o, err = s.store.Operator(ctx, kept.Operator); err != nil {
		return o, err
	}
	return o, json.Unmarshal(kept.Data, &o.Generation)
}

// takeCode reports by a phrase that a code of the app or for when it is lost does not fit.
func (s *signIns) takeCode(ctx context.Context, o delivery.Operator, code string, details json.RawMessage) (wrong string, err error) {
	err = s.store.UseRecoveryCode(ctx, o, RecoveryHash(code), details)
	if !errors.Is(err, delivery.ErrNotFound) {
		return "", err
	}
	known, err := s.store.CodeSecret(ctx, o.ID)
	if err != nil || !known.Confirmed {
		return "sign_in.code.wrong", ignoreMissing(err)
	}
	if known.Blocked {
		return "sign_in.code.blocked", nil
	}
	step, ok := CodeFits(known.Secret, code, s.Config.Now())
	if !ok {
		return "sign_in.code.wrong", nil
	}
	if err := s.store.UseCode(ctx, o.ID, step); err != nil {
		return "sign_in.code.wrong", ignoreMissing(err)
	}
	return "", nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, delivery.ErrNotFound) {
		return nil
	}
	return err
}
