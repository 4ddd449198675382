package httpsend

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/wire"
)

const refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Type: application/json\r\nContent-Length: 29\r\n\r\n{\"message\":\"over the quota.\"}"

// server serves connections by hand, one after the other, until the test ends.
func server(t *testing.T, secure *tls.Config, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
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
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			under := conn
			if secure != nil {
				conn = tls.Server(conn, secure)
			}
			serve(conn)
			_ = under.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String()
}

// head reads the head of a request and nothing of its body but what came with it.
func head(c net.Conn) bool {
	_, err := http.ReadRequest(bufio.NewReaderSize(c, 4096))
	return err == nil
}

func say(c net.Conn, text string) { _, _ = io.WriteString(c, text) } // the client may be gone

// A receiver that answers and hangs up while the body is still being written has answered.
func TestAnAnswerBeforeTheRequestWasRead(t *testing.T) {
	large := strings.Repeat("x", 4<<20)
	linger := func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) } // closing resets
	for name, c := range map[string]struct {
		payload string
		serve   func(net.Conn)
		words   string
	}{
		"closed with the body unread": {large, func(c net.Conn) { head(c); say(c, refusal) }, "over the quota."},
		"reset":                       {large, func(c net.Conn) { head(c); say(c, refusal); linger(c) }, "over the quota."},
		"half closed, then reset": {large, func(c net.Conn) {
			head(c)
			say(c, refusal)
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.CopyN(io.Discard, c, 100<<10)
			linger(c)
		}, "over the quota."},
		"half closed, the body read": {large, func(c net.Conn) {
			head(c)
			say(c, refusal)
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		}, "over the quota."},
		"before anything was read":    {large, func(c net.Conn) { say(c, refusal) }, "over the quota."},
		"before a small one was read": {"x", func(c net.Conn) { say(c, refusal) }, "over the quota."},
		"small, reset":                {"x", func(c net.Conn) { head(c); say(c, refusal); linger(c) }, "over the quota."},
		"a head in pieces":            {large, func(c net.Conn) { head(c); say(c, refusal[:20]); say(c, refusal[20:]) }, "over the quota."},
		"the head alone":              {large, func(c net.Conn) { head(c); say(c, refusal[:len(refusal)-29]); linger(c) }, ""},
		"half of the words":           {large, func(c net.Conn) { head(c); say(c, refusal[:len(refusal)-3]); linger(c) }, ""},
		"chunks that break off": {large, func(c net.Conn) {
			head(c)
			say(c, "HTTP/1.1 413 no\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nno way\r\n")
		}, "no way"},
		"a body until the end": {large, func(c net.Conn) { head(c); say(c, "HTTP/1.0 413 no\r\n\r\nno way") }, "no way"},
		"100 before":           {large, func(c net.Conn) { head(c); say(c, "HTTP/1.1 100 Continue\r\n\r\n"+refusal) }, "over the quota."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t, delivery.HTTPDestination{URL: "http://" + server(t, nil, c.serve), Timeout: time.Minute}, wire.Network{})
			for range 4 {
				s.transport.CloseIdleConnections() // it may be reset while the next request is on the way: that one has no answer
				result := s.Send(t.Context(), request(c.payload))
				if result.ErrorClass != delivery.ClassHTTP4xx || result.HTTPStatus != 413 || result.Words != c.words && c.words != "" {
					t.Fatalf("%s %q, status %d, %q: %q", result.Outcome, result.ErrorClass, result.HTTPStatus, result.Error, result.Words)
				}
			}
		})
	}
}

// The same over TLS, and on a connection that was used before.
func TestAnEarlyAnswerOnOtherConnections(t *testing.T) {
	large := strings.Repeat("x", 4<<20)
	pair, parsed := certificate(t, "localhost", time.Now().Add(time.Hour))
	address := server(t, &tls.Config{Certificates: []tls.Certificate{pair}}, func(c net.Conn) { head(c); say(c, refusal) })
	_, port, _ := net.SplitHostPort(address)
	secure := newSender(t, delivery.HTTPDestination{URL: "https://localhost:" + port, Timeout: time.Minute}, wire.Network{})
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	secure.transport.TLSClientConfig.RootCAs = pool
	kept := newSender(t, delivery.HTTPDestination{Timeout: time.Minute, URL: "http://" + server(t, nil, func(c net.Conn) {
		if head(c) {
			say(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			head(c)
			say(c, refusal)
		}
	})}, wire.Network{})
	for range 4 {
		expect(t, secure.Send(t.Context(), request(large)), delivery.OutcomePermanent, delivery.ClassHTTP4xx)
		expect(t, kept.Send(t.Context(), request("")), delivery.OutcomeOK, "")
		expect(t, kept.Send(t.Context(), request(large)), delivery.OutcomePermanent, delivery.ClassHTTP4xx)
	}
}

// What hangs up without an answer has given none, however much was written.
func TestNoAnswerStaysUnknown(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"closed":            func(c net.Conn) { head(c) },
		"reset":             func(c net.Conn) { head(c); _ = c.(*net.TCPConn).SetLinger(0) },
		"closed for itself": func(c net.Conn) { head(c); _ = c.(*net.TCPConn).CloseWrite(); _, _ = io.Copy(io.Discard, c) },
		"half a status":     func(c net.Conn) { head(c); say(c, "HTTP/1.1 41"); _ = c.(*net.TCPConn).SetLinger(0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t, delivery.HTTPDestination{URL: "http://" + server(t, nil, serve), Timeout: time.Minute}, wire.Network{})
			for range 4 {
				result := s.Send(t.Context(), request(strings.Repeat("x", 4<<20)))
				if result.Outcome != delivery.OutcomeUnknown || result.HTTPStatus != 0 {
					t.Fatalf("%s %q: %q", result.Outcome, result.ErrorClass, result.Error)
				}
			}
		})
	}
}
