package web

import (
	"context"
	"errors"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/web/passwords"
)

func TestAPasswordFitsOnlyItsHash(t *testing.T) {
	hash, err := HashPassword("correct horse")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(hash, err)
	}
	again, _ := HashPassword("correct horse")
	if again == hash {
		t.Error("two hashes share a salt")
	}
	for password, want := range map[string]bool{"correct horse": true, "correct horsf": false, "": false, "correct horse ": false, strings.Repeat("x", delivery.MaxPassword+1): false} {
		if got, err := VerifyPassword(t.Context(), hash, password); got != want || err != nil {
			t.Errorf("%q: %v %v", password, got, err)
		}
	}
}

func TestAPasswordFitsHoweverItIsTyped(t *testing.T) {
	before := ArgonHash{Memory: 8, Time: 1, Lanes: 1, Salt: make([]byte, SaltBytes)}
	before.Key = before.Derive("Zu\u0308rich", KeyBytes) // as it was typed, by a version that did not normalise
	now, err := HashPassword("Zu\u0308rich")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hash, password string
		fits           bool
	}{{now, "Zürich", true}, {now, "Zu\u0308rich", true}, {before.String(), "Zu\u0308rich", true}, {now, "Zurich", false}, {before.String(), "Zurich", false}} {
		if fits, err := VerifyPassword(t.Context(), c.hash, c.password); fits != c.fits || err != nil {
			t.Errorf("%q: %v %v", c.password, fits, err)
		}
	}
}

func TestNewPasswords(t *testing.T) {
	one, other := NewPassword(), NewPassword()
	if err := passwords.Check(one, "admin"); err != nil {
		t.Error(err)
	}
	if one == other || len(one) != 24 || strings.Trim(one, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		t.Errorf("%q and %q", one, other)
	}
}

func TestAHashOfAnotherKindIsRefused(t *testing.T) {
	for _, hash := range []string{"", "secret", "$2a$10$abc", "$argon2i$v=19$m=19456,t=2,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=4194304,t=2,p=1$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=19456,t=0,p=1$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAA$", "$argon2id$v=19$m=19456,t=2,p=1$!$AAAAAAAAAAAAAAAAAAAAAA"} {
		if ok, err := VerifyPassword(t.Context(), hash, "secret"); ok || !errors.Is(err, errHash) {
			t.Errorf("%q: %v %v", hash, ok, err)
		}
	}
	if _, err := HashPassword(strings.Repeat("x", delivery.MaxPassword+1)); err == nil {
		t.Error("a password without bound is hashed")
	}
}

func TestAtMostTwoHashesAtOnce(t *testing.T) {
	hash, _ := HashPassword("x")
	for range cap(hashing) {
		hashing <- struct{}{}
	}
	defer func() {
		for range cap(hashing) {
			<-hashing
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := VerifyPassword(ctx, hash, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("a third hash was computed: %v", err)
	}
}
