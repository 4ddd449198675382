package broker

import (
	"testing"
	"time"

	"redrive/delivery"
	"redrive/store/storetest/services"
)

// Tokens end again and again while a source runs: they are renewed on the connections that stand, and the page never says otherwise.
func TestTokensAreRenewedWhileASourceRuns(t *testing.T) {
	k := services.SharedKafka(t)
	for kind, open := range map[string]func(*testing.T) place{"group": openKafka, "share group": openShare} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel() // it waits most of the time
			tokens := k.StartTokens(t)
			tokens.Life.Store(int64(4 * time.Second))
			r := newRig(t, bed{name: kind, remembers: true, open: open}, func(in *delivery.Integration) {
				in.Broker.From.(*delivery.KafkaSource).KafkaServer = delivery.KafkaServer{Brokers: k.SASL, SASL: &delivery.SASL{Mechanism: delivery.OAuthBearer,
					Token: &delivery.ClientCredentials{URL: tokens.URL, ID: services.KafkaClientID, Secret: services.KafkaClientSecret}}}
			})
			l := r.start()
			r.place.publish(t, notes(1)...)
			r.ledger.arrived(t, 1)
			session, sent, before := l.mortal.last, 1, tokens.Asked.Load()
			r.eventually("renewed", func() bool {
				r.place.publish(t, notes(sent + 1)[sent:]...)
				sent++
				r.ledger.arrived(t, sent)
				return tokens.Asked.Load() >= before+4
			})
			if err := l.stop(); err != nil {
				t.Fatal(err)
			}
			if l.mortal.last != session {
				t.Error("its session was lost")
			}
			r.invariants(sent)
			r.requests(sent)
			r.nothingLeft()
		})
	}
}
