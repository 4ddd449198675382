package passkey_test

import (
	"errors"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/web/passkey"
)

// Whatever a browser sends of an authenticator, it is refused as such unless a key of the person has signed it.
func FuzzResponses(f *testing.F) {
	keys, err := passkey.New("http://localhost:8080")
	if err != nil {
		f.Fatal(err)
	}
	p := passkey.Person{Operator: delivery.Operator{ID: "0190a0a0-0000-7000-8000-000000000001", Name: "ann"}}
	_, made, err := keys.BeginNew(p)
	if err != nil {
		f.Fatal(err)
	}
	_, asked, err := keys.BeginSignIn()
	if err != nil {
		f.Fatal(err)
	}
	for _, response := range []string{"", "{}", "null", "[]", `{"id":5}`, `{"id":"YQ","rawId":"YQ","type":"public-key","response":{}}`,
		`{"id":"YQ","rawId":"YQ","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AAAA","signature":"AA","userHandle":"AZCgoAAAcACAAAAAAAAAAQ"}}`,
		`{"id":"YQ","rawId":"YQ","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"o2NmbXRkbm9uZWdhdHRTdG10oGhhdXRoRGF0YUA"}}`,
		strings.Repeat("[", 100_000)} {
		f.Add(response)
	}
	f.Fuzz(func(t *testing.T, response string) {
		var refused *passkey.Error
		if _, err := keys.FinishNew(p, made, []byte(response)); !errors.As(err, &refused) {
			t.Errorf("%q is a new passkey: %v", response, err)
		}
		_, _, err := keys.FinishSignIn(asked, []byte(response), func(string) (passkey.Person, error) { return p, nil })
		if !errors.As(err, &refused) || refused.Error() == "" {
			t.Errorf("%q signs somebody in: %v", response, err)
		}
	})
}
