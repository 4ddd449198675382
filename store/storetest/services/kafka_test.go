package services

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func kafkaClient(t *testing.T, brokers []string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(brokers...), kgo.AllowAutoTopicCreation(), kgo.RecordDeliveryTimeout(time.Minute))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func produce(t *testing.T, client *kgo.Client, topic, value string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr()
}

func TestKafkaKeepsWhatItStored(t *testing.T) {
	began := time.Now()
	k := StartKafka(t)
	t.Logf("started in %v", time.Since(began))
	k.CreateTopic(t, "kept", 1)
	client := kafkaClient(t, k.Brokers, kgo.ConsumeTopics("kept"), kgo.MetadataMinAge(50*time.Millisecond))
	ends := []func(){k.Stop, k.Kill}
	for _, end := range ends {
		if err := produce(t, client, "kept", "x"); err != nil {
			t.Fatal(err)
		}
		end()
		began = time.Now()
		if err := k.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Logf("started again in %v", time.Since(began))
	}
	for got := 0; got < len(ends); {
		fetches := client.PollFetches(t.Context())
		if t.Context().Err() != nil {
			t.Fatal("what was stored is gone")
		}
		got += fetches.NumRecords()
	}
}

// Whoever comes by each of the listeners is taken for who he is.
func TestKafkaHasALockOnEachDoor(t *testing.T) {
	k := SharedKafka(t)
	topic := "doors-" + time.Now().Format("150405.000000000")
	k.CreateTopic(t, topic, 1)
	raw, err := os.ReadFile(k.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(raw)
	pair, err := tls.LoadX509KeyPair(k.ClientCert, k.ClientKey)
	if err != nil {
		t.Fatal(err)
	}
	as := func(user string) kgo.Opt {
		return kgo.SASL(scram.Auth{User: user, Pass: KafkaPassword}.AsSha512Mechanism())
	}
	trusting := kgo.DialTLSConfig(&tls.Config{RootCAs: pool})
	for door, c := range map[string]struct {
		brokers []string
		options []kgo.Opt
		refused *kerr.Error
	}{
		"open":     {k.Brokers, nil, nil},
		"sasl":     {k.SASL, []kgo.Opt{as(KafkaUser)}, nil},
		"stranger": {k.SASL, []kgo.Opt{as(KafkaStranger)}, kerr.TopicAuthorizationFailed},
		"unknown":  {k.SASL, []kgo.Opt{as("nobody")}, kerr.SaslAuthenticationFailed},
		"tls":      {k.TLS, []kgo.Opt{trusting}, nil},
		"sasl tls": {k.SASLTLS, []kgo.Opt{trusting, as(KafkaUser)}, nil},
		"mutual":   {k.MutualTLS, []kgo.Opt{kgo.DialTLSConfig(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}})}, nil},
	} {
		client := kafkaClient(t, c.brokers, c.options...)
		err := client.Ping(t.Context())
		if err == nil {
			err = produce(t, client, topic, door)
		}
		if c.refused == nil && err != nil || c.refused != nil && !errors.Is(err, c.refused) {
			t.Errorf("%s: %v", door, err)
		}
	}
	without := kafkaClient(t, k.MutualTLS, trusting)
	if err := without.Ping(t.Context()); err == nil {
		t.Error("a client without a certificate is let in")
	}
}

// All of a client's connections go through its proxy, and two tests never have the same.
func TestKafkaByWayOfProxies(t *testing.T) {
	k := SharedKafka(t)
	topic := "proxied-" + time.Now().Format("150405.000000000")
	k.CreateTopic(t, topic, 1)
	first, brokers := k.Proxy(t)
	first.Cut() // nobody listens there now
	second, others := k.Proxy(t)
	first.Heal()
	if slices.Equal(brokers, others) || first.Addr == second.Addr {
		t.Fatalf("one proxy for two: %v %v", brokers, others)
	}
	client, other := kafkaClient(t, brokers), kafkaClient(t, others)
	for _, c := range []*kgo.Client{client, other} {
		if err := produce(t, c, topic, "x"); err != nil {
			t.Fatal(err)
		}
	}
	first.Cut()
	if err := client.Ping(t.Context()); err == nil {
		t.Error("it answers although the proxy was cut")
	}
	if err := other.Ping(t.Context()); err != nil {
		t.Errorf("the other proxy: %v", err)
	}
	first.Heal()
	if err := produce(t, client, topic, "x"); err != nil {
		t.Error(err)
	}
}

func TestKafkaSaysWhyItDoesNotStart(t *testing.T) {
	if _, err := LaunchKafka(t.Context(), 0, "node.id=none"); err == nil || !strings.Contains(err.Error(), "Not a number") {
		t.Errorf("error %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := FindKafka(); err == nil || !strings.Contains(err.Error(), "java is not installed") {
		t.Errorf("error %v", err)
	}
	old := t.TempDir()
	if err := os.WriteFile(old+"/java", []byte("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", old+":/bin")
	if _, err := FindKafka(); err == nil || !strings.Contains(err.Error(), "openjdk-17-jre-headless") {
		t.Errorf("error %v", err)
	}
}
