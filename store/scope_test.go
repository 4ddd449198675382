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
	"redrive/store"
)

// foreign stands in everything of the integration that the reader may not see, and nowhere else.
const foreign = "foreign"

// sees returns a context of somebody who may do what a role permits for the integrations named, everywhere without names.
func sees(ctx context.Context, role delivery.Role, names ...string) context.Context {
	grant := delivery.Grant{Role: role, Integrations: names, Within: names}
	return delivery.WithRight(ctx, delivery.Right{Actor: "0190a0a0-0000-7000-8000-00000000aaaa", Rights: delivery.RightsOf("", delivery.Grants{grant})})
}

// twoTeams are dead letters of one's own integration and of a foreign one, with all that is kept about them.
type twoTeams struct {
	desk
	own, other, message, operation, file, approval string
}

func newTwoTeams(t *testing.T) twoTeams {
	t.Helper()
	d := twoTeams{desk: open(t)}
	batch := delivery.Integration{Name: foreign + "-batch", Method: delivery.MethodBatch, Batch: &delivery.BatchSettings{Query: "SELECT 1"},
		Destination: delivery.Destination{To: &delivery.HTTPDestination{URL: "http://127.0.0.1:1/"}}}
	cdc := delivery.Integration{Name: foreign + "-cdc", Method: delivery.MethodCDC, CDC: &delivery.CDCSource{Slot: foreign}, Destination: batch.Destination}
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("push", "order.placed"), integration(foreign, foreign+".type"), batch, cdc}))
	d.own = d.fails(delivery.Message{Integration: "push", Type: "order.placed", Key: "own-key", Payload: []byte(`{"a":"own"}`)}, "own error")
	d.other = d.fails(delivery.Message{Integration: foreign, Type: foreign + ".type", Key: foreign + "-key", Payload: []byte(`{"a":"foreign"}`)}, foreign+" error")
	d.message = d.read(d.other).MessageID
	d.operator(foreign + "-person")
	tags, person := []string{foreign}, foreign+"-person"
	d.change(delivery.CaseChange{ID: d.other, Actor: "ann", Version: -1, Tags: &tags, Assignee: &person})
	_, err := d.AddNote(t.Context(), d.other, foreign, foreign, "")
	d.must(err)
	d.accept(delivery.Message{Integration: foreign, Key: foreign, Payload: []byte(`1`)}) // waits
	_, err = d.SaveView(t.Context(), delivery.SavedView{Owner: "ann", Name: foreign, Search: "integration:" + foreign, Shared: true})
	d.must(err)
	_, err = d.RequestRun(t.Context(), batch.Name, "2026-01-30", "ann", foreign)
	d.must(err)
	d.operation = d.start(delivery.OperationRequest{Action: delivery.ActionAcknowledge}).ID
	_, err = d.FoldCounts(t.Context())
	d.must(err)
	d.must(d.sql(`UPDATE redrive.integrations SET four_eyes = '{"ignore_for_good": true}' WHERE name = $1`, foreign))
	_, err = d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionIgnore, ID: d.other, Actor: "ann", Reason: foreign, Category: "other", End: forGood})
	var asked *delivery.AskedError
	if !errors.As(err, &asked) {
		t.Fatalf("nobody was asked: %v", err)
	}
	d.approval = asked.Approval.ID
	d.must(d.sql("UPDATE redrive.integrations SET four_eyes = '{}'"))
	return d
}

// reader asks one question of the store, as somebody.
type reader func(d twoTeams, ctx context.Context) (any, error)

// scopedReaders are asked by people.
var scopedReaders = map[string]reader{
	"Failures": func(d twoTeams, ctx context.Context) (any, error) { return d.Failures(ctx, delivery.Filter{}) },
	"CountFailures": func(d twoTeams, ctx context.Context) (any, error) {
		n, _, err := d.CountFailures(ctx, delivery.Filter{}, 100)
		return map[bool]string{true: foreign}[n > 1], err
	},
	"Groups": func(d twoTeams, ctx context.Context) (any, error) {
		sorted, err := d.Groups(ctx, delivery.GroupFilter{})
		if err != nil {
			return nil, err
		}
		walked, err := d.Groups(ctx, delivery.GroupFilter{Sort: delivery.GroupsGrowing})
		return []any{sorted, walked}, err
	},
	"Group": func(d twoTeams, ctx context.Context) (any, error) { return d.Group(ctx, d.read(d.other).GroupID) },
	"Suggest": func(d twoTeams, ctx context.Context) (all any, err error) {
		found := map[string][]string{}
		for _, field := range []string{"integration", "assignee", "by", "tag", "type", "key"} {
			list, err := d.Suggest(ctx, field, "f")
			if err != nil {
				return nil, fmt.Errorf("%s: %w", field, err)
			}
			found[field] = list
		}
		return found, nil
	},
	"Delivery":        func(d twoTeams, ctx context.Context) (any, error) { return d.Delivery(ctx, d.other) },
	"EditOf":          func(d twoTeams, ctx context.Context) (any, error) { return payloadOf(d.EditOf(ctx, d.other, 1)) },
	"RedirectTargets": func(d twoTeams, ctx context.Context) (any, error) { return d.RedirectTargets(ctx, d.own) },
	"Message": func(d twoTeams, ctx context.Context) (any, error) {
		m, list, err := d.Message(ctx, d.message)
		return []any{m, list}, err
	},
	"Neighbours": func(d twoTeams, ctx context.Context) (any, error) {
		before, after, err := d.Neighbours(ctx, delivery.Filter{}, d.read(d.own).Place())
		return map[bool]string{true: foreign}[before != nil || after != nil], err
	},
	"EndingIn": func(d twoTeams, ctx context.Context) (any, error) {
		ids, err := d.EndingIn(ctx, d.other[len(d.other)-delivery.ShortID:])
		return map[bool]string{true: foreign}[len(ids) > 0], err
	},
	"Underway":  func(d twoTeams, ctx context.Context) (any, error) { return d.Underway(ctx, foreign, "", "") },
	"Delivered": func(d twoTeams, ctx context.Context) (any, error) { return d.Delivered(ctx, foreign, "") },
	"Blocked":   func(d twoTeams, ctx context.Context) (any, error) { return d.Blocked(ctx, d.other, "") },
	"DryRun": func(d twoTeams, ctx context.Context) (any, error) {
		return d.DryRun(ctx, delivery.OperationRequest{Action: delivery.ActionRetry, Filter: &delivery.Filter{}})
	},
	"Approvals": func(d twoTeams, ctx context.Context) (any, error) { return d.Approvals(ctx, delivery.ApprovalFilter{}) },
	"Approval":  func(d twoTeams, ctx context.Context) (any, error) { return d.Approval(ctx, d.approval) },
	"ApprovalItems": func(d twoTeams, ctx context.Context) (any, error) {
		return d.ApprovalItems(ctx, d.approval, "", 0)
	},
	"ApprovalsToDo": func(d twoTeams, ctx context.Context) (any, error) {
		n, err := d.ApprovalsToDo(ctx, "0190a0a0-0000-7000-8000-00000000bbbb")
		return map[bool]string{true: foreign}[n > 0], err
	},
	"Operation": func(d twoTeams, ctx context.Context) (any, error) { return d.Operation(ctx, d.operation) },
	"Operations": func(d twoTeams, ctx context.Context) (any, error) {
		page, err := d.Operations(ctx, delivery.OperationFilter{})
		return map[bool]string{true: foreign}[len(page.Items) > 0 && page.Items[0].Selected > 1], err
	},
	"OperationItems": func(d twoTeams, ctx context.Context) (any, error) {
		return d.OperationItems(ctx, d.operation, delivery.ItemFilter{})
	},
	"Health":            func(d twoTeams, ctx context.Context) (any, error) { return d.Health(ctx) },
	"IntegrationStates": func(d twoTeams, ctx context.Context) (any, error) { return d.IntegrationStates(ctx) },
	"Runs":              func(d twoTeams, ctx context.Context) (any, error) { return d.Runs(ctx, foreign+"-batch", "", 10) },
	"Audit": func(d twoTeams, ctx context.Context) (any, error) {
		return audited(d.Audit(ctx, delivery.AuditFilter{}))
	},
	"AuditActors": func(d twoTeams, ctx context.Context) (any, error) { return d.AuditActors(ctx) },
	"Ignored": func(d twoTeams, ctx context.Context) (any, error) {
		defer d.hides(d.other)()
		return d.Ignored(ctx, delivery.IgnoredFilter{})
	},
	"IgnoredCounts": func(d twoTeams, ctx context.Context) (any, error) {
		defer d.hides(d.other)()
		counts, _, err := d.IgnoredCounts(ctx, delivery.IgnoredFilter{})
		return map[bool]string{true: foreign}[len(counts) > 0], err
	},
	"Entry": func(d twoTeams, ctx context.Context) (any, error) {
		for seq := int64(1); ; seq++ { // the first about what is foreign
			all, err := d.Entry(context.Background(), seq)
			if err != nil {
				return nil, err
			}
			if all.SubjectType == "integration" && strings.Contains(all.Subject, foreign) {
				return d.Entry(ctx, seq)
			}
		}
	},
	"AuditHead": func(d twoTeams, ctx context.Context) (any, error) {
		d.must(d.SetPaused(d.t.Context(), foreign, true, "ann", foreign))
		d.must(d.SetPaused(d.t.Context(), foreign, false, "ann", foreign))
		return d.AuditHead(ctx)
	},
	"SavedViews": func(d twoTeams, ctx context.Context) (any, error) { return d.SavedViews(ctx, "eve") },
}

// hides ignores what waits for a decision; what it returns opens that again.
func (d twoTeams) hides(id string) (again func()) {
	act := func(a delivery.Action) {
		_, err := d.Act(d.t.Context(), delivery.ActionRequest{Action: a, ID: id, Actor: foreign + "-person", Reason: foreign, Category: "other"})
		d.must(err)
	}
	act(delivery.ActionIgnore)
	return func() { act(delivery.ActionReopen) }
}

func payloadOf(e delivery.Edit, err error) (string, error) { return string(e.Payload), err }

func audited(page delivery.Page[delivery.AuditEntry], err error) (texts []string, _ error) {
	for _, e := range page.Items {
		texts = append(texts, e.Subject, e.Reason, string(e.Details))
	}
	return texts, err
}

// actors of the store check the integration of what they act on, or that who acts administers; TestWhoMayActWhere and the matrix of the
// routes try them. The rest is asked by the program, of whoever signs in, or says nothing of an integration.
var otherMethods = map[string]string{
	"acts": `Approve Reject Withdraw Accept Act Edit Redirect ChangeCase AddNote SaveView DeleteView StartOperation SteerOperation AddIgnoreRule EndIgnoreRule SetPaused PauseUntil RequestRun RequestResnapshot
		RequestTable CreateOperator ChangeOperator CreateToken RotateToken RevokeToken EndSession Record Reveal`,
	"as TestRulesAreSeenWhereTheirIntegrationIs says": `IgnoreRule IgnoreRules IgnoreRuleDays PreviewIgnoreRule`,
	"as File and CaptureGaps of the matrix of routes": `File OpenFile CaptureGaps`,
	"is about people, and for administrators and themselves": `Operator OperatorByName Operators Sessions Token Tokens TokensOf NoteTokenUses SignIn SignedIn TokenByHash Holding
		FindCtx CommitCtx DeleteCtx EnsureFirstOperator WriteHistory EnsureEnvToken
		SignInProvided EndProvided IDToken KeepChallenge TakeChallenge TicketKey TicketEnded EndTicket CodeSecret ProposeCodeSecret ConfirmCodes UseCode FailCode RemoveCodes
		ChooseLanguage Look Seen RecoveryCodes UseRecoveryCode Passkeys AddPasskey UsePasskey RenamePasskey RemovePasskey KnownPlace RememberPlace`,
	"is for who administers, and checked in the transaction":    `Secrets SetSecret RemoveSecret`,
	"says that something changed, or was done, and not of what": `DeadGeneration Since`,
	"is the program's": `AcceptedByKey AdoptOutbox AdvanceOperation BatchStatus Begin BlockedKeys CannotCapture CapturePosition Claim Complete
		CountDelivered EarlierProducers ExpireApprovals Extend FoldCounts ForgetFormTokens ForgetGone ForgetMember ForgetSettled GoneMembers Inbox Index KeepMember
		KeepPositions KeepTopic KeptTopic Lead Listen Masks Migrate NoteGap OpenBatchSource OpenOperations OutboxLag NoteKeyReuse HashSubject Remask Park PartHealth
		PreparedTransactions PruneInbox Ready Release ReopenDue ResumeDue SaveBreaker SaveHealth SaveTables SchemaStatus Settle SettleRetired Snapshot
		SourceGaps SyncIntegrations Transact TransactAfter Admit AdmitAgain CheckKeys Power Rotate SealCodes Secret Unbegin Unlisten VerifyAudit
		AuditKeys Checkpoint Checkpoints Consistency EntriesAfter Export ForgetAudit LastCheckpoint KeepCosignature PlaceFails PlaceHas Places RotateAuditKey VerifyLog Walk`,
	"asks Audit whether the entry is seen": `Prove`,
}

// Whoever sees some integrations finds nothing of others with any question that the store answers, and whoever sees all of them does.
// A new question has to say in this table whose it is.
func TestEachReaderShowsWhatIsInScope(t *testing.T) {
	known := map[string]bool{}
	for name := range scopedReaders {
		known[name] = true
	}
	for _, names := range otherMethods {
		for _, name := range strings.Fields(names) {
			known[name] = true
		}
	}
	asks := reflect.TypeFor[context.Context]()
	for m := range reflect.TypeFor[*store.Store]().Methods() {
		if m.Type.NumIn() > 1 && m.Type.In(1) == asks && !known[m.Name] && !strings.HasPrefix(m.Name, "Retain") && !strings.HasPrefix(m.Name, "Drop") {
			t.Errorf("Store.%s: is it scoped? Put it into scopedReaders, or say in otherMethods why not", m.Name)
		}
	}
	d := newTwoTeams(t)
	nothing := []string{"RedirectTargets", "Delivered", "Blocked", "AuditActors"} // there is nothing to be seen by anybody here: their own tests look
	for _, name := range slices.Sorted(maps.Keys(scopedReaders)) {
		ask := scopedReaders[name]
		for _, role := range []delivery.Role{delivery.RoleAdmin, delivery.RoleAuditor} {
			own, err := ask(d, sees(t.Context(), role, "push"))
			if text := said(t, own); strings.Contains(text, foreign) || err != nil && !errors.Is(err, delivery.ErrNotFound) {
				t.Errorf("%s shows a %s of push: %s %v", name, role, text, err)
			}
			rightless := delivery.WithRight(t.Context(), delivery.Right{Actor: "0190a0a0-0000-7000-8000-00000000aaaa"})
			if none, err := ask(d, rightless); strings.Contains(said(t, none), foreign) || err != nil && !errors.Is(err, delivery.ErrNotFound) {
				t.Errorf("%s shows somebody without any right: %s %v", name, said(t, none), err)
			}
			if nobody, err := ask(d, sees(t.Context(), role, "gone")); strings.Contains(said(t, nobody), foreign) || err != nil && !errors.Is(err, delivery.ErrNotFound) {
				t.Errorf("%s shows a %s of nothing: %s %v", name, role, said(t, nobody), err)
			}
		}
		for who, ctx := range map[string]context.Context{"everybody": t.Context(), "an admin": sees(t.Context(), delivery.RoleAdmin), "of it": sees(t.Context(), delivery.RoleAdmin, "push", foreign, foreign+"-batch", foreign+"-cdc")} {
			all, err := ask(d, ctx)
			if !slices.Contains(nothing, name) && !(who == "of it" && name == "SavedViews") && !strings.Contains(said(t, all), foreign) || err != nil {
				t.Errorf("%s does not show %s what is there: %s %v", name, who, said(t, all), err)
			}
		}
	}
}

func said(t *testing.T, v any) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.NewEncoder(&out).Encode(v); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "%+v", v)
	return out.String()
}

// What somebody may not do for an integration is refused by name, and of what they do not see nothing is told.
func TestWhoMayActWhere(t *testing.T) {
	d := newTwoTeams(t)
	acts := map[string]func(ctx context.Context, id, integration string) error{
		"retry": func(ctx context.Context, id, _ string) error {
			_, err := d.Act(ctx, delivery.ActionRequest{Action: delivery.ActionRetry, ID: id, Actor: "ann"})
			return err
		},
		"ignore": func(ctx context.Context, id, _ string) error {
			_, err := d.Act(ctx, delivery.ActionRequest{Action: delivery.ActionIgnore, ID: id, Actor: "ann", Reason: "r", Category: "other"})
			return err
		},
		"edit": func(ctx context.Context, id, _ string) error {
			_, err := d.Edit(ctx, delivery.EditRequest{ID: id, Actor: "ann", Reason: "r", Payload: []byte("1"), Version: 1})
			return err
		},
		"redirect": func(ctx context.Context, id, integration string) error {
			_, err := d.Redirect(ctx, delivery.RedirectRequest{ID: id, Actor: "ann", Reason: "r", Integration: integration})
			return err
		},
		"triage": func(ctx context.Context, id, _ string) error {
			_, err := d.AddNote(ctx, id, "ann", "n", "")
			return err
		},
		"pause": func(ctx context.Context, _, integration string) error {
			return errors.Join(d.SetPaused(ctx, integration, true, "ann", "r"), d.PauseUntil(ctx, integration, "ann", "r", time.Now().Add(time.Hour)))
		},
		"resend": func(ctx context.Context, _, integration string) error {
			_, err := d.RequestRun(ctx, integration, "", "ann", "r")
			return err
		},
		"send": func(ctx context.Context, _, integration string) error {
			_, err := d.Accept(ctx, delivery.Message{Kind: delivery.KindCommand, Integration: integration, Type: "t", Payload: []byte("1")})
			return err
		},
	}
	before := d.dump()
	for what, act := range acts {
		token := d.scopedToken(delivery.Grants{{Role: delivery.RoleAdmin, Integrations: []string{"push"}}})
		if err := act(token, d.other, foreign); !errors.Is(err, delivery.ErrNotFound) && what != "send" {
			t.Errorf("%s where nothing is seen: %v", what, err)
		}
		viewer := d.scopedToken(delivery.Grants{{Role: delivery.RoleAdmin, Integrations: []string{"push"}}, {Role: delivery.RoleViewer}})
		var lacks *delivery.RightError
		if err := act(viewer, d.other, foreign); !errors.As(err, &lacks) || string(lacks.Missing) != what || lacks.Integration != foreign {
			t.Errorf("%s where only is looked: %v", what, err)
		}
	}
	if after := d.dump(); after != before {
		t.Errorf("something happened:\n%s\n%s", before, after)
	}
	event := delivery.Message{Kind: delivery.KindEvent, Type: foreign + ".type", Payload: []byte("1")}
	sender := d.scopedToken(delivery.Grants{{Permissions: []delivery.Permission{delivery.PermitSend}, Integrations: []string{"push"}}})
	if _, err := d.Accept(sender, event); !errors.As(err, new(*delivery.RightError)) {
		t.Errorf("an event goes where nothing may be sent: %v", err)
	}
	event.Type = "order.placed"
	_, err := d.Accept(sender, event)
	d.must(err)
	// who is on call ignores until an end
	call := d.scopedToken(delivery.Grants{{Role: delivery.RoleOnCall, Integrations: []string{foreign}}})
	ignore := delivery.ActionRequest{Action: delivery.ActionIgnore, ID: d.other, Actor: "ann", Reason: "r", Category: "other",
		End: delivery.End{ForGood: true}}
	if _, err := d.Act(call, ignore); err == nil {
		t.Error("ignored for good by who is on call")
	}
	ignore.End = delivery.End{}
	_, err = d.Act(call, ignore)
	d.must(err)
}

// dump says how deliveries, integrations, runs and messages are.
func (d desk) dump() string {
	return value[string](d, `SELECT concat_ws(' ', (SELECT string_agg(state || version, ',' ORDER BY id) FROM redrive.deliveries), (SELECT count(*) FROM redrive.messages),
		(SELECT count(*) FROM redrive.notes), (SELECT count(*) FROM redrive.batch_runs), (SELECT count(paused_at) FROM redrive.integrations))`)
}

var secrets byte

// scopedToken is a request of a new token with these grants.
func (d desk) scopedToken(grants delivery.Grants) context.Context {
	d.t.Helper()
	secrets++
	token, err := d.CreateToken(d.t.Context(), delivery.Token{Name: "robot", Grants: grants}, bytes.Repeat([]byte{200, secrets}, 16), "setup")
	d.must(err)
	return delivery.WithRight(d.t.Context(), delivery.Right{Actor: token.ID, Rights: token.Rights()})
}

// A right that is taken away stops the rest of a running operation, which says why.
func TestALostRightStopsTheRest(t *testing.T) {
	d := open(t)
	d.person("root", delivery.RoleAdmin)
	d.manyDead("push", "g", 3)
	d.manyDead("sms", "h", 3)
	viewer := delivery.RoleViewer
	ann := d.people(delivery.OperatorChange{ID: d.person("ann", delivery.RoleOperator).ID, Actor: "root", Role: &viewer})
	grant := delivery.Grant{Role: delivery.RoleOperator, Integrations: []string{"push"}}
	ann = d.people(delivery.OperatorChange{ID: ann.ID, Actor: "root", Grant: &grant})
	ctx := delivery.WithRight(t.Context(), delivery.Right{Actor: ann.ID, Session: d.session(ann, "ann"), Rights: ann.Rights()})
	o, err := d.StartOperation(ctx, delivery.OperationRequest{Action: delivery.ActionResolve, Actor: ann.ID, Reason: "r", Filter: &delivery.Filter{}})
	if d.must(err); o.Selected != 3 || o.Excluded[delivery.ExcludedPermission] != 3 {
		t.Errorf("where only is looked nothing is selected: %+v", o)
	}
	one := func(s *delivery.OperationStep) {
		for i := range s.Parts {
			s.Parts[i].Release = 1
		}
	}
	step := func() int {
		n, err := d.AdvanceOperation(t.Context(), o.ID, one)
		d.must(err)
		return n
	}
	if n := step(); n != 1 {
		t.Fatalf("%d were resolved", n)
	}
	d.people(delivery.OperatorChange{ID: ann.ID, Actor: "root", Withdraw: &ann.Grants[0].ID})
	if n := step(); n != 0 {
		t.Errorf("%d were resolved without a right", n)
	}
	o = d.operation(o.ID)
	if o.State != delivery.OperationPaused || o.Succeeded != 1 || !strings.Contains(english(o.Note), "ann, who started it, does not have the permission bulk for push any more") {
		t.Errorf("%+v %s", o, english(o.Note))
	}
	if e := d.audited("operation.pause"); e.Actor != delivery.ActorPolicy || !strings.Contains(string(e.Details), delivery.NoteNoRight) {
		t.Errorf("%+v %s", e, e.Details)
	}
	// with the right again it goes on
	d.people(delivery.OperatorChange{ID: ann.ID, Actor: "root", Grant: &grant})
	_, err = d.SteerOperation(t.Context(), delivery.Steer{ID: o.ID, Actor: "root", Resume: true})
	d.must(err)
	if n := step(); n != 1 {
		t.Errorf("%d were resolved with the right again", n)
	}
	d.people(delivery.OperatorChange{ID: ann.ID, Actor: "root", Disabled: new(true)})
	if n := step(); n != 0 || d.operation(o.ID).State != delivery.OperationPaused {
		t.Errorf("somebody who is disabled resolved %d", n)
	}
}

// A private view's name and text are its owner's, in the audit as well.
func TestPrivateViewsStayPrivateInTheAudit(t *testing.T) {
	d := open(t)
	ann := d.person("ann", delivery.RoleOperator)
	for _, shared := range []bool{true, false} {
		_, err := d.SaveView(t.Context(), delivery.SavedView{Owner: ann.ID, Name: fmt.Sprint("name", shared), Search: fmt.Sprint("text", shared), Shared: shared})
		d.must(err)
	}
	of := func(actor string) string {
		ctx := delivery.WithRight(t.Context(), delivery.Right{Actor: actor, Rights: delivery.RightsOf(delivery.RoleAdmin, nil)})
		texts, err := audited(d.Audit(ctx, delivery.AuditFilter{}))
		d.must(err)
		return strings.Join(texts, "\n")
	}
	if own := of(ann.ID); !strings.Contains(own, "namefalse") || !strings.Contains(own, "textfalse") {
		t.Errorf("the owner does not see %s", own)
	}
	if others := of("0190a0a0-0000-7000-8000-00000000aaaa"); strings.Contains(others, "namefalse") || strings.Contains(others, "textfalse") || !strings.Contains(others, "texttrue") {
		t.Errorf("another one sees %s", others)
	}
	if report, err := d.VerifyAudit(t.Context()); err != nil || !report.OK() {
		t.Errorf("%s %v", report, err)
	}
}
