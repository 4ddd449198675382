// Package console is the pages for people. Everything works without JavaScript.
package console

import "redrive/handlers/web"

// Console is the pages.
type Console struct {
	*web.Core
	store Store
	live  *hub
}

// New returns the console without its routes.
func New(core *web.Core, store Store) *Console {
	live := newHub(store.DeadGeneration, store.Holding)
	if core.Config.LiveBeat > 0 {
		live.beat = core.Config.LiveBeat
	}
	return &Console{Core: core, store: store, live: live}
}
