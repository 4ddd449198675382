package web

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/delivery/seal"
)

// What is read of who somebody is comes from strangers: nothing of it may stop the program, or be taken for what it is not.

func FuzzBearerToken(f *testing.F) {
	for _, header := range []string{"", "Bearer", "Bearer ", "bearer x", "Basic eDp5", "Bearer  a b ", "BEARER\tx", "Bearer \x00", "Bearerx", " Bearer x"} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		token, ok := bearerToken(header)
		if ok && (token == "" || token != strings.TrimSpace(token) || !strings.EqualFold(header[:len("Bearer")], "Bearer")) {
			t.Errorf("%q is the token %q", header, token)
		}
	})
}

func FuzzCookie(f *testing.F) {
	for _, cookie := range []string{"redrive_session=a", "redrive_session=%", "redrive_session=%00", "redrive_session", "=a", "redrive_session=a; redrive_session=b", "redrive_session=\"a\"", "x=\xff"} {
		f.Add(cookie)
	}
	f.Fuzz(func(t *testing.T, cookie string) {
		r := &http.Request{Header: http.Header{echo.HeaderCookie: {cookie}}}
		if value := Cookie(r, "redrive_session"); value != "" && !strings.Contains(cookie, "redrive_session") {
			t.Errorf("%q gives %q", cookie, value)
		}
	})
}

func FuzzCode(f *testing.F) {
	secret := []byte("12345678901234567890")
	for _, code := range []string{"", "287082", "28 70 82", "287-082", "２８７０８２", "0287082", "287082\x00", "-1", "1e5"} {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code string) {
		plain := strings.NewReplacer(" ", "", "-", "").Replace(code)
		if _, ok := CodeFits(secret, code, time.Unix(59, 0)); ok && len(plain) != 6 {
			t.Errorf("%q fits", code)
		}
		if len(RecoveryHash(code)) != 32 {
			t.Error("no hash")
		}
	})
}

func FuzzKeptForm(f *testing.F) {
	kept, _ := pack(map[string][]string{"a": {"b"}})
	for _, text := range []string{"", "x", kept, kept[:len(kept)-2], kept + kept} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if params, err := unpack(text); err == nil {
			if _, err := pack(params); err != nil {
				t.Error(err)
			}
		}
	})
}

// No text is a ticket but one that was given, for what it was given for.
func FuzzTicket(f *testing.F) {
	key := seal.New()
	given := func(place ...string) string {
		return base64.RawURLEncoding.EncodeToString(key.Seal([]byte(`{"id":"a","data":{},"until":1}`), place...))
	}
	good := given(ticketPlace(delivery.ChallengeProvider, "mine")...)
	if _, err := readTicket(key, delivery.ChallengeProvider, "mine", good); err != nil {
		f.Fatalf("the right one: %v", err)
	}
	for _, text := range []string{"", "AQ", good[:len(good)-2], good + "A", strings.ToLower(good), given(ticketPlace(delivery.ChallengePasskey, "mine")...),
		given(ticketPlace(delivery.ChallengeProvider, "")...), given("redrive.ticket"), strings.Repeat("A", maxTicket+1)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if ticket, err := readTicket(key, delivery.ChallengeProvider, "mine", text); err == nil && strings.NewReplacer("\r", "", "\n", "").Replace(text) != good {
			t.Errorf("%q is %+v", text, ticket)
		}
	})
}
