package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// readyTimeout is shorter than what load balancers wait.
const readyTimeout = 3 * time.Second

// MetricsAccess says to whom metrics are open without a token.
type MetricsAccess string

// To whom metrics can be open.
const (
	MetricsLocal MetricsAccess = "local" // who asks from this machine, past no proxy
	MetricsOpen  MetricsAccess = "open"  // everybody
	MetricsToken MetricsAccess = "token" // nobody
)

// Check refuses what is none of these.
func (m MetricsAccess) Check() error {
	if !slices.Contains([]MetricsAccess{MetricsLocal, MetricsOpen, MetricsToken}, m) {
		return fmt.Errorf("%q is none of local, open and token", string(m))
	}
	return nil
}

func (s *Core) watchRoutes() {
	s.Route(http.MethodGet, "/healthz", Open, func(c echo.Context) error {
		said := map[string]string{"status": "ok"}
		if s.insider(c) {
			said["version"] = s.Config.Version
		}
		return c.JSON(http.StatusOK, said)
	})
	s.Route(http.MethodGet, "/readyz", Open, s.ready)
	s.Route(http.MethodPost, PolicyReports, Open, s.policyReport)
	metrics, access := s.scopedMetrics, Permit(delivery.PermitView)
	if s.Config.MetricsAccess != MetricsToken {
		metrics, access = s.metrics, Open
	}
	s.Route(http.MethodGet, "/metrics", access, metrics)
}

// insider reports whether a request comes from whom metrics are open to.
func (s *Core) insider(c echo.Context) bool {
	return s.Config.MetricsAccess == MetricsOpen || s.Config.MetricsAccess == MetricsLocal && fromHere(c)
}

// fromHere reports whether a request comes from this machine. What a proxy passed on does not, whoever the proxy says it is from.
func fromHere(c echo.Context) bool {
	for _, name := range []string{echo.HeaderXForwardedFor, "Forwarded", echo.HeaderXRealIP, "Via"} {
		if len(c.Request().Header.Values(name)) > 0 {
			return false
		}
	}
	from, err := netip.ParseAddr(echo.ExtractIPDirect()(c.Request()))
	return err == nil && from.Unmap().IsLoopback()
}

// metrics shows all to those whom it is open to, and to others what their token sees. Whoever brings a token is shown that.
func (s *Core) metrics(c echo.Context) error {
	if s.insider(c) && c.Request().Header.Get(echo.HeaderAuthorization) == "" {
		s.Config.Metrics.handler(delivery.Everywhere).ServeHTTP(c.Response(), c.Request())
		return nil
	}
	return s.require(Permit(delivery.PermitView))(s.scopedMetrics)(c)
}

// scopedMetrics shows what whoever signed in may see.
func (s *Core) scopedMetrics(c echo.Context) error {
	s.Config.Metrics.handler(delivery.ScopeOf(c.Request().Context(), delivery.PermitView)).ServeHTTP(c.Response(), c.Request())
	return nil
}

// ready reports whether requests can be served: database reachable, schema current. Why they cannot is the machine's own affair.
func (s *Core) ready(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyTimeout)
	defer cancel()
	if err := s.store.Ready(ctx); err != nil {
		s.Config.Log.WarnContext(ctx, "not ready", "error", err)
		p := NewProblem(http.StatusServiceUnavailable, "not_ready.stranger")
		if s.insider(c) {
			p = NewProblem(http.StatusServiceUnavailable, "not_ready", "why", outermost(err))
		}
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
