package handlers

import (
	"encoding/base64"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/handlers/web"
)

func TestMaskedFieldsAreShownNowhere(t *testing.T) {
	s := newSite(t)
	payload := `{ "code":"471199", "n":123456789012345678901234567890, "to":[{"phone":"+82 10 5555","name":"Ann"}] }`
	id := s.fail(delivery.Message{Integration: "sms", Payload: []byte(payload), Headers: map[string]string{"X-To": "+82 10 5555", "Cookie": "c=1"}},
		"cannot send 471199 to +82 10 5555, Ann")
	raw := s.get("/api/v1/deliveries/" + id)
	d := read[api.DetailJSON](s, raw, 200)
	if want := `{"code":"•••","n":123456789012345678901234567890,"to":[{"phone":"•••","name":"Ann"}]}`; string(d.Message.Payload) != want {
		t.Errorf("payload %s", d.Message.Payload)
	}
	if !d.Message.Masked || d.Message.PayloadBase64 != nil || d.Message.SHA256 != "" || d.Attempts[0].Response != "cannot send ••• to •••, Ann" {
		t.Errorf("detail %s", raw.body)
	}
	shown := string(raw.body) + string(s.get("/api/v1/messages/"+d.MessageID).body) + string(s.get("/api/v1/failures").body) + s.log.String()
	for _, secret := range []string{"471199", "5555", base64.StdEncoding.EncodeToString([]byte(payload)), "c=1"} {
		if strings.Contains(shown, secret) {
			t.Errorf("%s is shown: %s", secret, shown)
		}
	}
}

func TestWhatCannotBeMaskedIsHiddenAsAWhole(t *testing.T) {
	s := newSite(t)
	id := s.fail(delivery.Message{Integration: "sms", Payload: []byte("code=471199")}, "bad code=471199")
	raw := s.get("/api/v1/deliveries/" + id)
	d := read[api.DetailJSON](s, raw, 200)
	if !d.Message.Masked || d.Message.Payload != nil || d.Attempts[0].Response != delivery.Hidden || d.Message.Size != 1024 || strings.Contains(string(raw.body), "471199") {
		t.Errorf("detail %s", raw.body)
	}
}

func TestRevealCombinesTheMasksOfAllThatGetTheMessage(t *testing.T) {
	list := testIntegrations()
	s := &Server{Core: &web.Core{Config: web.Config{Integrations: list}, Masks: delivery.MasksOf(list)}}
	payload := []byte(`{"code":"471199"}`)
	for _, tc := range []struct {
		name         string
		m            delivery.Message
		integrations []string
		want         string
	}{
		{"nothing to hide", delivery.Message{Kind: delivery.KindCommand, Integration: "push"}, []string{"push"}, string(payload)},
		{"its own", delivery.Message{Kind: delivery.KindCommand, Integration: "sms"}, []string{"sms"}, `{"code":"•••"}`},
		{"a subscriber's", delivery.Message{Kind: delivery.KindEvent, Type: "code.requested"}, []string{"push"}, `{"code":"•••"}`},
		{"another event", delivery.Message{Kind: delivery.KindEvent, Type: "order.placed"}, []string{"push"}, string(payload)},
		{"a delivery of it", delivery.Message{Kind: delivery.KindEvent, Type: "order.placed"}, []string{"push", "sms"}, `{"code":"•••"}`},
		{"an integration that left the file", delivery.Message{Kind: delivery.KindCommand, Integration: "gone"}, []string{"gone"}, ""},
		{"nobody's event", delivery.Message{Kind: delivery.KindEvent, Type: "unheard"}, nil, string(payload)},
	} {
		tc.m.Payload = payload
		view := s.Reveal(tc.m, tc.integrations...)
		if string(view.Shown) != tc.want || view.Masked == (tc.want == string(payload)) || (view.SHA256 == "") != view.Masked {
			t.Errorf("%s: %+v", tc.name, view)
		}
	}
}

func TestCredentialHeadersAreHidden(t *testing.T) {
	for name, hidden := range map[string]bool{"Authorization": true, "proxy-authorization": true, "Cookie": true, "Set-Cookie": true,
		"X-API-Key": true, "ApiKey": true, "X-Auth-Token": true, "client_secret": true, "X-Hub-Signature-256": true, "Content-Type": false,
		"ce-id": false, "X-Author": false, "traceparent": false} {
		s := &web.Core{}
		if got := s.Reveal(delivery.Message{Headers: map[string]string{name: "value"}}).Headers[name]; (got == delivery.Hidden) != hidden {
			t.Errorf("%s is shown as %s", name, got)
		}
	}
}
