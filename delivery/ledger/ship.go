package ledger

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"

	"redrive/delivery"
)

// Syslog is a collector that speaks RFC 5424 over TCP or TLS (RFC 6587 and 5425: octets are counted). It acknowledges nothing: what it was given
// counts as taken once the connection has taken it and was closed in order.
type Syslog struct {
	Address string // host:port
	TLS     *tls.Config
	Dial    delivery.Dial
}

// Name says what the place is.
func (Syslog) Name() string { return "syslog" }

// Ship sends each entry as one message.
func (s Syslog) Ship(ctx context.Context, entries []delivery.AuditEntry) (err error) {
	conn, err := s.Dial(ctx, "tcp", s.Address)
	if err != nil {
		return unwrapped(err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if s.TLS != nil {
		secured := tls.Client(conn, s.TLS)
		if err := secured.HandshakeContext(ctx); err != nil {
			return err
		}
		conn = secured
	}
	host, _ := os.Hostname()
	var b bytes.Buffer
	for _, e := range entries {
		m := message(host, e)
		fmt.Fprintf(&b, "%d %s", len(m), m)
	}
	_, err = conn.Write(b.Bytes())
	return err
}

// priority is facility 13 (log audit), severity 6 (informational).
const priority = 13*8 + 6

func message(host string, e delivery.AuditEntry) []byte {
	if host == "" {
		host = "-"
	}
	at := e.At.UTC().Format("2006-01-02T15:04:05.000000Z")
	head := fmt.Sprintf("<%d>1 %s %s redrive %d audit - ", priority, at, host, os.Getpid())
	return append([]byte(head), bytes.TrimSuffix(Line(e), []byte("\n"))...)
}

// Collector is an address that takes entries as lines of JSON.
type Collector struct {
	URL    string
	Client *http.Client
}

// Name says what the place is.
func (Collector) Name() string { return "collector" }

// Ship posts entries; an answer of success acknowledges all.
func (c Collector) Ship(ctx context.Context, entries []delivery.AuditEntry) error {
	var b bytes.Buffer
	for _, e := range entries {
		b.Write(Line(e))
	}
	_, _, err := post(ctx, c.Client, c.URL, "application/x-ndjson", b.Bytes())
	return err
}

// Means is how places outside are reached.
type Means struct {
	Dial   delivery.Dial
	Client *http.Client
}

var errShip = errors.New("an address such as syslog+tls://logs.example.com:6514, syslog+tcp://10.0.0.7:601 or https://logs.example.com/audit")

// ParseShipper makes the collector that an address names.
func ParseShipper(address string, m Means) (Shipper, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, errShip
	}
	switch u.Scheme {
	case "http", "https":
		return Collector{address, m.Client}, nil
	case "syslog+tcp", "syslog+tls":
		host, _, err := net.SplitHostPort(u.Host)
		if err != nil || u.User != nil || u.RawQuery != "" || u.Path != "" {
			return nil, errShip
		}
		s := Syslog{Address: u.Host, Dial: m.Dial}
		if u.Scheme == "syslog+tls" {
			s.TLS = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
		}
		return s, nil
	}
	return nil, errShip
}
