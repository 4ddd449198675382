package delivery

import (
	"fmt"
	"testing"
)

func TestFingerprintIsStableUnderIdsAndNumbers(t *testing.T) {
	for _, pair := range [][2]string{
		{"order 4711 not found", "order 99 not found"},
		{"user 0d4e7a4c-6f3e-4b43-9a55-0f1d2c3b4a59 is gone", "user 6ba7b810-9dad-11d1-80b4-00c04fd430c8 is gone"},
		{"dial tcp 10.0.0.1:443: connection refused", "dial tcp 192.168.7.12:8443: connection refused"},
		{"dial tcp [::1]:443: connection refused", "dial tcp [2001:db8::1]:80: connection refused"},
		{"the receiver did not answer within 5s", "the receiver did not answer within 1.5s"},
		{"late since 2026-01-02T03:04:05Z", "late since 2027-11-12 13:14:15.678+09:00"},
		{"no account for ann@example.com", "no account for bob.b+x@mail.example.org"},
		{"trace 4bf92f3577b34da6a3ce929d0e0e4736", "trace 00f067aa0ba902b700f067aa0ba902b7"},
		{"the receiver answered 503, asks to wait 30s", "the receiver answered 503, asks to wait 4s"},
	} {
		a, textA := Fingerprint("push", ClassHTTP5xx, pair[0])
		b, textB := Fingerprint("push", ClassHTTP5xx, pair[1])
		if a != b {
			t.Errorf("%q and %q are two groups: %q, %q", pair[0], pair[1], textA, textB)
		}
	}
}

func TestFingerprintTellsErrorsApart(t *testing.T) {
	seen := map[string]string{}
	for _, in := range []string{"push", "search"} {
		for _, class := range []string{ClassHTTP5xx, ClassHTTP4xx} {
			for _, text := range []string{"the receiver answered 503", "the receiver answered 500", "the receiver answered 404", "certificate expired",
				"connection refused", "connection reset"} {
				id, _ := Fingerprint(in, class, text)
				what := fmt.Sprint(in, class, text)
				if other, taken := seen[id]; taken {
					t.Errorf("%s and %s share a group", what, other)
				}
				seen[id] = what
			}
		}
	}
}

func TestRedactURL(t *testing.T) {
	if got := RedactURL("https://u:p@h.test/a?token=x#y"); got != "https://h.test/a" {
		t.Errorf("got %s", got)
	}
}
