package handlers

import (
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/views"
)

// saveView keeps a search under a name.
func (s *Server) saveView(c echo.Context) error {
	back := views.LocalPath(c.FormValue("return"))
	form := views.SaveForm{Name: strings.TrimSpace(c.FormValue("name")), Search: strings.TrimSpace(c.FormValue("search")), Shared: c.FormValue("shared") != ""}
	err := checkView(form)
	if err == nil {
		_, err = s.cfg.Store.SaveView(c.Request().Context(), delivery.SavedView{Owner: who(c).Name, Name: form.Name, Search: form.Search, Shared: form.Shared})
	}
	if err == nil {
		s.setFlash(c, good(c, "done.view_saved", "name", form.Name))
		return c.Redirect(http.StatusSeeOther, back)
	}
	p, err := mistake(err)
	if err != nil {
		return err
	}
	form.Field, form.Problem = p.Field, say(c, p.says)
	if form.Field != "search" {
		form.Field = "name"
	}
	page := views.FailuresPage{Layout: s.layout(c, "title.failures", views.Failures), Save: form}
	page.Here = back
	if u, err := url.Parse(back); err == nil {
		page.Filter, _ = consoleFilter(u.Query(), page.Locale)
	}
	page.Search = page.Filter.SearchText()
	return s.failuresPage(c, page, nil)
}

func checkView(form views.SaveForm) error {
	switch {
	case form.Name == "":
		return unprocessable("name_required", "name")
	case utf8.RuneCountInString(form.Name) > delivery.MaxViewName:
		return unprocessable("too_long.name", "name", "max", delivery.MaxViewName)
	case form.Search == "":
		return unprocessable("search_required", "search")
	}
	_, err := delivery.ParseSearch(form.Search, time.Now(), time.UTC)
	if err != nil {
		p, other := mistake(err)
		if other != nil {
			return other
		}
		return problemSaying(http.StatusUnprocessableEntity, "bad_search", "search", p.says)
	}
	return nil
}

// deleteView forgets a saved search.
func (s *Server) deleteView(c echo.Context) error {
	if !delivery.IsUUID(c.Param("id")) {
		return delivery.ErrNotFound
	}
	err := s.cfg.Store.DeleteView(c.Request().Context(), c.Param("id"), who(c).Name, who(c).Role.Allows(delivery.RoleAdmin))
	if err != nil {
		return err
	}
	s.setFlash(c, good(c, "done.view_deleted"))
	return c.Redirect(http.StatusSeeOther, views.LocalPath(c.FormValue("return")))
}
