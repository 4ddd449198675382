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
		s.setFlash(c, views.Flash{Kind: "good", Text: s.quietLayout(c).T("Saved as %s.", form.Name)})
		return c.Redirect(http.StatusSeeOther, back)
	}
	p, err := mistake(err)
	if err != nil {
		return err
	}
	form.Field, form.Problem = p.Field, p.Detail
	if form.Field != "search" {
		form.Field = "name"
	}
	page := views.FailuresPage{Layout: s.layout(c, "Failures", views.Failures), Save: form}
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
		return unprocessable("name_required", "name", "Give it a name.")
	case utf8.RuneCountInString(form.Name) > delivery.MaxViewName:
		return unprocessable("too_long", "name", "A name may have %d characters.", delivery.MaxViewName)
	case form.Search == "":
		return unprocessable("search_required", "search", "Search for something first: everything is the list itself.")
	}
	_, err := delivery.ParseSearch(form.Search, time.Now(), time.UTC)
	if err != nil {
		p, other := mistake(err)
		if other != nil {
			return other
		}
		return unprocessable("bad_search", "search", "%s", p.Detail)
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
	s.setFlash(c, views.Flash{Kind: "good", Text: "The saved search is deleted."})
	return c.Redirect(http.StatusSeeOther, views.LocalPath(c.FormValue("return")))
}
