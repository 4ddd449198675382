package handlers

import (
	"encoding/base32"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/hotp"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// app makes codes as the app of somebody's phone does.
type app struct {
	t      *testing.T
	secret string
	now    *time.Time
}

// code is the one of now, or of so many half minutes later.
func (a app) code(later int) string {
	code, err := hotp.GenerateCode(a.secret, uint64(a.now.Unix()/30+int64(later)))
	if err != nil {
		a.t.Fatal(err)
	}
	return code
}

var (
	shownSecret   = regexp.MustCompile(`<code class="secret">([A-Z2-7]{32})</code>`)
	shownRecovery = regexp.MustCompile(`<li><code>([a-z2-7-]+)</code></li>`)
)

// withCodes is a site with a person who uses codes of an app.
func withCodes(t *testing.T) (b *browser, phone app, recovery []string) {
	t.Helper()
	now := time.Now()
	s := newSite(t, func(c *web.Config) { c.Now = func() time.Time { return now } })
	b = s.signedIn("ann", delivery.RoleOperator)
	b.shows(b.open("/account"), http.StatusOK, "Use codes of an app")
	a := b.submit(views.AccountCode)
	b.shows(a, http.StatusOK, `aria-label="The key as a QR code"`)
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the key may be kept: %q", a.Header.Get("Cache-Control"))
	}
	phone = app{t, string(shownSecret.FindSubmatch(a.body)[1]), &now}
	b.shows(b.submit(views.AccountConfirm, "code", "000000x"), http.StatusUnprocessableEntity, "does not fit", phone.secret)
	a = b.submit(views.AccountConfirm, "code", phone.code(0))
	b.shows(a, http.StatusOK, "cannot be shown again", "!"+phone.secret)
	for _, found := range shownRecovery.FindAllSubmatch(a.body, -1) {
		recovery = append(recovery, string(found[1]))
	}
	b.shows(b.open("/account"), http.StatusOK, "10 recovery codes are left", "!"+recovery[0])
	b.shows(b.submit(views.AccountCode), http.StatusUnprocessableEntity, "asked for already")
	return b, phone, recovery
}

// password sends ann's and answers the ticket for the code.
func (b *browser) password() (ticket string) {
	b.t.Helper()
	a := b.submit("/sign-in", "name", "ann", "password", ownPassword, "next", "/failures?key=a")
	b.shows(a, http.StatusOK, "Code of your app")
	return field(a.body, "ticket")
}

func (b *browser) enters(ticket, code string) answer {
	b.t.Helper()
	return b.submit(views.SignInCode, "ticket", ticket, "code", code, "next", "/failures?key=a")
}

func TestCodesOfAnApp(t *testing.T) {
	b, phone, recovery := withCodes(t)
	s := b.site
	other := s.stranger()
	ticket := other.password()
	other.goes(other.open("/account"), "/sign-in?next=%2Faccount") // the password alone lets nobody in
	// The code that proved the app was used; so is every one of before.
	a := other.enters(ticket, phone.code(0))
	other.shows(a, http.StatusUnauthorized, "was used before")
	a = other.enters(field(a.body, "ticket"), phone.code(-1))
	other.shows(a, http.StatusUnauthorized, "does not fit")
	other.shows(other.enters(ticket, phone.code(1)), http.StatusUnauthorized, "That took too long", "!Code of your app") // the ticket was used
	other.shows(other.goes(other.enters(field(a.body, "ticket"), " "+phone.code(1)[:3]+" "+phone.code(1)[3:]), "/failures?key=a"), http.StatusOK, "ann")
	// One code, two browsers, at once with tickets of their own.
	third := s.stranger()
	third.shows(third.enters(third.password(), phone.code(1)), http.StatusUnauthorized, "does not fit")
	*phone.now = phone.now.Add(time.Minute)
	third.shows(third.enters(third.password(), phone.code(2)), http.StatusUnauthorized, "does not fit") // a minute ahead
	third.goes(third.enters(third.password(), phone.code(0)), "/failures?key=a")

	// A recovery code works once, without the app, however it is written.
	fourth := s.stranger()
	fourth.goes(fourth.enters(fourth.password(), strings.ToUpper(strings.ReplaceAll(recovery[3], "-", " "))), "/failures?key=a")
	fourth.shows(fourth.open("/account"), http.StatusOK, "9 recovery codes are left")
	fifth := s.stranger()
	fifth.shows(fifth.enters(fifth.password(), recovery[3]), http.StatusUnauthorized, "does not fit")

	// An administrator removes them for whoever lost both, which ends the sessions.
	root := s.signedIn("root", delivery.RoleAdmin)
	o := s.operatorNow("ann")
	root.shows(root.open("/operators"), http.StatusOK, "Remove codes of the app")
	root.goes(root.submit(views.OperatorUpdate(o.ID, "remove-code")), "/operators")
	b.goes(b.open("/account"), "/sign-in?next=%2Faccount")
	b.goes(b.submit("/sign-in", "name", "ann", "password", ownPassword), "/")
	b.shows(b.open("/account"), http.StatusOK, "Use codes of an app")
	got := b.actions("ann")
	for action, want := range map[string]int{"root operator.remove-code": 1, "ann operator.add-code": 1, "ann session.recovery-code": 1, "anonymous session.sign-in-failed": 5, "ann session.sign-in": 5} {
		n := 0
		for _, g := range got {
			if g == action {
				n++
			}
		}
		if n != want {
			t.Errorf("%s stands %d times in the audit, not %d: %v", action, n, want, got)
		}
	}
}

// Whoever knows the password cannot try all codes; recovery codes still work.
func TestGuessingCodesEnds(t *testing.T) {
	b, phone, recovery := withCodes(t)
	o := b.operatorNow("ann")
	for range delivery.MaxWrongCodes {
		b.must(b.store.FailCode(t.Context(), o, nil))
	}
	other := b.stranger()
	a := other.enters(other.password(), phone.code(1))
	other.shows(a, http.StatusUnauthorized, "Too many codes were wrong")
	other.goes(other.enters(field(a.body, "ticket"), recovery[0]), "/failures?key=a")
}

// What was typed before the session ended survives the code, too; a ticket is no way in after the person changed.
func TestAFormSurvivesTheCode(t *testing.T) {
	b, phone, _ := withCodes(t)
	b.known("root")
	id := b.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	b.submit("/sign-out")
	a := b.submit(views.FailureAction(id, "ignore"), "version", "1", "category", "duplicate", "reason", "typed at length")
	a = b.submit("/sign-in", "name", "ann", "password", ownPassword, "next", views.FailureAction(id, "ignore"), "kept", field(a.body, "kept"))
	kept := field(a.body, "kept")
	late := field(a.body, "ticket")
	a = b.submit(views.SignInCode, "ticket", b.password(), "code", phone.code(1), "next", views.FailureAction(id, "ignore"), "kept", kept)
	b.shows(a, http.StatusOK, "You are signed in as ann", `value="typed at length"`)
	_, err := b.store.ChangeOperator(t.Context(), delivery.OperatorChange{ID: b.operatorNow("ann").ID, Actor: "setup"})
	b.must(err)
	*phone.now = phone.now.Add(time.Minute)
	b.shows(b.stranger().enters(late, phone.code(0)), http.StatusUnauthorized, "took too long")
}

// Removing the own codes ends the other sessions.
func TestRemovingTheOwnCodes(t *testing.T) {
	b, phone, _ := withCodes(t)
	b.known("root")
	other := b.stranger()
	other.goes(other.enters(other.password(), phone.code(1)), "/failures?key=a")
	b.shows(b.goes(b.submit(views.AccountNoCode), "/account"), http.StatusOK, "Codes are not asked for any more", "Use codes of an app")
	other.goes(other.open("/account"), "/sign-in?next=%2Faccount")
	if got := b.actions("ann"); !slices.Contains(got, "ann operator.remove-code") {
		t.Error(got)
	}
}

// The codes are those of RFC 6238, appendix B, in six digits.
func TestCodesAreThoseOfTheStandard(t *testing.T) {
	secret := []byte("12345678901234567890")
	for at, code := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if step, ok := web.CodeFits(secret, code, time.Unix(at, 0)); !ok || step != at/30 {
			t.Errorf("%s at %d: step %d, %v", code, at, step, ok)
		}
		if _, ok := web.CodeFits(secret, code, time.Unix(at+90, 0)); ok {
			t.Errorf("%s fits long after %d", code, at)
		}
	}
	if web.CodeSecretText(secret) != base32.StdEncoding.EncodeToString(secret) {
		t.Error(web.CodeSecretText(secret))
	}
}
