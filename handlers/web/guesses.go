package web

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// placeCookie keeps a secret by which a browser is known where its person signed in before. It lets nobody in.
const placeCookie = "redrive_place"

// keepPlaceCookie is how long a browser keeps it.
const keepPlaceCookie = 180 * 24 * time.Hour

// placeOf is from where somebody tries a name. What is known of it is looked up only where it makes a difference.
func (s *Core) placeOf(c echo.Context, name string) (from place, err error) {
	from.address = c.RealIP()
	if !s.limit.strained(from.address, name) {
		return from, nil
	}
	secret, browser := s.placeSecret(c), false
	browser, from.known, err = s.store.KnownPlace(c.Request().Context(), name, secret, addressKey(from.address))
	if browser && secret != "" {
		sum := sha256.Sum256([]byte(secret))
		from.own = "browser " + hex.EncodeToString(sum[:])
	}
	return from, err
}

func (s *Core) placeSecret(c echo.Context) string {
	cookie, err := c.Cookie(HostCookie(placeCookie, s.Config))
	if err != nil || len(cookie.Value) > maxDevice {
		return ""
	}
	return cookie.Value
}

// rememberPlace makes a browser known as one of a person who has just signed in with it.
func (s *Core) rememberPlace(c echo.Context, o delivery.Operator) error {
	secret := s.placeSecret(c)
	if len(secret) != len(rand.Text()) {
		secret = rand.Text()
	}
	c.SetCookie(&http.Cookie{Name: HostCookie(placeCookie, s.Config), Value: secret, Path: "/", MaxAge: int(keepPlaceCookie.Seconds()),
		HttpOnly: true, Secure: s.Config.SecureCookies, SameSite: http.SameSiteLaxMode})
	return s.store.RememberPlace(c.Request().Context(), o, secret, addressKey(c.RealIP()))
}

// TryPassword reports whether a password is that of the person whose session makes a request. Its tries are the session's own: nobody
// else uses them up. Too many are a Problem.
func (s *Core) TryPassword(c echo.Context, o delivery.Operator, password string) (fits bool, err error) {
	_, wait, end := s.limit.begin(place{own: "session " + Who(c).Session}, o.ID)
	if wait > 0 {
		p := NewProblem(http.StatusTooManyRequests, "too_many_tries.password")
		p.RetryAfter = wait
		return false, p
	}
	defer func() { end(fits, true) }()
	fits, err = VerifyPassword(c.Request().Context(), o.PasswordHash, password)
	if err == nil && !fits {
		err = s.refused(c, refusal{"session.password-failed", "operator", o.Name, ""})
	}
	return fits, err
}
