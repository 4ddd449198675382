// Package wire is how every room reaches the network: the address rules, TLS, and the settings of each broker's client.
package wire

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"redrive/delivery"
)

// never are ranges that no configuration opens: they belong to the machine's own network segment and to the metadata and platform
// services of the clouds (most by 169.254.169.254; AWS by IPv6, Alibaba, Azure, Google by IPv6, Oracle), or they name no single host.
var never = prefixes("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "100.100.100.200/32", "168.63.129.16/32", "fd20:ce::254/128",
	"192.0.0.192/32", "0.0.0.0/8", "::/128", "224.0.0.0/4", "ff00::/8", "255.255.255.255/32")

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

// DialContext opens a TCP connection; a refused address is a *delivery.BlockedError.
func (g Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: 30 * time.Second, ControlContext: g.control}
	return dialer.DialContext(ctx, network, address)
}

func (g Dialer) control(ctx context.Context, network, address string, _ syscall.RawConn) error {
	if !g.Network.permits(network, address) {
		log := g.Log
		if log == nil {
			log = slog.Default()
		}
		log.WarnContext(ctx, "the network rules refuse an address", "address", address)
		return &delivery.BlockedError{}
	}
	return nil
}

// permits reads an address as the system is about to dial it. A socket in the file system is this machine.
func (n Network) permits(network, address string) bool {
	if network == "unix" {
		return n.Permits(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	at, err := netip.ParseAddrPort(address)
	return err == nil && n.Permits(at.Addr())
}

// Permits reports whether an address may be dialled. One that leads to an IPv4 address is refused where that one is.
func (n Network) Permits(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	within, translated := inner(a)
	for _, form := range append(within, a) {
		if contains(never, form) || contains(n.Deny, form) {
			return false
		}
	}
	return len(n.Allow) == 0 || contains(n.Allow, a) || translated && slices.ContainsFunc(within, func(form netip.Addr) bool { return contains(n.Allow, form) })
}

func contains(ranges []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(a) })
}
