// Package handlers is everything that speaks HTTP: the JSON API, the console, and what both need. A handler parses, calls the store,
// responds.
package handlers

import (
	"context"

	"github.com/labstack/echo/v4"

	"redrive/handlers/api"
	"redrive/handlers/console"
	"redrive/handlers/web"
)

// Store is what console and API need from the database.
type Store interface {
	web.Store
	api.Store
	console.Store
}

type (
	// Config is what the web server is made of.
	Config = web.Config
	// Metrics are what GET /metrics answers.
	Metrics = web.Metrics
)

// NewMetrics returns metrics that nothing has happened to yet.
func NewMetrics() *Metrics { return web.NewMetrics() }

// Server is console and API.
type Server struct {
	*web.Core
	console *console.Console
}

// New checks the configuration and builds the routes.
func New(store Store, cfg Config) (*Server, error) {
	core, err := web.New(store, cfg)
	if err != nil {
		return nil, err
	}
	api.New(core, store).Routes()
	pages := console.New(core, store)
	pages.Routes()
	if cfg.DemoHandler != nil {
		shop := echo.WrapHandler(cfg.DemoHandler)
		for _, path := range []string{"/demo", "/demo/*"} {
			for _, r := range core.Echo.Any(path, shop) {
				core.Declare(r, web.Open)
			}
		}
	}
	if err := core.CheckRoutes(); err != nil {
		return nil, err
	}
	return &Server{Core: core, console: pages}, nil
}

// Run ends the streams when ctx does, so that the web server can stop, and writes down until then how often somebody was not let in, and
// when tokens were used.
func (s *Server) Run(ctx, grace context.Context) error {
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		s.KeepCounts(ctx, grace)
	}()
	err := s.console.Run(ctx, grace)
	<-counted
	return err
}
