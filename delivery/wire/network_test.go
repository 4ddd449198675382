package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"redrive/delivery"
)

func TestPermits(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1": true, "10.1.2.3": true, "::1": true, "2001:db8::1": true, "169.254.1.1": false,
		"fe80::1%eth0": false, "fd00:ec2::254": false, "fd00:ec2::23": false, "fd20:ce::254": false, "100.100.100.200": false,
		"168.63.129.16": false, "192.0.0.192": false, "::": false, "224.0.0.1": false, "ff02::1": false, "255.255.255.255": false, "0.0.0.0": false} {
		if got := (Network{}).Permits(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

// forms are all the ways in which an address of IPv6 carries one of IPv4.
func forms(a netip.Addr) map[string]netip.Addr {
	b := a.As4()
	low, high := fmt.Sprintf("%02x%02x:%02x%02x", b[0], b[1], b[2], b[3]), fmt.Sprintf("%02x%02x:%02x%02x", ^b[0], ^b[1], ^b[2], ^b[3])
	list := map[string]netip.Addr{"itself": a}
	for name, text := range map[string]string{
		"mapped":                    "::ffff:" + low,
		"compatible":                "::" + low,
		"translated":                "::ffff:0:" + low,
		"NAT64":                     "64:ff9b::" + low,
		"NAT64 of a site, /48":      fmt.Sprintf("64:ff9b:1:%02x%02x:%02x:%02x00::", b[0], b[1], b[2], b[3]),
		"NAT64 of a site, /56":      fmt.Sprintf("64:ff9b:1:%02x:%02x:%02x%02x::", b[0], b[1], b[2], b[3]),
		"NAT64 of a site, /64":      fmt.Sprintf("64:ff9b:1:0:%02x:%02x%02x:%02x00::", b[0], b[1], b[2], b[3]),
		"NAT64 of a site, /96":      "64:ff9b:1::" + low,
		"6to4":                      "2002:" + low + "::1",
		"Teredo":                    "2001:0:102:304::" + high,
		"Teredo's server":           "2001:0:" + low + "::fefd:fcfb",
		"ISATAP":                    "2001:db8::5efe:" + low,
		"ISATAP of a known address": "2001:db8::200:5efe:" + low,
	} {
		list[name] = netip.MustParseAddr(text)
	}
	return list
}

// What is refused as an IPv4 address is refused in every form that leads there, whatever is allowed besides.
func TestNoFormOfARefusedAddressIsDialled(t *testing.T) {
	everywhere := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	private := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		address string
		n       Network
		want    bool
	}{
		{"169.254.169.254", Network{}, false},
		{"169.254.169.254", Network{Allow: everywhere}, false},
		{"100.100.100.200", Network{}, false},
		{"168.63.129.16", Network{}, false},
		{"10.1.2.3", Network{Deny: private}, false},
		{"10.1.2.3", Network{Allow: everywhere, Deny: private}, false},
		{"10.1.2.3", Network{}, true},
		{"10.1.2.3", Network{Allow: everywhere}, true},
	} {
		for name, form := range forms(netip.MustParseAddr(c.address)) {
			if got := c.n.Permits(form); got != c.want {
				t.Errorf("%s as %s (%s) with %+v: %v", c.address, name, form, c.n, got)
			}
		}
	}
}

// A translator's address is but another form of what is allowed; the end of a tunnel is not what lies in it.
func TestWhatIsAllowedInOtherForms(t *testing.T) {
	n := Network{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	want := map[string]bool{"itself": true, "mapped": true, "translated": true, "NAT64": true, "NAT64 of a site, /48": true,
		"NAT64 of a site, /56": true, "NAT64 of a site, /64": true, "NAT64 of a site, /96": true}
	for name, form := range forms(netip.MustParseAddr("10.1.2.3")) {
		if got := n.Permits(form); got != want[name] {
			t.Errorf("%s (%s): %v", name, form, got)
		}
	}
}

// A socket in the file system is this machine.
func TestSocketsAreGuarded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct {
		n    Network
		want bool
	}{
		{Network{}, true},
		{Network{Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, false},
		{Network{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, false},
		{Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}, true},
	} {
		conn, err := Dialer{Network: c.n}.DialContext(context.Background(), "unix", path)
		if err == nil {
			_ = conn.Close()
		}
		var blocked *delivery.BlockedError
		if (err == nil) != c.want || !c.want && !errors.As(err, &blocked) {
			t.Errorf("%+v: %v", c.n, err)
		}
	}
}
