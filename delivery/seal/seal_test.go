package seal_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"redrive/delivery/seal"
)

func TestOnlyWhatWasSealedOpens(t *testing.T) {
	k, plain := seal.New(), []byte("the secret")
	sealed := k.Seal(plain, "integration/one", "a")
	if got, err := k.Open(sealed, "integration/one", "a"); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("%q, %v", got, err)
	}
	if bytes.Equal(sealed, k.Seal(plain, "integration/one", "a")) {
		t.Error("two are the same: the nonce is")
	}
	for i := range len(sealed) * 8 {
		flipped := bytes.Clone(sealed)
		flipped[i/8] ^= 1 << (i % 8)
		if _, err := k.Open(flipped, "integration/one", "a"); !errors.Is(err, seal.ErrRefused) {
			t.Errorf("bit %d flipped: %v", i, err)
		}
	}
	for n := range sealed {
		if _, err := k.Open(sealed[:n], "integration/one", "a"); !errors.Is(err, seal.ErrRefused) {
			t.Errorf("%d bytes of it: %v", n, err)
		}
	}
	for _, place := range [][]string{{"integration/one", "b"}, {"integration/onea", ""}, {"integration/one"}, {"integration/one", "a", ""}, {"a", "integration/one"}, {}} {
		if _, err := k.Open(sealed, place...); !errors.Is(err, seal.ErrRefused) {
			t.Errorf("at %q: %v", place, err)
		}
	}
	if _, err := seal.New().Open(sealed, "integration/one", "a"); !errors.Is(err, seal.ErrRefused) {
		t.Errorf("another key: %v", err)
	}
}

func TestKeysAsText(t *testing.T) {
	k := seal.New()
	for _, text := range []string{k.Text(), k.Text() + "\n", strings.TrimRight(k.Text(), "="), strings.NewReplacer("+", "-", "/", "_").Replace(k.Text()), hex.EncodeToString(k.Bytes())} {
		if got, err := seal.ParseKey(text); err != nil || got != k {
			t.Errorf("a form of the key: %v", err)
		}
	}
	for _, text := range []string{"", "short", strings.Repeat("a", 43), strings.Repeat("0", 64), k.Text() + k.Text(), "correct horse battery staple 12345"} {
		if _, err := seal.ParseKey(text); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Whatever prints a key prints its name.
func TestKeysDoNotShow(t *testing.T) {
	k := seal.New()
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k, "in", struct{ K *seal.Key }{&k})
	asJSON, _ := json.Marshal(map[string]any{"k": k})
	all := fmt.Sprintf("%v %+v %#v %s %q %x %d", k, k, k, &k, k, k, k) + log.String() + string(asJSON)
	for _, form := range []string{k.Text(), hex.EncodeToString(k.Bytes()), fmt.Sprint(k.Bytes()), strings.Trim(fmt.Sprint(k.Bytes()), "[]")} {
		if strings.Contains(all, form) {
			t.Errorf("a key shows: %s", all)
		}
	}
	if !strings.Contains(all, k.ID()) {
		t.Errorf("its name does not: %s", all)
	}
}
