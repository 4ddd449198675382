package console

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

func (s *Console) secretRoutes() {
	path := views.Integrations + "/:name/secrets"
	s.get(path, func(c echo.Context) error { return s.secretsPage(c, http.StatusOK, views.SecretsPage{}) }, delivery.PermitAdminister)
	s.post(path, s.setSecret, delivery.PermitAdminister)
	s.post(path+"/:secret/remove", s.removeSecret, delivery.PermitAdminister)
}

// secretsPage lists names of what is stored for an integration; no value ever leaves.
func (s *Console) secretsPage(c echo.Context, status int, page views.SecretsPage) error {
	ctx, name := c.Request().Context(), c.Param("name")
	known, err := s.store.IntegrationStates(ctx)
	if err != nil {
		return err
	}
	if _, found := known[name]; !found {
		return delivery.ErrNotFound
	}
	if err := web.MayFor(c, []string{name}, delivery.PermitAdminister); err != nil {
		return err
	}
	if page.Items, err = s.store.Secrets(ctx, name); err != nil {
		return err
	}
	page.Layout, page.Integration = s.Layout(c, "", views.Integrations), name
	page.Title = page.Say(delivery.Say("title.secrets", "integration", name))
	return web.Render(c, status, views.SecretsView(page))
}

// setSecret stores what was typed. A form writes line breaks as two characters, and the last one is habit. A refused value is typed again.
func (s *Console) setSecret(c echo.Context) error {
	integration, name := c.Param("name"), strings.TrimSpace(c.FormValue("name"))
	value := strings.TrimSuffix(strings.ReplaceAll(c.FormValue("secret"), "\r\n", "\n"), "\n")
	err := s.store.SetSecret(c.Request().Context(), integration, name, value, web.Who(c).ID)
	return s.changedSecret(c, err, views.SecretsPage{Name: name}, good(c, "done.secret_set", "name", name, "integration", integration))
}

func (s *Console) removeSecret(c echo.Context) error {
	integration, name := c.Param("name"), c.Param("secret")
	err := s.store.RemoveSecret(c.Request().Context(), integration, name, web.Who(c).ID)
	return s.changedSecret(c, err, views.SecretsPage{}, good(c, "done.secret_removed", "name", name, "integration", integration))
}

func (s *Console) changedSecret(c echo.Context, err error, page views.SecretsPage, done views.Flash) error {
	if err != nil {
		p, err := web.Mistake(err)
		if err != nil {
			return err
		}
		page.Problem = web.Say(c, p.Says)
		return s.secretsPage(c, p.Status, page)
	}
	s.SetFlash(c, done)
	return c.Redirect(http.StatusSeeOther, views.Secrets(c.Param("name")))
}
