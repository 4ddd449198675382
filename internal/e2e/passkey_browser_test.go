package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// A person adds a passkey in the browser, signs out, and signs in with it: with the script alone, under the page's own policy of contents.
func TestAPersonSignsInWithAPasskey(t *testing.T) {
	p := serve(t, onFreshDatabase(t))
	b := browse(t, strings.Replace(p.url, "127.0.0.1", "localhost", 1), true)
	if _, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	_, err := chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true,
		IsUserVerified: true, AutomaticPresenceSimulation: true}})
	if err != nil {
		t.Fatal(err)
	}
	b.open("/sign-in?next=/account")
	b.enter("#name", "admin")
	b.enter("#password", "correct horse battery")
	b.click("form[action='/sign-in'] button")
	b.shows("Signed in as admin")
	b.enter("#passkey-name", "this laptop")
	b.click("form[action='/account/passkeys'] button")
	b.shows("this laptop signs you in from now on.")
	b.click(".who summary")
	b.click("form[action='/sign-out'] button")
	b.shows("Sign in with a passkey")
	b.open("/sign-in?next=/account")
	b.click("form[action='/sign-in/passkey'] button")
	b.shows("Signed in as admin", "this laptop")
	b.open("/audit")
	b.shows("operator.add-passkey")
	b.complaints()
}
