package kafkasend

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/wire"
	"redrive/store/storetest/patience"
	"redrive/store/storetest/services"
)

// withToken is a destination that signs in with tokens of an endpoint.
func withToken(t *testing.T, secret string) (delivery.KafkaDestination, *services.KafkaTokens) {
	t.Helper()
	k := services.SharedKafka(t)
	d, tokens := newTopic(t, k.Brokers, 1), k.StartTokens(t)
	d.Brokers = k.SASL
	d.SASL = &delivery.SASL{Mechanism: delivery.OAuthBearer, Token: &delivery.ClientCredentials{URL: tokens.URL,
		ID: services.KafkaClientID, Secret: secret, Scope: "produce consume", Extensions: map[string]string{"tenant": "t7"}}}
	return d, tokens
}

// A token is asked for as the settings say, and what is wrong with it is said without its secret.
func TestSignInByToken(t *testing.T) {
	says := func(status int, text string) func(*services.KafkaTokens) {
		return func(e *services.KafkaTokens) {
			answer := func(w http.ResponseWriter) { w.WriteHeader(status); fmt.Fprint(w, text) }
			e.Says.Store(&answer)
		}
	}
	for name, c := range map[string]struct {
		secret  string
		change  func(*services.KafkaTokens)
		network wire.Network
		outcome delivery.Outcome
		class   string
		text    string
	}{
		"right":         {secret: services.KafkaClientSecret, outcome: delivery.OutcomeOK},
		"wrong secret":  {secret: "wrong horse battery", outcome: delivery.OutcomePermanent, class: delivery.ClassRefused, text: "the token endpoint gave no token: 401 invalid_client"},
		"expired token": {secret: services.KafkaClientSecret, change: func(e *services.KafkaTokens) { e.Life.Store(int64(-time.Minute)) }, outcome: delivery.OutcomePermanent, class: delivery.ClassRefused, text: "the broker refused the sign-in"},
		"forged token":  {secret: services.KafkaClientSecret, change: says(200, `{"access_token": "a.b.c", "token_type": "Bearer", "expires_in": 60}`), outcome: delivery.OutcomePermanent, class: delivery.ClassRefused, text: "the broker refused the sign-in"},
		"elsewhere":     {secret: services.KafkaClientSecret, change: says(302, ""), outcome: delivery.OutcomePermanent, class: delivery.ClassRefused, text: "the token endpoint gave no token: 302"},
		"in trouble":    {secret: services.KafkaClientSecret, change: says(503, "s3cret page"), outcome: delivery.OutcomeTransient, class: delivery.ClassConnect},
		"no token":      {secret: services.KafkaClientSecret, change: says(200, `{}`), outcome: delivery.OutcomeTransient, class: delivery.ClassConnect},
		"not permitted": {secret: services.KafkaClientSecret, network: wire.Network{Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}, outcome: delivery.OutcomePermanent, class: delivery.ClassBlockedAddress},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, tokens := withToken(t, c.secret)
			if c.change != nil {
				c.change(tokens)
			}
			var log bytes.Buffer
			s, err := New(d, wire.Dialer{Network: c.network, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
			if err != nil {
				t.Fatal(err)
			}
			got := s.Send(t.Context(), request(1, ""))
			_ = s.Close()
			want(t, got, c.outcome, c.class)
			if !strings.Contains(got.Error, c.text) {
				t.Errorf("got %q", got.Error)
			}
			if text := fmt.Sprint(got) + log.String(); strings.Contains(text, c.secret) || strings.Contains(text, "s3cret page") {
				t.Errorf("a secret leaks: %s", text)
			}
			if c.outcome == delivery.OutcomeOK {
				if form := *tokens.Form.Load(); form["scope"][0] != "produce consume" {
					t.Errorf("asked with %v", form)
				}
			}
		})
	}
}

// A token is kept while it lasts, for all connections, and replaced before its end: nothing fails meanwhile.
func TestTokensAreReplacedBeforeTheirEnd(t *testing.T) {
	d, tokens := withToken(t, services.KafkaClientSecret)
	s := open(t, d)
	for n := range 20 {
		wantOK(t, s, n)
	}
	if n := tokens.Asked.Load(); n != 1 {
		t.Errorf("%d tokens for one", n)
	}
	tokens.Life.Store(int64(2 * time.Second)) // shorter than what is early: each sign-in gets another
	s = open(t, d)
	patience.Until(t, "sessions that outlive their first token", func() bool {
		wantOK(t, s, 1)
		return tokens.Asked.Load() > 6
	})
}

// A token that the broker refuses is not shown to it again, however long it was said to last.
func TestARefusedTokenIsForgotten(t *testing.T) {
	d, tokens := withToken(t, services.KafkaClientSecret)
	forged := func(w http.ResponseWriter) {
		fmt.Fprint(w, `{"access_token": "a.b.c", "token_type": "Bearer", "expires_in": 86400}`)
	}
	tokens.Says.Store(&forged)
	s := open(t, d)
	want(t, s.Send(t.Context(), request(1, "")), delivery.OutcomePermanent, delivery.ClassRefused)
	tokens.Says.Store(nil)
	patience.Until(t, "another token", func() bool { return s.Send(t.Context(), request(2, "")).Outcome == delivery.OutcomeOK })
}
