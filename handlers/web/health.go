package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// readyTimeout is shorter than what load balancers wait.
const readyTimeout = 3 * time.Second

func (s *Core) watchRoutes() {
	s.Route(http.MethodGet, "/healthz", Open, func(c echo.Context) error {
		return c.JSON(http.StatusOK, map[string]string{"status": "ok", "version": s.Config.Version})
	})
	s.Route(http.MethodGet, "/readyz", Open, s.ready)
	s.Route(http.MethodPost, PolicyReports, Open, s.policyReport)
	s.Route(http.MethodGet, "/metrics", Open, echo.WrapHandler(s.Config.Metrics.handler()))
}

// ready reports whether requests can be served: database reachable, schema current.
func (s *Core) ready(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyTimeout)
	defer cancel()
	if err := s.store.Ready(ctx); err != nil {
		s.Config.Log.WarnContext(ctx, "not ready", "error", err)
		p := NewProblem(http.StatusServiceUnavailable, "not_ready", "why", outermost(err))
		p.RequestID = requestID(c)
		return writeProblem(c, p)
	}
	return c.JSON(http.StatusOK, map[string]string{"status": "ready"})
}

// outermost is what an error says itself: what it wraps may name hosts and users, and is for the log.
func outermost(err error) string {
	text := err.Error()
	if cause := errors.Unwrap(err); cause != nil {
		text = strings.TrimSuffix(strings.TrimSuffix(text, cause.Error()), ": ")
	}
	return text
}
