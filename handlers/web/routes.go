package web

import (
	"errors"
	"fmt"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// Access says to whom a route is open. The zero Access is none: a route that has it keeps the server from starting.
type Access struct {
	Public bool                  // to everybody, without signing in
	Signed bool                  // to whoever is signed in, without a permission
	Needs  []delivery.Permission // to whoever has all of them, each for at least one integration
	Audits bool                  // it is written down, although it changes nothing
	Lasts  bool                  // it is no look, but a stream of news, which has limits of its own
	Fresh  bool                  // asks for a sign-in of just now, also where the permissions do not
	Any    bool                  // asks for none, also where the permissions do
}

var (
	Open     = Access{Public: true} // a route for everybody
	SignedIn = Access{Signed: true} // a route about the own account
)

// Permit is a route for whoever has all of the permissions.
func Permit(needs ...delivery.Permission) Access { return Access{Needs: needs} }

// TakesBytes is a route that hands out exact bytes; where something of them is masked, it asks for reveal as well.
var TakesBytes = Permit(delivery.PermitViewPayload, delivery.PermitExport).Audited().Freshly()

// OwnFactors is a route that changes how the own account is signed in to.
var OwnFactors = SignedIn.Freshly()

// Freshly is the same for whoever signed in just now.
func (a Access) Freshly() Access {
	a.Fresh = true
	return a
}

// AnyTime is the same for a route that must not wait for a sign-in, such as one that stops something.
func (a Access) AnyTime() Access {
	a.Any = true
	return a
}

// AsksFresh reports whether a person has to have signed in just now.
func (a Access) AsksFresh() bool {
	return !a.Public && !a.Any && (a.Fresh || delivery.AskFresh(a.Needs))
}

// Audited is the same for a route that hands out what is written down.
func (a Access) Audited() Access {
	a.Audits = true
	return a
}

// Lasting is the same for a stream.
func (a Access) Lasting() Access {
	a.Lasts = true
	return a
}

func (a Access) declared() bool { return a.Public || a.Signed || len(a.Needs) > 0 }

// Route serves requests of a method and a path from those whom access lets through.
func (s *Core) Route(method, path string, access Access, h echo.HandlerFunc) {
	if strings.Contains(path, "/:") { // of one message, failure or file: what it says may be somebody's data
		h = unkept(h)
	}
	if !access.Public && access.declared() {
		if !access.Lasts {
			h = s.fairly(h)
		}
		h = s.require(access)(h)
	}
	s.Declare(s.Echo.Add(method, path, h), access)
}

// unkept keeps answers out of caches, those of browsers as well.
func unkept(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("Cache-Control", "no-store")
		return next(c)
	}
}

// Declare says to whom a route is open that something else serves.
func (s *Core) Declare(r *echo.Route, access Access) { s.access[r.Method+" "+r.Path] = access }

// Access returns to whom each route is open, by method and path.
func (s *Core) Access() map[string]Access { return s.access }

// CheckRoutes refuses routes that do not say to whom they are open.
func (s *Core) CheckRoutes() error {
	var errs []error
	for _, r := range s.Echo.Routes() {
		name := r.Method + " " + r.Path
		if a := s.access[name]; !a.declared() && r.Method != echo.RouteNotFound {
			errs = append(errs, fmt.Errorf("handlers: the route %s says no permission", name))
		}
	}
	return errors.Join(errs...)
}

// may reports whether a request's person or token has all of the permissions, each for at least one integration.
func may(c echo.Context, needs ...delivery.Permission) error {
	if missing := Who(c).Rights.Missing(needs...); missing != "" {
		return Forbidden(missing)
	}
	return nil
}

// MayFor refuses whoever lacks one of the permissions for one of the integrations.
func MayFor(c echo.Context, integrations []string, needs ...delivery.Permission) error {
	for _, name := range integrations {
		if missing := Who(c).Rights.MissingFor(name, needs...); missing != "" {
			return ProblemOf(&delivery.RightError{Missing: missing, Integration: name})
		}
	}
	return may(c, needs...)
}

// Forbidden is the problem of whoever lacks a permission.
func Forbidden(missing delivery.Permission) Problem {
	return ProblemOf(&delivery.RightError{Missing: missing})
}

// MayAll reports whether MayFor lets a request through.
func MayAll(c echo.Context, integrations []string, needs ...delivery.Permission) bool {
	return MayFor(c, integrations, needs...) == nil
}
