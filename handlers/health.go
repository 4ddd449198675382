package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// readyTimeout is shorter than what load balancers wait.
const readyTimeout = 3 * time.Second

func (s *Server) watchRoutes() {
	s.echo.GET("/healthz", func(c echo.Context) error {
		return c.JSON(http.StatusOK, map[string]string{"status": "ok", "version": s.cfg.Version})
	})
	s.echo.GET("/readyz", s.ready)
	s.echo.GET("/metrics", echo.WrapHandler(s.cfg.Metrics.handler()))
}

// ready answers whether requests can be served: database reachable, schema current.
func (s *Server) ready(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyTimeout)
	defer cancel()
	if err := s.cfg.Store.Ready(ctx); err != nil {
		s.cfg.Log.WarnContext(ctx, "not ready", "error", err)
		p := newProblem(http.StatusServiceUnavailable, "not_ready",
			"The database does not answer, or its schema is not the one this version needs. The log says which; redrive doctor finds out why.")
		p.RequestID = requestID(c)
		return writeProblem(c, p)
	}
	return c.JSON(http.StatusOK, map[string]string{"status": "ready"})
}
