package console

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// traffic lists the rows behind an integration's backlog, or behind what it delivered.
func (s *Console) traffic(delivered bool) echo.HandlerFunc {
	return func(c echo.Context) error {
		name, title := c.Param("name"), "title.underway"
		var states []delivery.State
		if err := web.OneOf(c.QueryParams(), "state", []delivery.State{delivery.StatePending, delivery.StateSending}, &states); err != nil {
			return err
		}
		state := delivery.State("") // both
		if len(states) == 1 {
			state = states[0]
		}
		list := func(ctx context.Context, name, after string) (delivery.Page[delivery.Delivery], error) {
			return s.store.Underway(ctx, name, state, after)
		}
		if delivered {
			title, list = "title.delivered", s.store.Delivered
		}
		held, err := s.store.IntegrationStates(c.Request().Context())
		if err != nil {
			return err
		}
		if _, known := held[name]; !known {
			return delivery.ErrNotFound
		}
		rows, err := list(c.Request().Context(), name, c.QueryParam("after"))
		if err != nil {
			return err
		}
		page := views.TrafficPage{
			Layout:      s.Layout(c, "", views.Overview),
			Integration: name,
			Delivered:   delivered,
			State:       state,
			Held:        held[name],
			Items:       rows.Items,
		}
		page.Title, page.Next = page.Say(delivery.Say(title, "integration", name)), nextURL(c.Request(), rows.Next)
		return web.Render(c, http.StatusOK, views.TrafficView(page))
	}
}

// blocked lists what waits until a delivery is settled, because it is of the same key.
func (s *Console) blocked(c echo.Context) error {
	id := c.Param("id")
	if !delivery.IsUUID(id) {
		return delivery.ErrNotFound
	}
	d, err := s.store.Delivery(c.Request().Context(), id)
	if err != nil {
		return err
	}
	rows, err := s.store.Blocked(c.Request().Context(), id, c.QueryParam("after"))
	if err != nil {
		return err
	}
	page := views.TrafficPage{Layout: s.Layout(c, "", views.Failures), Integration: d.Integration, Behind: id, Items: rows.Items}
	page.Title, page.Next = page.Say(delivery.Say("title.behind", "id", views.Short(id),
		"key", d.Key)), nextURL(c.Request(), rows.Next)
	return web.Render(c, http.StatusOK, views.TrafficView(page))
}
