package httpsend

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"redrive/delivery/wire"
)

func tlsConfig() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }

// counting opens connections that count what is written to them.
func counting(d wire.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		began := time.Now()
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := newCounted(conn)
		c.opened = time.Now()
		c.took = c.opened.Sub(began)
		return c, nil
	}
}

// drainPatience bounds the wait for the reader after a write has failed. What has arrived is read in no time.
const drainPatience = 10 * time.Second

// countedConn counts what was handed to the network. A receiver that answers and hangs up while the request is being written has
// answered: the failure of a write waits until what has arrived is read. The client takes no answer before there is a request;
// nothing is read before that.
type countedConn struct {
	net.Conn
	took    time.Duration // until it stood
	opened  time.Time
	written atomic.Int64
	begun   atomic.Int64  // of written when the present request began; -1 before the first
	asked   chan struct{} // closed with the first write
	ended   chan struct{} // closed when nothing more can be read
	ask     func()
	end     func()
}

func newCounted(conn net.Conn) *countedConn {
	c := &countedConn{Conn: conn, asked: make(chan struct{}), ended: make(chan struct{})}
	c.begun.Store(-1)
	c.ask = sync.OnceFunc(func() { close(c.asked) })
	c.end = sync.OnceFunc(func() { close(c.ended) })
	return c
}

// Read reads once something was written.
func (c *countedConn) Read(b []byte) (int, error) {
	if c.written.Load() == 0 {
		select {
		case <-c.asked:
		case <-c.ended:
			return 0, net.ErrClosed
		}
	}
	n, err := c.Conn.Read(b)
	if err != nil {
		c.end()
	}
	return n, err
}

// Close ends whoever waits.
func (c *countedConn) Close() error {
	c.end()
	return c.Conn.Close()
}

// drained waits until everything that has arrived was read, in the middle of a request.
func (c *countedConn) drained() {
	if begun := c.begun.Load(); begun < 0 || c.written.Load() == begun {
		return
	}
	patience := time.NewTimer(drainPatience)
	defer patience.Stop()
	select {
	case <-c.ended:
	case <-patience.C:
	}
}

// Write counts before it writes: what fails half-way may have arrived. A connection that the server has closed is noticed
// before anything is written to it.
func (c *countedConn) Write(b []byte) (int, error) {
	c.ask()
	if hungUp(c.Conn) {
		c.drained()
		return 0, io.ErrClosedPipe
	}
	c.written.Add(int64(len(b)))
	n, err := c.Conn.Write(b)
	if n == 0 && errors.Is(err, net.ErrClosed) { // the reader has just found out and closed it: nothing left this machine
		c.written.Add(-int64(len(b)))
	}
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		c.drained()
	}
	return n, err
}

// hungUp reports whether the other side has closed the connection and there is nothing left to read.
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
		closed = n == 0 && err == nil || errors.Is(err, syscall.ECONNRESET)
	})
	return closed
}

// progress knows whether a request left this machine.
type progress struct {
	conn    *countedConn
	before  int64
	reused  bool
	fresh   bool          // it was opened for this request
	secured time.Duration // that the handshake took
	got     time.Time     // the connection
	first   atomic.Int64  // nanoseconds from then to the first byte of the answer, which another goroutine reads
}

func (p *progress) gotConn(info httptrace.GotConnInfo) {
	conn := info.Conn
	secured, isSecured := conn.(*tls.Conn)
	if isSecured {
		conn = secured.NetConn()
	}
	p.got = time.Now()
	if counted, ok := conn.(*countedConn); ok {
		p.conn, p.before, p.reused = counted, counted.written.Load(), info.Reused
		counted.begun.Store(p.before)
		if p.fresh = !info.Reused && !info.WasIdle; p.fresh && isSecured {
			p.secured = p.got.Sub(counted.opened)
		}
	}
}

// gotFirst notes when the answer began.
func (p *progress) gotFirst() { p.first.Store(int64(time.Since(p.got))) }

// any reports whether a byte of the request was written.
func (p *progress) any() bool { return p.conn != nil && p.conn.written.Load() > p.before }

// closedUnused says that a kept connection turned out to be closed before anything was written to it.
func (p *progress) closedUnused() bool { return p.conn != nil && p.reused && !p.any() }
