package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
)

// IgnoreRuleJSON is a rule that ignores new dead letters as they come.
type IgnoreRuleJSON struct {
	ID          string         `json:"id"`
	Integration string         `json:"integration"`
	Filter      map[string]any `json:"filter"`
	Reason      string         `json:"reason"`
	Category    string         `json:"category"`
	endJSON
	Source          string     `json:"source"` // person, or file: on_failure: ignore
	MadeAt          *time.Time `json:"made_at"`
	MadeBy          string     `json:"made_by"`
	EndedAt         *time.Time `json:"ended_at"` // null: it holds
	EndedBy         string     `json:"ended_by"`
	EndedBecause    *string    `json:"ended_because"`
	EndReason       string     `json:"end_reason"`
	Swallowed       int        `json:"swallowed"`
	LastSwallowedAt *time.Time `json:"last_swallowed_at"`
	Hidden          int        `json:"hidden"`
}

// IgnorePreviewJSON is what a rule would have swallowed.
type IgnorePreviewJSON struct {
	From      *time.Time      `json:"from"`
	Looked    int             `json:"looked"`
	Whole     bool            `json:"whole"`
	Swallowed int             `json:"swallowed"`
	Retried   int             `json:"retried"`
	Days      []ignoreDayJSON `json:"days"`
	Examples  []DeliveryJSON  `json:"examples"`
}

type ignoreDayJSON struct {
	Day       string `json:"day"`
	Swallowed int    `json:"swallowed"`
	Retried   int    `json:"retried"`
}

func (s *API) ignoreRuleRoutes() {
	s.get("/ignore-rules", s.listIgnoreRules, delivery.PermitView)
	s.post("/ignore-rules", s.addIgnoreRule, delivery.PermitIgnoreRules)
	s.post("/ignore-rules/preview", s.previewIgnoreRule, delivery.PermitView)
	s.get("/ignore-rules/:id", s.showIgnoreRule, delivery.PermitView)
	s.post("/ignore-rules/:id/end", s.endIgnoreRule, delivery.PermitIgnoreRules)
}

func ignoreRuleJSONOf(r delivery.IgnoreRule) IgnoreRuleJSON {
	source := "person"
	if r.OfFile {
		source = "file"
	}
	return IgnoreRuleJSON{ID: r.ID, Integration: r.Integration, Filter: FilterJSON(r.Filter), Reason: r.Reason, Category: r.Category, endJSON: endJSONOf(r.End),
		Source: source, MadeAt: web.Utc(&r.MadeAt), MadeBy: r.MadeBy, EndedAt: web.Utc(r.EndedAt), EndedBy: r.EndedBy, EndedBecause: said(r.Because),
		EndReason: r.EndedAs, Swallowed: r.Swallowed, LastSwallowedAt: web.Utc(r.LastAt), Hidden: r.Hidden}
}

func (s *API) listIgnoreRules(c echo.Context) error {
	q := c.QueryParams()
	f := delivery.IgnoreRuleFilter{Integrations: web.Given(q["integration"]), After: q.Get("after")}
	var states []string
	if err := web.FirstError(web.OnlyParams(q, "integration", "state", "after", "limit"), web.OneOf(q, "state", []string{"holds", "ended"}, &states),
		web.PageLimit(q, &f.Limit)); err != nil {
		return err
	}
	if len(states) > 0 {
		ended := states[0] == "ended"
		f.Ended = &ended
	}
	page, err := s.store.IgnoreRules(c.Request().Context(), f)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(page, ignoreRuleJSONOf))
}

func (s *API) showIgnoreRule(c echo.Context) error {
	r, err := s.store.IgnoreRule(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, ignoreRuleJSONOf(r))
}

// ignoreRuleRequest reads the body that makes a rule, or previews it.
func ignoreRuleRequest(c echo.Context) (r delivery.IgnoreRuleRequest, err error) {
	body, err := web.ReadJSONBody(c.Request())
	if err != nil {
		return r, err
	}
	var f *delivery.Filter
	err = web.DecodeObject(body, web.EndFields(&r.End).And(web.Fields{
		"integration": web.TextField("integration", delivery.MaxName, &r.Integration),
		"filter":      FilterField(&f),
		"reason":      web.TextField("reason", delivery.MaxReason, &r.Reason),
		"category":    web.TextField("category", delivery.MaxCategory, &r.Category),
	}))
	if err != nil {
		return r, err
	}
	if f != nil {
		r.Filter = *f
	}
	r.Reason, r.Actor = strings.TrimSpace(r.Reason), web.Who(c).ID
	if r.Integration == "" && len(r.Filter.Integrations) == 1 {
		r.Integration = r.Filter.Integrations[0]
	}
	if r.Integration == "" {
		return r, web.Unprocessable("integration_required", "integration")
	}
	return r, web.CheckEnd(r.End, time.Now())
}

func (s *API) addIgnoreRule(c echo.Context) error {
	r, err := ignoreRuleRequest(c)
	if err != nil {
		return err
	}
	a := delivery.ActionRequest{Action: delivery.ActionIgnore, Reason: r.Reason, Category: r.Category, End: r.End}
	if err := web.CheckAction(&a, time.Now()); err != nil {
		return err
	}
	rule, err := s.store.AddIgnoreRule(c.Request().Context(), r)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, ignoreRuleJSONOf(rule))
}

func (s *API) previewIgnoreRule(c echo.Context) error {
	r, err := ignoreRuleRequest(c)
	if err != nil {
		return err
	}
	p, err := s.store.PreviewIgnoreRule(c.Request().Context(), r)
	if err != nil {
		return err
	}
	out := IgnorePreviewJSON{From: web.Utc(&p.From), Looked: p.Looked, Whole: p.Whole, Swallowed: p.Swallows, Retried: p.Retried,
		Days: []ignoreDayJSON{}, Examples: []DeliveryJSON{}}
	for _, d := range p.Days {
		out.Days = append(out.Days, ignoreDayJSON{d.Day.UTC().Format(time.DateOnly), d.Swallowed, d.Retried})
	}
	for _, d := range p.Examples {
		out.Examples = append(out.Examples, s.deliveryJSON(d))
	}
	return c.JSON(http.StatusOK, out)
}

func (s *API) endIgnoreRule(c echo.Context) error {
	body, err := web.ReadJSONBody(c.Request())
	if err != nil {
		return err
	}
	reason := ""
	if err := web.DecodeObject(body, web.Fields{"reason": web.TextField("reason", delivery.MaxReason, &reason)}); err != nil {
		return err
	}
	rule, err := s.store.EndIgnoreRule(c.Request().Context(), c.Param("id"), web.Who(c).ID, strings.TrimSpace(reason))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, ignoreRuleJSONOf(rule))
}
