package handlers

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

var (
	operationListParams = []string{"state", "actor", "after", "limit"}
	operationItemParams = []string{"outcome", "integration", "after", "limit"}
	operationStates     = []delivery.OperationState{delivery.OperationRunning, delivery.OperationPaused, delivery.OperationCancelled,
		delivery.OperationFinished}
	itemOutcomes = []string{"waiting", "released", "succeeded", "failed", "skipped", "cancelled"}
)

// operationAPI adds the routes of bulk actions.
func (s *Server) operationAPI(v1 *echo.Group, look, act echo.MiddlewareFunc) {
	v1.POST("/operations", s.startOperation, look) // a dry run only looks
	v1.GET("/operations", s.listOperations, look)
	v1.GET("/operations/:id", s.showOperation, look)
	v1.GET("/operations/:id/items", s.listOperationItems, look)
	v1.PATCH("/operations/:id", s.paceOperation, act)
	v1.POST("/operations/:id/pause", s.steerOperation(func(step *delivery.Steer) { step.Pause = true }), act)
	v1.POST("/operations/:id/resume", s.steerOperation(func(step *delivery.Steer) { step.Resume = true }), act)
	v1.POST("/operations/:id/cancel", s.steerOperation(func(step *delivery.Steer) { step.Cancel = true }), act)
}

// startOperation freezes a set and answers the operation, or says what one would select.
func (s *Server) startOperation(c echo.Context) error {
	if err := onlyParams(c.QueryParams()); err != nil {
		return err
	}
	body, err := readJSONBody(c.Request())
	if err != nil {
		return err
	}
	request, dry, err := parseOperation(body, time.Now())
	if err != nil {
		return err
	}
	request.Actor = who(c).Name
	if request.Filter != nil {
		f := mine(c, *request.Filter)
		request.Filter = &f
	}
	if dry {
		return s.answerDryRun(c, request)
	}
	if !who(c).Role.Allows(delivery.RoleOperator) {
		return newProblem(http.StatusForbidden, "forbidden.operation", "own", who(c).Role)
	}
	if request.ID, err = operationID(c); err != nil {
		return err
	}
	started, err := s.cfg.Store.StartOperation(c.Request().Context(), request)
	if err != nil {
		return err
	}
	s.cfg.Wake()
	c.Response().Header().Set(echo.HeaderLocation, "/api/v1/operations/"+started.ID)
	return c.JSON(http.StatusAccepted, operationJSONOf(started))
}

// operationID is the idempotency key, so that the same request again answers the same operation; a key that is no UUID makes one.
func operationID(c echo.Context) (string, error) {
	key, err := requestKey(c)
	if key == "" || err != nil {
		return "", err
	}
	if id := strings.ToLower(key); delivery.IsUUID(id) {
		return id, nil
	}
	return keyedID(who(c).Name, "operation", key), nil
}

func (s *Server) answerDryRun(c echo.Context, request delivery.OperationRequest) error {
	run, err := s.cfg.Store.DryRun(c.Request().Context(), request)
	if err != nil {
		return err
	}
	if !who(c).Role.Allows(delivery.RoleOperator) && run.Eligible > 0 {
		if run.Excluded == nil {
			run.Excluded = map[string]int{}
		}
		run.Excluded[delivery.ExcludedPermission] += run.Eligible
		run = delivery.DryRun{Excluded: run.Excluded}
	}
	return c.JSON(http.StatusOK, dryRunJSON{Eligible: run.Eligible, Excluded: counts(run.Excluded), Integrations: counts(run.Integrations), Unsure: run.Unsure})
}

func parseOperation(body []byte, now time.Time) (r delivery.OperationRequest, dry bool, err error) {
	var action string
	var ramp float64
	err = decodeObject(body, paceFields(&r.Pace, &ramp).and(fields{
		"action":   textField("action", delivery.MaxCategory, &action),
		"filter":   filterField(&r.Filter),
		"ids":      listField("ids", delivery.MaxChosen, chosenInto(&r.Chosen)),
		"reason":   textField("reason", delivery.MaxReason, &r.Reason),
		"category": textField("category", delivery.MaxCategory, &r.Category),
		"evidence": textField("evidence", delivery.MaxEvidence, &r.Evidence),
		"until":    timeField("until", &r.Until),
		"dry_run":  truthField("dry_run", &dry),
	}))
	if err != nil {
		return r, dry, err
	}
	r.Action, r.Pace.RampOver = delivery.Action(action), seconds(ramp)
	switch {
	case !slices.Contains(delivery.OperationActions, r.Action):
		return r, dry, unprocessable("unknown_action", "action", "known", delivery.OperationActions)
	case r.Filter == nil && len(r.Chosen) == 0:
		return r, dry, unprocessable("selection_required", "filter")
	case r.Filter != nil && len(r.Chosen) > 0:
		return r, dry, unprocessable("selection_ambiguous", "ids")
	}
	if err := r.Pace.CheckFor(r.Action); err != nil || dry {
		return r, dry, err // what a dry run shows helps to write the reason
	}
	a := delivery.ActionRequest{Action: r.Action, Reason: r.Reason, Category: r.Category, Until: r.Until, Evidence: r.Evidence}
	err = checkAction(&a, now)
	r.Reason, r.Evidence = a.Reason, a.Evidence
	return r, dry, err
}

// chosenInto takes an id, or an id with the version that was seen.
func chosenInto(list *[]delivery.Chosen) func(raw json.RawMessage) error {
	return func(raw json.RawMessage) error {
		var one delivery.Chosen
		var err error
		if raw[0] == '{' {
			err = decodeObject(raw, fields{"id": textField("ids.id", delivery.MaxCategory, &one.ID), "version": versionField(&one.Version)})
		} else {
			one.ID, err = jsonText("ids", raw)
		}
		if err != nil {
			return err
		}
		if one.ID = strings.ToLower(one.ID); !delivery.IsUUID(one.ID) {
			return unprocessable("invalid_field.id", "ids", "value", one.ID)
		}
		*list = append(*list, one)
		return nil
	}
}

// paceFields are the members of a body that say how fast retries go.
func paceFields(p *delivery.Pace, rampSeconds *float64) fields {
	return fields{
		delivery.PaceRate:      numberField(delivery.PaceRate, &p.Rate),
		delivery.PaceRampTo:    numberField(delivery.PaceRampTo, &p.RampTo),
		delivery.PaceRampOver:  numberField(delivery.PaceRampOver, rampSeconds),
		delivery.PaceCanary:    wholeField(delivery.PaceCanary, &p.Canary),
		delivery.PaceStopAbove: numberField(delivery.PaceStopAbove, &p.StopAbove),
	}
}

// and answers both sets of members.
func (f fields) and(more fields) fields {
	for name, set := range more {
		f[name] = set
	}
	return f
}

// seconds is a time that may be longer than what can be counted: then it is the longest.
func seconds(n float64) time.Duration {
	if n >= math.MaxInt64/float64(time.Second) {
		return math.MaxInt64
	}
	return time.Duration(max(n, -1) * float64(time.Second))
}

func (s *Server) listOperations(c echo.Context) error {
	q := c.QueryParams()
	f := delivery.OperationFilter{Actor: q.Get("actor"), After: q.Get("after")}
	if err := firstError(onlyParams(q, operationListParams...), oneOf(q, "state", operationStates, &f.States), pageLimit(q, &f.Limit)); err != nil {
		return err
	}
	page, err := s.cfg.Store.Operations(c.Request().Context(), f)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(page, operationJSONOf))
}

func (s *Server) showOperation(c echo.Context) error {
	o, err := s.findOperation(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, operationJSONOf(o))
}

func (s *Server) listOperationItems(c echo.Context) error {
	q, limit, outcomes := c.QueryParams(), 0, []string(nil)
	if err := firstError(onlyParams(q, operationItemParams...), oneOf(q, "outcome", itemOutcomes, &outcomes), pageLimit(q, &limit)); err != nil {
		return err
	}
	o, err := s.findOperation(c)
	if err != nil {
		return err
	}
	page, err := s.cfg.Store.OperationItems(c.Request().Context(), o.ID, delivery.ItemFilter{Outcome: q.Get("outcome"), Integration: q.Get("integration"),
		After: q.Get("after"), Limit: limit})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(page, operationItemJSONOf))
}

// steerOperation pauses, resumes or cancels.
func (s *Server) steerOperation(set func(*delivery.Steer)) echo.HandlerFunc {
	return func(c echo.Context) error {
		body, err := readJSONBody(c.Request())
		if err != nil {
			return err
		}
		var step delivery.Steer
		if err := decodeObject(body, fields{"reason": textField("reason", delivery.MaxReason, &step.Reason), "version": versionField(&step.Version)}); err != nil {
			return err
		}
		set(&step)
		return s.steer(c, step)
	}
}

// paceOperation changes what is given of a pace; the rest stays.
func (s *Server) paceOperation(c echo.Context) error {
	body, err := readJSONBody(c.Request())
	if err != nil {
		return err
	}
	o, err := s.findOperation(c)
	if err != nil {
		return err
	}
	step, pace, ramp := delivery.Steer{Version: o.Version}, o.Pace, o.Pace.RampOver.Seconds()
	given := 0
	members := paceFields(&pace, &ramp)
	for name, set := range members {
		members[name] = func(raw json.RawMessage) error { given++; return set(raw) }
	}
	if err := decodeObject(body, members.and(fields{"reason": textField("reason", delivery.MaxReason, &step.Reason), "version": versionField(&step.Version)})); err != nil {
		return err
	}
	if given == 0 {
		return unprocessable("nothing_to_change.pace", "rate_per_second")
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

func (s *Server) steer(c echo.Context, step delivery.Steer) (err error) {
	if step.ID, err = uuidParam(c); err != nil {
		return err
	}
	step.Actor, step.Reason = who(c).Name, strings.TrimSpace(step.Reason)
	o, err := s.cfg.Store.SteerOperation(c.Request().Context(), step)
	if err != nil {
		return err
	}
	s.cfg.Wake()
	return c.JSON(http.StatusOK, operationJSONOf(o))
}
