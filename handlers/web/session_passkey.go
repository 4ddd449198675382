package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web/passkey"
	"redrive/views"
)

// BeginPasskey answers a script with what the browser needs, and a ticket for what comes of it.
func (s *Core) BeginPasskey(c echo.Context, kind delivery.ChallengeKind, operator string, options, session []byte) error {
	ticket, err := s.giveTicket(c.Request().Context(), kind, "", operator, session)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return c.JSON(http.StatusOK, map[string]any{"ticket": ticket, "options": json.RawMessage(options)})
}

// PasskeyTicket returns what BeginPasskey gave, or delivery.ErrNotFound. Whoever takes what comes of it ends it (EndTicket).
func (s *Core) PasskeyTicket(c echo.Context, kind delivery.ChallengeKind) (Ticket, error) {
	return s.openTicket(c.Request().Context(), kind, "", c.FormValue("ticket"))
}

// PersonWithPasskeys returns a person of an id with all passkeys.
func (s *Core) PersonWithPasskeys(ctx context.Context, id string) (p passkey.Person, err error) {
	if p.Operator, err = s.store.Operator(ctx, id); err == nil {
		p.Passkeys, err = s.store.Passkeys(ctx, id)
	}
	return p, err
}

func (s *signIns) beginPasskey(c echo.Context) error {
	options, session, err := s.Passkeys.BeginSignIn()
	if err != nil {
		return err
	}
	return s.BeginPasskey(c, delivery.ChallengePasskey, "", options, session)
}

// signInByPasskey lets in whoever shows a passkey.
func (s *signIns) signInByPasskey(c echo.Context) error {
	ctx := c.Request().Context()
	page := views.SignInPage{Next: views.LocalPath(c.FormValue("next")), Kept: c.FormValue("kept")}
	kept, err := s.PasskeyTicket(c, delivery.ChallengePasskey)
	if err != nil {
		return s.refusePasskey(c, page, delivery.Operator{}, err)
	}
	p, used, err := s.Passkeys.FinishSignIn(kept.Data, []byte(c.FormValue("response")), func(id string) (passkey.Person, error) {
		return s.PersonWithPasskeys(ctx, id)
	})
	if err == nil && (p.DisabledAt != nil || !p.IsLocal()) {
		err = delivery.ErrNotFound
	}
	if err == nil {
		err = s.EndTicket(ctx, kept)
	}
	if err == nil {
		err = s.store.UsePasskey(ctx, used)
	}
	if err == nil {
		err = s.open(c, p.Operator, delivery.Session{Method: delivery.SignInPasskey})
	}
	if err != nil {
		return s.refusePasskey(c, page, p.Operator, err)
	}
	return s.signedIn(c, p.Operator, page)
}

// refusePasskey says that nobody is let in, and writes down why where it is known of whom it was.
func (s *signIns) refusePasskey(c echo.Context, page views.SignInPage, o delivery.Operator, why error) error {
	var refused *passkey.Error
	if !errors.As(why, &refused) && !errors.Is(why, delivery.ErrNotFound) {
		return why
	}
	page.Problem = Say(c, delivery.Say("sign_in.passkey"))
	err := s.signInPage(c, http.StatusUnauthorized, page)
	if o.ID == "" || !s.limit.mayAudit(c.RealIP()) {
		s.Config.Log.WarnContext(c.Request().Context(), "sign-in refused: passkey", "request_id", requestID(c), "why", why, "from", c.RealIP())
		return err
	}
	details, detailsErr := json.Marshal(map[string]string{"from": c.RealIP(), "why": views.Excerpt(delivery.OneLine(why.Error()), maxDevice)})
	return errors.Join(err, detailsErr, s.store.Record(c.Request().Context(), delivery.AuditEntry{Actor: delivery.ActorAnonymous,
		Action: "session.sign-in-failed", SubjectType: "operator", Subject: o.Name, Details: details}))
}
