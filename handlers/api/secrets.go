package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
)

// StoredSecretJSON is a stored secret: never its value.
type StoredSecretJSON struct {
	Name  string    `json:"name"`
	SetAt time.Time `json:"set_at"`
	SetBy string    `json:"set_by"`
}

func (s *API) secretRoutes() {
	admin := web.Permit(delivery.PermitAdminister)
	s.route(http.MethodGet, "/integrations/:name/secrets", admin, s.listSecrets)
	s.route(http.MethodPut, "/integrations/:name/secrets/:secret", admin, s.setSecret)
	s.route(http.MethodDelete, "/integrations/:name/secrets/:secret", admin, s.removeSecret)
}

// administered is the integration of an address, which may be one that no file names yet.
func administered(c echo.Context) (string, error) {
	name := c.Param("name")
	if !delivery.IsName(name) {
		return "", delivery.ErrNotFound
	}
	return name, web.MayFor(c, []string{name}, delivery.PermitAdminister)
}

func (s *API) listSecrets(c echo.Context) error {
	name, err := administered(c)
	if err == nil {
		err = web.OnlyParams(c.QueryParams())
	}
	if err != nil {
		return err
	}
	list, err := s.store.Secrets(c.Request().Context(), name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(delivery.Page[delivery.StoredSecret]{Items: list}, func(one delivery.StoredSecret) StoredSecretJSON {
		return StoredSecretJSON{Name: one.Name, SetAt: one.SetAt.UTC(), SetBy: one.SetBy}
	}))
}

func (s *API) setSecret(c echo.Context) error {
	name, err := administered(c)
	if err != nil {
		return err
	}
	value := ""
	body, err := web.ReadJSONBody(c.Request())
	if err == nil {
		err = web.DecodeObject(body, web.Fields{"value": web.TextField("value", delivery.MaxSecret, &value)})
	}
	if err == nil {
		err = s.store.SetSecret(c.Request().Context(), name, c.Param("secret"), value, web.Who(c).ID)
	}
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (s *API) removeSecret(c echo.Context) error {
	name, err := administered(c)
	if err == nil {
		err = s.store.RemoveSecret(c.Request().Context(), name, c.Param("secret"), web.Who(c).ID)
	}
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
