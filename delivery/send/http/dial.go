package httpsend

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"syscall"

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

// Write counts before it writes: what fails half-way may have arrived. A connection that the server has closed is noticed
// before anything is written to it.
func (c *countedConn) Write(b []byte) (int, error) {
	if hungUp(c.Conn) {
		return 0, io.ErrClosedPipe
	}
	c.written.Add(int64(len(b)))
	n, err := c.Conn.Write(b)
	if n == 0 && errors.Is(err, net.ErrClosed) { // the reader has just found out and closed it: nothing left this machine
		c.written.Add(-int64(len(b)))
	}
	return n, err
}

// hungUp says whether the other side has closed the connection and there is nothing left to read.
func hungUp(conn net.Conn) (closed bool) {
	under, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := under.SyscallConn()
	if err != nil {
		return false
	}
	var one [1]byte
	_ = raw.Control(func(fd uintptr) { // an error means that it is closed on this side, which the write will say
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		closed = n == 0 && err == nil
	})
	return closed
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
