package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// ItemsOnPage is how many items of an operation a page lists.
const ItemsOnPage = 50

// operationRoutes adds the pages of bulk actions.
func (s *Console) operationRoutes() {
	s.get(views.OperationNew, s.askOperation, delivery.PermitBulk)
	s.post(views.OperationNew, s.askOperation, delivery.PermitBulk)
	s.post(views.Operations, s.startByForm, delivery.PermitBulk)
	s.get(views.Operations, s.operations, delivery.PermitView)
	s.get(views.Operations+"/:id", s.operation, delivery.PermitView)
	s.get(views.Operations+"/:id/news", s.operationNews, delivery.PermitView)
	for _, step := range []string{"pause", "resume", "cancel", "pace"} {
		access := web.Permit(delivery.PermitBulk)
		if step == "pause" || step == "cancel" { // what stops something does not wait
			access = access.AnyTime()
		}
		s.Route(http.MethodPost, views.Operations+"/:id/"+step, access, s.steerByForm(step))
	}
	s.get(views.Operations+"/:id/:step", func(c echo.Context) error {
		return c.Redirect(http.StatusSeeOther, views.Operation(c.Param("id")))
	}, delivery.PermitView)
}

// NewToken names one form: carrying it out twice changes nothing the second time.
func NewToken() string { return uuid.Must(uuid.NewV7()).String() }

// askOperation shows what an action would do to a selection or to everything that a filter matches.
func (s *Console) askOperation(c echo.Context) error {
	page, request, err := s.operationAsked(c)
	if err != nil {
		return err
	}
	if len(page.Chosen) == 0 && page.Filter == nil {
		s.SetFlash(c, warn(c, "done.nothing_selected"))
		return c.Redirect(http.StatusSeeOther, page.Return)
	}
	if err := s.previewOperation(c, &page, request); err != nil {
		return err
	}
	page.Form.Token = NewToken()
	if page.Form.Pace == (views.PaceForm{}) && request.Action.Row().Queues {
		page.Form.Pace = views.Suggested(page.Dry.Eligible, page.Filter != nil && len(page.Filter.Groups) == 1)
	}
	return web.Render(c, http.StatusOK, views.OperationNewView(page.Titled()))
}

// previewOperation asks what would be selected, whatever is still to be typed.
func (s *Console) previewOperation(c echo.Context, page *views.OperationNewPage, r delivery.OperationRequest) (err error) {
	page.Dry, err = s.store.DryRun(c.Request().Context(),
		delivery.OperationRequest{Action: r.Action, Filter: r.Filter, Chosen: r.Chosen, Actor: r.Actor,
			Reason: "dry run", Category: delivery.IgnoreCategories[0]})
	page.Twice = 0
	for name, n := range page.Dry.UnsureOf {
		if !s.Named(name).Repeatable() {
			page.Twice += n
		}
	}
	return err
}

// operationAsked reads on what an action is to be done, and what was typed about it.
func (s *Console) operationAsked(c echo.Context) (page views.OperationNewPage, r delivery.OperationRequest, err error) {
	params, err := c.FormParams()
	if err != nil {
		return page, r, web.NewProblem(http.StatusBadRequest, "bad_form")
	}
	r.Action, r.Actor = delivery.Action(params.Get("action")), web.Who(c).ID
	if !slices.Contains(delivery.OperationActions, r.Action) {
		return page, r, web.Unprocessable("unknown_action.form", "action")
	}
	page = views.OperationNewPage{Layout: s.Layout(c, "", views.Operations), Return: views.LocalPath(params.Get("return"))}
	page.Form = views.OperationForm{ActionForm: formOf(c, r.Action), Token: params.Get("token"), Twice: params.Get(views.FieldTwice) != "",
		Pace: paceOf(params)}
	if _, everything := params["filter"]; everything {
		page.Filter, err = filterOf(params.Get("filter"), page.Layout)
		if err == nil {
			mine := page.Mine(*page.Filter)
			r.Filter = &mine
		}
		return page, r, err
	}
	if page.Chosen, err = parseSelection(params["id"], r.Action); err != nil {
		return page, r, err
	}
	r.Chosen = chosenOf(page.Chosen)
	return page, r, nil
}

// filterOf reads a filter that a form carries as the query of its address. Order and page do not belong to it.
func filterOf(text string, l views.Layout) (*delivery.Filter, error) {
	query, err := url.ParseQuery(text)
	if err != nil {
		return nil, web.Unprocessable("bad_filter", "filter")
	}
	for _, name := range []string{"after", "limit", "sort"} {
		query.Del(name)
	}
	filter, err := consoleFilter(query, l.Locale)
	if len(filter.States) == 0 {
		filter.States = []delivery.State{delivery.StateDead}
	}
	filter.Sort = ""
	return &filter, err
}

func chosenOf(rows []views.Selected) []delivery.Chosen {
	var out []delivery.Chosen
	for _, row := range rows {
		out = append(out, delivery.Chosen{ID: row.ID, Version: parseVersion(strings.Split(row.Value, ".")[1])})
	}
	return out
}

// startByForm freezes the set and leads to the operation. The same form again leads to the same operation.
func (s *Console) startByForm(c echo.Context) error {
	page, request, err := s.operationAsked(c)
	if err != nil {
		return err
	}
	var started delivery.Operation
	if err = s.fillOperation(c, page.Form, &request); err == nil && request.Action.Row().Queues && !page.Form.Twice {
		if err = s.previewOperation(c, &page, request); err == nil && page.Twice > 0 {
			err = web.Unprocessable("twice_required", views.FieldTwice)
		}
	}
	if err == nil {
		started, err = s.store.StartOperation(c.Request().Context(), request)
	}
	if err != nil {
		return s.refusedOperation(c, page, request, err)
	}
	s.Config.Wake()
	return c.Redirect(http.StatusSeeOther, views.Operation(started.ID))
}

// refusedOperation asks again, with what was typed.
func (s *Console) refusedOperation(
	c echo.Context,
	page views.OperationNewPage,
	request delivery.OperationRequest,
	err error,
) error {
	p, err := web.Mistake(err)
	if err != nil {
		return err
	}
	page.Form.Field, page.Form.Problem = p.Field, page.Say(p.Says)
	if err := s.previewOperation(c, &page, request); err != nil {
		return err
	}
	return web.Render(c, p.Status, views.OperationNewView(page.Titled()))
}

// fillOperation checks what was typed.
func (s *Console) fillOperation(c echo.Context, form views.OperationForm, r *delivery.OperationRequest) error {
	if !delivery.IsUUID(form.Token) {
		return web.Unprocessable("token_required", "token")
	}
	a, err := actionRequest(c, form.ActionForm)
	if err != nil {
		return err
	}
	r.ID, r.Reason, r.Category, r.End, r.Evidence = form.Token, a.Reason, a.Category, a.End, a.Evidence
	if r.Action.Row().Queues {
		r.Pace, err = ParsePace(form.Pace)
	}
	return err
}

func paceOf(params url.Values) views.PaceForm {
	text := func(name string) string { return strings.TrimSpace(params.Get(name)) }
	return views.PaceForm{
		Canary:    text("canary"),
		Rate:      text("rate"),
		RampTo:    text("ramp_to"),
		RampOver:  text("ramp_over"),
		StopAbove: text("stop_above"),
	}
}

// ParsePace reads a pace as it was typed.
func ParsePace(f views.PaceForm) (p delivery.Pace, err error) {
	canary, minutes, percent := 0.0, 0.0, 0.0
	err = web.FirstError(number(f.Canary, "canary", delivery.MaxCanary, &canary),
		number(f.Rate, "rate", delivery.MaxRate, &p.Rate), number(f.RampTo, "ramp_to", delivery.MaxRate, &p.RampTo),
		number(f.RampOver, "ramp_over", delivery.MaxRampOver.Minutes(), &minutes),
		number(strings.TrimSpace(strings.TrimSuffix(f.StopAbove, "%")), "stop_above", 100, &percent))
	p.Canary, p.RampOver, p.StopAbove = int(canary), time.Duration(minutes*float64(time.Minute)), percent/100
	switch {
	case err != nil:
	case canary != float64(p.Canary):
		err = web.Unprocessable("invalid_pace.form_canary", "canary")
	default:
		err = toldPace(p)
	}
	return p, err
}

// toldPace says in the form's words what is wrong with a pace whose numbers are within their bounds.
func toldPace(p delivery.Pace) error {
	var wrong *delivery.InputError
	switch err := p.Check(); {
	case !errors.As(err, &wrong):
		return err
	case wrong.Field == delivery.PaceRate:
		return web.Unprocessable("invalid_pace.form_ramp_from", "rate")
	case wrong.Field == delivery.PaceRampOver && p.RampTo > 0:
		return web.Unprocessable("invalid_pace.form_ramp_over", "ramp_over")
	case wrong.Field == delivery.PaceRampOver:
		return web.Unprocessable("invalid_pace.form_ramp_to", "ramp_to")
	case wrong.Field == delivery.PaceStopAbove:
		return web.Unprocessable("invalid_pace.form_stop_above", "stop_above")
	}
	return wrong
}

// number reads a number of a form; empty is 0. Each field has a phrase of its own.
func number(text, field string, most float64, into *float64) error {
	if text == "" {
		return nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n > 0) || n > most {
		return web.Unprocessable("invalid_pace.number."+field, field, "max", strconv.FormatFloat(most, 'f', -1, 64))
	}
	*into = n
	return nil
}

// operation is the page of one operation.
func (s *Console) operation(c echo.Context) error {
	return s.operationPage(c, http.StatusOK, views.SteerForm{})
}

func (s *Console) operationPage(c echo.Context, status int, form views.SteerForm) error {
	page := views.OperationPage{Layout: s.Layout(c, "", views.Operations), Outcome: c.QueryParam("outcome"),
		Integration: c.QueryParam("integration"), Steer: form}
	var err error
	if page.O, err = s.FindOperation(c); err != nil {
		return err
	}
	items, err := s.store.OperationItems(c.Request().Context(), page.O.ID,
		delivery.ItemFilter{Outcome: page.Outcome, Integration: page.Integration,
			After: c.QueryParam("after"), Limit: ItemsOnPage})
	if err != nil {
		return err
	}
	page.Items, page.Next = items.Items, nextURL(c.Request(), items.Next)
	if page.Next != "" {
		page.Next += "#items"
	}
	return web.Render(c, status, views.OperationView(page.Titled()))
}

// operationNews renews the part of an operation's page that moves.
func (s *Console) operationNews(c echo.Context) error {
	o, err := s.FindOperation(c)
	if err != nil {
		return err
	}
	return web.Render(c, http.StatusOK, views.OperationProgress(views.OperationPage{Layout: web.ReaderOf(c), O: o}))
}

// steerByForm pauses, resumes or cancels an operation, or changes its pace.
func (s *Console) steerByForm(what string) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !delivery.IsUUID(c.Param("id")) {
			return delivery.ErrNotFound
		}
		form, step, err := steerOf(c, what)
		if err == nil {
			_, err = s.store.SteerOperation(c.Request().Context(), step)
		}
		var conflict *delivery.OperationConflictError
		if errors.As(err, &conflict) {
			l := web.ReaderOf(c)
			form.Problem, form.Conflict = l.Say(conflict.Why)+" "+l.Say(conflict.Who())+".", true
			return s.operationPage(c, http.StatusConflict, form)
		}
		if err != nil {
			p, err := web.Mistake(withoutCanary(err))
			if err != nil {
				return err
			}
			form.Field, form.Problem = p.Field, web.Say(c, p.Says)
			return s.operationPage(c, p.Status, form)
		}
		s.Config.Wake()
		s.SetFlash(c, good(c, "done.operation."+what))
		return c.Redirect(http.StatusSeeOther, views.Operation(step.ID))
	}
}

// withoutCanary says at the field that whoever typed 0 may not.
func withoutCanary(err error) error {
	var lacks *delivery.RightError
	if errors.As(err, &lacks) && lacks.Missing == delivery.PermitSkipCanary {
		return web.Unprocessable("invalid_pace.skip_canary", delivery.PaceCanary)
	}
	return err
}

// steerOf reads a form that changes an operation.
func steerOf(c echo.Context, what string) (form views.SteerForm, step delivery.Steer, err error) {
	params, err := c.FormParams()
	if err != nil {
		return form, step, web.NewProblem(http.StatusBadRequest, "bad_form")
	}
	form = views.SteerForm{Step: what, Reason: params.Get("reason"), Pace: paceOf(params)}
	step = delivery.Steer{
		ID:      c.Param("id"),
		Actor:   web.Who(c).ID,
		Reason:  strings.TrimSpace(form.Reason),
		Version: parseVersion(params.Get("version")),
		Pause:   what == "pause",
		Resume:  what == "resume",
		Cancel:  what == "cancel",
	}
	switch {
	case step.Version < 1:
		err = web.Unprocessable("version_required", "reason")
	case len(step.Reason) > delivery.MaxReason:
		err = delivery.CheckReason(step.Reason)
	case what == "cancel" && step.Reason == "":
		err = web.Unprocessable("reason_required.cancel", "reason")
	case what == "resume" && form.Pace.Canary != "":
		n, bad := strconv.Atoi(form.Pace.Canary)
		if step.Canary = &n; bad != nil || n < 0 || n > delivery.MaxCanary {
			err = web.Unprocessable("invalid_pace.resume", delivery.PaceCanary, "max", delivery.MaxCanary)
		}
	case what == "pace":
		var pace delivery.Pace
		pace, err = ParsePace(form.Pace)
		step.Pace = &pace
	}
	return form, step, err
}

// operations lists operations, newest first.
func (s *Console) operations(c echo.Context) error {
	page := views.OperationsPage{
		Layout: s.Layout(c, "title.operations", views.Operations),
		State:  c.QueryParam("state"),
		Actor:  strings.TrimSpace(c.QueryParam("actor")),
	}
	filter := delivery.OperationFilter{Actor: page.Actor, After: c.QueryParam("after"), Limit: ItemsOnPage}
	if page.State != "" {
		filter.States = []delivery.OperationState{delivery.OperationState(page.State)}
	}
	rows, err := s.store.Operations(c.Request().Context(), filter)
	status := 0
	if page.Problem, status, err = told(c, err); err != nil {
		return err
	}
	page.Items, page.Next = rows.Items, nextURL(c.Request(), rows.Next)
	return web.Render(c, status, views.OperationsView(page))
}
