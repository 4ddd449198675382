// Package web is what API and console both need of HTTP: who makes a request, sessions, errors, limits, masked payloads, metrics,
// and what is asked of the store by both.
package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"redrive/delivery"
	"redrive/handlers/web/passkey"
	"redrive/handlers/web/sso"
)

// Config is what the web server is made of.
type Config struct {
	Integrations  []delivery.Integration
	Wake          func() // tells the engine that work was committed; never blocks
	WakeRelay     func() // tells the relay that an event was committed; never blocks
	Log           *slog.Logger
	Version       string
	SecureCookies bool         // the console is served over HTTPS
	DemoHandler   http.Handler // serves everything under /demo; nil: no demo
	Metrics       *Metrics
	MetricsAccess MetricsAccess // default: MetricsLocal
	// Offer hands a command for a pool integration over in memory; nil: every message is made durable.
	Offer func(ctx context.Context, m delivery.Message) (delivery.Accepted, error)
	// Facts are the figures of an integration's method, in the order to show; nil: there are none.
	Facts func(integration string) []delivery.Fact
	// Schemas say what of an edited payload does not fit, by integration; those without a schema are not in it.
	Schemas   map[string]func(payload []byte) []string
	TicketURL string // with {ticket}; empty: tickets are no links
	// Masks say what people may not see; default: of Integrations.
	Masks delivery.Masks
	// TrustedProxies are the proxies whose word counts on where requests come from; none: requests come from whoever is connected.
	TrustedProxies []netip.Prefix
	// Lang is the language of whoever neither chose one nor has a browser that asks for one; default: English.
	Lang string
	// PublicURL is where browsers reach the console, without a slash at its end.
	PublicURL string
	// SSO is the provider of single sign-on; nil: there is none.
	SSO *sso.Provider
	// SessionLifetime and SessionIdle are how long sessions last at most, and without use; default: the standard ones.
	SessionLifetime, SessionIdle time.Duration
	// TokenLifetimes are how long secrets of tokens are valid; default: the standard ones.
	TokenLifetimes delivery.TokenLifetimes
	// FreshSignIn is how long a sign-in is fresh; default: StandardFresh.
	FreshSignIn time.Duration
	// RevealFor is how long a revealed value may be looked at again without another reason; 0: not.
	RevealFor time.Duration
	// Now is the clock of codes that apps make; default: time.Now.
	Now func() time.Time
	// LiveBeat is how often a stream of news shows that it lives; default: 15 s.
	LiveBeat time.Duration
}

// Core is what every request passes. API and console embed it.
type Core struct {
	Config   Config
	Echo     *echo.Echo
	Sessions *scs.SessionManager
	Masks    delivery.Masks
	Passkeys *passkey.Keys // nil: there can be none at the public address
	store    Store
	access   map[string]Access // of each route
	shares   shares
	reports  *rate.Limiter // of the log, for what browsers report
	limit    *guessLimiter
	refusals *refusals
	uses     *tokenUses
}

// New completes the configuration and installs what every request passes.
func New(store Store, cfg Config) (*Core, error) {
	if store == nil {
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
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.MetricsAccess = cmp.Or(cfg.MetricsAccess, MetricsLocal)
	if cfg.TokenLifetimes == (delivery.TokenLifetimes{}) {
		cfg.TokenLifetimes = delivery.StandardTokenLifetimes
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics()
	}
	if err := cfg.Metrics.watch(store, cfg.Integrations, cfg.Log, cfg.Facts); err != nil {
		return nil, fmt.Errorf("handlers: metrics: %w", err)
	}
	keys, err := passkey.New(cfg.PublicURL)
	if err != nil {
		return nil, fmt.Errorf("handlers: passkeys: %w", err)
	}
	s := &Core{
		Passkeys: keys,
		Config:   cfg,
		Echo:     echo.New(),
		Sessions: newSessions(store, cfg),
		Masks:    cfg.Masks.Or(cfg.Integrations),
		store:    store,
		access:   map[string]Access{},
		shares:   shares{held: map[string]*share{}},
		reports:  rate.NewLimiter(reportsLog, reportsBurst),
		limit:    newGuessLimiter(time.Now),
		refusals: newRefusals(time.Now, store.Record),
		uses:     newTokenUses(time.Now, store.NoteTokenUses),
	}
	s.Echo.HTTPErrorHandler = s.handleError
	s.Echo.IPExtractor = addressOf(cfg.TrustedProxies) // nobody can choose the address that the limits count
	s.use()
	s.watchRoutes()
	return s, nil
}

// Handler serves everything that was routed.
func (s *Core) Handler() http.Handler { return headAsGet(s.Echo) }
