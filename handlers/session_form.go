package handlers

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/views"
)

// maxKept is the largest form that the sign-in page carries for whoever was signed out while typing.
const maxKept = 600 << 10

// isForm says whether a request is a form of the console that somebody filled in.
func isForm(r *http.Request) bool {
	return r.Method == http.MethodPost && !isAPI(r) && strings.HasPrefix(r.Header.Get(echo.HeaderContentType), echo.MIMEApplicationForm)
}

// keepForm asks who it is without losing what was typed: the sign-in page carries the form along.
func (s *Server) keepForm(c echo.Context) error {
	params, err := c.FormParams()
	kept := params.Encode()
	if err != nil || len(kept) > maxKept {
		return c.Redirect(http.StatusSeeOther, signInURL(c.Request()))
	}
	page := views.SignInPage{Next: c.Request().URL.Path, Kept: base64.RawURLEncoding.EncodeToString([]byte(kept))}
	page.Layout = s.layout(c, "Sign in", views.SignIn)
	page.User, page.Role = "", ""
	return render(c, http.StatusUnauthorized, views.SignInView(page))
}

// goOn gives a kept form back. Nothing is sent by itself: whoever signed in may be somebody else.
func (s *signIns) goOn(c echo.Context, o delivery.Operator, in views.SignInPage) error {
	raw, err := base64.RawURLEncoding.DecodeString(in.Kept)
	if err != nil {
		return c.Redirect(http.StatusSeeOther, views.Overview)
	}
	params, err := url.ParseQuery(string(raw))
	if err != nil {
		return c.Redirect(http.StatusSeeOther, views.Overview)
	}
	c.Set(principalKey, principal{Name: o.Name, Role: o.Role})
	return render(c, http.StatusOK, views.GoOnView(views.GoOnPage{Layout: s.layout(c, "Go on?", ""), To: in.Next, Fields: params}))
}
