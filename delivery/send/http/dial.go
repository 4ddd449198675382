package httpsend

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync/atomic"

	"redrive/delivery/wire"
)

func tlsConfig() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }

// counting opens connections that count what is written to them.
func counting(d wire.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &countedConn{Conn: conn}, nil
	}
}

// countedConn counts what was handed to the network.
type countedConn struct {
	net.Conn
	written atomic.Int64
}

// Write counts before it writes: what fails half-way may have arrived.
func (c *countedConn) Write(b []byte) (int, error) {
	c.written.Add(int64(len(b)))
	return c.Conn.Write(b)
}

// progress knows whether a request left this machine.
type progress struct {
	conn   *countedConn
	before int64
	reused bool
}

func (p *progress) gotConn(info httptrace.GotConnInfo) {
	conn := info.Conn
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	if counted, ok := conn.(*countedConn); ok {
		p.conn, p.before, p.reused = counted, counted.written.Load(), info.Reused
	}
}

// any says whether a byte of the request was written.
func (p *progress) any() bool { return p.conn != nil && p.conn.written.Load() > p.before }

// closedUnused says that a kept connection turned out to be closed before anything was written to it.
func (p *progress) closedUnused() bool { return p.conn != nil && p.reused && !p.any() }
