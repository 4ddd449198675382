package console

import (
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

func (s *Console) ignoreRuleRoutes() {
	s.get(views.IgnoreRules, s.ignoreRules, delivery.PermitView)
	s.get(views.IgnoreRuleNew, s.newIgnoreRule, delivery.PermitIgnoreRules)
	s.post(views.IgnoreRules, s.makeIgnoreRule, delivery.PermitIgnoreRules)
	s.get(views.IgnoreRules+"/:id", func(c echo.Context) error { return s.ignoreRulePage(c, http.StatusOK, "") }, delivery.PermitView)
	s.post(views.IgnoreRules+"/:id/end", s.endIgnoreRule, delivery.PermitIgnoreRules)
}

func (s *Console) ignoreRules(c echo.Context) error {
	q := given(c)
	if err := web.OnlyParams(q, "integration", "after"); err != nil {
		return err
	}
	found, err := s.store.IgnoreRules(c.Request().Context(), delivery.IgnoreRuleFilter{Integrations: web.Given(q["integration"]), After: q.Get("after")})
	if err != nil {
		return err
	}
	return web.Render(c, http.StatusOK, views.IgnoreRulesView(views.IgnoreRulesPage{Layout: s.Layout(c, "title.ignore_rules", views.Ignored),
		Items: found.Items, Next: nextURL(c.Request(), found.Next)}))
}

func (s *Console) ignoreRulePage(c echo.Context, status int, problem string) error {
	ctx := c.Request().Context()
	r, err := s.store.IgnoreRule(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	page := views.IgnoreRulePage{Layout: s.Layout(c, "", views.Ignored), R: r, Problem: problem}
	page.Title = page.Say(delivery.Say("title.ignore_rule", "rule", r.ID))
	if page.May(delivery.PermitAudit) {
		history, err := s.store.Audit(ctx, delivery.AuditFilter{SubjectType: "ignore-rule", Subject: r.ID})
		if err != nil {
			return err
		}
		page.History = history.Items
	}
	return web.Render(c, status, views.IgnoreRuleView(page))
}

// conditionOf is the integration and the condition that a form or an address names.
func conditionOf(integration, text string) (r delivery.IgnoreRuleRequest, err error) {
	r.Filter, err = delivery.ParseSearch(text, time.Now(), time.UTC)
	if r.Integration = integration; r.Integration == "" && len(r.Filter.Integrations) == 1 {
		r.Integration = r.Filter.Integrations[0]
	}
	return r, err
}

func (s *Console) newIgnoreRule(c echo.Context) error {
	if err := web.OnlyParams(c.QueryParams(), "integration", "q"); err != nil {
		return err
	}
	return s.ignoreRuleForm(c, http.StatusOK, c.QueryParam("integration"), c.QueryParam("q"), views.ActionForm{Action: delivery.ActionIgnore})
}

// ignoreRuleForm shows what a rule would have swallowed, and the form that makes it.
func (s *Console) ignoreRuleForm(c echo.Context, status int, integration, search string, form views.ActionForm) error {
	page := views.IgnoreRuleNewPage{Layout: s.Layout(c, "title.ignore_rule_new", views.Ignored), Names: s.integrationNames(c), Integration: integration,
		Search: search, Form: form}
	if integration != "" || search != "" {
		r, err := conditionOf(integration, search)
		if err == nil && r.Integration == "" {
			err = delivery.Mistake("integration_required", "integration")
		}
		if err == nil {
			page.Integration = r.Integration
			var p delivery.IgnorePreview
			if p, err = s.store.PreviewIgnoreRule(c.Request().Context(), r); err == nil {
				page.Preview = &p
			}
		}
		if err != nil {
			p, err := web.Mistake(err)
			if err != nil {
				return err
			}
			status, page.Form.Field, page.Form.Problem = p.Status, "filter", web.Say(c, p.Says)
		}
	}
	return web.Render(c, status, views.IgnoreRuleNewView(page))
}

func (s *Console) makeIgnoreRule(c echo.Context) error {
	form, integration, search := formOf(c, delivery.ActionIgnore), c.FormValue("integration"), c.FormValue("q")
	r, err := conditionOf(integration, search)
	if err == nil {
		var a delivery.ActionRequest
		if a, err = actionRequest(c, form); err == nil {
			r.Reason, r.Category, r.End, r.Actor = a.Reason, a.Category, a.End, a.Actor
			var made delivery.IgnoreRule
			if made, err = s.store.AddIgnoreRule(c.Request().Context(), r); err == nil {
				s.SetFlash(c, good(c, "done.ignore_rule", "rule", made.ID))
				return c.Redirect(http.StatusSeeOther, views.IgnoreRule(made.ID))
			}
		}
	}
	p, err := web.Mistake(err)
	if err != nil {
		return err
	}
	form.Field, form.Problem = p.Field, web.Say(c, p.Says)
	return s.ignoreRuleForm(c, p.Status, integration, search, form)
}

func (s *Console) endIgnoreRule(c echo.Context) error {
	r, err := s.store.EndIgnoreRule(c.Request().Context(), c.Param("id"), web.Who(c).ID, strings.TrimSpace(c.FormValue("reason")))
	if err != nil {
		p, err := web.Mistake(err)
		if err != nil {
			return err
		}
		return s.ignoreRulePage(c, p.Status, web.Say(c, p.Says))
	}
	s.SetFlash(c, good(c, "done.ignore_rule_ended", "rule", r.ID))
	return c.Redirect(http.StatusSeeOther, views.IgnoreRule(r.ID))
}
