package handlers

import "github.com/alexedwards/scs/v2"

func newSessions(cfg Config) *scs.SessionManager {
	m := scs.New()
	m.Store = cfg.Store
	return m
}
