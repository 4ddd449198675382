package console

import (
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// saveView keeps a search under a name.
func (s *Console) saveView(c echo.Context) error {
	back := views.LocalPath(c.FormValue("return"))
	form := views.SaveForm{
		Name:   strings.TrimSpace(c.FormValue("name")),
		Search: strings.TrimSpace(c.FormValue("search")),
		Shared: c.FormValue("shared") != "",
	}
	err := checkView(form)
	if err == nil {
		_, err = s.store.SaveView(c.Request().Context(),
			delivery.SavedView{Owner: web.Who(c).ID, Name: form.Name, Search: form.Search, Shared: form.Shared})
	}
	if err == nil {
		s.SetFlash(c, good(c, "done.view_saved", "name", form.Name))
		return c.Redirect(http.StatusSeeOther, back)
	}
	p, err := web.Mistake(err)
	if err != nil {
		return err
	}
	form.Field, form.Problem = p.Field, web.Say(c, p.Says)
	if form.Field != "search" {
		form.Field = "name"
	}
	page := views.FailuresPage{Layout: s.Layout(c, "title.failures", views.Failures), Save: form}
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
		return web.Unprocessable("name_required", "name")
	case utf8.RuneCountInString(form.Name) > delivery.MaxViewName:
		return web.Unprocessable("too_long.name", "name", "max", delivery.MaxViewName)
	case form.Search == "":
		return web.Unprocessable("search_required", "search")
	}
	_, err := delivery.ParseSearch(form.Search, time.Now(), time.UTC)
	if err != nil {
		p, other := web.Mistake(err)
		if other != nil {
			return other
		}
		return web.ProblemSaying(http.StatusUnprocessableEntity, "bad_search", "search", p.Says)
	}
	return nil
}

// deleteView forgets a saved search.
func (s *Console) deleteView(c echo.Context) error {
	if !delivery.IsUUID(c.Param("id")) {
		return delivery.ErrNotFound
	}
	err := s.store.DeleteView(c.Request().Context(), c.Param("id"), web.Who(c).ID)
	if err != nil {
		return err
	}
	s.SetFlash(c, good(c, "done.view_deleted"))
	return c.Redirect(http.StatusSeeOther, views.LocalPath(c.FormValue("return")))
}
