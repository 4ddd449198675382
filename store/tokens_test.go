package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"redrive/delivery"
)

func hashOf(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

// tokenOf makes a token of a person, that lives for an hour.
func (d desk) tokenOf(o delivery.Operator, name string, secret byte, grants ...delivery.Grant) delivery.Token {
	d.t.Helper()
	t := delivery.Token{Name: name, Owner: &o, Lifetime: time.Hour}
	for _, g := range grants {
		t.Give(g)
	}
	made, err := d.CreateToken(d.t.Context(), t, hashOf(secret), o.ID)
	d.must(err)
	return made
}

// by is a request that a token was let in with.
func by(ctx context.Context, t delivery.Token, needs ...delivery.Permission) context.Context {
	return delivery.WithRight(ctx, delivery.Right{Actor: t.ID, Secret: t.Secret, Holder: t.Holder, Need: needs, Rights: t.Rights()})
}

// A token of a person does what both may, at that moment: at the door, in the transaction that acts, and for a running operation.
func TestATokenOfAPersonNeverDoesMoreThanThePerson(t *testing.T) {
	d := labelled(t)
	d.person("root", delivery.RoleAdmin)
	ann := d.person("ann", delivery.RoleOperator)
	all, shop := d.tokenOf(ann, "laptop", 1, delivery.Grant{Role: delivery.RoleAdmin}), delivery.Grant{Role: delivery.RoleOperator, Labels: map[string]string{"team": "shop"}}
	some := d.tokenOf(ann, "ci", 2, shop)
	id := d.fails(delivery.Message{Integration: "sms", Payload: []byte("1")}, "e")
	resolve := func(token delivery.Token) error {
		_, err := d.Act(by(t.Context(), token, delivery.PermitResolve), delivery.ActionRequest{Action: delivery.ActionResolve, ID: id, Actor: token.ID, Reason: "r"})
		if err == nil {
			_, err = d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionReopen, ID: id, Actor: "setup"})
		}
		return err
	}
	if r := all.Rights(); !r.Scope(delivery.PermitEdit).All || r.May(delivery.PermitAdminister) || r.May(delivery.PermitReveal) || all.Actor() != "token:ann/laptop" {
		t.Errorf("%s of an operator may %+v", all.Actor(), r)
	}
	if got := some.Rights().Scope(delivery.PermitEdit).Names; !slices.Equal(got, []string{"push", "sms"}) {
		t.Errorf("%v", got)
	}
	d.must(resolve(all))
	d.must(resolve(some))
	if e := d.audited("delivery.resolve"); e.Actor != "token:ann/ci" || e.ActorID != some.ID {
		t.Errorf("%+v", e)
	}
	anna := "anna"
	d.people(delivery.OperatorChange{ID: ann.ID, Actor: "root", Name: &anna})
	if got := value[[]string](d, "SELECT array_agg(name ORDER BY name) FROM redrive.actors WHERE name LIKE 'token:%'"); !slices.Equal(got, []string{"token:anna/ci", "token:anna/laptop"}) {
		t.Errorf("under another name of their person they are %q", got)
	}
	none, points := delivery.Role(""), delivery.Grant{Role: delivery.RoleOperator, Integrations: []string{"points"}}
	d.people(delivery.OperatorChange{ID: ann.ID, Actor: "root", Role: &none})
	d.people(delivery.OperatorChange{ID: ann.ID, Actor: "root", Grant: &points})
	if got, err := d.TokenByHash(t.Context(), hashOf(1)); err != nil || !slices.Equal(got.Rights().Scope(delivery.PermitEdit).Names, []string{"points"}) || got.Rights().May(delivery.PermitReveal) {
		t.Errorf("%+v %v", got.Rights(), err)
	}
	if got, err := d.TokenByHash(t.Context(), hashOf(2)); err != nil || len(got.Rights()) != 0 {
		t.Errorf("what the person may not is left: %+v %v", got.Rights(), err)
	}
	var lacks *delivery.RightError
	for _, token := range []delivery.Token{all, some} { // let in before
		if err := resolve(token); !errors.Is(err, delivery.ErrNotFound) && !errors.As(err, &lacks) {
			t.Errorf("%s acts where its person may not: %v", token.Name, err)
		}
	}
	if held, err := d.Holding(t.Context(), []string{all.Holder, some.Holder}); err != nil || len(held) != 0 {
		t.Errorf("streams with the rights of before go on: %q %v", held, err)
	}
}

// Tokens end with their person for good, each with an entry in the audit that has its id.
func TestTokensEndWithTheirPerson(t *testing.T) {
	d := open(t)
	d.person("root", delivery.RoleAdmin)
	yes, no, ann, bob := true, false, d.person("ann", delivery.RoleOperator), d.person("bob", delivery.RoleOperator)
	one, two, other := d.tokenOf(ann, "one", 1, delivery.Grant{Role: delivery.RoleViewer}), d.tokenOf(ann, "two", 2, delivery.Grant{Role: delivery.RoleViewer}), d.tokenOf(bob, "other", 3, delivery.Grant{Role: delivery.RoleViewer})
	d.must(d.RevokeToken(t.Context(), two.ID, ann.ID))
	for _, c := range []delivery.OperatorChange{{Disabled: &yes}, {Disabled: &no}} {
		c.ID, c.Actor = ann.ID, "root"
		d.people(c)
		for n := byte(1); n <= 2; n++ {
			if _, err := d.TokenByHash(t.Context(), hashOf(n)); !errors.Is(err, delivery.ErrNotFound) {
				t.Errorf("after %s token %d lets in: %v", c.What(), n, err)
			}
		}
	}
	if got := value[[]string](d, "SELECT array_agg(actor || ' ' || subject || ' ' || coalesce(details ->> 'because', '') ORDER BY seq) FROM redrive.audit WHERE action = 'token.revoke'"); !slices.Equal(got,
		[]string{"ann " + two.ID + " ", "root " + one.ID + " operator.disable"}) {
		t.Errorf("%q", got)
	}
	if _, err := d.TokenByHash(t.Context(), hashOf(3)); err != nil {
		t.Errorf("somebody else's: %v", err)
	}
	d.people(delivery.OperatorChange{ID: ann.ID, Actor: "root", Disabled: &yes})
	if _, err := d.CreateToken(t.Context(), delivery.Token{Name: "x", Role: delivery.RoleViewer, Owner: &ann}, hashOf(4), "root"); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("a token of somebody who is disabled: %v", err)
	}
	d.must(d.sql("DELETE FROM redrive.operators WHERE id = '" + bob.ID + "'"))
	if _, err := d.TokenByHash(t.Context(), hashOf(3)); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("of somebody who is gone: %v", err)
	}
	if name := value[string](d, "SELECT name FROM redrive.actors WHERE id = $1", other.ID); name != "token:bob/other" {
		t.Errorf("what it did is by %s", name)
	}
	for n := range byte(50) {
		_, err := d.CreateToken(t.Context(), delivery.Token{Name: "many", Role: delivery.RoleViewer, Owner: &delivery.Operator{ID: d.operatorID("root")}}, hashOf(100+n), "root")
		d.must(err)
	}
	if _, err := d.CreateToken(t.Context(), delivery.Token{Name: "many", Role: delivery.RoleViewer, Owner: &delivery.Operator{ID: d.operatorID("root")}}, hashOf(99), "root"); inputCode(t, err) != "too_many" {
		t.Errorf("one more: %v", err)
	}
}

func (d desk) operatorID(name string) string {
	return value[string](d, "SELECT id::text FROM redrive.operators WHERE name = $1", name)
}

// A person is disabled while their token acts: who comes first is first, and neither waits for the other for ever.
func TestATokenIsHeldWithItsPersonWhileItIsUsed(t *testing.T) {
	d := open(t)
	d.person("root", delivery.RoleAdmin)
	yes, ann := true, d.person("ann", delivery.RoleOperator)
	token := d.tokenOf(ann, "ci", 1, delivery.Grant{Role: delivery.RoleOperator})
	id := d.dead(numbered(1)).ID
	held := d.connect()
	_, err := held.Exec(t.Context(), "BEGIN; SELECT FROM redrive.deliveries WHERE id = '"+id+"' FOR UPDATE")
	d.must(err)
	var acted, disabled error
	var all sync.WaitGroup
	all.Go(func() {
		_, acted = d.Act(by(t.Context(), token, delivery.PermitResolve), delivery.ActionRequest{Action: delivery.ActionResolve, ID: id, Actor: token.ID, Reason: "r"})
	})
	d.waitForBlocked(1)
	all.Go(func() {
		_, disabled = d.ChangeOperator(context.WithoutCancel(t.Context()), delivery.OperatorChange{ID: ann.ID, Actor: "root", Disabled: &yes})
	})
	d.waitForBlocked(2)
	_, err = held.Exec(t.Context(), "COMMIT")
	d.must(err)
	if all.Wait(); acted != nil || disabled != nil {
		t.Fatal(acted, disabled)
	}
	if got := value[[]string](d, "SELECT array_agg(action ORDER BY seq) FROM redrive.audit WHERE action IN ('delivery.resolve', 'token.revoke', 'operator.disable')"); !slices.Equal(got, []string{"delivery.resolve", "token.revoke", "operator.disable"}) {
		t.Errorf("%q", got)
	}
	var ended *delivery.RightError
	if _, err := d.Act(by(t.Context(), token, delivery.PermitResolve), delivery.ActionRequest{Action: delivery.ActionReopen, ID: id, Actor: token.ID}); !errors.As(err, &ended) {
		t.Errorf("after the end: %v", err)
	}
}

// A secret ends by the database's clock, wherever it is used: at the door, in a transaction, a stream, the rest of an operation.
func TestSecretsExpire(t *testing.T) {
	d := open(t)
	d.person("root", delivery.RoleAdmin)
	d.manyDead("push", "g", 2)
	token, err := d.CreateToken(t.Context(), delivery.Token{Name: "ci", Role: delivery.RoleOperator, Lifetime: time.Hour}, hashOf(1), "root")
	d.must(err)
	_, err = d.CreateToken(t.Context(), delivery.Token{Name: "forever", Role: delivery.RoleOperator}, hashOf(2), "root")
	d.must(err)
	if got := value[[]float64](d, "SELECT array_agg(round(extract(epoch FROM expires_at - created_at)) ORDER BY expires_at) FROM redrive.token_secrets WHERE expires_at IS NOT NULL"); !slices.Equal(got, []float64{3600}) {
		t.Errorf("%v", got)
	}
	o, err := d.StartOperation(by(t.Context(), token), delivery.OperationRequest{Action: delivery.ActionResolve, Actor: token.ID, Reason: "r", Filter: &delivery.Filter{}})
	d.must(err)
	one := func(s *delivery.OperationStep) { s.Parts[0].Release = 1 }
	if n, err := d.AdvanceOperation(t.Context(), o.ID, one); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	d.must(d.sql("UPDATE redrive.token_secrets SET expires_at = clock_timestamp() WHERE id = '" + token.Secret + "'"))
	var expired *delivery.ExpiredTokenError
	if _, err := d.TokenByHash(t.Context(), hashOf(1)); !errors.As(err, &expired) || expired.Token != token.ID {
		t.Errorf("at the door: %v", err)
	}
	var ended *delivery.RightError
	if _, err := d.AddNote(by(t.Context(), token), d.dead(numbered(9)).ID, token.ID, "n", ""); !errors.As(err, &ended) {
		t.Errorf("in a transaction: %v", err)
	}
	if held, err := d.Holding(t.Context(), []string{token.Holder}); err != nil || len(held) != 0 {
		t.Errorf("its streams go on: %q %v", held, err)
	}
	if n, err := d.AdvanceOperation(t.Context(), o.ID, one); n != 0 || err != nil || d.operation(o.ID).State != delivery.OperationPaused {
		t.Errorf("its operation goes on: %d %v %+v", n, err, d.operation(o.ID))
	}
	list, err := d.Tokens(t.Context())
	if d.must(err); len(list) != 2 || !list[1].Secrets.Expired() || list[0].Secrets.Expired() || list[0].Secrets[0].ExpiresAt != nil {
		t.Errorf("%+v", list)
	}
	d.must(d.RevokeToken(t.Context(), token.ID, "root"))
	if _, err := d.TokenByHash(t.Context(), hashOf(1)); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("revoked and expired: %v", err)
	}
}

// A new secret takes the place of the one before within a while, in which both are the same token and each one's use is told.
func TestSecretsAreRotated(t *testing.T) {
	d := open(t)
	d.person("root", delivery.RoleAdmin)
	first := d.robot("ci", 1) // never expires
	rotate := func(secret byte, overlap time.Duration) (delivery.Token, error) {
		return d.RotateToken(t.Context(), delivery.TokenRotation{ID: first.ID, Hash: hashOf(secret), Lifetime: time.Hour, Overlap: overlap, Actor: "root"})
	}
	second, err := rotate(2, 30*time.Minute)
	if d.must(err); second.ID != first.ID || second.Secret == first.Secret {
		t.Errorf("%+v", second)
	}
	again, err := d.TokenByHash(t.Context(), hashOf(1))
	if d.must(err); again.Secret != first.Secret {
		t.Errorf("%+v", again)
	}
	if got := value[[]float64](d, "SELECT array_agg(round(extract(epoch FROM expires_at - clock_timestamp()) / 600) * 600 ORDER BY expires_at) FROM redrive.token_secrets"); !slices.Equal(got, []float64{1800, 3600}) {
		t.Errorf("they end in %v s", got)
	}
	for range 2 { // the later one counts, however often it is told
		d.must(d.NoteTokenUses(t.Context(), []delivery.TokenUse{{Secret: second.Secret, Address: "192.0.2.2"}, {Secret: first.Secret, Ago: time.Hour, Address: "192.0.2.1"},
			{Secret: "0190a0a0-0000-7000-8000-00000000aaaa"}}))
	}
	d.must(d.NoteTokenUses(t.Context(), []delivery.TokenUse{{Secret: second.Secret, Ago: 2 * time.Hour, Address: "192.0.2.9"}}))
	list, err := d.Tokens(t.Context())
	if d.must(err); len(list) != 1 || len(list[0].Secrets) != 2 || list[0].Secrets[0].UsedFrom != "192.0.2.2" || list[0].Secrets[1].UsedFrom != "192.0.2.1" ||
		list[0].Secrets[0].UsedAt.Sub(*list[0].Secrets[1].UsedAt) < 30*time.Minute || list[0].Secrets[1].ExpiresAt == nil {
		t.Errorf("%+v", list)
	}
	if _, err := rotate(3, time.Minute); inputCode(t, err) != "too_many" {
		t.Errorf("a third one: %v", err)
	}
	id := d.dead(numbered(1)).ID
	_, err = rotate(3, 0)
	d.must(err)
	var ended *delivery.RightError
	for _, was := range []delivery.Token{first, second} {
		if _, err := d.AddNote(by(t.Context(), was), id, was.ID, "n", ""); !errors.As(err, &ended) {
			t.Errorf("let in by a secret of before: %v", err)
		}
	}
	if held, err := d.Holding(t.Context(), []string{first.Holder, second.Holder}); err != nil || len(held) != 0 {
		t.Errorf("their streams go on: %q %v", held, err)
	}
	var expired *delivery.ExpiredTokenError
	for secret := byte(1); secret <= 2; secret++ {
		if _, err := d.TokenByHash(t.Context(), hashOf(secret)); !errors.As(err, &expired) {
			t.Errorf("secret %d: %v", secret, err)
		}
	}
	if got := value[[]string](d, "SELECT array_agg(subject || ' ' || (details ->> 'overlap') ORDER BY seq) FROM redrive.audit WHERE action = 'token.rotate'"); !slices.Equal(got, []string{first.ID + " 30m0s", first.ID + " 0s"}) {
		t.Errorf("%q", got)
	}
	d.must(d.RevokeToken(t.Context(), first.ID, "root"))
	if _, err := rotate(4, 0); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("a revoked one is rotated: %v", err)
	}
	d.must(d.EnsureEnvToken(t.Context(), hashOf(5)))
	env, err := d.TokenByHash(t.Context(), hashOf(5))
	d.must(err)
	if _, err := d.RotateToken(t.Context(), delivery.TokenRotation{ID: env.ID, Hash: hashOf(6), Lifetime: time.Hour}); inputCode(t, err) != "token_of_setting" {
		t.Errorf("that of the setting is rotated: %v", err)
	}
	if text := value[string](d, "SELECT string_agg(details::text, ' ') FROM redrive.audit"); strings.Contains(text, fmt.Sprintf("%x", hashOf(2))) {
		t.Errorf("a hash is in the audit: %s", text)
	}
	if report, err := d.VerifyAudit(t.Context()); err != nil || !report.OK() {
		t.Errorf("%s %v", report, err)
	}
}

// A transaction that was let in by a secret waits for the rotation that ends it, and then does nothing.
func TestARotationComesBeforeWhatWaitsForIt(t *testing.T) {
	d := open(t)
	d.person("root", delivery.RoleAdmin)
	token := d.robot("ci", 1)
	id := d.dead(numbered(1)).ID
	rotation := d.connect()
	_, err := rotation.Exec(t.Context(), "BEGIN; SELECT FROM redrive.api_tokens WHERE id = '"+token.ID+"' FOR UPDATE; UPDATE redrive.token_secrets SET expires_at = clock_timestamp() WHERE token_id = '"+token.ID+"'")
	d.must(err)
	var acted error
	var all sync.WaitGroup
	all.Go(func() {
		_, acted = d.Act(by(t.Context(), token, delivery.PermitResolve), delivery.ActionRequest{Action: delivery.ActionResolve, ID: id, Actor: token.ID, Reason: "r"})
	})
	d.waitForBlocked(1)
	_, err = rotation.Exec(t.Context(), "COMMIT")
	d.must(err)
	all.Wait()
	var ended *delivery.RightError
	if !errors.As(acted, &ended) {
		t.Errorf("with a secret that ended meanwhile: %v", acted)
	}
}
