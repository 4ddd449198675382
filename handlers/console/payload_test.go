package console

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"redrive/delivery"
	"redrive/handlers/web"
)

func shown(body string) web.PayloadView {
	s := &Console{Core: &web.Core{Masks: delivery.NewMasks([]delivery.MaskRule{{Integration: "push"}})}}
	return s.Reveal(delivery.Message{Payload: []byte(body)}, "push")
}

func TestPrettyPrintKeepsEveryToken(t *testing.T) {
	body := `{"b":1.10,"a":123456789012345678901234567890,"b":1e400,"n":-0.0,"s":"\u0000\u00e9é","z":[],"o":{}}`
	p := readable(shown(body), len(body))
	if p.Kind != "json" {
		t.Fatal(p.Kind)
	}
	for _, token := range []string{`"b": 1.10,`, `"a": 123456789012345678901234567890`, `"b": 1e400`, `-0.0`, `"\u0000\u00e9é"`} {
		if !strings.Contains(p.Text, token) {
			t.Errorf("%s is gone: %s", token, p.Text)
		}
	}
	if strings.Index(p.Text, `"b"`) > strings.Index(p.Text, `"a"`) || strings.Count(p.Text, `"b"`) != 2 {
		t.Error("keys changed their order or number")
	}
}

func TestPrettyPrintOnlyAddsSpace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.MapOf(rapid.String(), rapid.SliceOf(rapid.Float64Range(-1e300, 1e300))).Draw(t, "value")
		body, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, indented(body)); err != nil || !bytes.Equal(compact.Bytes(), body) {
			t.Fatalf("%s became %s (%v)", body, compact.Bytes(), err)
		}
	})
}

func TestOtherPayloads(t *testing.T) {
	for body, want := range map[string]string{"": "empty", "hello\nworld": "text", "<xml/>": "text", "\x00\xff\xfe": "binary", "a\x00b": "binary", "{\"a\":": "text",
		"nearly text \xff here": "binary"} {
		if p := readable(shown(body), len(body)); p.Kind != want {
			t.Errorf("%q is %s, want %s", body, p.Kind, want)
		}
	}
	if p := readable(shown("nearly text \xff here"), 18); !p.Replaced || !strings.Contains(p.Text, "nearly text \uFFFD here") || !strings.Contains(p.Text, "6e 65 61 72") {
		t.Error(p.Text)
	}
}

func TestHugeAndDeepPayloadsStayBounded(t *testing.T) {
	deep := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	long := `"` + strings.Repeat("é", 3<<20) + `"`
	for _, body := range []string{deep, long, strings.Repeat("x", 3<<20), strings.Repeat("\x00", 3<<20), "[" + strings.Repeat("[],", 20000) + "[]]"} {
		if out := indented([]byte(body)); len(out) > maxIndent*(maxShown+len(body)) {
			t.Errorf("%d bytes are indented to %d", len(body), len(out))
		}
		p := readable(shown(body), len(body))
		if len(p.Text) > maxHex*5+maxShown || (len(body) > maxShown && !p.Truncated) {
			t.Errorf("%d bytes are shown of %d", len(p.Text), len(body))
		}
	}
}

func TestMaskedPayloadHidesItsFieldsOrEverything(t *testing.T) {
	s := &Console{Core: &web.Core{Masks: delivery.NewMasks([]delivery.MaskRule{{Integration: "sms", Paths: []string{"$.code"}}})}}
	json := s.Reveal(delivery.Message{Payload: []byte(`{"code":"123456","n":1.0}`)}, "sms")
	if p := readable(json, 25); strings.Contains(p.Text, "123456") || !strings.Contains(p.Text, "1.0") || !p.Masked || p.SHA256 != "" {
		t.Errorf("%+v", p)
	}
	if p := readable(s.Reveal(delivery.Message{Payload: []byte("code 123456")}, "sms"), 11); !p.Hidden || p.Text != "" {
		t.Errorf("%+v", p)
	}
	if p := readable(s.Reveal(delivery.Message{Payload: []byte(`{"code":1}`)}, "gone"), 10); !p.Hidden {
		t.Error("an integration that left the file shows what it had masked")
	}
}
