package httpsend

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http/httptrace"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// never are ranges that no configuration opens: they belong to the machine's own network segment and to the metadata
// services of the clouds (AWS and most others, AWS by IPv6, Alibaba), or they name no single host.
var never = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("fd00:ec2::254/128"),
	netip.MustParsePrefix("100.100.100.200/32"), netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("ff00::/8"), netip.MustParsePrefix("255.255.255.255/32"),
}

// nat64 carries an IPv4 address in its last four bytes (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// blockedError says that the network rules refuse an address. It does not name it: error texts group failures.
type blockedError struct{}

func (*blockedError) Error() string { return "the network rules refuse the receiver's address" }

// guard checks the address that is really dialled, after the name was resolved, each time.
type guard struct {
	network Network
	log     *slog.Logger
}

func (g guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: 30 * time.Second, ControlContext: g.control}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &countedConn{Conn: conn}, nil
}

func (g guard) control(ctx context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !g.network.permits(at.Addr()) {
		g.log.WarnContext(ctx, "the network rules refuse an address", "address", address)
		return &blockedError{}
	}
	return nil
}

// permits says whether an address may be dialled.
func (n Network) permits(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		bytes := a.As16()
		a = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	if contains(never, a) || contains(n.Deny, a) {
		return false
	}
	return len(n.Allow) == 0 || contains(n.Allow, a)
}

func contains(ranges []netip.Prefix, a netip.Addr) bool {
	for _, p := range ranges {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func tlsConfig() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }

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
	return c.Conn.Write(b)
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
