package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/internal/cli/client"
	"redrive/views"
)

// open are all routes that need no sign-in: whoever adds one adds it here.
var open = []string{"GET /healthz", "GET /readyz", "GET /metrics", "GET /api/openapi.json", "GET /static/*", "GET /favicon.ico",
	"GET /sign-in", "POST /sign-in", "POST /sign-in/code", "POST /sign-out", "POST /preferences", "POST /csp-reports"}

var parameter = regexp.MustCompile(`:\w+`)

// nowhere is the address of a route with parameters that name nothing.
func nowhere(path string) string {
	path = strings.ReplaceAll(path, ":what", "disable")
	path = strings.ReplaceAll(path, ":number", "1")
	return strings.ReplaceAll(parameter.ReplaceAllString(path, "0190a0a0-0000-7000-8000-000000000000"), "*", "icon.svg")
}

// routesOf calls with each route that is registered, and with to whom it says to be open.
func (s *site) routesOf(each func(method, path string, access web.Access)) {
	for _, r := range s.Echo.Routes() {
		if r.Method != echo.RouteNotFound && !strings.HasPrefix(r.Path, "/demo") {
			each(r.Method, r.Path, s.Access()[r.Method+" "+r.Path])
		}
	}
}

// Each role gets where its permissions say and nowhere else, by what is registered: console and API alike.
func TestEachRoleGetsWhereItsPermissionsSay(t *testing.T) {
	s := newSite(t)
	var opened []string
	used := map[delivery.Permission]bool{}
	s.routesOf(func(method, path string, access web.Access) {
		name := method + " " + path
		if access.Public {
			opened = append(opened, name)
		}
		for _, p := range access.Needs {
			used[p] = true
		}
		if path == "/failures/live" {
			return // a stream, see TestLiveNewsAreInScope
		}
		json := strings.HasPrefix(path, "/api/v1")
		a := s.tries("", method, path, json)
		asked := a.StatusCode == 401 || a.StatusCode == 303 && strings.HasPrefix(a.Header.Get("Location"), "/sign-in") && path != "/sign-out"
		if asked == access.Public && !refusesItself(method, path) {
			t.Errorf("%s by nobody: %d", name, a.StatusCode)
		}
		for _, role := range delivery.Roles {
			missing := delivery.RightsOf(role, nil).Missing(access.Needs...)
			a := s.tries(string(role), method, path, json)
			refused := a.StatusCode == 401 || a.StatusCode == 403
			if refused != (missing != "") && !refusesItself(method, path) {
				t.Errorf("%s by %s: %d %s, and what is missing is %q", name, role, a.StatusCode, mainOf(a.body), missing)
			}
			if missing != "" && (a.StatusCode != 403 || !strings.Contains(string(a.body), "permission "+string(missing))) {
				t.Errorf("%s by %s does not name %s: %d %s", name, role, missing, a.StatusCode, mainOf(a.body))
			}
		}
	})
	slices.Sort(opened)
	slices.Sort(open)
	if !slices.Equal(opened, open) {
		t.Errorf("open are %v, meant to be %v", opened, open)
	}
	for _, p := range delivery.Permissions {
		later := p == delivery.PermitReview // nothing is reviewed yet
		within := p == delivery.PermitIgnoreForGood || p == delivery.PermitSkipCanary
		if used[p] == (later || within) {
			t.Errorf("the permission %s is used by no route, or by one that this test does not know", p)
		}
	}
}

// refusesItself reports whether a route has reasons of its own to refuse somebody: tokens have no account, and who has begun no sign-in has
// none to finish.
func refusesItself(method, path string) bool {
	return method == http.MethodPost && (strings.HasPrefix(path, views.Account) || path == "/sign-in/code")
}

// tries sends a request without content to nothing that there is: it is enough to see who is let in.
func (s *site) tries(role, method, path string, json bool) answer {
	headers := []string{"Sec-Fetch-Site", "same-origin"}
	body := ""
	if method != http.MethodGet && !json {
		headers = append(headers, "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html")
	} else if method != http.MethodGet {
		body = "{}"
	}
	return s.send(role, method, nowhere(path), body, headers...)
}

// A route that says to nobody that it is open keeps the server from starting.
func TestARouteWithoutAPermissionFailsTheStart(t *testing.T) {
	s := newSite(t)
	if err := s.CheckRoutes(); err != nil {
		t.Fatal(err)
	}
	s.Echo.GET("/forgotten", func(c echo.Context) error { return nil })
	if err := s.CheckRoutes(); err == nil || !strings.Contains(err.Error(), "GET /forgotten") {
		t.Errorf("%v", err)
	}
	s.Route("GET", "/forgotten", web.Permit(), func(c echo.Context) error { return nil })
	if err := s.CheckRoutes(); err == nil {
		t.Error("a permission of none is one")
	}
}

// token makes one with grants, whose secret is its name.
func (s *site) grant(name string, grants ...delivery.Grant) string {
	sum := sha256.Sum256([]byte(name))
	_, err := s.store.CreateToken(s.t.Context(), delivery.Token{Name: name, Grants: grants}, sum[:], "setup")
	s.must(err)
	return name
}

// ownDeeds are what anybody does for themselves, whatever they see, and lists, of which they take away what they see.
var ownDeeds = []string{"POST /failures/views", "POST /api/v1/views", "GET /failures/csv", "GET /failures/json", "GET /ignored/csv", "GET /ignored/json",
	"GET /audit/csv", "GET /audit/json"}

// Whoever may do everything for one integration does nothing for others: no deed that there is changes anything, or hands anything out.
func TestNoDeedReachesOutOfScope(t *testing.T) {
	s := rightsSite(t)
	role := s.grant("elsewhere", delivery.Grant{Role: delivery.RoleAdmin, Integrations: []string{"sms"}})
	digest, work := s.digester(), doer{s}
	for name, make := range work.deeds() {
		method, path, _ := strings.Cut(name, " ")
		if slices.Contains(ownDeeds, name) || strings.HasPrefix(path, "/account") {
			continue
		}
		d := make("")
		before := digest.of(t)
		a := s.does(method, d, "Authorization", "Bearer "+role)
		if a.StatusCode < 400 && a.StatusCode != 303 || a.StatusCode >= 500 {
			t.Errorf("%s: %d %s", name, a.StatusCode, mainOf(a.body))
		}
		if tables := changed(before, digest.of(t)); len(tables) > 0 {
			t.Errorf("%s: %d, and %v changed", name, a.StatusCode, tables)
		}
	}
}

// hiddenSite has a failure of an integration whose every trace says foreign, and what belongs to it.
func hiddenSite(t *testing.T) (s *site, params map[string]string) {
	t.Helper()
	to := delivery.Destination{To: &delivery.HTTPDestination{URL: "http://127.0.0.1:1/"}}
	list := append(testIntegrations(), delivery.Integration{Name: "foreign", Method: delivery.MethodOutbox, Subscribe: []string{"foreign.type"}, Destination: to})
	s = newSite(t, func(c *web.Config) { c.Integrations = list })
	s.must(s.store.SyncIntegrations(t.Context(), list))
	s.fail(delivery.Message{Integration: "push", Payload: []byte(`{"a":1}`)}, "")
	id := s.fail(delivery.Message{Integration: "foreign", Type: "foreign.type", Key: "foreign-key", Payload: []byte(`{"a":"foreign"}`)}, "foreign")
	d, err := s.store.Delivery(t.Context(), id)
	s.must(err)
	o, err := s.store.StartOperation(t.Context(), delivery.OperationRequest{Action: delivery.ActionAcknowledge, Actor: "setup", Filter: &delivery.Filter{Integrations: []string{"foreign"}}})
	s.must(err)
	s.must(s.store.SetPaused(t.Context(), "foreign", true, "setup", "foreign"))
	_, err = s.store.SaveView(t.Context(), delivery.SavedView{Owner: "setup", Name: "foreign", Search: "integration:foreign", Shared: true})
	s.must(err)
	return s, map[string]string{"/failures/:id": id, "/deliveries/:id": id, "/messages/:id": d.MessageID, "/groups/:id": d.GroupID, "/operations/:id": o.ID,
		"/integrations/:name": "foreign", ":number": "1", ":action": "retry", ":what": "note", ":step": "pause", "/files/:id": id, "/operators/:name": id}
}

// Whoever sees some integrations is shown nothing of others on any page or by any question of the API that there is.
func TestNothingIsShownOutOfScope(t *testing.T) {
	s, params := hiddenSite(t)
	scoped := s.grant("sees-push", delivery.Grant{Role: delivery.RoleAdmin, Integrations: []string{"push"}})
	shown := 0
	s.routesOf(func(method, path string, access web.Access) {
		if method != http.MethodGet || access.Public || path == "/failures/live" {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(params)) {
			path = strings.ReplaceAll(path, name, parameter.ReplaceAllString(name, params[name]))
		}
		for _, query := range []string{"", "?search=key:foreign-key", "?field=integration&typed=f", "?integration=foreign", "?from_id=x"} {
			if strings.HasPrefix(path, "/api/") && query != "" {
				continue
			}
			a := s.send(scoped, method, path+query, "", "Accept", "text/html")
			if text := strings.NewReplacer("integration=foreign", "", "key%3Aforeign-key", "", path, "").Replace(string(a.body)); showsForeign(text, query) {
				t.Errorf("GET %s%s shows it: %s", path, query, around(text))
			}
		}
		if strings.Contains(string(s.send("admin", method, path, "", "Accept", "text/html").body), "foreign") {
			shown++
		}
	})
	s.exportsAreInScope(delivery.PermitExport)
	if shown < 20 {
		t.Errorf("only %d pages show an admin what is there: the test looks for nothing", shown)
	}
	// what is searched for comes back in the form, and nowhere else
	for query, want := range map[string]string{"push": `"integration":"push"`, "foreign": `"items":[]`} {
		if a := s.send(scoped, "GET", "/api/v1/failures?integration="+query, ""); !strings.Contains(string(a.body), want) {
			t.Errorf("%s: %s", query, a.body)
		}
	}
}

// exportsAreInScope takes away whatever can be as somebody who sees all integrations and may export of one.
func (s *site) exportsAreInScope(export delivery.Permission) {
	s.t.Helper()
	exporter := s.grant("sees-all", delivery.Grant{Role: delivery.RoleViewer}, delivery.Grant{Permissions: []delivery.Permission{export}, Integrations: []string{"push"}})
	lists := 0
	s.routesOf(func(method, path string, access web.Access) {
		if method != http.MethodGet || !slices.Contains(access.Needs, export) || strings.Contains(path, ":") { // those of one thing: TestNoDeedReachesOutOfScope
			return
		}
		lists++
		if a := s.send(exporter, method, path, ""); a.StatusCode != http.StatusOK || strings.Contains(string(a.body), "foreign") {
			s.t.Errorf("GET %s: %d %s", path, a.StatusCode, around(string(a.body)))
		}
		if a := s.send("admin", method, path, ""); !strings.HasPrefix(path, "/ignored") && !strings.Contains(string(a.body), "foreign") {
			s.t.Errorf("GET %s has nothing of it for an admin: %s", path, a.body)
		}
	})
	if lists < 6 {
		s.t.Errorf("%d lists can be taken away", lists)
	}
}

// showsForeign leaves out what a page repeats of its own address.
func showsForeign(text, query string) bool {
	if strings.Contains(query, "foreign") {
		return strings.Contains(text, "foreign error") || strings.Contains(text, "foreign.type") || strings.Contains(text, "answered 404")
	}
	return strings.Contains(text, "foreign")
}

func around(text string) string {
	at := max(strings.Index(text, "foreign"), 0)
	return text[max(at-200, 0):min(at+200, len(text))]
}

// Live news count what is in scope.
func TestLiveNewsAreInScope(t *testing.T) {
	s, _ := hiddenSite(t)
	for who, want := range map[string]string{s.grant("push-alone", delivery.Grant{Role: delivery.RoleViewer, Integrations: []string{"push"}}): `{"text":"1 `,
		s.grant("sms-alone", delivery.Grant{Role: delivery.RoleViewer, Integrations: []string{"sms"}}): "", "admin": `{"text":"2 `} {
		ctx, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", s.url+"/failures/live", nil)
		s.must(err)
		r.Header.Set("Authorization", "Bearer "+who)
		stream, err := http.DefaultClient.Do(r)
		s.must(err)
		first := make([]byte, 1000)
		n, err := stream.Body.Read(first) // hello and the news are written as one
		if text := string(first[:n]); stream.StatusCode != 200 || !strings.Contains(text, want) || strings.Contains(text, "data:") != (want != "") {
			t.Errorf("%s is told %d %s %v, want %s", who, stream.StatusCode, text, err, want)
		}
		leave()
		_ = stream.Body.Close()
	}
}

// The command line says what is missing as the API does, and shows what is in scope.
func TestTheCommandLineIsInScope(t *testing.T) {
	s, params := hiddenSite(t)
	id := params["/failures/:id"]
	s.grant("push-alone", delivery.Grant{Role: delivery.RoleOperator, Integrations: []string{"push"}})
	s.grant("looks-at-all", delivery.Grant{Role: delivery.RoleViewer}, delivery.Grant{Role: delivery.RoleOperator, Integrations: []string{"push"}})
	d := &desk{site: s, role: "push-alone"}
	d.must(d.runs(&client.List{Server: d.server(), Output: table("json"), Limit: 10, Sort: "newest"}))
	if strings.Contains(d.out, "foreign") || !strings.Contains(d.out, "push") {
		t.Errorf("lists %s", d.out)
	}
	if err := d.runs(&client.Show{Server: d.server(), ID: id, Output: "table"}); err == nil || strings.Contains(d.out+err.Error(), "foreign") {
		t.Errorf("shows %s %v", d.out, err)
	}
	if err := d.runs(retry(d, id)); err == nil || strings.Contains(d.err+err.Error(), "foreign") {
		t.Errorf("retries %v", err)
	}
	d.role = "looks-at-all"
	if err := d.runs(retry(d, id)); err == nil || !strings.Contains(err.Error(), "permission retry for foreign") {
		t.Errorf("retries %v", err)
	}
}

// command is one of the terminal, and the route of the API that it needs.
type command struct {
	route string
	make  func(s client.Server, w doer) runs
}

type runs interface {
	Run(context.Context, *client.Terminal) error
}

// acting are commands on one failure or operation, which is made for them.
func acting[T any](of func(w doer) string, id func(*T) *string) func(client.Server, doer) runs {
	return func(s client.Server, w doer) runs {
		var c T
		fields := reflect.ValueOf(&c).Elem()
		fields.FieldByName("Server").Set(reflect.ValueOf(s))
		for name, value := range map[string]string{"Output": "json", "Reason": "r", "Category": "other", "Until": "48h", "Role": "viewer", "Name": "t", "To": "sms", "File": "-"} {
			if f := fields.FieldByName(name); f.IsValid() && f.Kind() == reflect.String {
				f.SetString(value)
			}
		}
		*id(&c) = of(w)
		return any(&c).(runs)
	}
}

func chosen[T any](action delivery.Action) func(client.Server, doer) runs {
	return acting(func(w doer) string {
		if action == delivery.ActionReopen {
			return w.after(delivery.ActionIgnore)
		}
		return w.dead()
	}, func(c *T) *string {
		what := reflect.ValueOf(c).Elem().FieldByName("What").Addr().Interface().(*[]string)
		*what = []string{""}
		return &(*what)[0]
	})
}

// commands are those that ask the API, by their names in client.Failures, client.Operations and client.Tokens.
var commands = map[string]command{
	"Failures List": {"GET /api/v1/failures", func(s client.Server, _ doer) runs {
		return &client.List{Server: s, Output: table("json"), Limit: 1, Sort: "newest"}
	}},
	"Failures Count": {"GET /api/v1/failures/count", func(s client.Server, _ doer) runs { return &client.Count{Server: s, Output: "json"} }},
	"Failures Groups": {"GET /api/v1/groups", func(s client.Server, _ doer) runs {
		return &client.Groups{Server: s, Output: table("json"), Limit: 1, Sort: "count"}
	}},
	"Failures Show":     {"GET /api/v1/deliveries/:id", acting(doer.dead, func(c *client.Show) *string { return &c.ID })},
	"Failures Retry":    {"POST /api/v1/failures/:id/retry", chosen[client.Retry](delivery.ActionRetry)},
	"Failures Ignore":   {"POST /api/v1/failures/:id/ignore", chosen[client.Ignore](delivery.ActionIgnore)},
	"Failures Resolve":  {"POST /api/v1/failures/:id/resolve", chosen[client.Resolve](delivery.ActionResolve)},
	"Failures Reopen":   {"POST /api/v1/failures/:id/reopen", chosen[client.Reopen](delivery.ActionReopen)},
	"Failures Withdraw": {"POST /api/v1/failures/:id/withdraw", acting(func(w doer) string { return w.after(delivery.ActionRetry) }, func(c *client.Withdraw) *string { return &c.ID })},
	"Failures Edit":     {"POST /api/v1/failures/:id/edit", acting(doer.dead, func(c *client.Edit) *string { return &c.ID })},
	"Failures Redirect": {"POST /api/v1/failures/:id/redirect", acting(doer.dead, func(c *client.Redirect) *string { return &c.ID })},
	"Operations List": {"GET /api/v1/operations", func(s client.Server, _ doer) runs {
		return &client.ListOperations{Server: s, Output: table("json"), Limit: 1}
	}},
	"Operations Show":   {"GET /api/v1/operations/:id", acting(running, func(c *client.ShowOperation) *string { return &c.ID })},
	"Operations Items":  {"GET /api/v1/operations/:id/items", acting(running, func(c *client.Items) *string { c.Limit = 1; return &c.ID })},
	"Operations Pause":  {"POST /api/v1/operations/:id/pause", acting(running, func(c *client.Pause) *string { return &c.ID })},
	"Operations Resume": {"POST /api/v1/operations/:id/resume", acting(held, func(c *client.Resume) *string { return &c.ID })},
	"Operations Cancel": {"POST /api/v1/operations/:id/cancel", acting(running, func(c *client.Cancel) *string { return &c.ID })},
	"Operations Watch":  {"GET /api/v1/operations/:id", acting(finished, func(c *client.Watch) *string { return &c.ID })},
	"Tokens List":       {"GET /api/v1/tokens", func(s client.Server, _ doer) runs { return &client.ListTokens{Server: s, Output: table("json")} }},
	"Tokens Create":     {"POST /api/v1/tokens", acting(func(doer) string { return "made" }, func(c *client.CreateToken) *string { return &c.Name })},
	"Tokens Rotate":     {"POST /api/v1/tokens/:id/rotate", acting(robot, func(c *client.RotateToken) *string { return &c.ID })},
	"Tokens Revoke":     {"POST /api/v1/tokens/:id/revoke", acting(robot, func(c *client.RevokeToken) *string { return &c.ID })},
}

func robot(w doer) string { return w.token("") }

func running(w doer) string { return w.operation(false) }

func held(w doer) string { return w.operation(true) }

// finished is over: whoever watches it need not wait.
func finished(w doer) string {
	o, err := w.store.StartOperation(w.t.Context(), delivery.OperationRequest{Action: delivery.ActionAcknowledge, Actor: "setup", Chosen: []delivery.Chosen{{ID: w.dead()}}})
	w.must(err)
	w.advance(o.ID)
	return o.ID
}

// Each command does with a token of each role what the role permits, and says what is missing for the rest; with a right for other
// integrations nothing is found. A new command has to be among those that are tried.
func TestEachCommandDoesWhatItsTokenPermits(t *testing.T) {
	d := &desk{site: rightsSite(t), typed: `{"a":2}`}
	elsewhere := d.grant("elsewhere", delivery.Grant{Role: delivery.RoleAdmin, Integrations: []string{"sms"}})
	for group, all := range map[string]reflect.Type{"Failures": reflect.TypeFor[client.Failures](), "Operations": reflect.TypeFor[client.Operations](),
		"Tokens": reflect.TypeFor[client.Tokens]()} {
		for i := range all.NumField() {
			name := group + " " + all.Field(i).Name
			c, known := commands[name]
			needs := d.Access()[c.route].Needs
			if !known || len(needs) == 0 {
				t.Errorf("the command %s is not tried, or its route %s needs nothing", name, c.route)
				continue
			}
			for _, role := range delivery.Roles {
				missing := delivery.RightsOf(role, nil).Missing(needs...)
				err := d.runs(c.make(client.Server{URL: d.url, Token: string(role)}, doer{d.site}))
				if missing != "" && (err == nil || !strings.Contains(err.Error(), "permission "+string(missing))) {
					t.Errorf("%s by %s does not name %s: %v", name, role, missing, err)
				}
				if missing == "" && err != nil {
					t.Errorf("%s by %s: %v", name, role, err)
				}
			}
			command := c.make(client.Server{URL: d.url, Token: elsewhere}, doer{d.site})
			digest := d.digester()
			before := digest.of(t)
			err := d.runs(command)
			if strings.Contains(c.route, ":id") && err == nil || strings.Contains(d.out, `"push"`) {
				t.Errorf("%s out of scope: %v %s", name, err, d.out)
			}
			if tables := changed(before, digest.of(t)); len(tables) > 0 {
				t.Errorf("%s out of scope changed %v", name, tables)
			}
		}
	}
}

// Where payloads are not permitted, all else is shown.
func TestPayloadsAreAPermission(t *testing.T) {
	s, params := hiddenSite(t)
	for _, path := range []string{"/api/v1/deliveries/" + params["/failures/:id"], "/api/v1/messages/" + params["/messages/:id"]} {
		var shown struct {
			Message struct{ Payload json.RawMessage }
			Payload json.RawMessage
		}
		a := s.send("auditor", "GET", path, "")
		if err := json.Unmarshal(a.body, &shown); err != nil || a.StatusCode != 200 || strings.Contains(fmt.Sprintf("%s%s", shown.Message.Payload, shown.Payload), "foreign") ||
			strings.Contains(string(a.body), `{"a":"foreign"}`) || !strings.Contains(string(a.body), "foreign-key") {
			t.Errorf("%s: %d %s %v", path, a.StatusCode, a.body, err)
		}
	}
	if a := s.send("auditor", "GET", "/api/v1/failures?q=payload:foreign", ""); strings.Contains(string(a.body), "foreign-key") {
		t.Errorf("payloads are searched: %s", a.body)
	}
}
