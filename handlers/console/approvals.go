package console

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// approvalRoutes adds the pages of what a second person approves.
func (s *Console) approvalRoutes() {
	s.get(views.Approvals, s.approvals, delivery.PermitView)
	s.get(views.Approvals+"/:id", s.approval, delivery.PermitView)
	s.post(views.Approvals+"/:id/approve", s.decideApproval("approve", s.store.Approve), delivery.PermitApprove)
	s.post(views.Approvals+"/:id/reject", s.decideApproval("reject", s.store.Reject), delivery.PermitApprove)
	s.post(views.Approvals+"/:id/withdraw", s.decideApproval("withdraw", s.store.Withdraw), delivery.PermitView)
	s.get(views.Approvals+"/:id/:step", func(c echo.Context) error {
		return c.Redirect(http.StatusSeeOther, views.Approval(c.Param("id")))
	}, delivery.PermitView)
}

// approvals lists requests: without a choice those that the reader may do something about.
func (s *Console) approvals(c echo.Context) error {
	who := web.Who(c)
	page := views.ApprovalsPage{Layout: s.Layout(c, "title.approvals", views.Approvals), Show: c.QueryParam("show")}
	page.ToDo = page.Waiting
	if page.Show == "" {
		page.Show = views.ApprovalsMine
		if page.May(delivery.PermitApprove) {
			page.Show = views.ApprovalsToDo
		}
	}
	f := delivery.ApprovalFilter{After: c.QueryParam("after")}
	switch show := delivery.ApprovalState(page.Show); {
	case page.Show == views.ApprovalsMine:
		f.Mine = who.Person
	case page.Show == views.ApprovalsToDo:
		f.ToDo, f.States = who.Person, []delivery.ApprovalState{delivery.ApprovalOpen}
	case slices.Contains(delivery.ApprovalStates, show):
		f.States = []delivery.ApprovalState{show}
	default:
		return delivery.ErrNotFound
	}
	rows, err := s.store.Approvals(c.Request().Context(), f)
	if err != nil {
		return err
	}
	page.Items, page.Next = rows.Items, nextURL(c.Request(), rows.Next)
	return web.Render(c, http.StatusOK, views.ApprovalsView(page))
}

// approval is the page of one request.
func (s *Console) approval(c echo.Context) error {
	return s.approvalPage(c, http.StatusOK, views.ApprovalPage{})
}

func (s *Console) approvalPage(c echo.Context, status int, page views.ApprovalPage) error {
	ctx, who := c.Request().Context(), web.Who(c)
	a, err := s.store.Approval(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	items, err := s.store.ApprovalItems(ctx, a.ID, c.QueryParam("after"), ItemsOnPage)
	if err != nil {
		return err
	}
	page.Layout, page.A, page.Parameters = s.Layout(c, "", views.Approvals), a, delivery.ParametersOf(a)
	page.Title = page.Wants(a)
	page.Items, page.Next = items.Items, nextURL(c.Request(), items.Next)
	page.Mine, page.Person = a.Mine(who.Person) || a.ActorID == who.ID, who.Person != ""
	if a.Kind == delivery.ApprovalEdit {
		page.Edits = true
		if page.Edit, err = s.proposed(c, page.Locale, a); err != nil {
			return err
		}
	}
	return web.Render(c, status, views.ApprovalView(page))
}

// proposed is what an edit would change, by the masks and by what the reader may see; nil where they may see nothing of it.
func (s *Console) proposed(c echo.Context, l views.Locale, a delivery.Approval) (*views.Version, error) {
	if !web.MayAll(c, a.Integrations, delivery.PermitViewPayload) || a.Request == nil {
		return nil, nil
	}
	d, err := s.store.Delivery(c.Request().Context(), a.Target)
	if err != nil {
		return nil, err
	}
	var r delivery.EditRequest
	if err := a.Decode(&r); err != nil {
		return nil, err
	}
	d.Edits = append(d.Edits, d.Proposed(r, time.Now()))
	if len(d.Edits) == 1 { // versions begin with the message as it was accepted
		d.Edits = slices.Insert(d.Edits, 0, delivery.Edit{Number: 1, Size: len(d.Message.Payload), Payload: d.Message.Payload,
			Null: d.Message.Payload == nil && !d.Message.Dropped, Headers: d.Message.Headers, Dropped: d.Message.Dropped})
	}
	all := s.versions(l, d)
	return &all[len(all)-1], nil
}

// decideApproval approves, rejects or withdraws by a form.
func (s *Console) decideApproval(step string, decide func(context.Context, delivery.ApprovalDecision) (delivery.Approval, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		d := delivery.ApprovalDecision{ID: c.Param("id"), Actor: web.Who(c).ID, Comment: strings.TrimSpace(c.FormValue("comment"))}
		_, err := decide(c.Request().Context(), d)
		if err != nil {
			return s.refusedApproval(c, d, err)
		}
		s.Config.Wake()
		s.SetFlash(c, good(c, "done.approval."+step))
		return c.Redirect(http.StatusSeeOther, views.Approval(d.ID))
	}
}

// refusedApproval shows the request as it is now, with what was typed.
func (s *Console) refusedApproval(c echo.Context, d delivery.ApprovalDecision, err error) error {
	p := web.ProblemOf(err)
	switch p.Status {
	case http.StatusConflict, http.StatusUnprocessableEntity:
	case http.StatusForbidden:
		if p.Permission != "" {
			return err
		}
	default:
		return err
	}
	return s.approvalPage(c, p.Status, views.ApprovalPage{Comment: d.Comment, Field: p.Field, Problem: web.Say(c, p.Says)})
}
