package delivery_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"redrive/delivery"
)

func TestTheVeil(t *testing.T) {
	v := &delivery.Veil{}
	v.Add("hide me", "${A}")
	v.Add("hide me too", "${B}")
	v.Add("abc", "${SHORT}")
	for text, want := range map[string]string{"x hide me y": "x ${A} y", "hide me too": "${B}", "hide+me/hide%20me": "${A}/${A}", "abc": "abc"} {
		if got := v.In(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := (*delivery.Veil)(nil).In("hide me"); got != "hide me" {
		t.Errorf("no veil: %q", got)
	}
	r := v.Result(delivery.Result{Error: "hide me", Words: "hide me", Response: []byte("hide me")})
	p := v.Phrase(delivery.Say("k", "a", "hide me", "of", delivery.Say("i", "b", "hide me")))
	in := delivery.Destination{To: &delivery.HTTPDestination{URL: "https://h/hide me too/x"}, Veil: v}
	if all := fmt.Sprintf("%+v %s %+v %s", r, r.Response, p, in.Address()); strings.Contains(all, "hide") {
		t.Errorf("it shows: %s", all)
	}
	var out bytes.Buffer
	log := slog.New(v.Log(slog.NewJSONHandler(&out, nil))).With("with", "hide me").WithGroup("g")
	log.Info("hide me", "text", "hide me", "error", errors.New("hide me"), "list", []string{"hide me"}, slog.Group("inner", "a", "hide me"), "n", 7)
	if strings.Contains(out.String(), "hide") || !strings.Contains(out.String(), `"n":7`) {
		t.Errorf("the log: %s", &out)
	}
}
