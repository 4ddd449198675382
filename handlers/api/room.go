// Package api is the JSON API under /api/v1, described by openapi.json.
package api

import "redrive/handlers/web"

// API is the JSON API.
type API struct {
	*web.Core
	store Store
}

// New returns the API without its routes.
func New(core *web.Core, store Store) *API { return &API{Core: core, store: store} }
