package api

import (
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
)

// GroupShape is what the id of a group looks like.
var GroupShape = regexp.MustCompile(`^[0-9a-f]{32}$`)

// GroupJSON is a failure group, or what other keys make one of: then only the fields of these keys are filled.
type GroupJSON struct {
	ID           string               `json:"id"`
	Integration  string               `json:"integration"`
	Method       delivery.Method      `json:"method"`
	Destination  string               `json:"destination"`
	ErrorClass   string               `json:"error_class"`
	Message      string               `json:"message"`
	Cause        string               `json:"cause"` // the receiver's words in it
	Count        int                  `json:"count"`
	Dead         int                  `json:"dead"`
	Acknowledged int                  `json:"acknowledged"`
	Groups       int                  `json:"groups"`
	FirstSeen    *time.Time           `json:"first_seen"`
	LastSeen     *time.Time           `json:"last_seen"`
	Hours        []int                `json:"hours"`
	Status       delivery.GroupStatus `json:"status"`
	Trend        TrendJSON            `json:"trend"`
	Assignees    []AssigneeJSON       `json:"assignees"`
	LastRetry    *GroupRetryJSON      `json:"last_retry"`
	Filter       string               `json:"filter"` // query of the failures in it
}

// TrendJSON is how many failures came into a group.
type TrendJSON struct {
	Hour TrendCountJSON `json:"hour"`
	Day  TrendCountJSON `json:"day"`
	Week TrendCountJSON `json:"week"`
}

// TrendCountJSON is a number, and the same of as long a time before.
type TrendCountJSON struct {
	Count  int `json:"count"`
	Before int `json:"before"`
}

// AssigneeJSON is who looks after so many dead letters of a group.
type AssigneeJSON struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// GroupRetryJSON is the latest operation that retried failures of a group, in numbers of the group.
type GroupRetryJSON struct {
	Operation string                  `json:"operation"`
	At        time.Time               `json:"at"`
	Actor     string                  `json:"actor"`
	State     delivery.OperationState `json:"state"`
	Selected  int                     `json:"selected"`
	Succeeded *int                    `json:"succeeded"`
	Failed    *int                    `json:"failed"`
}

func trendJSONOf(t delivery.Trend) TrendJSON {
	return TrendJSON{TrendCountJSON(t.Hour), TrendCountJSON(t.Day), TrendCountJSON(t.Week)}
}

func groupRetryJSONOf(r *delivery.GroupRetry) *GroupRetryJSON {
	if r == nil {
		return nil
	}
	out := GroupRetryJSON{Operation: r.OperationID, At: r.At.UTC(), Actor: r.Actor, State: r.State, Selected: r.Selected}
	if r.Counted {
		out.Succeeded, out.Failed = &r.Succeeded, &r.Failed
	}
	return &out
}

func groupJSONOf(g delivery.Group, by []delivery.GroupKey, within delivery.Filter) GroupJSON {
	return GroupJSON{
		ID:           g.ID,
		Integration:  g.Integration,
		Method:       g.Method,
		Destination:  g.Destination,
		ErrorClass:   g.ErrorClass,
		Message:      g.Message,
		Cause:        delivery.Cause(g.ErrorClass, g.Message),
		Count:        g.Count,
		Dead:         g.Dead,
		Acknowledged: g.Acknowledged,
		Groups:       g.Groups,
		FirstSeen:    web.Utc(&g.FirstSeen),
		LastSeen:     web.Utc(&g.LastSeen),
		Hours:        slices.Concat([]int{}, g.Hours),
		Status:       g.Status,
		Trend:        trendJSONOf(g.Trend),
		Assignees:    assigneesJSONOf(g.Assignees),
		LastRetry:    groupRetryJSONOf(g.Retried),
		Filter:       g.FilterFor(by, within).Values().Encode(),
	}
}

func assigneesJSONOf(list []delivery.Assignee) []AssigneeJSON {
	out := make([]AssigneeJSON, len(list))
	for i, a := range list {
		out[i] = AssigneeJSON{a.Name, a.Count}
	}
	return out
}

func (s *API) listGroups(c echo.Context) error {
	f, err := web.GroupFilter(c.QueryParams())
	if err != nil {
		return err
	}
	page, err := s.store.Groups(c.Request().Context(), f)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(page, func(g delivery.Group) GroupJSON { return groupJSONOf(g, f.By, f.Filter) }))
}

func (s *API) showGroup(c echo.Context) error {
	if err := web.OnlyParams(c.QueryParams()); err != nil {
		return err
	}
	id := c.Param("id")
	if !GroupShape.MatchString(id) {
		return delivery.ErrNotFound
	}
	g, err := s.store.Group(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, groupJSONOf(g, nil, delivery.Filter{}))
}
