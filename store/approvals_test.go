package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

var forGood = delivery.End{ForGood: true}

// fourEyes are two people with dead letters of integrations of which another person approves everything.
type fourEyes struct {
	desk
	asker, other string // ids
	integrations []delivery.Integration
}

func newFourEyes(t *testing.T) *fourEyes {
	t.Helper()
	d := &fourEyes{desk: open(t)}
	d.asker, d.other = d.person("asker", delivery.RoleOperator).ID, d.person("other", delivery.RoleAdmin).ID
	one := 1
	for _, name := range []string{"push", "sms"} {
		in := integration(name, name+".type")
		in.FourEyes = delivery.FourEyes{BulkOver: &one, Edit: true, IgnoreForGood: true, Resend: true}
		d.integrations = append(d.integrations, in)
	}
	batch := delivery.Integration{Name: "file", Method: delivery.MethodBatch, Batch: &delivery.BatchSettings{Query: "SELECT 1"},
		Destination: d.integrations[0].Destination, FourEyes: delivery.FourEyes{Resend: true}}
	cdc := delivery.Integration{Name: "rows", Method: delivery.MethodCDC, CDC: &delivery.CDCSource{Slot: "rows"}, Destination: batch.Destination,
		FourEyes: delivery.FourEyes{Resend: true}}
	d.integrations = append(d.integrations, batch, cdc)
	d.sync()
	return d
}

func (d *fourEyes) sync() { d.must(d.SyncIntegrations(d.t.Context(), d.integrations)) }

// dies makes a dead letter of push with an error class.
func (d *fourEyes) dies(class string) delivery.Delivery {
	c := d.claimOne(d.accept(delivery.Message{Integration: "push", Type: "t", Key: "k", Payload: []byte(`{"a":1}`)}).Deliveries[0].Integration)
	d.complete(completion(c, delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: class, Error: "e"}, delivery.StateDead))
	return d.read(c.DeliveryID).Delivery
}

// asks returns the request that work asked for instead of doing it.
func (d *fourEyes) asks(what string, work func() error) delivery.Approval {
	d.t.Helper()
	before := d.world()
	var asked *delivery.AskedError
	if err := work(); !errors.As(err, &asked) {
		d.t.Fatalf("%s: nobody was asked: %v", what, err)
	}
	if after := d.world(); after != before {
		d.t.Fatalf("%s: something was done:\n%s\n%s", what, before, after)
	}
	return asked.Approval
}

// world is all that a deed would change.
func (d *fourEyes) world() string {
	return value[string](d.desk, `SELECT concat_ws(' ', (SELECT string_agg(id || state || version || integration, ',' ORDER BY id) FROM redrive.deliveries),
		(SELECT count(*) FROM redrive.edits), (SELECT count(*) FROM redrive.ignore_rules), (SELECT count(*) FROM redrive.batch_runs), (SELECT count(*) FROM redrive.queue),
		(SELECT string_agg(concat_ws(' ', id, state, version, rate, canary), ',' ORDER BY id) FROM redrive.operations),
		(SELECT string_agg(concat_ws(' ', integration, resnapshot_at, resnapshot_tables), ',') FROM redrive.captures))`)
}

func (d *fourEyes) approve(id string) (delivery.Approval, error) {
	return d.Approve(d.t.Context(), delivery.ApprovalDecision{ID: id, Actor: d.other, Comment: "fine"})
}

// deeds are all ways to do something that another person approves: each makes what it needs, and returns the deed.
func (d *fourEyes) deeds() map[string]func() func() error {
	ctx := d.t.Context()
	act := func(class string, a delivery.ActionRequest) func() func() error {
		return func() func() error {
			a.ID, a.Actor, a.Reason = d.dies(class).ID, d.asker, "why"
			return func() error { _, err := d.Act(ctx, a); return err }
		}
	}
	many := func(r delivery.OperationRequest, classes ...string) func() func() error {
		return func() func() error {
			r.Actor, r.Reason = d.asker, "why"
			for _, class := range classes {
				one := d.dies(class)
				if r.Filter == nil {
					r.Chosen = append(r.Chosen, delivery.Chosen{ID: one.ID, Version: one.Version})
				}
			}
			return func() error { _, err := d.StartOperation(ctx, r); return err }
		}
	}
	steers := func(step delivery.Steer) func() func() error {
		return func() func() error { return d.steers(d.slowOperation(), step) }
	}
	more, plain, unsure := 50, delivery.ClassHTTP4xx, delivery.ClassTimeout
	return map[string]func() func() error{
		"retry of an unknown outcome": act(unsure, delivery.ActionRequest{Action: delivery.ActionRetry}),
		"ignore for good":             act(plain, delivery.ActionRequest{Action: delivery.ActionIgnore, Category: "other", End: forGood}),
		"edit": func() func() error {
			r := delivery.EditRequest{ID: d.dies(plain).ID, Actor: d.asker, Reason: "why", Payload: []byte(`{"a":2}`)}
			return func() error { _, err := d.Edit(ctx, r); return err }
		},
		"redirect of an unknown outcome": func() func() error {
			r := delivery.RedirectRequest{ID: d.dies(unsure).ID, Actor: d.asker, Reason: "why", Integration: "sms"}
			return func() error { _, err := d.Redirect(ctx, r); return err }
		},
		"many by a list":               many(delivery.OperationRequest{Action: delivery.ActionRetry}, plain, plain),
		"many by a filter":             many(delivery.OperationRequest{Action: delivery.ActionResolve, Filter: &delivery.Filter{ErrorClasses: []string{plain}}}, plain, plain),
		"one by an operation, ever":    many(delivery.OperationRequest{Action: delivery.ActionIgnore, Category: "other", End: forGood}, plain),
		"one by an operation, unknown": many(delivery.OperationRequest{Action: delivery.ActionRetry}, unsure),
		"resume without a canary":      steers(delivery.Steer{Resume: true, Canary: new(int)}),
		"resume with a larger canary":  steers(delivery.Steer{Resume: true, Canary: &more}),
		"a faster pace":                steers(delivery.Steer{Pace: &delivery.Pace{Rate: 1000, Canary: 1}}),
		"no limit":                     steers(delivery.Steer{Pace: &delivery.Pace{Rate: 1, Canary: 1, StopAbove: 0.9}}),
		"a run by hand": func() func() error {
			return func() error { _, err := d.RequestRun(ctx, "file", "2026-01-30", d.asker, "why"); return err }
		},
		"a rule for good": func() func() error {
			return func() error {
				_, err := d.AddIgnoreRule(ctx, delivery.IgnoreRuleRequest{Integration: "sms", Actor: d.asker, Reason: "why", Category: "other", End: forGood})
				return err
			}
		},
		"everything anew": func() func() error {
			return func() error { return d.RequestResnapshot(ctx, "rows", d.asker, "why") }
		},
		"a table anew": func() func() error {
			d.must(d.sql(`INSERT INTO redrive.captures (integration, tables) VALUES ('rows', '{"public.a": {}}')
				ON CONFLICT (integration) DO UPDATE SET tables = excluded.tables`))
			return func() error { return d.RequestTable(ctx, "rows", "public.a", d.asker, "why") }
		},
	}
}

// slowOperation is one on two failures that began before anybody had to approve it, and is paused.
func (d *fourEyes) slowOperation() string {
	rules := d.integrations[0].FourEyes
	d.integrations[0].FourEyes = delivery.FourEyes{}
	d.sync()
	o := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Actor: d.asker, Reason: "why", Pace: delivery.Pace{Rate: 1, Canary: 1, StopAbove: 0.5},
		Chosen: []delivery.Chosen{{ID: d.dies(delivery.ClassHTTP4xx).ID}, {ID: d.dies(delivery.ClassHTTP4xx).ID}}})
	_, err := d.SteerOperation(d.t.Context(), delivery.Steer{ID: o.ID, Actor: d.asker, Pause: true})
	d.must(err)
	d.integrations[0].FourEyes = rules
	d.sync()
	return o.ID
}

func (d *fourEyes) steers(id string, step delivery.Steer) func() error {
	step.ID, step.Actor, step.Reason = id, d.asker, "why"
	return func() error { _, err := d.SteerOperation(d.t.Context(), step); return err }
}

// Whichever way something is done that another person approves: it is asked for, nobody else and nothing else does it, and it is done in the
// transaction of the approval, with both in the audit.
func TestEachWayAsksAnotherPerson(t *testing.T) {
	d := newFourEyes(t)
	robot := d.robotOf("maker")
	own, err := d.CreateToken(t.Context(), delivery.Token{Name: "own", Owner: &delivery.Operator{ID: d.asker}, Role: delivery.RoleAdmin}, bytes.Repeat([]byte{7}, 32), d.asker)
	d.must(err)
	for what, prepare := range d.deeds() {
		a := d.asks(what, prepare())
		for who, actor := range map[string]string{"who asked": d.asker, "a token of theirs": own.ID, "a robot": robot, "the program": delivery.ActorPolicy} {
			for name, say := range map[string]func(context.Context, delivery.ApprovalDecision) (delivery.Approval, error){"approve": d.Approve, "reject": d.Reject} {
				if _, err := say(t.Context(), delivery.ApprovalDecision{ID: a.ID, Actor: actor, Comment: "c"}); codeOf(err) != "own_approval" && codeOf(err) != "robot_approval" {
					t.Errorf("%s: %s may %s: %v", what, who, name, err)
				}
			}
		}
		before := d.world()
		approved, err := d.approve(a.ID)
		if err != nil || approved.State != delivery.ApprovalApproved || approved.DeciderID != d.other {
			t.Fatalf("%s: %+v %v", what, approved, err)
		}
		if d.world() == before {
			t.Errorf("%s: approved, and nothing was done", what)
		}
		if _, err := d.approve(a.ID); codeOf(err) != "conflict" {
			t.Errorf("%s: approved twice: %v", what, err)
		}
		ask, approve, done := d.approvalEntries(a.ID)
		if ask.ActorID != d.asker || approve.ActorID != d.other || done.ActorID != d.asker || !strings.Contains(string(ask.Details), a.Hash) || !strings.Contains(string(approve.Details), a.Hash) {
			t.Errorf("%s: the audit says\n%+v\n%+v\n%+v", what, ask, approve, done)
		}
		if value[bool](d.desk, "SELECT count(DISTINCT xmin::text) <> 1 FROM redrive.audit WHERE seq IN ($1, $2)", approve.Seq, done.Seq) {
			t.Errorf("%s: approved in one transaction, done in another", what)
		}
	}
	report, err := d.VerifyAudit(t.Context())
	if err != nil || !report.OK() {
		t.Errorf("%s %v", report, err)
	}
}

// approvalEntries are the entries of asking, of approving, and of the first deed that names the approval.
func (d *fourEyes) approvalEntries(id string) (ask, approve, done delivery.AuditEntry) {
	page, err := d.Audit(d.t.Context(), delivery.AuditFilter{Limit: 100})
	d.must(err)
	for _, e := range page.Items {
		var said struct{ Approval string }
		_ = json.Unmarshal(e.Details, &said)
		switch {
		case e.Subject == id && e.Action == "approval.ask":
			ask = e
		case e.Subject == id && e.Action == "approval.approve":
			approve = e
		case said.Approval == id:
			done = e
		}
	}
	return ask, approve, done
}

// robotOf is a robot's token that may do everything, made by a person of that name.
func (d *fourEyes) robotOf(name string) string {
	maker := d.person(name, delivery.RoleAdmin)
	robot, err := d.CreateToken(d.t.Context(), delivery.Token{Name: name + "-robot", Role: delivery.RoleAdmin}, bytes.Repeat([]byte{9, byte(len(name))}, 16), maker.ID)
	d.must(err)
	return robot.ID
}

func codeOf(err error) string {
	var mistake *delivery.InputError
	if errors.As(err, &mistake) {
		return mistake.Code
	}
	return fmt.Sprint(err)
}

// What needs nobody goes as before: small, careful, and with an end.
func TestWhatNeedsNobodyIsDone(t *testing.T) {
	d := newFourEyes(t)
	until := time.Now().Add(time.Hour)
	slow := d.slowOperation()
	for what, deed := range map[string]func() error{
		"retry": func() error {
			_, err := d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: d.dies(delivery.ClassHTTP4xx).ID, Actor: d.asker})
			return err
		},
		"ignore with an end": func() error {
			_, err := d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionIgnore, ID: d.dies(delivery.ClassHTTP4xx).ID, Actor: d.asker, Reason: "r", Category: "other", End: delivery.End{Until: &until}})
			return err
		},
		"an operation on one": func() error {
			_, err := d.StartOperation(t.Context(), delivery.OperationRequest{Action: delivery.ActionRetry, Actor: d.asker, Chosen: []delivery.Chosen{{ID: d.dies(delivery.ClassHTTP4xx).ID}}})
			return err
		},
		"a slower pace":    d.steers(slow, delivery.Steer{Pace: &delivery.Pace{Rate: 0.5, Canary: 1, StopAbove: 0.5}}),
		"resume as it was": d.steers(slow, delivery.Steer{Resume: true}),
	} {
		if what == "resume as it was" {
			defer func() { d.must(deed()) }()
			continue
		}
		if err := deed(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// changes are what can happen to a request between asking and approving: each voids it, and nothing is done.
var changes = map[string]func(d *fourEyes, a delivery.Approval) error{
	"items: decided by somebody else": func(d *fourEyes, a delivery.Approval) error {
		_, err := d.Act(d.t.Context(), delivery.ActionRequest{Action: delivery.ActionResolve, ID: a.Target, Actor: d.other, Reason: "r"})
		return err
	},
	"items: decided and taken back": func(d *fourEyes, a delivery.Approval) error {
		for _, action := range []delivery.Action{delivery.ActionResolve, delivery.ActionReopen} {
			if _, err := d.Act(d.t.Context(), delivery.ActionRequest{Action: action, ID: a.Target, Actor: d.other, Reason: "r"}); err != nil {
				return err
			}
		}
		return nil
	},
	"items: another version": func(d *fourEyes, a delivery.Approval) error {
		return d.sql("UPDATE redrive.deliveries SET version = version + 1 WHERE id = $1", a.Target)
	},
	"items: one more":               tampers("INSERT INTO redrive.approval_items SELECT approval_id, n + 1, gen_random_uuid(), integration, version FROM redrive.approval_items WHERE approval_id = $1"),
	"items: another one":            tampers("UPDATE redrive.approval_items SET delivery_id = gen_random_uuid() WHERE approval_id = $1"),
	"count: none":                   tampers("DELETE FROM redrive.approval_items WHERE approval_id = $1"),
	"request: another text":         tampers("UPDATE redrive.approvals SET request = convert_to(replace(convert_from(request, 'UTF8'), 'why', 'because'), 'UTF8') WHERE id = $1"),
	"request: another end":          tampers(`UPDATE redrive.approvals SET request = convert_to(replace(convert_from(request, 'UTF8'), '"Until":null', '"Until":"2040-01-01T00:00:00Z"'), 'UTF8') || ' ' WHERE id = $1`),
	"request: another payload":      tampers(`UPDATE redrive.approvals SET request = convert_to(replace(convert_from(request, 'UTF8'), '"Payload":"', '"Payload":"AAAA'), 'UTF8') || ' ' WHERE id = $1`),
	"asker":                         tampers("UPDATE redrive.approvals SET actor = (SELECT id::text FROM redrive.operators WHERE name = 'third') WHERE id = $1"),
	"person":                        tampers("UPDATE redrive.approvals SET person = NULL WHERE id = $1"),
	"kind":                          tampers("UPDATE redrive.approvals SET kind = 'redirect' WHERE id = $1"),
	"action":                        tampers("UPDATE redrive.approvals SET action = 'resolve' WHERE id = $1"),
	"target":                        tampers("UPDATE redrive.approvals SET target = gen_random_uuid() WHERE id = $1"),
	"expires: later":                tampers("UPDATE redrive.approvals SET expires_at = expires_at + interval '1 day' WHERE id = $1"),
	"expires: over":                 tampers("UPDATE redrive.approvals SET expires_at = statement_timestamp() WHERE id = $1"),
	"id: bytes and hash of another": tampers("UPDATE redrive.approvals a SET bound = b.bound, hash = b.hash FROM redrive.approvals b WHERE a.id = $1 AND b.id <> a.id"),
	"id: bytes alone":               tampers("UPDATE redrive.approvals SET bound = bound || ' ' WHERE id = $1"),
	"settings: another list":        tampers("UPDATE redrive.approvals SET integrations = '{sms}' WHERE id = $1"),
	"settings: destination": configures(func(in *delivery.Integration) {
		in.Destination = delivery.Destination{To: &delivery.HTTPDestination{URL: "http://127.0.0.1:2/"}}
	}),
	"settings: the file":   configures(func(in *delivery.Integration) { in.Settings = "{}" }),
	"settings: idempotent": configures(func(in *delivery.Integration) { in.Idempotent = true }),
	"settings: four eyes":  configures(func(in *delivery.Integration) { in.FourEyes.Resend = false }),
	"settings: left the file": func(d *fourEyes, _ delivery.Approval) error {
		d.integrations = d.integrations[1:]
		return d.SyncIntegrations(d.t.Context(), d.integrations)
	},
	"rights: role": func(d *fourEyes, _ delivery.Approval) error {
		return d.sql("UPDATE redrive.operators SET role = 'viewer' WHERE id = $1", d.asker)
	},
	"rights: disabled": func(d *fourEyes, _ delivery.Approval) error {
		return d.sql("UPDATE redrive.operators SET disabled_at = now() WHERE id = $1", d.asker)
	},
}

func tampers(statement string) func(d *fourEyes, a delivery.Approval) error {
	return func(d *fourEyes, a delivery.Approval) error { return d.sql(statement, a.ID) }
}

func configures(change func(*delivery.Integration)) func(d *fourEyes, a delivery.Approval) error {
	return func(d *fourEyes, _ delivery.Approval) error {
		change(&d.integrations[0])
		return d.SyncIntegrations(d.t.Context(), d.integrations)
	}
}

// Each field of what a request holds for has changes in the table, and each change voids the request.
func TestEveryChangeVoidsTheRequest(t *testing.T) {
	for field := range reflect.TypeFor[delivery.Bound]().Fields() {
		if !slices.ContainsFunc(slices.Sorted(maps.Keys(changes)), func(name string) bool { return strings.HasPrefix(name, strings.ToLower(field.Name)) }) {
			t.Errorf("no change of %s", field.Name)
		}
	}
	d := newFourEyes(t)
	d.person("third", delivery.RoleAdmin)
	file := slices.Clone(d.integrations)
	d.asksFor("another one")
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		a := d.asksFor(name)
		if seen, err := d.Approval(t.Context(), a.ID); err != nil || !seen.Void.IsZero() {
			t.Fatalf("%s: before the change: %s %v", name, seen.Void, err)
		}
		d.must(changes[name](d, a))
		before := d.world()
		_, err := d.approve(a.ID)
		if _, void := err.(*delivery.VoidError); !void && !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		if d.world() != before {
			t.Errorf("%s: something was done", name)
		}
		if state := value[string](d.desk, "SELECT state FROM redrive.approvals WHERE id = $1", a.ID); state != "void" && state != "expired" {
			t.Errorf("%s: the request is %s", name, state)
		}
		d.integrations = slices.Clone(file)
		d.sync()
		d.must(d.sql("UPDATE redrive.operators SET role = 'operator', disabled_at = NULL WHERE id = $1", d.asker))
	}
}

// asksFor asks for an edit where a payload is changed, else for ignoring for good.
func (d *fourEyes) asksFor(change string) delivery.Approval {
	dead := d.dies(delivery.ClassHTTP4xx)
	return d.asks(change, func() (err error) {
		if strings.Contains(change, "payload") {
			_, err = d.Edit(d.t.Context(), delivery.EditRequest{ID: dead.ID, Actor: d.asker, Reason: "why", Payload: []byte(`{"a":2}`)})
		} else {
			_, err = d.Act(d.t.Context(), delivery.ActionRequest{Action: delivery.ActionIgnore, ID: dead.ID, Actor: d.asker, Reason: "why", Category: "other", End: forGood})
		}
		return err
	})
}
