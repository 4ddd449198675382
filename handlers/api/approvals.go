package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
)

var (
	approvalListParams = []string{"state", "mine", "after", "limit"}
	approvalItemParams = []string{"after", "limit"}
)

// ApprovalItemJSON is one failure that a request is about.
type ApprovalItemJSON struct {
	DeliveryID  string `json:"delivery_id"`
	Integration string `json:"integration"`
	Key         string `json:"key"`
	Version     int    `json:"version"`
	VersionNow  int    `json:"version_now"`
	State       string `json:"state"`
}

// ApprovalDetailJSON is a request with its parameters; null where they are not kept any more, or hold what the reader may not see.
type ApprovalDetailJSON struct {
	web.ApprovalJSON
	Parameters json.RawMessage `json:"parameters"`
}

// approvalRoutes adds what a second person does.
func (s *API) approvalRoutes() {
	s.get("/approvals", s.listApprovals, delivery.PermitView)
	s.get("/approvals/:id", s.showApproval, delivery.PermitView)
	s.get("/approvals/:id/items", s.listApprovalItems, delivery.PermitView)
	s.post("/approvals/:id/approve", s.decideApproval(s.store.Approve), delivery.PermitApprove)
	s.post("/approvals/:id/reject", s.decideApproval(s.store.Reject), delivery.PermitApprove)
	s.post("/approvals/:id/withdraw", s.decideApproval(s.store.Withdraw), delivery.PermitView)
}

func (s *API) listApprovals(c echo.Context) error {
	q, mine := c.QueryParams(), []string(nil)
	f := delivery.ApprovalFilter{After: q.Get("after")}
	err := web.FirstError(web.OnlyParams(q, approvalListParams...), web.OneOf(q, "state", delivery.ApprovalStates, &f.States),
		web.OneOf(q, "mine", []string{"true", "false"}, &mine), web.PageLimit(q, &f.Limit))
	if err != nil {
		return err
	}
	switch person := web.Who(c).Person; q.Get("mine") {
	case "true":
		f.Mine = person
	case "false":
		f.ToDo = person
	}
	page, err := s.store.Approvals(c.Request().Context(), f)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(page, web.ApprovalJSONOf))
}

func (s *API) showApproval(c echo.Context) error {
	id, err := web.UuidParam(c)
	if err != nil {
		return err
	}
	a, err := s.store.Approval(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, approvalDetailOf(a))
}

// approvalDetailOf shows the parameters without a payload: of that the console shows the difference, by the masks.
func approvalDetailOf(a delivery.Approval) ApprovalDetailJSON {
	return ApprovalDetailJSON{ApprovalJSON: web.ApprovalJSONOf(a), Parameters: web.ParametersOf(a)}
}

func (s *API) listApprovalItems(c echo.Context) error {
	q, limit := c.QueryParams(), 0
	id, err := web.UuidParam(c)
	if err = web.FirstError(err, web.OnlyParams(q, approvalItemParams...), web.PageLimit(q, &limit)); err != nil {
		return err
	}
	page, err := s.store.ApprovalItems(c.Request().Context(), id, q.Get("after"), limit)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(page, func(i delivery.ApprovalItem) ApprovalItemJSON {
		return ApprovalItemJSON{i.DeliveryID, i.Integration, i.Key, i.Version, i.Now, string(i.State)}
	}))
}

// decideApproval approves, rejects or withdraws, with a comment.
func (s *API) decideApproval(decide func(context.Context, delivery.ApprovalDecision) (delivery.Approval, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		id, err := web.UuidParam(c)
		if err != nil {
			return err
		}
		d := delivery.ApprovalDecision{ID: id, Actor: web.Who(c).ID}
		body, err := web.ReadJSONBody(c.Request())
		if err == nil {
			err = web.DecodeObject(body, web.Fields{"comment": web.TextField("comment", delivery.MaxReason, &d.Comment)})
		}
		if err != nil {
			return err
		}
		a, err := decide(c.Request().Context(), d)
		if err != nil {
			return err
		}
		if a.State == delivery.ApprovalApproved {
			s.Config.Wake()
		}
		return c.JSON(http.StatusOK, approvalDetailOf(a))
	}
}
