package console

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// revealRoutes adds the pages that show what is masked, one value at a time.
func (s *Console) revealRoutes() {
	s.get(views.Failures+"/:id/reveal", s.revealForm, delivery.PermitViewPayload, delivery.PermitReveal)
	s.post(views.Failures+"/:id/reveal", s.revealByForm, delivery.PermitViewPayload, delivery.PermitReveal)
}

func (s *Console) revealPage(c echo.Context) (page views.RevealPage, err error) {
	if page.DeliveryPage, err = s.deliveryPage(c); err != nil {
		return page, err
	}
	if err := web.MayFor(c, []string{page.D.Integration}, delivery.PermitViewPayload, delivery.PermitReveal); err != nil {
		return page, err
	}
	sent := page.D.Sent()
	page.Edit = page.D.Edit
	if number, err := strconv.Atoi(c.FormValue("version")); err == nil {
		for _, e := range page.D.Edits {
			if e.Number == number {
				sent, page.Edit = web.VersionOf(page.D.Message, e), number
			}
		}
	}
	page.Title = page.Say(delivery.Say("title.reveal", "type", page.D.Type, "integration", page.D.Integration))
	page.Places = s.Masks.For(sent, page.D.Integration).Places(sent)
	page.Path, page.Reason = c.FormValue("path"), c.FormValue("reason")
	return page, nil
}

// revealForm asks which value, and why.
func (s *Console) revealForm(c echo.Context) error {
	page, err := s.revealPage(c)
	if err != nil {
		return err
	}
	return web.Render(c, http.StatusOK, views.RevealView(page))
}

// revealByForm shows the value in its answer and nowhere else: it is in no address, and no cache keeps it.
func (s *Console) revealByForm(c echo.Context) error {
	page, err := s.revealPage(c)
	if err != nil {
		return err
	}
	r := s.RevealTo(c, delivery.RevealRequest{Edit: page.Edit, Path: strings.TrimSpace(page.Path), Reason: page.Reason})
	shown, err := s.store.Reveal(c.Request().Context(), r)
	if err != nil {
		p, err := web.Mistake(err)
		if err != nil {
			return err
		}
		page.Field, page.Problem = p.Field, page.Say(p.Says)
		return web.Render(c, p.Status, views.RevealView(page))
	}
	page.Shown, page.Until, page.AuditID = string(shown.Value), shown.Until, shown.AuditID
	var text string
	if json.Unmarshal(shown.Value, &text) == nil {
		page.Shown = text
	}
	return web.Render(c, http.StatusOK, views.RevealView(page))
}
