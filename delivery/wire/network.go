// Package wire is how every room reaches the network: the address rules, TLS, and the settings of each broker's client.
package wire

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
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

// BlockedError says that the network rules refuse an address. It does not name it: error texts group failures.
type BlockedError struct{}

func (*BlockedError) Error() string { return "the network rules refuse the receiver's address" }

// Network is what may be dialled, besides the addresses that are always refused.
type Network struct {
	Allow []netip.Prefix // empty: everything
	Deny  []netip.Prefix
}

// Dialer opens connections. It checks the address that is really dialled, after the name was resolved, each time.
type Dialer struct {
	Network Network
	Log     *slog.Logger // nil: the default
}

// DialContext opens a TCP connection; a refused address is a *BlockedError.
func (g Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: 30 * time.Second, ControlContext: g.control}
	return dialer.DialContext(ctx, network, address)
}

func (g Dialer) control(ctx context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !g.Network.Permits(at.Addr()) {
		log := g.Log
		if log == nil {
			log = slog.Default()
		}
		log.WarnContext(ctx, "the network rules refuse an address", "address", address)
		return &BlockedError{}
	}
	return nil
}

// Permits reports whether an address may be dialled.
func (n Network) Permits(a netip.Addr) bool {
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
