package web

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/views"
)

// Bounds of the form that the sign-in page carries for whoever was signed out while typing. Strangers can send it, too.
const (
	maxKept       = 3 << 20 // as it was sent
	KeptBodyLimit = 3 << 20 // packed, with name and password
)

// notKept are fields that no page may show: a form with one is typed again, rather than carried through the sign-in.
var notKept = []string{"secret"}

// isForm reports whether a request is a form of the console that somebody filled in.
func isForm(r *http.Request) bool {
	return r.Method == http.MethodPost && !isAPI(r) &&
		strings.HasPrefix(r.Header.Get(echo.HeaderContentType), echo.MIMEApplicationForm)
}

// keepForm asks who it is without losing what was typed: the sign-in page carries the form along.
func (s *Core) keepForm(c echo.Context) error {
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, maxKept)
	params, err := c.FormParams()
	kept := ""
	if err == nil && !slices.ContainsFunc(notKept, params.Has) {
		kept, err = pack(params)
	}
	if err != nil || len(kept) > KeptBodyLimit-FormBodyLimit/2 {
		return c.Redirect(http.StatusSeeOther, signInURL(r))
	}
	return s.signInPage(c, http.StatusUnauthorized, views.SignInPage{Next: r.URL.Path, Kept: kept, Name: Who(c).Name, Again: Who(c).ID != ""})
}

// goOn gives a kept form back. Nothing is sent by itself: whoever signed in may be somebody else.
func (s *signIns) goOn(c echo.Context, o delivery.Operator, in views.SignInPage) error {
	params, err := unpack(in.Kept)
	if err != nil {
		return c.Redirect(http.StatusSeeOther, views.Overview)
	}
	c.Set(principalKey, principal{ID: o.ID, Name: o.Name, Role: o.Role, Rights: o.Rights()})
	return Render(c, http.StatusOK,
		views.GoOnView(views.GoOnPage{Layout: s.Layout(c, "title.go_on", ""), To: in.Next, Fields: params}))
}

// pack writes a form as one field of another.
func pack(params url.Values) (string, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, params.Encode()); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(out.Bytes()), nil
}

// unpack reads what pack wrote, or what a stranger made up.
func unpack(text string) (url.Values, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	form, err := io.ReadAll(io.LimitReader(r, 2*maxKept))
	if err != nil {
		return nil, fmt.Errorf("unpacking a form: %w", err)
	}
	return url.ParseQuery(string(form))
}
