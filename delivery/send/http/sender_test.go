package httpsend

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"redrive/delivery"
	"redrive/delivery/wire"
	"redrive/store/storetest/patience"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newSender(t *testing.T, d delivery.HTTPDestination, n wire.Network) *Sender {
	t.Helper()
	if d.Timeout == 0 {
		d.Timeout = 5 * time.Second
	}
	s, err := New(d, wire.Dialer{Network: n, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func request(payload string) delivery.Request {
	return delivery.Request{DeliveryID: "0192-d", IdempotencyKey: "key-1", Integration: "push", Attempt: 3, Message: delivery.Message{Payload: []byte(payload)}}
}

func receiver(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// raw is a server that speaks bytes: it reads one request and calls answer.
func raw(t *testing.T, answer func(net.Conn)) (url string, requests *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	requests = &atomic.Int64{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
				requests.Add(1)
				answer(conn)
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return "http://" + listener.Addr().String(), requests
}

func expect(t *testing.T, got delivery.Result, outcome delivery.Outcome, class string) {
	t.Helper()
	if got.Outcome != outcome || got.ErrorClass != class || (class == "") != (got.Error == "") {
		t.Errorf("got %s %q %q, want %s %q", got.Outcome, got.ErrorClass, got.Error, outcome, class)
	}
}

func TestTheRequest(t *testing.T) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	payload := "\x00\xff{\"a\":1,\"a\":2} 한글"
	var header http.Header
	var method, host string
	var body []byte
	url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		header, method, host = r.Header.Clone(), r.Method, r.Host
		body, _ = io.ReadAll(r.Body)
		_, _ = w.Write([]byte("thanks"))
	})
	s := newSender(t, delivery.HTTPDestination{URL: url + "/x", Method: "PUT", Secret: secret,
		Headers: map[string]string{"Authorization": "Bearer s", "X-A": "destination", "Host": "shop.example"}}, wire.Network{})
	q := request(payload)
	q.Message.Headers = map[string]string{"x-a": "message", "X-B": "b", "Idempotency-Key": "forged", "webhook-id": "forged", "Redrive-Attempt": "9",
		"Content-Length": "1", "Content-Type": "text/plain"}
	result := s.Send(t.Context(), q)
	expect(t, result, delivery.OutcomeOK, "")
	if string(result.Response) != "thanks" || result.HTTPStatus != 200 {
		t.Errorf("result %+v", result)
	}
	if string(body) != payload || method != "PUT" || host != "shop.example" {
		t.Errorf("%s %s with body %q", method, host, body)
	}
	for name, want := range map[string]string{"Idempotency-Key": "key-1", "Webhook-Id": "0192-d", "Redrive-Attempt": "3", "Redrive-Integration": "push",
		"X-A": "destination", "X-B": "b", "Authorization": "Bearer s", "Content-Type": "text/plain", "User-Agent": "Redrive/1"} {
		if got := header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.Verify(body, header); err != nil {
		t.Errorf("the signature: %v", err)
	}
	if err := verifier.Verify(append(body, 'x'), header); err == nil {
		t.Error("the signature fits another body")
	}
}

// While a receiver changes over, it finds the signature of the secret that it has, the present one or the former; and neither is repeated
// to people when it answers with it.
func TestTwoSecretsSign(t *testing.T) {
	secrets := []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "the former one in plain text"}
	var header http.Header
	var body []byte
	url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		header = r.Header.Clone()
		body, _ = io.ReadAll(r.Body)
		http.Error(w, "not signed by "+strings.Join(secrets, " nor "), http.StatusBadRequest)
	})
	result := newSender(t, delivery.HTTPDestination{URL: url, Secret: secrets[0], Former: secrets[1]}, wire.Network{}).Send(t.Context(), request("x"))
	for _, secret := range append(secrets, "another") {
		verifier, err := newSigner(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifier.Verify(body, header); (err == nil) != (secret != "another") {
			t.Errorf("%s: %v", secret, err)
		}
	}
	if n := len(strings.Fields(header.Get("Webhook-Signature"))); n != 2 || len(header.Values("Webhook-Signature")) != 1 {
		t.Errorf("signatures %q", header.Values("Webhook-Signature"))
	}
	if said := result.Error + result.Words + string(result.Response); strings.Contains(said, "MfKQ9r8") || strings.Contains(said, "former one") {
		t.Errorf("it is said: %s", said)
	}
}

// A message does not sign in at the receiver: whoever may enqueue would speak for Redrive there.
func TestMessagesDoNotSignIn(t *testing.T) {
	var got http.Header
	url := receiver(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header })
	for _, name := range []string{"Authorization", "authorization", "AUTHORIZATION", "Proxy-Authorization", "proxy_authorization", "Cookie", "cookie"} {
		q := request("x")
		q.Message.Headers = map[string]string{name: "forged", "X-Kept": "kept"}
		canonical := http.CanonicalHeaderKey(name)
		for _, format := range []delivery.WireFormat{delivery.FormatNative, delivery.FormatCloudEvents, delivery.FormatStructured} {
			d := delivery.HTTPDestination{URL: url, Format: format}
			expect(t, newSender(t, d, wire.Network{}).Send(t.Context(), q), delivery.OutcomeOK, "")
			if value, there := got[canonical]; there || got.Get("X-Kept") != "kept" {
				t.Errorf("%s in %s: %q arrived", name, format, value)
			}
			if losses := delivery.Losses(q.Message, delivery.Destination{To: &d}); !slices.Equal(losses, []delivery.Loss{{What: delivery.LossHeader, Name: name}}) {
				t.Errorf("%s: said to be lost: %v", name, losses)
			}
			d.Pass = []string{canonical}
			expect(t, newSender(t, d, wire.Network{}).Send(t.Context(), q), delivery.OutcomeOK, "")
			if got.Get(canonical) != "forged" {
				t.Errorf("%s in %s does not pass: %v", name, format, got)
			}
			if losses := delivery.Losses(q.Message, delivery.Destination{To: &d}); len(losses) > 0 {
				t.Errorf("%s passes: said to be lost: %v", name, losses)
			}
			d.Headers = map[string]string{canonical: "the destination's own"}
			expect(t, newSender(t, d, wire.Network{}).Send(t.Context(), q), delivery.OutcomeOK, "")
			if got.Get(canonical) != "the destination's own" {
				t.Errorf("%s of the message wins over the destination's: %v", name, got)
			}
		}
	}
}

func TestALoginInTheAddressIsSent(t *testing.T) {
	var got string
	var login bool
	url := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		got, login = user+" "+password, ok
	})
	url = strings.Replace(url, "http://", "http://ann:p%40ss@", 1)
	q := request("x")
	q.Message.Headers = map[string]string{"Authorization": "Bearer forged"}
	expect(t, newSender(t, delivery.HTTPDestination{URL: url}, wire.Network{}).Send(t.Context(), q), delivery.OutcomeOK, "")
	if !login || got != "ann p@ss" {
		t.Errorf("login %q", got)
	}
	d := delivery.HTTPDestination{URL: url, Headers: map[string]string{"authorization": "Bearer configured"}}
	expect(t, newSender(t, d, wire.Network{}).Send(t.Context(), q), delivery.OutcomeOK, "")
	if login {
		t.Errorf("login %q instead of the configured header", got)
	}
}

func TestContentTypeOfMessagesThatDoNotSay(t *testing.T) {
	for payload, want := range map[string]string{`{"a":1}`: "application/json", "\xff": "application/octet-stream", "": "application/octet-stream"} {
		var got string
		url := receiver(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Content-Type") })
		expect(t, newSender(t, delivery.HTTPDestination{URL: url}, wire.Network{}).Send(t.Context(), request(payload)), delivery.OutcomeOK, "")
		if got != want {
			t.Errorf("%q: %s", payload, got)
		}
	}
}

func TestStatuses(t *testing.T) {
	for status, want := range map[int]struct {
		outcome delivery.Outcome
		class   string
	}{
		200: {delivery.OutcomeOK, ""}, 204: {delivery.OutcomeOK, ""}, 301: {delivery.OutcomePermanent, delivery.ClassRedirect},
		304: {delivery.OutcomePermanent, delivery.ClassRedirect}, 400: {delivery.OutcomePermanent, delivery.ClassHTTP4xx},
		408: {delivery.OutcomeTransient, delivery.ClassHTTP4xx}, 410: {delivery.OutcomePermanent, delivery.ClassGone},
		422: {delivery.OutcomePermanent, delivery.ClassHTTP4xx}, 425: {delivery.OutcomeTransient, delivery.ClassHTTP4xx},
		429: {delivery.OutcomeTransient, delivery.ClassRateLimited}, 500: {delivery.OutcomeTransient, delivery.ClassHTTP5xx},
		503: {delivery.OutcomeTransient, delivery.ClassHTTP5xx}, 799: {delivery.OutcomeUnknown, delivery.ClassProtocol},
	} {
		var visits atomic.Int64
		url := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			visits.Add(1)
			w.Header().Set("Location", "/elsewhere")
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
		})
		result := newSender(t, delivery.HTTPDestination{URL: url}, wire.Network{}).Send(t.Context(), request("x"))
		expect(t, result, want.outcome, want.class)
		if visits.Load() != 1 || result.HTTPStatus != status {
			t.Errorf("%d: %d visits, status %d", status, visits.Load(), result.HTTPStatus)
		}
		if wish := result.RetryAfter; (want.outcome == delivery.OutcomeTransient) != (wish == 7*time.Second) {
			t.Errorf("%d: retry after %s", status, wish)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{"": 0, "soon": 0, "-5": 0, "120": 2 * time.Minute, "99999999999": delivery.MaxRetryAfter,
		now.Add(time.Hour).Format(http.TimeFormat): time.Hour, now.Add(-time.Hour).Format(http.TimeFormat): delivery.MinRetryAfter} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestWhatWasNotSentIsTransient(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + listener.Addr().String()
	_ = listener.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("received over an untrusted connection") }))
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	defer secure.Close()
	plain := receiver(t, func(http.ResponseWriter, *http.Request) {})
	for url, class := range map[string]string{closed: delivery.ClassConnect, "http://nowhere.invalid/": delivery.ClassDNS,
		secure.URL: delivery.ClassTLS, strings.Replace(plain, "http:", "https:", 1): delivery.ClassTLS} {
		expect(t, newSender(t, delivery.HTTPDestination{URL: url}, wire.Network{}).Send(t.Context(), request("x")), delivery.OutcomeTransient, class)
	}
}

func TestTLSIsVerifiedAgainstTheName(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	s := newSender(t, delivery.HTTPDestination{URL: server.URL}, wire.Network{})
	s.transport.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	expect(t, s.Send(t.Context(), request("x")), delivery.OutcomeOK, "")
	s.transport.TLSClientConfig.ServerName = "another.example"
	s.transport.CloseIdleConnections()
	expect(t, s.Send(t.Context(), request("x")), delivery.OutcomeTransient, delivery.ClassTLS)
	if s.transport.TLSClientConfig.MinVersion < tls.VersionTLS12 {
		t.Error("old TLS is allowed")
	}
}

func TestWhatWasSentWithoutAnAnswerIsUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(net.Conn)
		class  string
	}{
		"hang":        {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, delivery.ClassTimeout},
		"closed":      {func(net.Conn) {}, delivery.ClassConnectionLost},
		"reset":       {func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }, delivery.ClassConnectionLost},
		"garbage":     {func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-hello\r\n\r\n")) }, delivery.ClassProtocol},
		"half a head": {func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-")) }, delivery.ClassProtocol},
		"endless head": {func(c net.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxRead) + "\r\n\r\n"))
		}, delivery.ClassProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			url, requests := raw(t, c.answer)
			s := newSender(t, delivery.HTTPDestination{URL: url, Timeout: 500 * time.Millisecond}, wire.Network{})
			for n, payload := range []string{"x", ""} {
				expect(t, s.Send(t.Context(), request(payload)), delivery.OutcomeUnknown, c.class)
				if got := requests.Load(); got != int64(n+1) {
					t.Errorf("%d requests after %d attempts", got, n+1)
				}
			}
		})
	}
}

// A server that closes a kept connection after it has read the next request must not get that request again.
func TestAKeptConnectionIsNoReasonToSendTwice(t *testing.T) {
	for _, payload := range []string{"x", ""} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var requests atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				reader := bufio.NewReader(conn)
				for n := 0; n < 2; n++ {
					r, err := http.ReadRequest(reader)
					if err != nil {
						break
					}
					_, _ = io.Copy(io.Discard, r.Body)
					requests.Add(1)
					if n == 0 {
						_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
					}
				}
				_ = conn.Close()
			}
		}()
		s := newSender(t, delivery.HTTPDestination{URL: "http://" + listener.Addr().String()}, wire.Network{})
		expect(t, s.Send(t.Context(), request(payload)), delivery.OutcomeOK, "")
		again := request(payload)
		again.Message.Headers = map[string]string{"X-Idempotency-Key": "the transport takes this for leave to send it again"}
		expect(t, s.Send(t.Context(), again), delivery.OutcomeUnknown, delivery.ClassConnectionLost)
		if requests.Load() != 2 {
			t.Errorf("payload %q: %d requests for two attempts", payload, requests.Load())
		}
		_ = listener.Close()
		_ = s.Close()
		<-done
	}
}

func TestAnswersAreBounded(t *testing.T) {
	var compressed bytes.Buffer
	z := gzip.NewWriter(&compressed)
	_, _ = z.Write(bytes.Repeat([]byte("a"), 1<<20))
	_ = z.Close()
	url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("asked for %s", r.Header.Get("Accept-Encoding"))
		}
		if r.URL.Path == "/gzip" {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(compressed.Bytes())
			return
		}
		for n := 0; n < 1000; n++ { // much more than is read
			if _, err := w.Write(bytes.Repeat([]byte("b"), 64<<10)); err != nil {
				return
			}
		}
	})
	big := newSender(t, delivery.HTTPDestination{URL: url}, wire.Network{}).Send(t.Context(), request("x"))
	expect(t, big, delivery.OutcomeOK, "")
	if len(big.Response) != delivery.MaxAnswer || cap(big.Response) != delivery.MaxAnswer {
		t.Errorf("an excerpt of %d bytes", len(big.Response))
	}
	zipped := newSender(t, delivery.HTTPDestination{URL: url + "/gzip"}, wire.Network{}).Send(t.Context(), request("x"))
	if !bytes.HasPrefix(zipped.Response, []byte{0x1f, 0x8b}) {
		t.Errorf("the answer was inflated: %q", zipped.Response[:8])
	}
}

func TestADrippingBodyDoesNotHoldTheAttempt(t *testing.T) {
	url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusServiceUnavailable)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	began := time.Now()
	result := newSender(t, delivery.HTTPDestination{URL: url, Timeout: 300 * time.Millisecond}, wire.Network{}).Send(t.Context(), request("x"))
	expect(t, result, delivery.OutcomeTransient, delivery.ClassHTTP5xx)
	if took := time.Since(began); took > patience.Prompt {
		t.Errorf("took %s", took)
	}
}

func TestACancelledAttempt(t *testing.T) {
	arrived := make(chan struct{})
	url := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server notices that the client is gone only after the body
		close(arrived)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	expect(t, newSender(t, delivery.HTTPDestination{URL: url}, wire.Network{}).Send(ctx, request("x")), delivery.OutcomeUnknown, delivery.ClassTimeout)
}

func TestHeadersThatBreakOut(t *testing.T) {
	url := receiver(t, func(http.ResponseWriter, *http.Request) { t.Error("sent") })
	s := newSender(t, delivery.HTTPDestination{URL: url}, wire.Network{})
	for name, value := range map[string]string{"X": "a\r\nY: b", "X Y": "a", "": "a", "Z": "a\x00"} {
		q := request("x")
		q.Message.Headers = map[string]string{name: value}
		expect(t, s.Send(t.Context(), q), delivery.OutcomePermanent, delivery.ClassBadRequest)
	}
	q := request("x")
	q.IdempotencyKey = "a\nb"
	expect(t, s.Send(t.Context(), q), delivery.OutcomePermanent, delivery.ClassBadRequest)
}

func TestTheAddressIsCheckedWhenDialling(t *testing.T) {
	url := receiver(t, func(http.ResponseWriter, *http.Request) { t.Error("received") })
	port := url[strings.LastIndex(url, ":"):]
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	for name, c := range map[string]struct {
		url string
		n   wire.Network
	}{
		"denied":         {url, wire.Network{Deny: []netip.Prefix{loopback}}},
		"denied by name": {"http://localhost" + port, wire.Network{Deny: []netip.Prefix{loopback, netip.MustParsePrefix("::1/128")}}},
		"not allowed":    {url, wire.Network{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}},
		"metadata":       {"http://169.254.169.254/latest/meta-data", wire.Network{}},
		"mapped":         {"http://[::ffff:169.254.169.254]/", wire.Network{Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}},
		"unspecified":    {"http://0.0.0.0" + port, wire.Network{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSender(t, delivery.HTTPDestination{URL: c.url, Timeout: 2 * time.Second}, c.n)
			expect(t, s.Send(t.Context(), request("x")), delivery.OutcomePermanent, delivery.ClassBlockedAddress)
		})
	}
}

func TestWrongDestinations(t *testing.T) {
	for _, d := range []delivery.HTTPDestination{{URL: "http://u:hunter2@[::1"}, {URL: "/x"}, {URL: "http://h", Secret: "whsec_***"}} {
		if _, err := New(d, wire.Dialer{}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v", d, err)
		}
	}
	if _, err := New(delivery.HTTPDestination{URL: "http://h", Secret: "any text"}, wire.Dialer{}); err != nil {
		t.Error(err)
	}
}

// An answer that repeats the request, as debugging receivers do, must not show the destination's credentials to people.
func TestAnswersDoNotRepeatCredentials(t *testing.T) {
	url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, strings.Repeat("-", delivery.MaxAnswer-10)+r.URL.String())
		_ = r.Header.Write(w)
		_, _ = io.WriteString(w, " unknown token t0ken-value")
	})
	short := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, r.URL.String()+" unknown token t0ken-value "+r.Header.Get("X-Shop"))
		_ = r.Header.Write(w)
	})
	for _, address := range []string{url, short} {
		d := delivery.HTTPDestination{URL: strings.Replace(address, "http://", "http://ann:pass-w0rd@", 1) + "/?api_key=qu3ry-key",
			Secret: "sign1ng-secret", Headers: map[string]string{"X-Api-Token": "Token t0ken-value", "X-Shop": "corner"}}
		text := string(newSender(t, d, wire.Network{}).Send(t.Context(), request("{}")).Response)
		for _, secret := range []string{"t0ken", "pass-w0rd", "qu3ry", "sign1ng", "YW5uOnBhc3Mt"} {
			if strings.Contains(text, secret) {
				t.Errorf("the answer shows %q: %s", secret, strings.TrimLeft(text, "-"))
			}
		}
		if address == short && !strings.Contains(text, "corner") {
			t.Errorf("what is no secret is hidden: %s", text)
		}
	}
}
