package console

import (
	"context"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/handlers/web/passwords"
	"redrive/views"
)

func (s *Console) adminRoutes() {
	admin := delivery.PermitAdminister
	s.get(views.Operators, func(c echo.Context) error { return s.operatorsPage(c, http.StatusOK, views.OperatorsPage{}) }, admin)
	s.post(views.Operators, s.addOperator, admin)
	s.post(views.Operators+"/:name/:what", s.changeOperator, admin)
	s.get(views.SessionsOf(":name"), s.sessions, admin)
	s.post(views.SessionEnd(views.SessionsOf(":name"), ":id"), s.endSession, admin)
	s.tokenRoutes(admin)
}

// accountRoutes are about whoever is signed in.
func (s *Console) accountRoutes() {
	own := web.SignedIn
	s.Route(http.MethodGet, views.Account, own, s.account)
	s.Route(http.MethodPost, views.Account, own, s.changePassword)
	s.Route(http.MethodPost, views.SessionEnd(views.Account, ":id"), own, s.endOwnSession)
	s.codeRoutes()
	s.passkeyRoutes()
	s.ownTokenRoutes()
}

func (s *Console) operatorsPage(c echo.Context, status int, page views.OperatorsPage) error {
	people, err := s.store.Operators(c.Request().Context())
	if err != nil {
		return err
	}
	page.Layout, page.Items = s.Layout(c, "title.people", views.Operators), people
	return web.Render(c, status, views.OperatorsView(page))
}

func (s *Console) addOperator(c echo.Context) error {
	o := delivery.Operator{Name: strings.TrimSpace(c.FormValue("name")), Role: delivery.Role(c.FormValue("role"))}
	grant, err := grantOf(c)
	if !grant.Everywhere() {
		o.Role, o.Grants = "", delivery.Grants{grant}
	}
	err = web.FirstError(err, o.Check(), passwords.Check(c.FormValue("password"), o.Name))
	if err == nil {
		o.PasswordHash, err = web.HashPassword(c.FormValue("password"))
	}
	if err == nil {
		_, err = s.store.CreateOperator(c.Request().Context(), o, web.Who(c).ID)
	}
	if err != nil {
		p, err := web.Mistake(err)
		if err != nil {
			return err
		}
		return s.operatorsPage(c, p.Status, views.OperatorsPage{Name: o.Name, NewRole: grant.Role, Integrations: c.FormValue("integrations"),
			Labels: c.FormValue("labels"), Problem: web.Say(c, p.Says)})
	}
	s.SetFlash(c, good(c, "done.operator_added", "name", o.Name))
	return c.Redirect(http.StatusSeeOther, views.Operators)
}

// changeOperator changes name, role or password of another person, disables one or ends their sessions. Nobody changes the own role or
// disables themselves: so there is always an admin left. The address has the person's id; the name of now is understood, too.
func (s *Console) changeOperator(c echo.Context) error {
	ctx := c.Request().Context()
	o, err := s.operatorNamed(ctx, c.Param("name"))
	if err != nil {
		return err
	}
	change, err := operatorChange(c, c.Param("what"), o.Name)
	if err == nil {
		err = web.NotSelf(c, o)
	}
	if err == nil {
		change.ID, change.Actor = o.ID, web.Who(c).ID
		_, err = s.store.ChangeOperator(ctx, change)
	}
	if err != nil {
		p, err := web.Mistake(err)
		if err != nil {
			return err
		}
		return s.operatorsPage(c, p.Status, views.OperatorsPage{Last: o.ID, Problem: web.Say(c, p.Says)})
	}
	s.SetFlash(c, good(c, "done.operator_changed", "name", o.Name))
	return c.Redirect(http.StatusSeeOther, views.Operators)
}

// operatorNamed returns whom an address means; no name is an id.
func (s *Console) operatorNamed(ctx context.Context, idOrName string) (delivery.Operator, error) {
	if delivery.IsUUID(idOrName) {
		return s.store.Operator(ctx, idOrName)
	}
	return s.store.OperatorByName(ctx, idOrName)
}

// operatorChange reads what a form changes. A password is hashed here, long before anything is read or locked for its change.
func operatorChange(c echo.Context, what, called string) (change delivery.OperatorChange, err error) {
	on, off := true, false
	switch what {
	case "rename":
		name := strings.TrimSpace(c.FormValue("name"))
		change.Name, err = &name, delivery.CheckOperatorName(name)
	case "role":
		role := delivery.Role(c.FormValue("role"))
		if change.Role = &role; role != "" {
			err = role.Check()
		}
	case "grant":
		var grant delivery.Grant
		grant, err = grantOf(c)
		change.Grant, err = &grant, web.FirstError(err, grant.Check())
	case "withdraw":
		id := c.FormValue("grant")
		change.Withdraw = &id
	case "password":
		hash := ""
		if err = passwords.Check(c.FormValue("password"), called); err == nil {
			hash, err = web.HashPassword(c.FormValue("password"))
		}
		change.PasswordHash = &hash
	case "disable":
		change.Disabled = &on
	case "enable":
		change.Disabled = &off
	case "remove-code":
		change.RemoveCodes = true
	case "sign-out":
	default:
		err = delivery.ErrNotFound
	}
	return change, err
}

// grantOf reads a role, or permissions, and the integrations that they are for, by name and by label; without either for all.
func grantOf(c echo.Context) (g delivery.Grant, err error) {
	params, err := c.FormParams()
	if err != nil {
		return g, err
	}
	g.Role = delivery.Role(c.FormValue("role"))
	for _, p := range params["permission"] {
		g.Permissions = append(g.Permissions, delivery.Permission(p))
	}
	names, labels, err := delivery.ParseScope(c.FormValue("integrations"))
	for key, value := range labels {
		names = append(names, key+"="+value) // where names belong it is none, and is refused as such
	}
	g.Integrations = names
	if err == nil {
		names, g.Labels, err = delivery.ParseScope(c.FormValue("labels"))
	}
	if err == nil && len(names) > 0 && c.FormValue("labels") != "" {
		err = delivery.Mistake("invalid_label", "labels", "label", names[0], "max", delivery.MaxName)
	}
	return g, err
}

func (s *Console) account(c echo.Context) error { return s.accountPage(c, http.StatusOK, "") }

func (s *Console) accountPage(c echo.Context, status int, wrong string) error {
	sessions, err := s.store.Sessions(c.Request().Context(), web.Who(c).ID)
	if err != nil {
		return err
	}
	page := views.AccountPage{Layout: s.Layout(c, "title.account", views.Account), Problem: wrong, Sessions: sessions, Session: web.Who(c).Session}
	if err := s.addFactors(c, &page); err != nil {
		return err
	}
	return web.Render(c, status, views.AccountView(page))
}

// addFactors adds how the reader signs in; a token does not.
func (s *Console) addFactors(c echo.Context, page *views.AccountPage) error {
	if web.Who(c).ViaToken {
		return nil
	}
	o, err := s.store.Operator(c.Request().Context(), web.Who(c).ID)
	if err != nil {
		return err
	}
	page.Local, page.HasCodes, page.NoKeys = o.IsLocal(), o.HasCodes, s.Passkeys == nil
	if page.Passkeys, err = s.store.Passkeys(c.Request().Context(), o.ID); err != nil {
		return err
	}
	if o.HasCodes {
		page.Recovery, err = s.store.RecoveryCodes(c.Request().Context(), o.ID)
	}
	return err
}

// sessions shows where somebody else is signed in.
func (s *Console) sessions(c echo.Context) error {
	o, err := s.operatorNamed(c.Request().Context(), c.Param("name"))
	if err != nil {
		return err
	}
	list, err := s.store.Sessions(c.Request().Context(), o.ID)
	if err != nil {
		return err
	}
	return web.Render(c, http.StatusOK, views.SessionsView(views.SessionsPage{Layout: s.Layout(c, "title.sessions", views.Operators), Of: o, Items: list}))
}

// endSession signs somebody else out of one browser.
func (s *Console) endSession(c echo.Context) error {
	o, err := s.operatorNamed(c.Request().Context(), c.Param("name"))
	if err != nil {
		return err
	}
	return s.ended(c, o.ID, views.SessionsOf(o.ID))
}

// endOwnSession signs the reader out of one browser, which may be this one.
func (s *Console) endOwnSession(c echo.Context) error {
	return s.ended(c, web.Who(c).ID, views.Account)
}

func (s *Console) ended(c echo.Context, operator, back string) error {
	if err := s.store.EndSession(c.Request().Context(), operator, c.Param("id"), web.Who(c).ID); err != nil {
		return err
	}
	s.SetFlash(c, good(c, "done.session_ended"))
	return c.Redirect(http.StatusSeeOther, back)
}

// changePassword ends all other sessions of the person.
func (s *Console) changePassword(c echo.Context) error {
	ctx := c.Request().Context()
	if web.Who(c).ViaToken {
		return web.NewProblem(http.StatusForbidden, "forbidden.token_password")
	}
	o, err := s.store.Operator(ctx, web.Who(c).ID)
	if err != nil {
		return err
	}
	if o, err = s.newPassword(c, o, c.FormValue("current"), c.FormValue("new"), c.FormValue("again")); err != nil {
		p, err := web.Mistake(err)
		if err != nil {
			return err
		}
		return s.accountPage(c, p.Status, web.Say(c, p.Says))
	}
	if err := s.OpenSession(c, o, delivery.Session{Method: web.Who(c).Method}); err != nil {
		return err
	}
	s.SetFlash(c, good(c, "done.password"))
	return c.Redirect(http.StatusSeeOther, views.Account)
}

// newPassword changes the password of a person who knows the present one, and returns the person after it. Hashing takes its time
// outside of any transaction: what is written is the hash alone, if the password that was compared is still the present one.
func (s *Console) newPassword(c echo.Context, o delivery.Operator, current, fresh, again string) (delivery.Operator, error) {
	if !o.IsLocal() {
		return o, delivery.Mistake("provided_person", "current")
	}
	fits, err := s.TryPassword(c, o, current)
	switch {
	case err != nil:
		return o, err
	case !fits:
		return o, web.BadField(http.StatusUnprocessableEntity, "wrong_password", "current")
	case fresh != again:
		return o, web.BadField(http.StatusUnprocessableEntity, "passwords_differ", "again")
	}
	if err := passwords.Check(fresh, o.Name); err != nil {
		return o, err
	}
	hash, err := web.HashPassword(fresh)
	if err != nil {
		return o, err
	}
	return s.store.ChangeOperator(c.Request().Context(), delivery.OperatorChange{ID: o.ID, Actor: o.ID, PasswordHash: &hash, Since: o.Generation})
}
