package httpsend

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// What is kept of an attempt that failed tells how it was sent and what the answer's head was, with times, and holds no credential; of one
// that was confirmed nothing is kept.
func TestTheExchangeIsKeptWithoutCredentials(t *testing.T) {
	var status atomic.Int32
	status.Store(http.StatusUnprocessableEntity)
	url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "session=secret-of-theirs")
		w.Header().Set("X-Echo", r.Header.Get("X-Token")+" "+r.URL.Query().Get("token"))
		w.WriteHeader(int(status.Load()))
	})
	s := newSender(t, delivery.HTTPDestination{URL: strings.Replace(url, "http://", "http://ann:passw0rd-1@", 1) + "/in?token=abcd-efgh", Method: http.MethodPut,
		Headers: map[string]string{"X-Token": "bearer-secret", "X-Shop": "seoul"}}, wire.Network{})
	ask := request("{}")
	ask.Message.Headers = map[string]string{"x-tenant": "north", "X-Shop": "busan", "Authorization": "Bearer of-the-producer"}
	e := s.Send(t.Context(), ask).Exchange
	if e == nil || e.Method != http.MethodPut || e.Address != url+"/in" || !slices.Equal(e.Withheld, []string{"Authorization"}) {
		t.Fatalf("%+v", e)
	}
	text := fmt.Sprint(*e)
	for _, secret := range []string{"secret", "passw0rd", "abcd-efgh", "of-the-producer", "north"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is kept: %s", secret, text)
		}
	}
	for _, line := range []delivery.HeaderLine{{"X-Shop", "seoul"}, {"X-Token", delivery.Hidden}, {"Authorization", delivery.Hidden}} {
		if !slices.Contains(e.Sent, line) {
			t.Errorf("%v is not among %v", line, e.Sent)
		}
	}
	if !slices.Contains(e.Answered, delivery.HeaderLine{"Set-Cookie", delivery.Hidden}) || !slices.Contains(e.Answered, delivery.HeaderLine{"X-Echo", delivery.Hidden + " " + delivery.Hidden}) {
		t.Errorf("answered %v", e.Answered)
	}
	steps := func(e *delivery.Exchange) (names []string) {
		for _, s := range e.Steps {
			names = append(names, s.Name)
		}
		return names
	}
	if got := steps(e); !slices.Equal(got, []string{delivery.StepConnect, delivery.StepFirstByte}) {
		t.Errorf("steps %v", got)
	}
	status.Store(http.StatusOK)
	ask.Attempt = 1
	if r := s.Send(t.Context(), ask); r.Exchange != nil {
		t.Errorf("%+v", r.Exchange)
	}
	ask.Attempt = 2
	if e := s.Send(t.Context(), ask).Exchange; e == nil || !slices.Contains(e.Sent, delivery.HeaderLine{"X-Token", delivery.Hidden}) || len(e.Steps) == 0 {
		t.Errorf("%+v", e)
	}
}
