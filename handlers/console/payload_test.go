package console

import (
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

func shown(body string) web.PayloadView {
	s := &Console{Core: &web.Core{Masks: delivery.NewMasks([]delivery.MaskRule{{Integration: "push"}})}}
	return s.Reveal(delivery.Message{Payload: []byte(body)}, "push")
}

// read is a payload without anything asked for.
func read(seen web.PayloadView, size int) views.Payload {
	return readable(seen, size, views.OutlineAsk{}, views.Place{})
}

func TestOtherPayloads(t *testing.T) {
	for body, want := range map[string]string{"": "empty", "hello\nworld": "text", "<xml/>": "xml", "a=1&b=%20": "form", "{}\n[1]\n": "ndjson", "<p>open": "text", "\x00\xff\xfe": "binary", "a\x00b": "binary", "{\"a\":": "text",
		"nearly text \xff here": "binary"} {
		if p := read(shown(body), len(body)); p.Kind != want {
			t.Errorf("%q is %s, want %s", body, p.Kind, want)
		}
	}
	if p := read(shown("nearly text \xff here"), 18); !p.Replaced || !strings.Contains(p.Text, "nearly text \uFFFD here") || !strings.Contains(p.Text, "6e 65 61 72") {
		t.Error(p.Text)
	}
}

func TestMaskedPayloadHidesItsFieldsOrEverything(t *testing.T) {
	s := &Console{Core: &web.Core{Masks: delivery.NewMasks([]delivery.MaskRule{{Integration: "sms", Paths: []string{"$.code"}}})}}
	json := s.Reveal(delivery.Message{Payload: []byte(`{"code":"123456","n":1.0}`)}, "sms")
	if p := read(json, 25); strings.Contains(p.Text, "123456") || !strings.Contains(p.Text, "1.0") || !p.Masked || p.SHA256 != "" {
		t.Errorf("%+v", p)
	}
	if p := read(s.Reveal(delivery.Message{Payload: []byte("code 123456")}, "sms"), 11); !p.Hidden || p.Text != "" {
		t.Errorf("%+v", p)
	}
	if p := read(s.Reveal(delivery.Message{Payload: []byte(`{"code":1}`)}, "gone"), 10); !p.Hidden {
		t.Error("an integration that left the file shows what it had masked")
	}
}
