package handlers

import (
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/handlers/console"
	"redrive/handlers/web"
	"redrive/views"
)

// fieldsOf reads what a browser would send of the page's form that goes to an address.
func fieldsOf(t *testing.T, page answer, action string) url.Values {
	t.Helper()
	_, form, found := strings.Cut(string(page.body), `action="`+html.EscapeString(action)+`"`)
	if !found {
		t.Fatalf("no form goes to %s:\n%s", action, mainOf(page.body))
	}
	form, _, _ = strings.Cut(form, "</form>")
	out := url.Values{}
	for _, tag := range regexp.MustCompile(`(?s)<input[^>]*>|<textarea.*?</textarea>|<option[^>]*selected[^>]*>`).FindAllString(form, -1) {
		if attribute(tag, "type") == "checkbox" && !strings.Contains(tag, " checked") {
			continue
		}
		name, value := attribute(tag, "name"), attribute(tag, "value")
		if text, isText := strings.CutSuffix(tag, "</textarea>"); isText {
			_, text, _ = strings.Cut(text, ">")
			value = strings.TrimPrefix(console.UnixLines(html.UnescapeString(text)), "\n")
		}
		value = strings.ReplaceAll(console.UnixLines(value), "\n", "\r\n") // as browsers do
		if name != "" {
			out.Add(name, value)
		}
	}
	return out
}

func attribute(tag, name string) string {
	found := regexp.MustCompile(`\s` + name + `="([^"]*)"`).FindStringSubmatch(tag)
	if found == nil {
		return ""
	}
	return html.UnescapeString(found[1])
}

// sends posts a form that was read from a page, with some of its fields changed.
func (b *browser) sends(action string, form url.Values, changes ...string) answer {
	b.t.Helper()
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return b.do(http.MethodPost, action, form.Encode())
}

// secrets is a payload with masked fields, a number that no float holds, a duplicate key and spaces of its own.
const secrets = `{"code": "471199", "n": 12345678901234567890, "a":1, "a":2, "to":[{"phone":"+821012345678","name":"Kim"}]}`

func TestEditReviewAndRetry(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "sms", Type: "code.requested", Payload: []byte(secrets),
		Headers: map[string]string{"X-Tenant": "seoul", "Idempotency-Key": "k-1", "X-Api-Key": "top-secret"}}, "code 471199 is wrong")
	edit := views.FailureEdit(id)
	b.shows(b.open(views.Failure(id)), http.StatusOK, `href="`+edit+`"`, "!471199")

	page := b.open(edit)
	b.shows(page, http.StatusOK, "becomes version 2", "written as •••", "12345678901234567890", "!471199", "!top-secret", "Idempotency-Key", "protected", "seoul")
	form := fieldsOf(t, page, edit)
	text := form.Get("payload")
	b.shows(b.sends(edit, form, "reason", "typed"), http.StatusUnprocessableEntity, "Nothing was changed", "typed")

	broken := strings.Replace(text, `"Kim"`, `"Lee"x`, 1)
	b.shows(b.sends(edit, form, "payload", broken, "reason", "the name is wrong"), http.StatusUnprocessableEntity, "line 9, column", "Lee", "the name is wrong", `aria-invalid="true"`)

	fixed := strings.Replace(text, `"Kim"`, `"Lee"`, 1)
	b.shows(b.sends(edit, form, "payload", fixed, "reason", " "), http.StatusUnprocessableEntity, "Say why", "Lee")
	values := form["value"]
	values[slices.Index(form["header"], "X-Tenant")] = "busan"
	review := b.sends(edit, form, "payload", fixed, "reason", "the name is wrong")
	b.shows(review, http.StatusOK, "removed: ", "Kim", "added: ", "Lee", "busan", "Save version 2 and retry", "!471199", "!top-secret")
	if len(b.actions(id)) != 0 || s.woken.Load() != 0 {
		t.Fatal("the review changed something")
	}

	agreed := fieldsOf(t, review, edit)
	again := b.sends(edit, fieldsOf(t, review, edit), "again", "1")
	b.shows(again, http.StatusOK, "becomes version 2", "Lee", "busan", "the name is wrong")
	done := b.goes(b.sends(edit, agreed), views.FailureFrom(id, "/failures"))
	b.shows(done, http.StatusOK, "Version 2 is saved", "retry requested", "Version 1", "as accepted", "the name is wrong", "!471199", "!top-secret")
	sent := s.claimed(id, "sms")
	if want := strings.Replace(secrets, "Kim", "Lee", 1); delivery.CheckJSON(sent.Payload) != nil || withoutSpace(sent.Payload) != withoutSpace([]byte(want)) {
		t.Errorf("sent %s", sent.Payload)
	}
	if sent.Headers["X-Tenant"] != "busan" || sent.Headers["Idempotency-Key"] != "k-1" || sent.Headers["X-Api-Key"] != "top-secret" {
		t.Errorf("headers %v", sent.Headers)
	}

	replayed := b.goes(b.sends(edit, agreed), views.FailureFrom(id, "/failures"))
	b.shows(replayed, http.StatusOK, "Already done", "!Version 3")
	if got := b.actions(id); !slices.Equal(got, []string{"alice delivery.edit"}) {
		t.Error(got)
	}
}

func withoutSpace(text []byte) string { return strings.Join(strings.Fields(string(text)), "") }

// claimed takes the delivery as a worker does and returns what would be sent.
func (s *site) claimed(id, integration string) delivery.Message {
	s.t.Helper()
	list, err := s.store.Claim(s.t.Context(), "test", []delivery.Quota{{Integration: integration, Limit: 10, Lease: time.Minute}})
	s.must(err)
	if len(list) != 1 || list[0].DeliveryID != id {
		s.t.Fatalf("claimed %+v", list)
	}
	return list[0].Message
}

// Whoever was faster wins; what was typed stays.
func TestAnEditThatCameTooLateKeepsItsText(t *testing.T) {
	s := newSite(t)
	alice, bob := s.signedIn("alice", delivery.RoleOperator), s.signedIn("bob", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte(`{"n": 1}`)}, "")
	edit := views.FailureEdit(id)
	form := fieldsOf(t, alice.open(edit), edit)
	review := fieldsOf(t, alice.sends(edit, form, "payload", `{"n": 22}`, "reason", "two is right"), edit)
	bob.submit(views.FailureAction(id, "ignore"), "version", "1", "category", "duplicate", "reason", "known")
	for name, late := range map[string]url.Values{"at the review": form, "when saving": review} {
		a := alice.sends(edit, late)
		alice.shows(a, http.StatusConflict, "somebody was faster", "bob", `{&#34;n&#34;: 22}`, "two is right", "Only a dead letter can be settled")
		if t.Failed() {
			t.Fatal(name)
		}
	}
	bob.submit(views.FailureAction(id, "reopen"), "version", "2", "reason", "it was not known")
	late := alice.sends(edit, review)
	alice.shows(late, http.StatusConflict, "two is right")
	again := fieldsOf(t, late, edit)
	review = fieldsOf(t, alice.sends(edit, again), edit)
	alice.shows(alice.goes(alice.sends(edit, review), views.FailureFrom(id, "/failures")), http.StatusOK, "Version 2 is saved")
	if got := string(s.claimed(id, "push").Payload); got != `{"n": 22}` {
		t.Errorf("sent %q", got)
	}
}

func TestEditsOfWhatIsNoJSON(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	for name, c := range map[string]struct{ payload, typed, want string }{
		"text with line ends of its own": {"a\r\nb\r\n", "a\r\nc\r\n", "a\r\nc\r\n"},
		"text that begins with one":      {"\na", "\r\nb", "\nb"},
		"bytes":                          {"\x00\xff", base64.StdEncoding.EncodeToString([]byte("\x00\xfe")), "\x00\xfe"},
		"nothing":                        {"", "something", "something"},
		"to nothing":                     {"something", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			id := s.fail(delivery.Message{Integration: "push", Payload: []byte(c.payload)}, "")
			edit := views.FailureEdit(id)
			form := fieldsOf(t, b.open(edit), edit)
			b.shows(b.sends(edit, form, "reason", "nothing typed"), http.StatusUnprocessableEntity, "Nothing was changed")
			review := b.sends(edit, form, "payload", c.typed)
			b.shows(review, http.StatusOK, "Save version 2")
			b.goes(b.sends(edit, fieldsOf(t, review, edit)), views.FailureFrom(id, "/failures"))
			if got := string(s.claimed(id, "push").Payload); got != c.want {
				t.Errorf("sent %q, want %q", got, c.want)
			}
			raw := b.open(views.VersionPayload(id, 2))
			if string(raw.body) != c.want {
				t.Errorf("version 2 is %q", raw.body)
			}
		})
	}
}

func TestHeadersThatCannotBeSaved(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte(`1`), Headers: map[string]string{"X-Api-Key": "top-secret"}}, "")
	edit := views.FailureEdit(id)
	for _, wrong := range [][3]string{{"traceparent", "00-1", "cannot be edited"}, {"", "v", "has no name"}, {"X-Api-Key", "2", "there twice"}, {"Cookie", "•••", "not known"}, {"X A", "1", "X A"}} {
		form := fieldsOf(t, b.open(edit), edit)
		n := slices.Index(form["header"], "")
		form["header"][n], form["value"][n] = wrong[0], wrong[1]
		b.shows(b.sends(edit, form, "reason", "headers"), http.StatusUnprocessableEntity, wrong[2], "!top-secret")
	}
}

func TestAnUnansweredTryIsWarnedOf(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	a, err := s.store.Accept(t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "push", Type: "t", Payload: []byte("1")})
	s.must(err)
	id := a.Deliveries[0].ID
	s.engine(id, "push", delivery.StateDead, delivery.Result{Outcome: delivery.OutcomeUnknown, ErrorClass: delivery.ClassTimeout, Error: "no answer"})
	b.shows(b.open(views.FailureEdit(id)), http.StatusOK, "may have had its effect")
	b.shows(b.open(views.FailureRedirect(id)), http.StatusOK, "may have taken it")
}

func TestRedirectByForm(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte(`{"n":1}`)}, "")
	to := views.FailureRedirect(id)
	page := b.open(to)
	b.shows(page, http.StatusOK, `value="sms"`, "same idempotency key", "!value=\"push\"")
	b.shows(b.sends(to, fieldsOf(t, page, to), "reason", "kept"), http.StatusUnprocessableEntity, "Choose where", "kept")
	b.shows(b.sends(to, fieldsOf(t, page, to), "integration", "sms"), http.StatusUnprocessableEntity, "Say why", `value="sms" selected`)
	form := fieldsOf(t, page, to)
	b.shows(b.goes(b.sends(to, form, "integration", "sms", "reason", "push is gone"), views.FailureFrom(id, "/failures")), http.StatusOK, "Redirected", "→ sms", "retry requested")
	b.shows(b.goes(b.sends(to, form), views.FailureFrom(id, "/failures")), http.StatusOK, "Already done")
	form.Set("token", console.NewToken())
	b.shows(b.sends(to, form), http.StatusConflict, "somebody was faster", "push is gone")
	if got := b.actions(id); !slices.Equal(got, []string{"alice delivery.redirect"}) {
		t.Error(got)
	}
}

// A double click, and a form that is replayed, end in one send.
func TestAReplayedActionIsDoneOnce(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	retry := views.FailureAction(id, delivery.ActionRetry)
	page := b.open(views.Failure(id))
	form := fieldsOf(t, page, retry)
	if ignore := fieldsOf(t, page, views.FailureAction(id, delivery.ActionIgnore)); form.Get("token") == "" || form.Get("token") == ignore.Get("token") {
		t.Fatalf("tokens %q and %q", form.Get("token"), ignore.Get("token"))
	}
	b.shows(b.goes(b.sends(retry, form), views.FailureFrom(id, "/failures")), http.StatusOK, "Retry requested")
	b.shows(b.goes(b.sends(retry, form), views.FailureFrom(id, "/failures")), http.StatusOK, "Already done")
	if got := b.actions(id); len(got) != 1 {
		t.Error(got)
	}
}

// large is a JSON payload of almost so many bytes, with fields to hide and every kind of character that a form writes longer.
func large(bytes int) string {
	var out strings.Builder
	out.WriteString(`{"code":"471199","to":[`)
	for n := 0; out.Len() < bytes-200; n++ {
		fmt.Fprintf(&out, `{"phone":"+8210%08d","name":"김\u0001 <b>","n":12345678901234567890},`, n)
	}
	return out.String() + `{"name":"Kim"}]}`
}

// What is edited may be a megabyte; beyond, the form says so and keeps what was typed. So does the sign-in page.
func TestALargePayloadIsEdited(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "sms", Type: "code.requested", Payload: []byte(large(console.MaxEditable))}, "")
	edit := views.FailureEdit(id)
	form := fieldsOf(t, b.open(edit), edit)
	typed := strings.Replace(form.Get("payload"), "Kim", "Lee", 1)

	b.shows(b.sends(edit, form, "payload", strings.Replace(typed, `"Lee"`, `"Lee`+strings.Repeat("e", 200_000)+`"`, 1), "reason", "a long story"),
		http.StatusUnprocessableEntity, "may have 1048576 bytes", "Leeee", "a long story", `aria-invalid`)
	if a := b.sends(edit, form, "payload", strings.Repeat("ü", 2<<20)); a.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(a.body), "your browser still has what you typed") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}

	jar := b.client.Jar
	b.client.Jar = s.stranger().client.Jar
	asked := b.sends(edit, form, "payload", typed)
	back := b.sends("/sign-in", fieldsOf(t, asked, "/sign-in"), "name", "alice", "password", ownPassword)
	b.shows(back, http.StatusOK, "signed in as alice", "&#34;Lee&#34;")
	b.client.Jar = jar

	review := b.sends(edit, fieldsOf(t, back, edit))
	b.shows(review, http.StatusOK, "removed: ", "Kim", "added: ", "Lee", "Save version 2 and retry")
	done := b.goes(b.sends(edit, fieldsOf(t, review, edit)), views.FailureFrom(id, "/failures"))
	b.shows(done, http.StatusOK, "Version 2 is saved", "Not compared here", "!471199")
	if got := string(s.claimed(id, "sms").Payload); got != strings.Replace(large(console.MaxEditable), "Kim", "Lee", 1) {
		t.Errorf("sent %d bytes", len(got))
	}
	deep := s.fail(delivery.Message{Integration: "push", Payload: []byte(strings.Repeat("[", 40) + strings.Repeat("1,", 100_000) + "1" + strings.Repeat("]", 40))}, "")
	b.shows(b.open(views.FailureEdit(deep)), http.StatusOK, "too large for a browser", `!name="payload"`)
}

// Whoever was signed out while typing gets the form back.
func TestAFormSurvivesTheEndOfItsSession(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte(`{"n": 1}`)}, "")
	edit := views.FailureEdit(id)
	form := fieldsOf(t, b.open(edit), edit)
	b.client.Jar = s.stranger().client.Jar
	asked := b.sends(edit, form, "payload", `{"n": 3, "말": "<b>"}`, "reason", "a long story")
	b.shows(asked, http.StatusUnauthorized, "what you typed is kept", `name="password"`)
	signIn := fieldsOf(t, asked, "/sign-in")
	b.shows(b.sends("/sign-in", signIn, "name", "alice", "password", "wrong password"), http.StatusUnauthorized, "what you typed is kept")
	back := b.sends("/sign-in", signIn, "password", ownPassword)
	b.shows(back, http.StatusOK, "signed in as alice", "a long story")
	review := b.sends(edit, fieldsOf(t, back, edit))
	b.shows(review, http.StatusOK, "Save version 2", "&lt;b&gt;", "말")
}

func TestAnEditFitsItsSchema(t *testing.T) {
	s := newSite(t, func(c *web.Config) {
		c.Schemas = map[string]func([]byte) []string{"push": func(payload []byte) []string {
			if strings.Contains(string(payload), "wrong") {
				return []string{"$.n: must be a number"}
			}
			return nil
		}}
	})
	b := s.signedIn("alice", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte(`{"n": 1}`)}, "")
	edit := views.FailureEdit(id)
	form := fieldsOf(t, b.open(edit), edit)
	b.shows(b.sends(edit, form, "payload", `{"n": "wrong"}`, "reason", "typed"), http.StatusUnprocessableEntity, "the schema of push", "$.n: must be a number", "wrong", "typed", `aria-invalid`)
	b.shows(b.sends(edit, form, "payload", `{"n": 2}`), http.StatusOK, "Save version 2")
}
