package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"redrive/delivery"
	"redrive/store/storetest/patience"
	"redrive/store/storetest/services"
)

func TestMain(m *testing.M) { services.Main(m) }

// identity is a certificate in files.
type identity struct {
	cert, key string
	pair      tls.Certificate
}

// issue makes a certificate for a name, signed by another or by itself.
func issue(t *testing.T, name string, by *identity, validFor time.Duration) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(validFor), IsCA: by == nil, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	parent, signer := template, any(key)
	if by != nil {
		parent, signer = by.pair.Leaf, by.pair.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	id := &identity{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	for path, block := range map[string]*pem.Block{id.cert: {Type: "CERTIFICATE", Bytes: der}, id.key: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if id.pair, err = tls.LoadX509KeyPair(id.cert, id.key); err != nil {
		t.Fatal(err)
	}
	return id
}

// front speaks TLS before a server that does not; it asks for a client certificate of clients, when given.
func front(t *testing.T, upstream string, server *identity, clients *identity) (addr string) {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{server.pair}}
	if clients != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		config.ClientCAs.AddCert(clients.pair.Leaf)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go join(conn, upstream)
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String()
}

func join(conn net.Conn, upstream string) {
	defer conn.Close()
	to, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		_, _ = io.Copy(to, conn)
		_ = to.Close()
	}()
	_, _ = io.Copy(conn, to)
}

func TestBrokersBehindTLS(t *testing.T) {
	authority, stranger := issue(t, "authority", nil, time.Hour), issue(t, "stranger", nil, time.Hour)
	server, old := issue(t, "broker.example", authority, time.Hour), issue(t, "broker.example", authority, -time.Minute)
	client := issue(t, "client", authority, time.Hour)
	rabbit, err := url.Parse(services.RabbitMQURL(t))
	if err != nil {
		t.Fatal("the broker's address is none")
	}
	rabbitHost := rabbit.Host
	reach := map[string]func(t *testing.T, shown, wants *identity, settings *delivery.TLS) error{
		"redis": func(t *testing.T, shown, wants *identity, settings *delivery.TLS) error {
			return ping(t, delivery.RedisServer{Addr: front(t, services.RedisAddr(t), shown, wants), TLS: settings})
		},
		"rabbitmq": func(t *testing.T, shown, wants *identity, settings *delivery.TLS) error {
			address := *rabbit
			address.Scheme, address.Host = "amqps", front(t, rabbitHost, shown, wants)
			conn, err := (Dialer{Log: slog.New(slog.DiscardHandler)}).DialRabbitMQ(t.Context(), delivery.RabbitMQServer{URL: address.String(), TLS: settings})
			if err != nil {
				return err
			}
			return conn.Close()
		},
	}
	for broker, open := range reach {
		for name, c := range map[string]struct {
			shown, wants *identity
			settings     delivery.TLS
			sentence     string // empty: it works
		}{
			"trusted":         {server, nil, delivery.TLS{CA: authority.cert, ServerName: "broker.example"}, ""},
			"with a login":    {server, authority, delivery.TLS{CA: authority.cert, ServerName: "broker.example", Cert: client.cert, Key: client.key}, ""},
			"the host's name": {server, nil, delivery.TLS{CA: authority.cert}, "the broker's certificate is for another name"},
			"another name":    {server, nil, delivery.TLS{CA: authority.cert, ServerName: "other.example"}, "the broker's certificate is for another name"},
			"a stranger":      {server, nil, delivery.TLS{CA: stranger.cert, ServerName: "broker.example"}, "the broker's certificate is signed by an unknown authority"},
			"the system's":    {server, nil, delivery.TLS{ServerName: "broker.example"}, "the broker's certificate is signed by an unknown authority"},
			"expired":         {old, nil, delivery.TLS{CA: authority.cert, ServerName: "broker.example"}, "the broker's certificate has expired"},
		} {
			t.Run(broker+" "+name, func(t *testing.T) {
				err := open(t, c.shown, c.wants, &c.settings)
				if (err == nil) != (c.sentence == "") {
					t.Fatalf("error %v", err)
				}
				if err == nil {
					return
				}
				if got := Unsent(Broker, err); got.Outcome != delivery.OutcomeTransient || got.ErrorClass != delivery.ClassTLS || got.Error != c.sentence {
					t.Errorf("%+v, want %q", got, c.sentence)
				}
			})
		}
	}
}

func ping(t *testing.T, s delivery.RedisServer) error {
	options, err := (Dialer{Log: slog.New(slog.DiscardHandler)}).RedisOptions(s)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	return client.Ping(t.Context()).Err()
}

func TestFilesOfTLS(t *testing.T) {
	id := issue(t, "a", nil, time.Hour)
	other := issue(t, "b", nil, time.Hour)
	junk := filepath.Join(t.TempDir(), "junk.pem")
	if err := os.WriteFile(junk, []byte("-----BEGIN s3cr3t"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, settings := range map[string]delivery.TLS{
		"/no/such/ca":   {CA: "/no/such/ca"},
		junk:            {CA: junk},
		"/no/such/cert": {Cert: "/no/such/cert", Key: id.key},
		"/no/such/key":  {Cert: id.cert, Key: "/no/such/key"},
		id.cert:         {Cert: id.cert},
		id.key:          {Key: id.key},
		other.key:       {Cert: id.cert, Key: other.key},
		junk + " and ":  {Cert: junk, Key: id.key},
	} {
		_, err := TLSConfig(&settings)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%+v: %v", settings, err)
		}
	}
	for _, settings := range []*delivery.TLS{nil, {}, {CA: id.cert, Cert: id.cert, Key: id.key, ServerName: "x"}} {
		config, err := TLSConfig(settings)
		if err != nil || config.MinVersion != tls.VersionTLS12 || config.InsecureSkipVerify {
			t.Errorf("%+v: %+v, %v", settings, config, err)
		}
	}
}

func TestAHandshakeEndsWithItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for scheme, class := range map[string]string{"amqp": delivery.ClassConnect, "amqps": delivery.ClassTLS} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		began := time.Now()
		_, err = Dialer{Log: slog.New(slog.DiscardHandler)}.DialRabbitMQ(ctx, delivery.RabbitMQServer{URL: scheme + "://u:s3cr3t@" + listener.Addr().String()})
		cancel()
		if err == nil || time.Since(began) > patience.Prompt || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v after %v", scheme, err, time.Since(began))
			continue
		}
		if got := Unsent(Broker, err); got.ErrorClass != class || got.Outcome != delivery.OutcomeTransient {
			t.Errorf("%s: %+v", scheme, got)
		}
	}
}
