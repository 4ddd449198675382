package cli

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"testing"

	"redrive/delivery"
)

func TestTokensThatCanBeGuessedAreRefused(t *testing.T) {
	for _, token := range []string{"choose-one", "token-of-the-tests", "hunter2", "with a space in it, so that it is long enough", strings.Repeat("x", 64), strings.Repeat("ab", 40),
		"abcdefghijklmnopqrstuvwxyz0123456789", "change-me-change-me-change-me-change-me", "redrive-admin-token-secret-password-1", "01234567890123456789012345678901234567890",
		"secret-token-of-the-redrive-admin-for-example", "d41d8cd98f00b204e9800998ecf8427", "d41d8cd98f00b204d41d8cd98f00b204d41d8cd98f00b204"[:31], "tok\u00e9n-" + strings.Repeat("k7Qz", 12)} {
		c := Settings{Addr: "127.0.0.1:0", APIToken: token}
		if err := c.check(); err == nil || exitCode(err, &bytes.Buffer{}) != ExitUsage || !strings.HasPrefix(err.Error(), "REDRIVE_API_TOKEN: ") || strings.Contains(err.Error(), token) {
			t.Errorf("%q: %v", token, err)
		}
	}
	for range 2_000 { // of what people generate nothing is refused
		raw := make([]byte, 24)
		_, _ = rand.Read(raw)
		for _, token := range []string{hex.EncodeToString(raw[:16]), "redrive_" + hex.EncodeToString(raw), rand.Text() + rand.Text()} {
			if err := checkToken(token); err != nil {
				t.Fatalf("%q: %v", token, err)
			}
		}
	}
}

func TestTheGeneratorMakesGoodTokens(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		var out, errs bytes.Buffer
		if code := (Program{}).Run(t.Context(), []string{"token", "new"}, &out, &errs); code != ExitDone || errs.Len() > 0 {
			t.Fatal(code, errs.String())
		}
		token, whole := strings.CutSuffix(out.String(), "\n")
		if err := checkToken(token); err != nil || !whole || !delivery.IsWholeToken(token) || seen[token] {
			t.Errorf("%q: %v", token, err)
		}
		seen[token] = true
	}
}

func TestProxiesAreNamed(t *testing.T) {
	c := Settings{Addr: "127.0.0.1:0", Proxies: "10.0.0.7, 2001:db8:1::/64,10.1.2.3/8"}
	if list, err := c.TrustedProxies(); err != nil || len(list) != 3 || list[0].String() != "10.0.0.7/32" || list[2].String() != "10.0.0.0/8" {
		t.Errorf("%v %v", list, err)
	}
	for _, wrong := range []string{"proxy.example.com", "10.0.0.7/33", "10.0.0.7:443"} {
		c.Proxies = wrong
		if err := c.check(); err == nil || exitCode(err, &bytes.Buffer{}) != ExitUsage || !strings.Contains(err.Error(), "REDRIVE_TRUSTED_PROXIES") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestTheFirstPasswordIsCheckedLikeAny(t *testing.T) {
	for _, password := range []string{"short", "passwordpassword", "redrive-admin-2026", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		if err := checkFirstPassword(password); err == nil || exitCode(err, &bytes.Buffer{}) != ExitUsage || !strings.HasPrefix(err.Error(), "REDRIVE_ADMIN_PASSWORD: ") {
			t.Errorf("%q: %v", password, err)
		}
	}
	if err := checkFirstPassword("correct horse battery"); err != nil {
		t.Error(err)
	}
}
