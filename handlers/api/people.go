package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
)

// PersonJSON is a person and what they may do. Version changes with it; whoever sends it along changes nothing that they have not seen.
type PersonJSON struct {
	ID           string         `json:"id"`
	Name         string         `json:"name"`
	Version      int            `json:"version"`
	SingleSignOn bool           `json:"single_sign_on"` // the provider gives name and role
	Role         *delivery.Role `json:"role"`           // for all integrations
	Grants       []GrantJSON    `json:"grants"`         // beside it
	CreatedAt    time.Time      `json:"created_at"`
	DisabledAt   *time.Time     `json:"disabled_at"`
}

// RoleJSON is a role with what it permits.
type RoleJSON struct {
	Role        delivery.Role         `json:"role"`
	Permissions []delivery.Permission `json:"permissions"`
}

func (s *API) peopleRoutes() {
	admin := delivery.PermitAdminister
	s.get("/roles", s.listRoles, admin)
	s.get("/people", s.listPeople, admin)
	s.get("/people/:id", s.showPerson, admin)
	s.route(http.MethodPut, "/people/:id/role", web.Permit(admin), s.setRole)
	s.post("/people/:id/grants", s.addGrant, admin)
	s.route(http.MethodDelete, "/people/:id/grants/:grant", web.Permit(admin), s.withdrawGrant)
	s.post("/people/:id/disable", s.setDisabled(true), admin)
	s.post("/people/:id/enable", s.setDisabled(false), admin)
}

func (s *API) listRoles(c echo.Context) error {
	if err := web.OnlyParams(c.QueryParams()); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(delivery.Page[delivery.Role]{Items: delivery.Roles}, func(r delivery.Role) RoleJSON {
		return RoleJSON{r, r.Permissions()}
	}))
}

func (s *API) listPeople(c echo.Context) error {
	if err := web.OnlyParams(c.QueryParams()); err != nil {
		return err
	}
	list, err := s.store.Operators(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(delivery.Page[delivery.Operator]{Items: list}, personJSONOf))
}

func personJSONOf(o delivery.Operator) PersonJSON {
	return PersonJSON{ID: o.ID, Name: o.Name, Version: o.Generation, SingleSignOn: !o.IsLocal(), Role: roleJSON(o.Role), Grants: grantsJSON(o.Grants),
		CreatedAt: o.CreatedAt.UTC(), DisabledAt: web.Utc(o.DisabledAt)}
}

func (s *API) showPerson(c echo.Context) error {
	o, err := s.person(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, personJSONOf(o))
}

func (s *API) person(c echo.Context) (delivery.Operator, error) {
	id, err := web.UuidParam(c)
	if err != nil {
		return delivery.Operator{}, err
	}
	return s.store.Operator(c.Request().Context(), id)
}

// setRole gives a person another role for all integrations; null takes it away.
func (s *API) setRole(c echo.Context) error {
	text := ""
	return s.changePerson(c, web.Fields{"role": web.TextField("role", delivery.MaxName, &text)}, func(change *delivery.OperatorChange) error {
		role := delivery.Role(text)
		if change.Role = &role; role == "" {
			return nil
		}
		return role.Check()
	})
}

func (s *API) addGrant(c echo.Context) error {
	var g delivery.Grant
	return s.changePerson(c, grantFields(&g), func(change *delivery.OperatorChange) error {
		change.Grant = &g
		return g.Check()
	})
}

// withdrawGrant takes the version by the address: a request to delete has no body.
func (s *API) withdrawGrant(c echo.Context) error {
	grant := c.Param("grant")
	return s.changePerson(c, web.Fields{}, func(change *delivery.OperatorChange) error {
		if err := web.OnlyParams(c.QueryParams(), "version"); err != nil {
			return err
		}
		change.Withdraw = &grant
		if text := c.QueryParam("version"); text != "" {
			return web.VersionField(&change.Seen)(json.RawMessage(text))
		}
		return nil
	})
}

func (s *API) setDisabled(disabled bool) echo.HandlerFunc {
	return func(c echo.Context) error {
		return s.changePerson(c, web.Fields{}, func(change *delivery.OperatorChange) error {
			change.Disabled = &disabled
			return nil
		})
	}
}

// changePerson reads a body with a version and the members of one change, and makes it, as the console does.
func (s *API) changePerson(c echo.Context, known web.Fields, complete func(*delivery.OperatorChange) error) error {
	o, err := s.person(c)
	if err != nil {
		return err
	}
	change := delivery.OperatorChange{ID: o.ID, Actor: web.Who(c).ID}
	body, err := web.ReadJSONBody(c.Request())
	if err == nil {
		err = web.DecodeObject(body, known.And(web.Fields{"version": web.VersionField(&change.Seen)}))
	}
	if err == nil {
		err = complete(&change)
	}
	if err = web.FirstError(err, web.NotSelf(c, o)); err != nil {
		return err
	}
	if o, err = s.store.ChangeOperator(c.Request().Context(), change); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, personJSONOf(o))
}
