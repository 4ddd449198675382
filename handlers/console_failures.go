package handlers

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/views"
)

const (
	newsLimit    = 100
	maxSelection = maxLimit
	flashLines   = 30
)

// failures lists what waits for a person.
func (s *Server) failures(c echo.Context) error {
	page := views.FailuresPage{Layout: s.layout(c, "Failures", views.Failures), Names: s.integrationNames()}
	form, filter, err := consoleFilter(c.QueryParams(), page.Locale)
	page.Filter = form
	var rows delivery.Page[delivery.Delivery]
	if err == nil {
		rows, err = s.cfg.Store.Failures(c.Request().Context(), filter)
	}
	status := http.StatusOK
	if err != nil {
		p, err := mistake(err)
		if err != nil {
			return err
		}
		page.Problem, status = p.Detail, p.Status
	}
	page.Items, page.Next = rows.Items, nextURL(c.Request(), rows.Next)
	return render(c, status, views.FailuresView(page))
}

// consoleFilter reads a filter from an address. Beyond what the API takes, alternatives may be joined by commas, and times
// may be written as the browser's fields do, in the reader's zone.
func consoleFilter(query url.Values, l views.Locale) (views.FilterForm, delivery.Filter, error) {
	q := url.Values{}
	for name, values := range query {
		if values = given(values); len(values) > 0 {
			q[name] = values
		}
	}
	form := views.FilterForm{Group: q.Get("group"), Key: q.Get("key"), Query: q.Get("q"), Sort: q.Get("sort"), Limit: q.Get("limit"), After: q.Get("after")}
	for name, into := range map[string]*string{"state": &form.State, "integration": &form.Integration, "error_class": &form.ErrorClass} {
		*into = strings.Join(q[name], ",")
		if *into != "" {
			q[name] = strings.Split(*into, ",")
		}
	}
	if form.State == "" {
		form.State = string(delivery.StateDead)
	}
	form.From, form.To = localTime(q, "from", l), localTime(q, "to", l)
	if form.Sort == string(delivery.SortNewest) {
		form.Sort = ""
	}
	filter, err := failureFilter(q, failureParams)
	if len(filter.States) == 0 {
		filter.States = []delivery.State{delivery.StateDead}
	}
	return form, filter, err
}

const fieldTime = "2006-01-02T15:04:05"

// localTime turns a time of the query into RFC 3339 for the filter and answers it as a form field shows it.
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
func (s *Server) failuresNews(c echo.Context) error {
	l := views.Locale{Lang: "en", Zone: time.UTC}
	_, filter, err := consoleFilter(c.QueryParams(), l)
	if err != nil {
		return err
	}
	filter.Limit = newsLimit
	rows, err := s.cfg.Store.Failures(c.Request().Context(), filter)
	if err != nil {
		return err
	}
	text := ""
	switch n := len(rows.Items); {
	case n > 0 && rows.Next != "":
		text = l.T("More than %d new – show", n)
	case n > 0:
		text = l.N(n, "%s new – show", "%s new – show")
	}
	return c.JSON(http.StatusOK, map[string]string{"text": text})
}

// actOnSelection first asks, then acts on each chosen delivery by itself.
func (s *Server) actOnSelection(c echo.Context) error {
	params, err := c.FormParams()
	if err != nil {
		return newProblem(http.StatusBadRequest, "bad_form", "The form could not be read. Go back and try again.")
	}
	action, back := delivery.Action(params.Get("action")), views.LocalPath(params.Get("return"))
	if !slices.Contains([]delivery.Action{delivery.ActionRetry, delivery.ActionIgnore, delivery.ActionResolve, delivery.ActionReopen}, action) {
		return badField(http.StatusUnprocessableEntity, "unknown_action", "action", "There is no such action.")
	}
	chosen, err := parseSelection(params["id"], action)
	if err != nil {
		return err
	}
	if len(chosen) == 0 {
		s.setFlash(c, views.Flash{Kind: "warn", Text: "Nothing was selected: tick the rows first."})
		return c.Redirect(http.StatusSeeOther, back)
	}
	form := formOf(c, action)
	if params.Get("confirm") == "" {
		return s.selectionPage(c, http.StatusOK, form, chosen, back)
	}
	request, err := actionRequest(c, form)
	if err != nil {
		p, err := mistake(err)
		if err != nil {
			return err
		}
		form.Field, form.Problem = p.Field, p.Detail
		return s.selectionPage(c, p.Status, form, chosen, back)
	}
	s.setFlash(c, s.actOnAll(c, request, chosen))
	return c.Redirect(http.StatusSeeOther, back)
}

// parseSelection reads the values of the checkboxes: what the person saw.
func parseSelection(values []string, action delivery.Action) ([]views.Selected, error) {
	if len(values) > maxSelection {
		return nil, badField(http.StatusUnprocessableEntity, "too_many", "id", "Choose at most %d rows at once.", maxSelection)
	}
	var out []views.Selected
	for _, v := range values {
		parts := strings.Split(v, ".")
		if len(parts) != 5 || !isUUID(parts[0]) || parseVersion(parts[1]) < 0 {
			return nil, badField(http.StatusUnprocessableEntity, "bad_selection", "id", "The selection could not be read. Go back, reload the list and choose again.")
		}
		state := delivery.State(parts[2])
		out = append(out, views.Selected{Value: v, ID: parts[0], Integration: parts[4], State: state, Fits: slices.Contains(action.From(), state),
			Unsure: parts[3] == views.Unsure})
	}
	return out, nil
}

// parseVersion answers -1 for what is no version.
func parseVersion(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

func (s *Server) selectionPage(c echo.Context, status int, form views.ActionForm, chosen []views.Selected, back string) error {
	titles := map[delivery.Action]string{delivery.ActionRetry: "Retry these?", delivery.ActionIgnore: "Ignore these?",
		delivery.ActionResolve: "Resolve these?", delivery.ActionReopen: "Reopen these?"}
	page := views.SelectionPage{Layout: s.layout(c, titles[form.Action], views.Failures), Form: form, Items: chosen, Return: back}
	for _, item := range chosen {
		if item.Fits {
			page.Eligible++
		}
		if item.Fits && item.Unsure {
			page.Unsure++
		}
	}
	return render(c, status, views.SelectionView(page))
}

// actOnAll reports honestly: how many changed, and for each that did not, who was faster.
func (s *Server) actOnAll(c echo.Context, request delivery.ActionRequest, chosen []views.Selected) views.Flash {
	l := s.layout(c, "", "").Locale
	done, refused := 0, []views.FlashLine{}
	for n, item := range chosen {
		request.ID, request.Version = item.ID, parseVersion(strings.Split(item.Value, ".")[1])
		_, err := s.cfg.Store.Act(c.Request().Context(), request)
		if err == nil {
			done++
			continue
		}
		p := problemOf(err)
		if p.Status >= http.StatusInternalServerError {
			s.cfg.Log.ErrorContext(c.Request().Context(), "acting on a selection", "request_id", requestID(c), "delivery", item.ID, "error", err)
			refused = append(refused, views.FlashLine{Text: l.T("Stopped by an internal error; %d were not tried. Request id %s.", len(chosen)-n, requestID(c)), Href: views.Failure(item.ID)})
			break
		}
		refused = append(refused, views.FlashLine{Text: views.Short(item.ID) + ": " + p.Detail, Href: views.Failure(item.ID)})
	}
	if done > 0 && request.Action == delivery.ActionRetry {
		s.cfg.Wake()
	}
	return selectionFlash(l, request.Action, done, len(chosen), refused)
}

func selectionFlash(l views.Locale, action delivery.Action, done, of int, refused []views.FlashLine) views.Flash {
	texts := map[delivery.Action]string{
		delivery.ActionRetry:   "Retry requested for %d of %d. They count as delivered when the receivers confirm.",
		delivery.ActionIgnore:  "%d of %d ignored.",
		delivery.ActionResolve: "%d of %d resolved.",
		delivery.ActionReopen:  "%d of %d reopened.",
	}
	f := views.Flash{Kind: "good", Text: l.T(texts[action], done, of), Lines: refused}
	if len(refused) > 0 {
		f.Kind = "warn"
	}
	if more := len(refused) - flashLines; more > 0 {
		f.Lines = append(refused[:flashLines:flashLines], views.FlashLine{Text: l.T("and %d more", more), Href: views.Failures})
	}
	return f
}
