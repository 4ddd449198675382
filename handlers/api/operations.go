package api

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
)

var (
	operationListParams = []string{"state", "actor", "after", "limit"}
	operationItemParams = []string{"outcome", "integration", "after", "limit"}
	operationStates     = []delivery.OperationState{
		delivery.OperationRunning,
		delivery.OperationPaused,
		delivery.OperationCancelled,
		delivery.OperationFinished,
	}
	itemOutcomes = []string{"waiting", "released", "succeeded", "failed", "skipped", "cancelled"}
)

// operationRoutes adds the routes of bulk actions.
func (s *API) operationRoutes() {
	s.post("/operations", s.startOperation, delivery.PermitView) // a dry run only looks
	s.get("/operations", s.listOperations, delivery.PermitView)
	s.get("/operations/:id", s.showOperation, delivery.PermitView)
	s.get("/operations/:id/items", s.listOperationItems, delivery.PermitView)
	s.route(http.MethodPatch, "/operations/:id", web.Permit(delivery.PermitBulk), s.paceOperation)
	stop := web.Permit(delivery.PermitBulk).AnyTime() // what stops something waits for no sign-in
	s.route(http.MethodPost, "/operations/:id/pause", stop, s.steerOperation(func(step *delivery.Steer) { step.Pause = true }))
	s.post("/operations/:id/resume", s.steerOperation(func(step *delivery.Steer) { step.Resume = true }), delivery.PermitBulk)
	s.route(http.MethodPost, "/operations/:id/cancel", stop, s.steerOperation(func(step *delivery.Steer) { step.Cancel = true }))
}

// startOperation freezes a set and returns the operation, or says what one would select.
func (s *API) startOperation(c echo.Context) error {
	if err := web.OnlyParams(c.QueryParams()); err != nil {
		return err
	}
	body, err := web.ReadJSONBody(c.Request())
	if err != nil {
		return err
	}
	request, dry, err := parseOperation(body, time.Now())
	if err != nil {
		return err
	}
	request.Actor = web.Who(c).ID
	if request.Filter != nil {
		f := web.Mine(c, *request.Filter)
		request.Filter = &f
	}
	if dry {
		return s.answerDryRun(c, request)
	}
	if missing := web.Who(c).Rights.Missing(delivery.BulkNeeds(request.Action, !request.ForGood)...); missing != "" {
		return web.Forbidden(missing)
	}
	if request.ID, err = operationID(c); err != nil {
		return err
	}
	started, err := s.store.StartOperation(c.Request().Context(), request)
	if err != nil {
		return err
	}
	s.Config.Wake()
	c.Response().Header().Set(echo.HeaderLocation, "/api/v1/operations/"+started.ID)
	return c.JSON(http.StatusAccepted, operationJSONOf(started))
}

// operationID is the idempotency key, so that the same request again answers the same operation; a key that is no UUID makes one.
func operationID(c echo.Context) (string, error) {
	key, err := web.RequestKey(c)
	if key == "" || err != nil {
		return "", err
	}
	if id := strings.ToLower(key); delivery.IsUUID(id) {
		return id, nil
	}
	return web.KeyedID(web.Who(c).ID, "operation", key), nil
}

func (s *API) answerDryRun(c echo.Context, request delivery.OperationRequest) error {
	run, err := s.store.DryRun(c.Request().Context(), request)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, DryRunJSON{
		Eligible:     run.Eligible,
		Excluded:     counts(run.Excluded),
		Integrations: counts(run.Integrations),
		Unsure:       run.Unsure,
	})
}

func parseOperation(body []byte, now time.Time) (r delivery.OperationRequest, dry bool, err error) {
	var action string
	var ramp float64
	err = web.DecodeObject(body, paceFields(&r.Pace, &ramp).And(web.EndFields(&r.End)).And(web.Fields{
		"action":   web.TextField("action", delivery.MaxCategory, &action),
		"filter":   FilterField(&r.Filter),
		"ids":      web.ListField("ids", delivery.MaxChosen, chosenInto(&r.Chosen)),
		"reason":   web.TextField("reason", delivery.MaxReason, &r.Reason),
		"category": web.TextField("category", delivery.MaxCategory, &r.Category),
		"evidence": web.TextField("evidence", delivery.MaxEvidence, &r.Evidence),
		"dry_run":  web.TruthField("dry_run", &dry),
	}))
	if err != nil {
		return r, dry, err
	}
	r.Action, r.Pace.RampOver = delivery.Action(action), seconds(ramp)
	switch {
	case !slices.Contains(delivery.OperationActions, r.Action):
		return r, dry, web.Unprocessable("unknown_action", "action", "known", delivery.OperationActions)
	case r.Filter == nil && len(r.Chosen) == 0:
		return r, dry, web.Unprocessable("selection_required", "filter")
	case r.Filter != nil && len(r.Chosen) > 0:
		return r, dry, web.Unprocessable("selection_ambiguous", "ids")
	}
	if err := r.Pace.CheckFor(r.Action); err != nil || dry {
		return r, dry, err // what a dry run shows helps to write the reason
	}
	a := delivery.ActionRequest{Action: r.Action, Reason: r.Reason, Category: r.Category, End: r.End, Evidence: r.Evidence}
	err = web.CheckAction(&a, now)
	r.Reason, r.Evidence = a.Reason, a.Evidence
	return r, dry, err
}

// chosenInto takes an id, or an id with the version that was seen.
func chosenInto(list *[]delivery.Chosen) func(raw json.RawMessage) error {
	return func(raw json.RawMessage) error {
		var one delivery.Chosen
		var err error
		if raw[0] == '{' {
			err = web.DecodeObject(raw, web.Fields{
				"id":      web.TextField("ids.id", delivery.MaxCategory, &one.ID),
				"version": web.VersionField(&one.Version),
			})
		} else {
			one.ID, err = web.JsonText("ids", raw)
		}
		if err != nil {
			return err
		}
		if one.ID = strings.ToLower(one.ID); !delivery.IsUUID(one.ID) {
			return web.Unprocessable("invalid_field.id", "ids", "value", one.ID)
		}
		*list = append(*list, one)
		return nil
	}
}

// paceFields are the members of a body that say how fast retries go.
func paceFields(p *delivery.Pace, rampSeconds *float64) web.Fields {
	return web.Fields{
		delivery.PaceRate:      web.NumberField(delivery.PaceRate, &p.Rate),
		delivery.PaceRampTo:    web.NumberField(delivery.PaceRampTo, &p.RampTo),
		delivery.PaceRampOver:  web.NumberField(delivery.PaceRampOver, rampSeconds),
		delivery.PaceCanary:    web.WholeField(delivery.PaceCanary, &p.Canary),
		delivery.PaceStopAbove: web.NumberField(delivery.PaceStopAbove, &p.StopAbove),
	}
}

// seconds is a time that may be longer than what can be counted: then it is the longest.
func seconds(n float64) time.Duration {
	if n >= math.MaxInt64/float64(time.Second) {
		return math.MaxInt64
	}
	return time.Duration(max(n, -1) * float64(time.Second))
}

func (s *API) listOperations(c echo.Context) error {
	q := c.QueryParams()
	f := delivery.OperationFilter{Actor: q.Get("actor"), After: q.Get("after")}
	err := web.FirstError(web.OnlyParams(q, operationListParams...), web.OneOf(q, "state", operationStates, &f.States),
		web.PageLimit(q, &f.Limit))
	if err != nil {
		return err
	}
	page, err := s.store.Operations(c.Request().Context(), f)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(page, operationJSONOf))
}

func (s *API) showOperation(c echo.Context) error {
	o, err := s.FindOperation(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, operationJSONOf(o))
}

func (s *API) listOperationItems(c echo.Context) error {
	q, limit, outcomes := c.QueryParams(), 0, []string(nil)
	err := web.FirstError(web.OnlyParams(q, operationItemParams...), web.OneOf(q, "outcome", itemOutcomes, &outcomes),
		web.PageLimit(q, &limit))
	if err != nil {
		return err
	}
	o, err := s.FindOperation(c)
	if err != nil {
		return err
	}
	page, err := s.store.OperationItems(c.Request().Context(), o.ID,
		delivery.ItemFilter{Outcome: q.Get("outcome"), Integration: q.Get("integration"),
			After: q.Get("after"), Limit: limit})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(page, operationItemJSONOf))
}

// steerOperation pauses, resumes or cancels.
func (s *API) steerOperation(set func(*delivery.Steer)) echo.HandlerFunc {
	return func(c echo.Context) error {
		body, err := web.ReadJSONBody(c.Request())
		if err != nil {
			return err
		}
		var step delivery.Steer
		set(&step)
		members := web.Fields{
			"reason":  web.TextField("reason", delivery.MaxReason, &step.Reason),
			"version": web.VersionField(&step.Version),
		}
		if step.Resume {
			members[delivery.PaceCanary] = canaryField(&step.Canary)
		}
		if err := web.DecodeObject(body, members); err != nil {
			return err
		}
		return s.steer(c, step)
	}
}

// canaryField takes how many go first after a resume; null counts as absent.
func canaryField(into **int) web.Field {
	return func(raw json.RawMessage) error {
		if web.IsNull(raw) {
			return nil
		}
		*into = new(int)
		return web.WholeField(delivery.PaceCanary, *into)(raw)
	}
}

// paceOperation changes what is given of a pace; the rest stays.
func (s *API) paceOperation(c echo.Context) error {
	body, err := web.ReadJSONBody(c.Request())
	if err != nil {
		return err
	}
	o, err := s.FindOperation(c)
	if err != nil {
		return err
	}
	step, pace, ramp := delivery.Steer{Version: o.Version}, o.Pace, o.Pace.RampOver.Seconds()
	given := 0
	members := paceFields(&pace, &ramp)
	for name, set := range members {
		members[name] = func(raw json.RawMessage) error { given++; return set(raw) }
	}
	if err := web.DecodeObject(body, members.And(web.Fields{
		"reason":  web.TextField("reason", delivery.MaxReason, &step.Reason),
		"version": web.VersionField(&step.Version),
	})); err != nil {
		return err
	}
	if given == 0 {
		return web.Unprocessable("nothing_to_change.pace", "rate_per_second")
	}
	if pace.RampTo == 0 && o.Pace.RampTo > 0 {
		ramp = 0 // no ramp any more
	}
	pace.RampOver = seconds(ramp)
	if err := pace.Check(); err != nil {
		return err
	}
	step.Pace = &pace
	return s.steer(c, step)
}

func (s *API) steer(c echo.Context, step delivery.Steer) (err error) {
	if step.ID, err = web.UuidParam(c); err != nil {
		return err
	}
	step.Actor, step.Reason = web.Who(c).ID, strings.TrimSpace(step.Reason)
	o, err := s.store.SteerOperation(c.Request().Context(), step)
	if err != nil {
		return err
	}
	s.Config.Wake()
	return c.JSON(http.StatusOK, operationJSONOf(o))
}
