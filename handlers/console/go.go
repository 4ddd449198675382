package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// goAnywhere answers what is typed with what it names, and what the page offers that one comes from.
func (s *Console) goAnywhere(c echo.Context) error {
	page := views.GoPage{Layout: s.Layout(c, "title.go", ""), Asked: strings.TrimSpace(c.QueryParam("q")), From: cameFrom(c),
		Names: s.integrationNames(c)}
	if len(page.Asked) > delivery.MaxKey || !utf8.ValidString(page.Asked) || strings.ContainsRune(page.Asked, 0) {
		return web.BadParameter("invalid_parameter.text", "q", "name", "q")
	}
	if page.May(delivery.PermitView) {
		var err error
		if page.Asked != "" {
			page.Named, err = s.named(c, page.Asked)
		}
		if err = errors.Join(err, s.offered(c, &page)); err != nil {
			return err
		}
	}
	if c.Request().Header.Get(echo.HeaderAccept) == echo.MIMEApplicationJSON {
		return c.JSON(http.StatusOK, map[string]any{"items": page.Answers()})
	}
	return web.Render(c, http.StatusOK, views.GoView(page))
}

// cameFrom is the local address of the page that somebody comes from: as the script says, else as the browser does.
func cameFrom(c echo.Context) string {
	if from := c.QueryParam("from"); from != "" {
		return views.LocalPath(from)
	}
	if before, err := url.Parse(c.Request().Referer()); err == nil && before.Host == c.Request().Host {
		return views.LocalPath(before.RequestURI())
	}
	return views.Overview
}

// offered reads what the page is about that the reader comes from.
func (s *Console) offered(c echo.Context, page *views.GoPage) error {
	from, err := url.Parse(page.From)
	if err != nil {
		return nil
	}
	id, isFailure := strings.CutPrefix(from.Path, views.Failures+"/")
	name, isIntegration := strings.CutPrefix(from.Path, views.Integrations+"/")
	switch {
	case isFailure && delivery.IsUUID(id):
		d, err := s.store.Delivery(c.Request().Context(), id)
		if errors.Is(err, delivery.ErrNotFound) {
			return nil
		}
		page.D = d.Delivery
		return err
	case isIntegration && s.Named(name).Name != "" && page.Rights.Scope(delivery.PermitView).Has(name):
		page.Integration = name
	case from.Path == views.Failures:
		if f, err := consoleFilter(from.Query(), page.Locale); err == nil {
			f = unpaged(f)
			page.Filter = &f
		}
	}
	return nil
}
