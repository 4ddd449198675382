package handlers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/store"
	"redrive/views"
)

// ending is a store that lets a request in and, before that acts, takes away what it was let in with: what the check at the door saw is
// not true any more.
type ending struct {
	*store.Store
	end atomic.Pointer[func()]
}

func (e *ending) TokenByHash(ctx context.Context, sha256 []byte) (delivery.Token, error) {
	defer e.once()
	return e.Store.TokenByHash(ctx, sha256)
}

func (e *ending) SignedIn(ctx context.Context, token string) (delivery.Operator, delivery.Session, error) {
	defer e.once()
	return e.Store.SignedIn(ctx, token)
}

func (e *ending) once() {
	if end := e.end.Swap(nil); end != nil {
		(*end)()
	}
}

// ends makes the site's next request lose its right behind the door.
func (s *site) endingStore() *ending {
	e := &ending{Store: s.store}
	cfg := s.Config
	cfg.Metrics = nil
	server, err := New(e, cfg)
	s.must(err)
	s.Server = server
	return e
}

// digester says in one text what stands in each table, so that any change shows but for the audit's entry of a refusal.
type digester struct {
	conn *pgx.Conn
	sql  string
}

func (s *site) digester() *digester {
	conn, err := pgx.Connect(s.t.Context(), s.store.Config.ConnString())
	s.must(err)
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	var query string
	s.must(conn.QueryRow(s.t.Context(), `SELECT string_agg(format('SELECT %L || md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '''')) AS d FROM redrive.%I t%s',
			relname || ' ', relname, CASE relname WHEN 'audit' THEN ' WHERE action <> ''access.refused''' END), ' UNION ALL ' ORDER BY relname)
		FROM pg_class WHERE relnamespace = 'redrive'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND relname NOT IN ('sessions', 'audit_head')`).Scan(&query))
	return &digester{conn, "SELECT string_agg(d, chr(10)) FROM (" + query + ") x"}
}

func (d *digester) of(t *testing.T) (text string) {
	t.Helper()
	if err := d.conn.QueryRow(t.Context(), d.sql).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// changed names the tables that differ.
func changed(before, after string) (tables []string) {
	was := strings.Split(before, "\n")
	for _, line := range strings.Split(after, "\n") {
		if !slices.Contains(was, line) {
			table, _, _ := strings.Cut(line, " ")
			tables = append(tables, table)
		}
	}
	return tables
}

// deed is a request that changes something, or hands out what is audited.
type deed struct {
	path string
	body string     // JSON
	form url.Values // of the console
}

func fields(pairs ...string) url.Values {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return form
}

// doer makes what deeds are about.
type doer struct{ *site }

// dead is a new dead letter; what an earlier deed left to be sent fails as well.
func (s doer) dead() string {
	s.paused(false)
	a, err := s.store.Accept(s.t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "push", Type: "test", Payload: []byte(`{"a":1}`)})
	s.must(err)
	id := a.Deliveries[0].ID
	for own := false; !own; {
		claimed, err := s.store.Claim(s.t.Context(), "test", []delivery.Quota{{Integration: "push", Limit: 10, Lease: time.Minute}})
		if s.must(err); len(claimed) == 0 {
			s.t.Fatal("it is not claimed")
		}
		for _, c := range claimed {
			failed := delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "404"}
			_, err := s.store.Complete(s.t.Context(), []delivery.Completion{c.Completed(failed, delivery.StateDead, time.Now(), time.Millisecond)})
			s.must(err)
			own = own || c.DeliveryID == id
		}
	}
	return id
}

func (s doer) after(action delivery.Action) string {
	id := s.dead()
	_, err := s.store.Act(s.t.Context(), delivery.ActionRequest{Action: action, ID: id, Actor: "setup", Reason: "r", Category: "other", Version: 1})
	s.must(err)
	return id
}

func (s doer) operation(paused bool) string {
	o, err := s.store.StartOperation(s.t.Context(), delivery.OperationRequest{Action: delivery.ActionRetry, Actor: "setup",
		Chosen: []delivery.Chosen{{ID: s.dead()}}})
	s.must(err)
	if paused {
		_, err = s.store.SteerOperation(s.t.Context(), delivery.Steer{ID: o.ID, Actor: "setup", Pause: true})
		s.must(err)
	}
	return o.ID
}

// rule is one that swallows nothing of what the other deeds are about.
func (s doer) rule() string {
	r, err := s.store.AddIgnoreRule(s.t.Context(), delivery.IgnoreRuleRequest{Integration: "push", Filter: delivery.Filter{ErrorClasses: []string{delivery.ClassTimeout}},
		Reason: "r", Category: "other", Actor: "setup"})
	s.must(err)
	return r.ID
}

func (s doer) paused(paused bool) string {
	s.must(s.store.SetPaused(s.t.Context(), "push", paused, "setup", "r"))
	return "push"
}

func (s doer) victim() string {
	o, err := s.store.CreateOperator(s.t.Context(), delivery.Operator{Name: "v" + strings.ReplaceAll(time.Now().Format("150405.000000"), ".", ""), Role: delivery.RoleViewer, PasswordHash: "-"}, "setup")
	s.must(err)
	return o.ID
}

// token is one of a person, or of a robot.
func (s doer) token(operator string) string {
	sum := sha256.Sum256([]byte(newToken()))
	made := delivery.Token{Name: "t", Role: delivery.RoleViewer}
	if operator != "" {
		made.Owner = &delivery.Operator{ID: operator}
	}
	t, err := s.store.CreateToken(s.t.Context(), made, sum[:], "setup")
	s.must(err)
	return t.ID
}

func (s doer) view(owner string) string {
	v, err := s.store.SaveView(s.t.Context(), delivery.SavedView{Owner: owner, Name: "x", Search: "state:dead", Shared: true})
	s.must(err)
	return v.ID
}

func (s doer) secret() string {
	s.must(s.store.SetSecret(s.t.Context(), "push", "stored", "v", "setup"))
	return "stored"
}

// deeds are all of them by method and route. Each is made for one route at a time, with who will do it.
func (s doer) deeds() map[string]func(who string) deed {
	all := map[string]func(string) deed{
		"POST /api/v1/messages": func(string) deed {
			return deed{path: "/api/v1/messages", body: `{"integration":"push","type":"t","payload":1}`}
		},
		"POST /api/v1/views": func(string) deed { return deed{path: "/api/v1/views", body: `{"name":"n","search":"state:dead"}`} },
		"DELETE /api/v1/views/:id": func(string) deed {
			return deed{path: "/api/v1/views/" + s.view("setup")}
		},
		"POST /api/v1/operations": func(string) deed {
			return deed{path: "/api/v1/operations", body: `{"action":"retry","ids":["` + s.dead() + `"]}`}
		},
		"POST /api/v1/ignore-rules": func(string) deed {
			return deed{path: "/api/v1/ignore-rules", body: `{"integration":"push","filter":{"error_class":["timeout"]},"reason":"r","category":"other"}`}
		},
		"POST /api/v1/ignore-rules/:id/end": func(string) deed {
			return deed{path: "/api/v1/ignore-rules/" + s.rule() + "/end", body: `{"reason":"r"}`}
		},
		"POST /ignore-rules": func(string) deed {
			return deed{path: "/ignore-rules", form: fields("integration", "push", "q", "class:timeout", "reason", "r", "category", "other")}
		},
		"POST /ignore-rules/:id/end": func(string) deed {
			return deed{path: "/ignore-rules/" + s.rule() + "/end", form: fields("reason", "r")}
		},
		"PATCH /api/v1/operations/:id": func(string) deed {
			return deed{path: "/api/v1/operations/" + s.operation(false), body: `{"rate_per_second":7}`}
		},
		"POST /api/v1/integrations/:name/pause": func(string) deed {
			return deed{path: "/api/v1/integrations/" + s.paused(false) + "/pause", body: `{"reason":"r"}`}
		},
		"POST /api/v1/integrations/:name/resume": func(string) deed {
			return deed{path: "/api/v1/integrations/" + s.paused(true) + "/resume", body: `{"reason":"r"}`}
		},
		"POST /api/v1/integrations/:name/resnapshot": func(string) deed {
			return deed{path: "/api/v1/integrations/catalogue/resnapshot", body: `{"reason":"r"}`}
		},
		"POST /api/v1/integrations/:name/runs": func(string) deed {
			return deed{path: "/api/v1/integrations/points/runs", body: `{"business_date":"2026-01-30"}`}
		},
		"PATCH /api/v1/failures/:id/case": func(string) deed {
			return deed{path: "/api/v1/failures/" + s.dead() + "/case", body: `{"version":0,"tags":["a"]}`}
		},
		"POST /api/v1/failures/:id/notes": func(string) deed {
			return deed{path: "/api/v1/failures/" + s.dead() + "/notes", body: `{"text":"n"}`}
		},
		"GET /api/v1/files/:id/content": func(string) deed { return deed{path: "/api/v1/files/" + s.file() + "/content"} },
		"GET /files/:id/content":        func(string) deed { return deed{path: "/files/" + s.file() + "/content"} },
		"GET /messages/:id/payload": func(string) deed {
			d, err := s.store.Delivery(s.t.Context(), s.dead())
			s.must(err)
			return deed{path: "/messages/" + d.MessageID + "/payload"}
		},
		"GET /failures/csv":                          func(string) deed { return deed{path: "/failures/csv"} },
		"GET /failures/json":                         func(string) deed { return deed{path: "/failures/json"} },
		"GET /ignored/csv":                           func(string) deed { return deed{path: "/ignored/csv"} },
		"GET /ignored/json":                          func(string) deed { return deed{path: "/ignored/json"} },
		"GET /audit/csv":                             func(string) deed { return deed{path: "/audit/csv"} },
		"GET /audit/json":                            func(string) deed { return deed{path: "/audit/json"} },
		"GET /failures/:id/versions/:number/payload": func(string) deed { return deed{path: "/failures/" + s.dead() + "/versions/1/payload"} },
		"POST /operations": func(string) deed {
			return deed{path: "/operations", form: fields("action", "retry", "id", s.choices(s.dead())[1], "token", newToken())}
		},
		"POST /integrations/:name/pause": func(string) deed {
			return deed{path: "/integrations/" + s.paused(false) + "/pause", form: fields("reason", "r")}
		},
		"POST /integrations/:name/resume": func(string) deed {
			return deed{path: "/integrations/" + s.paused(true) + "/resume", form: fields()}
		},
		"POST /integrations/:name/resnapshot": func(string) deed {
			return deed{path: "/integrations/stock/resnapshot", form: fields("reason", "r")}
		},
		"POST /integrations/:name/runs": func(string) deed {
			return deed{path: "/integrations/points/runs", form: fields("business_date", "2026-01-31", "reason", "r")}
		},
		"POST /failures/views": func(string) deed {
			return deed{path: "/failures/views", form: fields("name", "n", "search", "state:dead")}
		},
		"POST /failures/views/:id/delete": func(string) deed { return deed{path: "/failures/views/" + s.view("setup") + "/delete", form: fields()} },
		"POST /failures/:id/case/note": func(string) deed {
			return deed{path: "/failures/" + s.dead() + "/case/note", form: fields("note", "n")}
		},
		"POST /operators": func(string) deed {
			return deed{path: "/operators", form: fields("name", "new", "role", "viewer", "password", ownPassword)}
		},
		"PUT /api/v1/integrations/:name/secrets/:secret": func(string) deed {
			return deed{path: "/api/v1/integrations/push/secrets/" + "put", body: `{"value":"v"}`}
		},
		"DELETE /api/v1/integrations/:name/secrets/:secret": func(string) deed {
			return deed{path: "/api/v1/integrations/push/secrets/" + s.secret()}
		},
		"POST /integrations/:name/secrets": func(string) deed {
			return deed{path: "/integrations/push/secrets", form: fields("name", "set", "secret", "v")}
		},
		"POST /integrations/:name/secrets/:secret/remove": func(string) deed {
			return deed{path: "/integrations/push/secrets/" + s.secret() + "/remove", form: fields()}
		},
		"POST /operators/:name/:what": func(string) deed {
			return deed{path: "/operators/" + s.victim() + "/role", form: fields("role", "admin")}
		},
		"POST /operators/:name/sessions/:id/end": func(string) deed {
			id := s.victim()
			return deed{path: "/operators/" + id + "/sessions/" + s.session(id) + "/end", form: fields()}
		},
		"POST /account/sessions/:id/end": func(who string) deed {
			return deed{path: "/account/sessions/" + s.session(who) + "/end", form: fields()}
		},
		"POST /account": func(string) deed {
			return deed{path: "/account", form: fields("current", ownPassword, "new", freshPassword, "again", freshPassword)}
		},
		"POST /account/code":        func(string) deed { return deed{path: "/account/code", form: fields()} },
		"POST /account/code/remove": func(string) deed { return deed{path: "/account/code/remove", form: fields()} },
		"POST /account/code/confirm": func(who string) deed {
			secret, now := web.NewCodeSecret(), time.Now()
			s.must(s.store.ProposeCodeSecret(s.t.Context(), who, secret))
			s.Server.Core.Config.Now = func() time.Time { return now }
			return deed{path: "/account/code/confirm", form: fields("code", app{s.t, web.CodeSecretText(secret), &now}.code(0))}
		},
		"POST /tokens":            func(string) deed { return deed{path: "/tokens", form: fields("name", "x", "role", "admin")} },
		"POST /tokens/:id/revoke": func(string) deed { return deed{path: "/tokens/" + s.token("") + "/revoke", form: fields()} },
		"POST /tokens/:id/rotate": func(string) deed { return deed{path: "/tokens/" + s.token("") + "/rotate", form: fields()} },
		"POST /account/tokens":    func(string) deed { return deed{path: "/account/tokens", form: fields("name", "x", "role", "viewer")} },
		"POST /account/tokens/:id/rotate": func(who string) deed {
			return deed{path: "/account/tokens/" + s.token(who) + "/rotate", form: fields()}
		},
		"POST /account/tokens/:id/revoke": func(who string) deed {
			return deed{path: "/account/tokens/" + s.token(who) + "/revoke", form: fields()}
		},
		"POST /api/v1/tokens": func(string) deed { return deed{path: "/api/v1/tokens", body: `{"name":"x","role":"admin"}`} },
	}
	for _, step := range []string{"rotate", "revoke"} {
		all["POST /api/v1/tokens/:id/"+step] = func(string) deed { return deed{path: "/api/v1/tokens/" + s.token("") + "/" + step} }
	}
	s.addPeople(all)
	s.addDecisions(all)
	s.addApprovals(all)
	return all
}

// request is an open request for approval, which somebody asked for.
func (s doer) request(actor string) string {
	id, conn := s.dead(), s.ledger()
	_, err := conn.Exec(s.t.Context(), `UPDATE redrive.integrations SET four_eyes = '{"ignore_for_good": true}' WHERE name = 'push'`)
	s.must(err)
	_, err = s.store.Act(s.t.Context(), delivery.ActionRequest{Action: delivery.ActionIgnore, ID: id, Actor: cmp.Or(actor, "setup"), Reason: "r", Category: "other", End: delivery.End{ForGood: true}})
	var asked *delivery.AskedError
	if !errors.As(err, &asked) {
		s.t.Fatalf("nobody was asked: %v", err)
	}
	_, err = conn.Exec(s.t.Context(), `UPDATE redrive.integrations SET four_eyes = '{}' WHERE name = 'push'`)
	s.must(err)
	return asked.Approval.ID
}

// ledger is a connection of its own, past the store.
func (s doer) ledger() *pgx.Conn {
	conn, err := pgx.Connect(s.t.Context(), s.store.Config.ConnString())
	s.must(err)
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// addApprovals adds what is said to requests for approval.
func (s doer) addApprovals(all map[string]func(string) deed) {
	for _, step := range []string{"approve", "reject", "withdraw"} {
		asker := func(who string) string {
			if step == "withdraw" {
				return who
			}
			return "setup"
		}
		all["POST /approvals/:id/"+step] = func(who string) deed {
			return deed{path: "/approvals/" + s.request(asker(who)) + "/" + step, form: fields("comment", "c")}
		}
		all["POST /api/v1/approvals/:id/"+step] = func(who string) deed {
			return deed{path: "/api/v1/approvals/" + s.request(asker(who)) + "/" + step, body: `{"comment":"c"}`}
		}
	}
}

// addPeople adds what the API does to people.
func (s doer) addPeople(all map[string]func(string) deed) {
	for name, d := range map[string]deed{"PUT role": {body: `{"role":"admin"}`}, "POST grants": {body: `{"role":"operator","integrations":["push"]}`},
		"POST disable": {}, "POST enable": {}} {
		method, step, _ := strings.Cut(name, " ")
		all[method+" /api/v1/people/:id/"+step] = func(string) deed {
			d.path = "/api/v1/people/" + s.victim() + "/" + step
			return d
		}
	}
	all["DELETE /api/v1/people/:id/grants/:grant"] = func(string) deed {
		o, err := s.store.ChangeOperator(s.t.Context(), delivery.OperatorChange{ID: s.victim(), Actor: "setup", Grant: &delivery.Grant{Role: delivery.RoleOperator}})
		s.must(err)
		return deed{path: "/api/v1/people/" + o.ID + "/grants/" + o.Grants[0].ID}
	}
}

// addDecisions adds what is done to one failure or operation.
func (s doer) addDecisions(all map[string]func(string) deed) {
	before := map[delivery.Action]func() string{delivery.ActionReopen: func() string { return s.after(delivery.ActionIgnore) },
		delivery.ActionWithdraw:      func() string { return s.after(delivery.ActionRetry) },
		delivery.ActionUnacknowledge: func() string { return s.after(delivery.ActionAcknowledge) }}
	subject := func(a delivery.Action) string {
		if make := before[a]; make != nil {
			return make()
		}
		return s.dead()
	}
	for _, d := range delivery.Decisions.Alone() {
		all["POST /api/v1/failures/:id/"+string(d.Action)] = func(string) deed {
			return deed{path: "/api/v1/failures/" + subject(d.Action) + "/" + string(d.Action), body: `{"reason":"r"}`}
		}
		all["POST /failures/:id/"+string(d.Action)] = func(string) deed {
			id := subject(d.Action)
			return deed{path: "/failures/" + id + "/" + string(d.Action), form: fields("version", s.versionOf(id), "reason", "r", "category", "other", "token", newToken())}
		}
	}
	all["POST /api/v1/failures/:id/ignore"] = func(string) deed {
		return deed{path: "/api/v1/failures/" + s.dead() + "/ignore", body: `{"reason":"r","category":"other"}`}
	}
	for action, body := range map[string]string{"edit": `{"payload":2,"reason":"r","version":1}`, "redirect": `{"integration":"sms","reason":"r","version":1}`} {
		all["POST /api/v1/failures/:id/"+action] = func(string) deed {
			return deed{path: "/api/v1/failures/" + s.dead() + "/" + action, body: body}
		}
	}
	all["POST /api/v1/deliveries/:id/reveal"] = func(string) deed {
		return deed{path: "/api/v1/deliveries/" + s.dead() + "/reveal", body: `{"path":"$.a","reason":"r"}`}
	}
	all["POST /failures/:id/reveal"] = func(string) deed {
		return deed{path: "/failures/" + s.dead() + "/reveal", form: fields("path", "$.a", "reason", "r")}
	}
	all["POST /failures/:id/edit"] = func(string) deed {
		return deed{path: "/failures/" + s.dead() + "/edit", form: fields("version", "1", "token", newToken(), "reason", "r", "payload", `{"a":2}`, "step", "save")}
	}
	all["POST /failures/:id/redirect"] = func(string) deed {
		return deed{path: "/failures/" + s.dead() + "/redirect", form: fields("version", "1", "token", newToken(), "reason", "r", "integration", "sms")}
	}
	for what, state := range map[string]delivery.Action{"acknowledge": "", "unacknowledge": delivery.ActionAcknowledge, "assign": "", "fields": ""} {
		all["POST /failures/:id/case/"+what] = func(string) deed {
			id := s.dead()
			if state != "" {
				id = s.after(state)
			}
			d, err := s.store.Delivery(s.t.Context(), id)
			s.must(err)
			return deed{path: "/failures/" + id + "/case/" + what, form: fields("version", fmt.Sprint(d.Case.Version), "tags", "a", "token", newToken())}
		}
	}
	for _, step := range []string{"pause", "resume", "cancel"} {
		all["POST /api/v1/operations/:id/"+step] = func(string) deed {
			return deed{path: "/api/v1/operations/" + s.operation(step == "resume") + "/" + step, body: `{"reason":"r"}`}
		}
	}
	for _, step := range []string{"pause", "resume", "cancel", "pace"} {
		all["POST /operations/:id/"+step] = func(string) deed {
			id := s.operation(step == "resume")
			o, err := s.store.Operation(s.t.Context(), id)
			s.must(err)
			return deed{path: "/operations/" + id + "/" + step, form: fields("version", fmt.Sprint(o.Version), "reason", "r", "rate", "7")}
		}
	}
}

func newToken() string { return "0190a0a0-0000-7000-8000-" + fmt.Sprintf("%012d", tokens.Add(1)) }

var tokens atomic.Int64

func (s doer) versionOf(id string) string {
	d, err := s.store.Delivery(s.t.Context(), id)
	s.must(err)
	return fmt.Sprint(d.Version)
}

func (s doer) file() string {
	_, err := s.store.RequestRun(s.t.Context(), "points", time.Now().AddDate(0, 0, -int(tokens.Add(1))).Format(time.DateOnly), "setup", "r")
	s.must(err)
	return s.stored("points", "a\n").ID
}

// session is one more browser of a person.
func (s doer) session(operator string) string {
	o, err := s.store.Operator(s.t.Context(), operator)
	s.must(err)
	s.cookie(o)
	list, err := s.store.Sessions(s.t.Context(), operator)
	s.must(err)
	return list[len(list)-1].ID // the oldest
}

// harmless are routes that are no decision of somebody who is let in by their right, each with why.
var harmless = map[string]string{
	"POST /operations/new":              "shows what would be done",
	"POST /api/v1/ignore-rules/preview": "shows what would be swallowed",
	"POST /failures/seen":               "moves a mark of whoever asks, which nobody else sees",
	"GET /failures/live":                "is a stream, which ends with its session",
}

// Whoever is disabled, demoted, signed out or revoked while a request is under way does nothing with it any more: on every route that
// changes something, or hands out what is written down.
func TestARightThatEndsBehindTheDoorDoesNothing(t *testing.T) {
	s := rightsSite(t)
	e, digest, work := s.endingStore(), s.digester(), doer{s}
	deeds := work.deeds()
	n := 0
	for _, r := range s.Echo.Routes() {
		name := r.Method + " " + r.Path
		make, known := deeds[name]
		switch {
		case s.Access()[name].Public || harmless[name] != "" || r.Method == "echo_route_not_found":
			continue
		case !known && r.Method == http.MethodGet && !s.Access()[name].Audits:
			continue
		case !known:
			t.Errorf("%s may change something: say how it is done in deeds, or why not in harmless", name)
			continue
		}
		delete(deeds, name)
		t.Run(name, func(t *testing.T) {
			s.t = t
			n++
			ends := []string{personEnds[n%len(personEnds)], "revoked"}
			if strings.HasPrefix(r.Path, views.Account) {
				ends = ends[:1] // tokens have none
			}
			for _, how := range ends {
				a, request, end := s.actor(how)
				d := make(a)
				var before string
				stop := func() { end(); before = digest.of(t) }
				e.end.Store(&stop)
				refused := request(r.Method, d)
				if e.end.Load() != nil {
					t.Fatal("nobody looked who makes the request")
				}
				if refused.StatusCode != 401 && refused.StatusCode != 403 {
					t.Errorf("%s: %d %s", how, refused.StatusCode, mainOf(refused.body))
				}
				if tables := changed(before, digest.of(t)); len(tables) > 0 {
					t.Errorf("%s: %v changed", how, tables)
				}
			}
			a, request, _ := s.actor("kept")
			d := make(a)
			before := digest.of(t)
			if done := request(r.Method, d); done.StatusCode >= 400 || len(changed(before, digest.of(t))) == 0 {
				t.Errorf("by somebody who may, nothing happens either: %d %s", done.StatusCode, mainOf(done.body))
			}
		})
	}
	s.t = t
	for name := range deeds {
		t.Errorf("there is no route %s", name)
	}
}

// personEnds are the ways in which the right of a person ends.
var personEnds = []string{"demoted", "disabled", "password", "signed out"}

// actor is somebody who may do everything, how requests are made as them, and what takes their right away.
func (s *site) actor(how string) (id string, request func(method string, d deed) answer, end func()) {
	if how == "revoked" {
		secret := newToken()
		sum := sha256.Sum256([]byte(secret))
		token, err := s.store.CreateToken(s.t.Context(), delivery.Token{Name: "robot", Role: delivery.RoleAdmin}, sum[:], "setup")
		s.must(err)
		return token.ID, func(method string, d deed) answer { return s.does(method, d, "Authorization", "Bearer "+secret) },
			func() { s.must(s.store.RevokeToken(context.Background(), token.ID, "setup")) }
	}
	o := s.known("p" + newToken()[24:])
	cookie := s.cookie(o)
	return o.ID, func(method string, d deed) answer { return s.does(method, d, "Cookie", cookie.String()) }, func() { s.ends(o, how) }
}

func (s *site) ends(o delivery.Operator, how string) {
	viewer, yes, hash := delivery.RoleViewer, true, o.PasswordHash // of the same password
	c := delivery.OperatorChange{ID: o.ID, Actor: "setup"}
	switch how {
	case "demoted":
		c.Role = &viewer
	case "disabled":
		c.Disabled = &yes
	case "password":
		c.PasswordHash = &hash
	}
	_, err := s.store.ChangeOperator(context.Background(), c)
	s.must(err)
}

// known is an administrator with the password of the tests.
func (s *site) known(name string) delivery.Operator {
	cheap := web.ArgonHash{Memory: 8, Time: 1, Lanes: 1, Salt: make([]byte, web.SaltBytes)}
	cheap.Key = cheap.Derive(ownPassword, web.KeyBytes)
	o, err := s.store.CreateOperator(s.t.Context(), delivery.Operator{Name: name, Role: delivery.RoleAdmin, PasswordHash: cheap.String()}, "setup")
	s.must(err)
	return o
}

func (s *site) does(method string, d deed, headers ...string) answer {
	headers = append(headers, "Sec-Fetch-Site", "same-origin")
	body := d.body
	if d.form != nil {
		body = d.form.Encode()
		headers = append(headers, "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html")
	}
	return s.send("", method, d.path, body, headers...)
}

// rightsSite has something for each kind of deed.
func rightsSite(t *testing.T) *site {
	t.Helper()
	c := web.Config{Integrations: testIntegrations()}
	withBatches(&c)
	for _, name := range []string{"catalogue", "stock"} {
		c.Integrations = append(c.Integrations, delivery.Integration{Name: name, Method: delivery.MethodCDC, CDC: &delivery.CDCSource{Slot: name}})
	}
	s := newSite(t, func(cfg *web.Config) { cfg.Integrations = c.Integrations })
	s.must(s.store.SyncIntegrations(t.Context(), c.Integrations))
	s.known("root") // one is left, whoever is demoted
	return s
}

// While many changes of somebody's password are under way, an administrator demotes or disables them: that is never undone, whichever
// comes first, and no password is changed afterwards.
func TestAChangeOfPasswordBringsNoRightBack(t *testing.T) {
	for what, field := range map[string]string{"role": "viewer", "disable": ""} {
		t.Run(what, func(t *testing.T) {
			s := newSite(t)
			root, name := s.cookie(s.known("root")), s.known("name")
			cookies := make([]*http.Cookie, 24)
			for i := range cookies {
				cookies[i] = s.cookie(name)
			}
			e := &counting{Store: s.store, read: make(chan struct{}, 2*len(cookies))}
			cfg := s.Config
			cfg.Metrics = nil
			server, err := New(e, cfg)
			s.must(err)
			s.Server = server
			var all sync.WaitGroup
			for i, cookie := range cookies {
				all.Go(func() {
					fresh := fmt.Sprint("a new password ", i)
					s.does("POST", deed{path: "/account", form: fields("current", ownPassword, "new", fresh, "again", fresh)}, "Cookie", cookie.String())
					e.read <- struct{}{} // whoever was not let in any more reads nothing
				})
			}
			for range cookies {
				<-e.read // what is compared was read, and argon2 waits
			}
			if a := s.does("POST", deed{path: "/operators/name/" + what, form: fields("role", field)}, "Cookie", root.String()); a.StatusCode != 303 {
				t.Fatal(a.StatusCode, mainOf(a.body))
			}
			done := s.operatorNow("name")
			all.Wait()
			if after := s.operatorNow("name"); after.Role != done.Role || (after.DisabledAt != nil) != (done.DisabledAt != nil) || after.PasswordHash != done.PasswordHash {
				t.Errorf("%s was undone: %+v, then %+v", what, done, after)
			}
			if what == "role" && done.Role != delivery.RoleViewer || what == "disable" && done.DisabledAt == nil {
				t.Errorf("%+v", done)
			}
		})
	}
}

// counting tells when the person of a change of password was read.
type counting struct {
	*store.Store
	read chan struct{}
}

func (c *counting) Operator(ctx context.Context, id string) (delivery.Operator, error) {
	defer func() { c.read <- struct{}{} }()
	return c.Store.Operator(ctx, id)
}

func (s *site) operatorNow(name string) delivery.Operator {
	o, err := s.store.OperatorByName(s.t.Context(), name)
	s.must(err)
	return o
}
