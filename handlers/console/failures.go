package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

const (
	newsLimit    = 100
	maxSelection = delivery.MaxPage
)

// failures lists what waits for a person. A search that was typed becomes an address first, so that the address says everything: of the
// one failure that it names, else of its parts.
func (s *Console) failures(c echo.Context) error {
	l := s.Layout(c, "title.failures", views.Failures)
	if typed, searched := c.QueryParams()["search"]; searched {
		text := strings.TrimSpace(typed[0])
		filter, err := delivery.ParseSearch(text, time.Now(), l.Zone)
		if err != nil || filter.IsPlain() {
			named, failed := s.named(c, text)
			if named != "" || failed != nil {
				return sent(c, named, failed)
			}
		}
		if err != nil {
			return s.failuresPage(c, views.FailuresPage{Layout: l, Search: text}, err)
		}
		return c.Redirect(http.StatusSeeOther, views.FailureList(filter))
	}
	filter, err := consoleFilter(c.QueryParams(), l.Locale)
	return s.failuresPage(c, views.FailuresPage{Layout: l, Filter: filter, Search: filter.SearchText()}, err)
}

func sent(c echo.Context, address string, err error) error {
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, address)
}

// failuresPage shows a list, or what is wrong with the question for it.
func (s *Console) failuresPage(c echo.Context, page views.FailuresPage, wrong error) (err error) {
	ctx := c.Request().Context()
	if page.Look, err = s.store.Look(ctx, page.UserID); err != nil {
		return err
	}
	if wrong == nil {
		var rows delivery.Page[delivery.Delivery]
		rows, wrong = s.store.Failures(ctx, page.Mine(page.Filter))
		page.Items, page.Next = rows.Items, nextURL(c.Request(), rows.Next)
	}
	problem, status, err := told(c, wrong)
	if page.Problem = problem; err == nil && wrong == nil {
		err = s.countsOf(ctx, &page)
	}
	if err != nil {
		return err
	}
	if page.Save.Problem == "" {
		page.Save.Search = page.Search
	} else {
		status = http.StatusUnprocessableEntity
	}
	if len(page.Items) == 0 && page.Search != "" && page.Filter.After == "" {
		s.meant(c, &page)
	}
	if page.Views, err = s.store.SavedViews(ctx, page.UserID); err != nil {
		return err
	}
	if page.Filter.Key != "" {
		page.Title = page.Say(delivery.Say("title.key", "key", views.Excerpt(page.Filter.Key, 60)))
	}
	return web.Render(c, status, views.FailuresView(page))
}

// failuresSeen notes until when somebody has seen what fails. The list that they look at stays.
func (s *Console) failuresSeen(c echo.Context) error {
	until, err := time.Parse(time.RFC3339Nano, c.FormValue("until"))
	if err != nil {
		return web.Unprocessable("invalid_parameter.time", "until", "name", "until")
	}
	if err := s.store.Seen(c.Request().Context(), web.Who(c).ID, until); err != nil {
		return err
	}
	s.SetFlash(c, good(c, "done.seen"))
	return c.Redirect(http.StatusSeeOther, views.LocalPath(c.FormValue("return")))
}

// consoleFilter reads a filter from an address. Beyond what the API takes, alternatives may be joined by commas, and times
// may be written as the browser's fields do, in the reader's zone.
func consoleFilter(query url.Values, l views.Locale) (delivery.Filter, error) {
	q := url.Values{}
	for name, values := range query {
		if values = web.Given(values); len(values) > 0 {
			q[name] = values
		}
	}
	for _, name := range []string{"state", "integration", "error_class", "method"} {
		if len(q[name]) > 0 {
			q[name] = web.Given(strings.Split(strings.Join(q[name], ","), ","))
		}
	}
	if slices.Equal(q["state"], []string{delivery.AnyState}) {
		q["state"] = nil
		for _, state := range delivery.States {
			q.Add("state", string(state))
		}
	}
	localTime(q, "from", l)
	localTime(q, "to", l)
	f, err := web.FailureFilter(q, web.FailureParams)
	if f.Sort == delivery.SortNewest {
		f.Sort = "" // need not be said
	}
	return f, err
}

const fieldTime = "2006-01-02T15:04:05"

// localTime turns a time of the query into RFC 3339 for the filter and returns it as a form field shows it.
func localTime(q url.Values, name string, l views.Locale) string {
	text := q.Get(name)
	if text == "" {
		return ""
	}
	at, ok := parseLocal(text, l.Zone)
	if !ok {
		return text // the filter will say what is wrong
	}
	q.Set(name, at.UTC().Format(time.RFC3339Nano))
	return at.In(l.Zone).Format(fieldTime)
}

func parseLocal(text string, zone *time.Location) (time.Time, bool) {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, true
	}
	for _, layout := range []string{"2006-01-02T15:04", fieldTime, "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, text, zone); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// failuresNews counts what came since a list was rendered. The page announces it; the person decides.
func (s *Console) failuresNews(c echo.Context) error {
	l := web.ReaderOf(c)
	filter, err := consoleFilter(c.QueryParams(), l.Locale)
	if err != nil {
		return err
	}
	text, err := s.newsText(c.Request().Context(), l.Locale, l.Mine(filter))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]string{"text": text})
}

// parseSelection reads the values of the checkboxes: what the person saw.
func parseSelection(values []string, action delivery.Action) ([]views.Selected, error) {
	values = strings.Fields(strings.Join(values, views.Chosen)) // the box of a fold has the values of all of its rows
	values = slices.Compact(slices.Sorted(slices.Values(values)))
	if len(values) > maxSelection {
		return nil, web.BadField(http.StatusUnprocessableEntity, "too_many.rows", "id", "max", maxSelection)
	}
	var out []views.Selected
	for _, v := range values {
		parts := strings.Split(v, ".")
		if len(parts) != 5 || !delivery.IsUUID(parts[0]) || parseVersion(parts[1]) < 0 {
			return nil, web.BadField(http.StatusUnprocessableEntity, "bad_selection.form", "id")
		}
		state := delivery.State(parts[2])
		out = append(out, views.Selected{
			Value:       v,
			ID:          parts[0],
			Integration: parts[4],
			State:       state,
			Fits:        slices.Contains(action.From(), state),
			Unsure:      parts[3] == views.Unsure,
		})
	}
	return out, nil
}

// parseVersion returns -1 for what is no version.
func parseVersion(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return -1
	}
	return n
}
