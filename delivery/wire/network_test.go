package wire

import (
	"net/netip"
	"testing"
)

func TestPermits(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1": true, "10.1.2.3": true, "2001:db8::1": true, "169.254.1.1": false, "fe80::1%eth0": false,
		"::ffff:169.254.169.254": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b::102:304": true, "fd00:ec2::254": false, "100.100.100.200": false,
		"::": false, "224.0.0.1": false, "255.255.255.255": false} {
		if got := (Network{}).Permits(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}
