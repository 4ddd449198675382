// Package handlers is everything that speaks HTTP: the JSON API, the console, sessions, metrics and the error page. A handler
// parses, calls the store, responds.
package handlers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/alexedwards/scs/v2"
	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// Config is what the web server is made of.
type Config struct {
	Store         Store
	Integrations  []delivery.Integration
	Wake          func() // tells the engine that work was committed; never blocks
	WakeRelay     func() // tells the relay that an event was committed; never blocks
	Log           *slog.Logger
	Version       string
	SecureCookies bool         // the console is served over HTTPS
	DemoHandler   http.Handler // serves everything under /demo; nil: no demo
	Metrics       *Metrics
	// Offer hands a command for a pool integration over in memory; nil: every message is made durable.
	Offer func(ctx context.Context, m delivery.Message) (delivery.Accepted, error)
	// Facts are the figures of an integration's method, in the order to show; nil: there are none.
	Facts func(integration string) []delivery.Fact
	// Schemas say what of an edited payload does not fit, by integration; those without a schema are not in it.
	Schemas   map[string]func(payload []byte) []string
	TicketURL string // with {ticket}; empty: tickets are no links
	// Masks say what people may not see; default: of Integrations.
	Masks delivery.Masks
}

// Server is console and API.
type Server struct {
	cfg      Config
	echo     *echo.Echo
	sessions *scs.SessionManager
	masks    delivery.Masks
	live     *hub
}

// principal is who makes a request.
type principal struct {
	Name     string
	Role     delivery.Role
	ViaToken bool // by bearer token, not by session
}

const principalKey = "redrive.principal"

// who answers the signed-in person or token of a request; the zero value is nobody.
func who(c echo.Context) principal {
	p, _ := c.Get(principalKey).(principal)
	return p
}

// New checks the configuration and builds the routes.
func New(cfg Config) (*Server, error) {
	if cfg.Store == nil {
		return nil, errors.New("handlers: no store")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Wake == nil {
		cfg.Wake = func() {}
	}
	if cfg.WakeRelay == nil {
		cfg.WakeRelay = func() {}
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics()
	}
	if err := cfg.Metrics.watch(cfg.Store, cfg.Integrations, cfg.Log, cfg.Facts); err != nil {
		return nil, fmt.Errorf("handlers: metrics: %w", err)
	}
	s := &Server{cfg: cfg, echo: echo.New(), sessions: newSessions(cfg), masks: cfg.Masks.Or(cfg.Integrations),
		live: newHub(cfg.Store.DeadGeneration)}
	s.echo.HTTPErrorHandler = s.handleError
	s.echo.IPExtractor = echo.ExtractIPDirect() // nobody can choose the address that the sign-in limit counts
	s.use()
	s.watchRoutes()
	s.apiRoutes()
	s.consoleRoutes()
	if cfg.DemoHandler != nil {
		shop := echo.WrapHandler(cfg.DemoHandler)
		s.echo.Any("/demo", shop)
		s.echo.Any("/demo/*", shop)
	}
	return s, nil
}

// Handler serves everything.
func (s *Server) Handler() http.Handler { return headAsGet(s.echo) }
