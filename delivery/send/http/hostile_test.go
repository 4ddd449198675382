package httpsend

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/wire"
	"redrive/store/storetest/patience"
)

// drip writes text again and again until the other side has enough.
func drip(first, again string, pause time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := io.WriteString(c, first); err != nil {
			return
		}
		for tick := time.NewTicker(pause); ; <-tick.C {
			if _, err := io.WriteString(c, again); err != nil {
				return
			}
		}
	}
}

func TestHostileAnswersEndInTime(t *testing.T) {
	for name, c := range map[string]struct {
		answer  func(net.Conn)
		outcome delivery.Outcome
		class   string
	}{
		"a head that drips":    {drip("HTTP/1.1 200 OK\r\nX: ", "x", 20*time.Millisecond), delivery.OutcomeUnknown, delivery.ClassTimeout},
		"a body that drips":    {drip("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", "x", 20*time.Millisecond), delivery.OutcomeOK, ""},
		"headers without end":  {drip("HTTP/1.1 200 OK\r\n", strings.Repeat("X-A: y\r\n", 1000), time.Microsecond), delivery.OutcomeUnknown, delivery.ClassProtocol},
		"chunks without end":   {drip("HTTP/1.1 500 no\r\nTransfer-Encoding: chunked\r\n\r\n", "4000\r\n"+strings.Repeat("x", 0x4000)+"\r\n", time.Microsecond), delivery.OutcomeTransient, delivery.ClassHTTP5xx},
		"trailers without end": {drip("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", strings.Repeat("X-A: y\r\n", 1000), time.Microsecond), delivery.OutcomeOK, ""},
		"1xx without end":      {drip("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", time.Microsecond), delivery.OutcomeUnknown, delivery.ClassProtocol},
		"102 slowly":           {drip("", "HTTP/1.1 102 Processing\r\n\r\n", 50*time.Millisecond), delivery.OutcomeUnknown, delivery.ClassTimeout},
		"switching protocols":  {drip("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "x", 20*time.Millisecond), delivery.OutcomeUnknown, delivery.ClassProtocol},
		"HTTP/2 preface":       {drip("\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x00\x04\x00\x00\x00\x00\x00", 20*time.Millisecond), delivery.OutcomeUnknown, delivery.ClassTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			url, requests := raw(t, c.answer)
			s := newSender(t, delivery.HTTPDestination{URL: url, Timeout: 700 * time.Millisecond}, wire.Network{})
			began := time.Now()
			result := s.Send(t.Context(), request("x"))
			expect(t, result, c.outcome, c.class)
			if took := time.Since(began); took > patience.Prompt || requests.Load() != 1 {
				t.Errorf("%d requests in %s", requests.Load(), took)
			}
			if len(result.Response) > delivery.MaxAnswer {
				t.Errorf("%d bytes kept", len(result.Response))
			}
		})
	}
}

// certificate is one for a name, signed by itself.
func certificate(t *testing.T, name string, until time.Time) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: until.Add(-time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, parsed
}

func TestCertificatesThatDoNotVerify(t *testing.T) {
	later, past := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	for says, c := range map[string]struct {
		name    string
		until   time.Time
		trusted bool
	}{
		"":                               {"localhost", later, true},
		"signed by an unknown authority": {"localhost", later, false},
		"is for another name":            {"shop.example", later, true},
		"has expired":                    {"localhost", past, true},
	} {
		t.Run(says, func(t *testing.T) {
			var received atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { received.Add(1) }))
			pair, parsed := certificate(t, c.name, c.until)
			server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
			server.Config.ErrorLog = quiet()
			server.EnableHTTP2 = true
			server.StartTLS()
			defer server.Close()
			_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
			s := newSender(t, delivery.HTTPDestination{URL: "https://localhost:" + port}, wire.Network{})
			if c.trusted {
				pool := x509.NewCertPool()
				pool.AddCert(parsed)
				s.transport.TLSClientConfig.RootCAs = pool
			}
			result := s.Send(t.Context(), request("x"))
			if says == "" {
				expect(t, result, delivery.OutcomeOK, "")
				return
			}
			expect(t, result, delivery.OutcomeTransient, delivery.ClassTLS)
			if !strings.Contains(result.Error, says) || received.Load() != 0 {
				t.Errorf("%q after %d requests", result.Error, received.Load())
			}
		})
	}
}

// A server that closes kept connections without a word costs neither a second request nor an unknown outcome, as long as it
// closes them between requests.
func TestConnectionsClosedBetweenRequests(t *testing.T) {
	closed := make(chan struct{}, 1)
	url, requests := raw(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		_ = c.Close()
		closed <- struct{}{}
	})
	s := newSender(t, delivery.HTTPDestination{URL: url}, wire.Network{})
	var last net.Conn
	dial := s.transport.DialContext
	s.transport.DialContext = func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		last, err = dial(ctx, network, address)
		return last, err
	}
	const attempts = 200
	for n := range attempts {
		result := s.Send(t.Context(), request(fmt.Sprint(n)))
		if result.Outcome != delivery.OutcomeOK {
			t.Fatalf("attempt %d: %+v", n, result)
		}
		<-closed
		for counted := last.(*countedConn); !hungUp(counted.Conn) && counted.Conn.SetDeadline(time.Time{}) == nil; { // until the news has come
			runtime.Gosched()
		}
	}
	if requests.Load() != attempts {
		t.Errorf("%d requests for %d attempts", requests.Load(), attempts)
	}
}

func quiet() *log.Logger { return slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) }
