package broker

import (
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/store/storetest/services"
)

// A source signs in by a token and by its certificate, in a group and in a share group; what is wrong with them is said.
func TestHowASourceSignsIn(t *testing.T) {
	k := services.SharedKafka(t)
	certificate := func(known bool, until time.Time) delivery.KafkaServer {
		cert, key := k.IssueClient(t, known, until)
		return delivery.KafkaServer{Brokers: k.MutualTLS, TLS: &delivery.TLS{CA: k.CA, Cert: cert, Key: key}}
	}
	tokens := k.StartTokens(t)
	token := func(secret string) delivery.KafkaServer {
		return delivery.KafkaServer{Brokers: k.SASLTLS, TLS: &delivery.TLS{CA: k.CA}, SASL: &delivery.SASL{Mechanism: delivery.OAuthBearer,
			Token: &delivery.ClientCredentials{URL: tokens.URL, ID: services.KafkaClientID, Secret: secret}}}
	}
	for name, c := range map[string]struct {
		server delivery.KafkaServer
		says   string // empty: it gets messages
	}{
		"token":                     {token(services.KafkaClientSecret), ""},
		"wrong secret":              {token("wrong horse battery"), "the token endpoint gave no token: 401 invalid_client"},
		"certificate":               {certificate(true, time.Now().Add(time.Hour)), ""},
		"no certificate":            {delivery.KafkaServer{Brokers: k.MutualTLS, TLS: &delivery.TLS{CA: k.CA}}, "tls: "},
		"certificate of a stranger": {certificate(false, time.Now().Add(time.Hour)), "tls: "},
		"expired certificate":       {certificate(true, time.Now().Add(-time.Hour)), "tls: "},
	} {
		for kind, open := range map[string]func(*testing.T) place{"group": openKafka, "share group": openShare} {
			t.Run(name+" in a "+kind, func(t *testing.T) {
				r := newRig(t, bed{name: "kafka", remembers: true, open: open}, func(in *delivery.Integration) {
					in.Broker.From.(*delivery.KafkaSource).KafkaServer = c.server
				})
				if c.says == "" {
					l := r.start()
					r.place.publish(t, notes(3)...)
					r.ledger.arrived(t, 3)
					if err := l.stop(); err != nil {
						t.Fatal(err)
					}
					r.nothingLeft()
					return
				}
				l := r.launch()
				why := ""
				r.eventually("it is said", func() bool {
					why = l.Facts(t.Context()).Why.English()
					return strings.Contains(why, c.says)
				})
				if strings.Contains(why, "battery") {
					t.Errorf("the secret leaks: %s", why)
				}
			})
		}
	}
}
