package wire

import "net/netip"

// The ranges of IPv6 in which an address carries one of IPv4, and its bytes where it stands.
var (
	// Translators send these on to the IPv4 address itself: the well-known prefix of NAT64 (RFC 6052) and the one of a site's own
	// choice (RFC 8215), under which the address may stand in each place that RFC 6052 knows; and the stateless form (RFC 7915).
	translators = []carrier{
		{"64:ff9b::/96", [][4]int{{12, 13, 14, 15}}},
		{"64:ff9b:1::/48", [][4]int{{6, 7, 9, 10}, {7, 9, 10, 11}, {9, 10, 11, 12}, {12, 13, 14, 15}}},
		{"::ffff:0:0:0/96", [][4]int{{12, 13, 14, 15}}},
	}
	// Tunnels lead to the IPv4 address as their other end: 6to4 (RFC 3056), IPv4-compatible addresses (RFC 4291, 2.5.5.1).
	tunnels = []carrier{
		{"2002::/16", [][4]int{{2, 3, 4, 5}}},
		{"::/96", [][4]int{{12, 13, 14, 15}}},
	}
	teredo = netip.MustParsePrefix("2001::/32") // RFC 4380: the client's address stands at the end, each bit turned over
)

// carrier is a range with the places in which its addresses may carry one of IPv4.
type carrier struct {
	within string
	at     [][4]int
}

// isatap is what stands before the IPv4 address in the last eight bytes, in any range (RFC 5214); the second says that it is unique.
var isatap = [][4]byte{{0, 0, 0x5e, 0xfe}, {2, 0, 0x5e, 0xfe}}

// inner returns the IPv4 addresses that one of IPv6 leads to, if any, and whether it is but another form of them.
func inner(a netip.Addr) (within []netip.Addr, translated bool) {
	if a.Is4() || a == netip.IPv6Loopback() {
		return nil, false
	}
	bytes := a.As16()
	if within = carried(translators, a, bytes); within != nil {
		return within, true
	}
	within = carried(tunnels, a, bytes)
	if teredo.Contains(a) {
		within = append(within, netip.AddrFrom4([4]byte{^bytes[12], ^bytes[13], ^bytes[14], ^bytes[15]}), netip.AddrFrom4([4]byte(bytes[4:8])))
	}
	for _, mark := range isatap {
		if [4]byte(bytes[8:12]) == mark {
			within = append(within, netip.AddrFrom4([4]byte(bytes[12:])))
		}
	}
	return within, false
}

func carried(list []carrier, a netip.Addr, bytes [16]byte) (within []netip.Addr) {
	for _, c := range list {
		if !netip.MustParsePrefix(c.within).Contains(a) {
			continue
		}
		for _, at := range c.at {
			v4 := [4]byte{bytes[at[0]], bytes[at[1]], bytes[at[2]], bytes[at[3]]}
			if len(c.at) == 1 || v4[0] != 0 { // of several places, what stands in a wrong one begins with zeros as a rule
				within = append(within, netip.AddrFrom4(v4))
			}
		}
	}
	return within
}

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}
