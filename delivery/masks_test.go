package delivery

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestMasksOfAllThatGetAMessageCount(t *testing.T) {
	masks := NewMasks([]MaskRule{{Integration: "push", Paths: []string{"$.p"}}, {Integration: "plain"}, {Integration: "sms", Subscribe: []string{"code"}, Paths: []string{"$.s"}},
		{Integration: "gone", Subscribe: []string{"code"}, Paths: []string{"$.g"}, Gone: true}})
	for _, c := range []struct {
		name         string
		m            Message
		integrations []string
		want         string
	}{
		{"nobody's", Message{Kind: KindEvent, Type: "other"}, nil, "[] false"},
		{"its own", Message{Kind: KindCommand, Integration: "push"}, []string{"push"}, "[$.p] false"},
		{"nothing to hide", Message{Kind: KindCommand, Integration: "plain"}, []string{"plain"}, "[] false"},
		{"redirected: where it was meant to go", Message{Kind: KindCommand, Integration: "push"}, []string{"plain"}, "[$.p] false"},
		{"a subscriber's, also of one that left", Message{Kind: KindEvent, Type: "code"}, []string{"plain"}, "[$.s $.g] false"},
		{"a command's type is no subscription", Message{Kind: KindCommand, Integration: "plain", Type: "code"}, nil, "[] false"},
		{"a delivery to one that left", Message{Kind: KindEvent, Type: "other"}, []string{"gone"}, "[$.g] true"},
		{"meant for one that left", Message{Kind: KindCommand, Integration: "gone"}, []string{"plain"}, "[$.g] true"},
		{"never heard of", Message{}, []string{"unheard", ""}, "[] true"},
		{"several deliveries", Message{Kind: KindEvent, Type: "other"}, []string{"push", "sms", "push"}, "[$.p $.s] false"},
	} {
		if k := masks.For(c.m, c.integrations...); fmt.Sprint(k.Paths, k.Unknown) != c.want {
			t.Errorf("%s: %v %v, want %s", c.name, k.Paths, k.Unknown, c.want)
		}
	}
	list := []Integration{{Name: "a", Mask: []string{"$.a"}}}
	if k := (Masks{}).Or(list).For(Message{}, "a"); len(k.Paths) != 1 || k.Unknown {
		t.Errorf("%+v", k)
	}
	if k := masks.Or(list).For(Message{}, "a"); !k.Unknown {
		t.Errorf("%+v", k)
	}
}

// TestNoTextRepeatsWhatIsMasked goes over each kind of payload and each kind of text that may repeat it.
func TestNoTextRepeatsWhatIsMasked(t *testing.T) {
	file, err := json.Marshal(BatchFile{ID: "0192", Name: "a.csv", SHA256: "00"})
	if err != nil {
		t.Fatal(err)
	}
	const secret = "471199"
	paths := []string{"$.code", "$.pin", "$.to[*].phone"}
	payloads := map[string]struct {
		payload string
		k       Masking
		short   string // also hidden, as a word of the other side's
	}{
		"a field":                {`{"code":"471199"}`, Masking{Paths: paths}, ""},
		"a number":               {`{"code":471199}`, Masking{Paths: paths}, ""},
		"escaped":                {`{"code":"\u0034\u00371199"}`, Masking{Paths: paths}, ""},
		"deep":                   {`{"to":[{"phone":"1"},{"phone":"471199"}]}`, Masking{Paths: paths}, ""},
		"and a short one":        {`{"code":"471199","pin":"73"}`, Masking{Paths: paths}, "73"},
		"no JSON":                {`code=471199;pin=73`, Masking{Paths: paths}, "73"},
		"rows of a file":         {string(file), Masking{Paths: paths}, "73"},
		"nobody knows the paths": {`{"code":"471199","pin":"73"}`, Masking{Unknown: true}, "73"},
	}
	for name, c := range payloads {
		h := c.k.Hider([]byte(c.payload))
		said := "no 471199 for pin 73"
		failed := func(class, text, words string) string {
			return Result{Outcome: OutcomePermanent, ErrorClass: class, Error: text, Words: words}.Conceal([]byte(c.payload), c.k).Error
		}
		attempt := func(class, text string) string {
			return Attempt{ErrorClass: class, Error: text}.Conceal([]byte(c.payload), c.k).Error
		}
		texts := map[string]string{
			"words":                       failed(ClassHTTP4xx, "it answered 422", said),
			"words that are cut":          failed(ClassHTTP4xx, "it answered 422", strings.Repeat("x", maxHeard-4)+secret),
			"answer":                      h.Answer(said),
			"answer that is cut":          h.Answer(strings.Repeat("x", MaxAnswer-4) + "4711"),
			"somebody else's dead letter": attempt(ClassForeign, said),
			"of several versions":         Masking{}.Hider([]byte(`{"code":"other"}`)).And(h).Answer(said),
		}
		if !h.blind { // of the others the text was concealed when it was written
			texts["an error that is shown"] = h.Error(ClassRejected, "the receiver rejected it: "+said)
			texts["a change that could not be mapped"] = attempt(ClassMapping, "the rule in line 3 of the integrations file: "+said)
			texts["header"] = h.Text(said)
		}
		for place, text := range texts {
			if strings.Contains(text, secret) || strings.HasSuffix(text, "4711") || c.short != "" && strings.Contains(text, " "+c.short) {
				t.Errorf("%s, %s: %.200q", name, place, text)
			}
		}
		if shown, ok := c.k.Payload([]byte(c.payload)); ok && strings.Contains(string(shown), secret) {
			t.Errorf("%s: the payload is %s", name, shown)
		}
		if text := failed(ClassHTTP4xx, "it answered 422", said); !strings.HasPrefix(text, "it answered 422") {
			t.Errorf("%s: our sentence became %q", name, text)
		}
	}
	var none Masking
	h := none.Hider([]byte(`{"code":"471199"}`))
	for _, text := range []string{h.Answer("no 471199"), h.Text("no 471199"), h.Error(ClassForeign, "no 471199"), h.Foreign("no 471199"),
		Masking{Paths: paths}.Hider(nil).Answer("no 471199")} {
		if text != "no 471199" {
			t.Errorf("without a mask, or without a payload: %q", text)
		}
	}
	if got := (Masking{Paths: paths}).HiderOf(Message{Dropped: true}).Answer(secret); got != Hidden {
		t.Errorf("of a message that was dropped: %q", got)
	}
}

func TestTheTailOfALongerValueOfAnotherVersionIsHidden(t *testing.T) {
	k := Masking{Paths: []string{"$.code"}}
	h := k.Hider([]byte(`{"code":"4711"}`)).And(k.Hider([]byte(`{"code":"471199"}`)))
	if got := h.Text("no 471199, 4711"); got != "no "+Hidden+", "+Hidden {
		t.Errorf("%q", got)
	}
}

func TestCredentialsAreKnownByTheirNames(t *testing.T) {
	for name, want := range map[string]bool{"Authorization": true, "proxy-authorization": true, "Cookie": true, "Set-Cookie": true, "X-API-Key": true, "ApiKey": true,
		"X-Auth-Token": true, "X-Auth": true, "oauth2": true, "X-Authentication": true, "client_secret": true, "X-Hub-Signature-256": true, "key": true,
		"Ocp-Apim-Subscription-Key": true, "x-functions-key": true, "password": true,
		"Content-Type": false, "ce-id": false, "X-Author": false, "author": false, "traceparent": false, "Idempotency-Key": false, "ce-partitionkey": false,
		"partition_key": false, "redrive-key": false, "x-original-routing-key": false, "kafka_messageKey": false, "kafka_dlt-key-exception-message": false} {
		if IsCredential(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}
