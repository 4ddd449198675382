package handlers

import "github.com/labstack/echo/v4"

// errorPage shows a problem to a person.
func (s *Server) errorPage(c echo.Context, p problem) error { return c.String(p.Status, p.Title+": "+p.Detail) }
