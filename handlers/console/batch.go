package console

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// runs lists the runs of a batch with their files.
func (s *Console) runs(c echo.Context) error {
	return s.runsPage(c, http.StatusOK, views.RunsPage{})
}

func (s *Console) runsPage(c echo.Context, status int, page views.RunsPage) error {
	in, ok := s.BatchNamed(c.Param("name"))
	if !ok {
		return delivery.ErrNotFound
	}
	rows, err := s.store.Runs(c.Request().Context(), in.Name, c.QueryParam("after"), 50)
	if err != nil {
		return err
	}
	page.Layout, page.Integration = s.Layout(c, "", views.Integrations), in
	page.Title = page.Say(delivery.Say("title.runs", "integration", in.Name))
	page.Items, page.Next, page.Facts = rows.Items, nextURL(c.Request(), rows.Next), s.AllFacts()[in.Name]
	return web.Render(c, status, views.RunsView(page))
}

// runByForm asks for a run, of now or of a business date.
func (s *Console) runByForm(c echo.Context) error {
	name, date, reason := c.Param("name"), strings.TrimSpace(c.FormValue("business_date")),
		strings.TrimSpace(c.FormValue("reason"))
	var err error
	if err = delivery.CheckReason(reason); err == nil {
		_, err = s.store.RequestRun(c.Request().Context(), name, date, web.Who(c).ID, reason)
	}
	if err != nil {
		p, err := web.Mistake(err)
		if err != nil {
			return err
		}
		return s.runsPage(c, p.Status, views.RunsPage{Date: date, Reason: reason, Problem: web.Say(c, p.Says)})
	}
	s.SetFlash(c, good(c, "done.run", "integration", name))
	return c.Redirect(http.StatusSeeOther, views.Runs(name))
}

// fileOf returns the file that a delivery sends, or of which its row was rejected; nil for any other delivery.
func (s *Console) fileOf(c echo.Context, m delivery.Message) *delivery.StoredFile {
	id := ""
	switch {
	case m.Type == delivery.TypeBatchFile:
		id = m.ID
	case m.Origin != nil && m.Origin.File != nil:
		id = m.Origin.File.ID
	}
	if id == "" {
		return nil
	}
	f, err := s.store.File(c.Request().Context(), id)
	if err != nil { // the delivery is what was asked for, and what is a file to one program may be a word to another
		return nil
	}
	f = s.SeenFile(c, f)
	return &f
}
