package web

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestWhereRequestsComeFrom(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.7/32"), netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("2001:db8:1::/64")}
	const proxy = "10.0.0.7:443"
	plain, standard := "X-Forwarded-For", "Forwarded"
	for name, c := range map[string]struct {
		from    string
		headers []string
		want    string
	}{
		"nothing in front":            {"192.0.2.1:5", nil, "192.0.2.1"},
		"a client says it is another": {"192.0.2.1:5", []string{plain, "198.51.100.1", standard, "for=198.51.100.1", "X-Real-Ip", "198.51.100.1"}, "192.0.2.1"},
		"a proxy says nothing":        {proxy, nil, "10.0.0.7"},
		"a proxy":                     {proxy, []string{plain, "192.0.2.1"}, "192.0.2.1"},
		"a client wrote before it":    {proxy, []string{plain, "198.51.100.1, 192.0.2.1"}, "192.0.2.1"},
		"in a line of its own":        {proxy, []string{plain, "198.51.100.1", plain, "192.0.2.1"}, "192.0.2.1"},
		"two proxies":                 {proxy, []string{plain, "198.51.100.1, 192.0.2.1, 10.0.1.9"}, "192.0.2.1"},
		"a proxy that is not listed":  {proxy, []string{plain, "192.0.2.1, 10.0.2.9"}, "10.0.2.9"},
		"rubbish before it":           {proxy, []string{plain, "rubbish, 192.0.2.1"}, "192.0.2.1"},
		"rubbish behind it":           {proxy, []string{plain, "192.0.2.1, rubbish"}, "10.0.0.7"},
		"with a port":                 {proxy, []string{plain, "192.0.2.1:4711"}, "192.0.2.1"},
		"IPv6 with a port":            {proxy, []string{plain, "[2001:db8::1]:4711"}, "2001:db8::1"},
		"IPv6":                        {"[2001:db8:1::5]:443", []string{plain, "2001:db8::1"}, "2001:db8::1"},
		"Forwarded":                   {proxy, []string{standard, `for=198.51.100.1, for=192.0.2.1;proto=https;by=10.0.0.7`}, "192.0.2.1"},
		"Forwarded with IPv6":         {proxy, []string{standard, `For="[2001:db8::1]:4711"`}, "2001:db8::1"},
		"Forwarded, one proxy hides":  {proxy, []string{standard, `for=192.0.2.1, for=_hidden`}, "10.0.0.7"},
		"Forwarded says no for":       {proxy, []string{standard, `for=192.0.2.1, proto=https`}, "10.0.0.7"},
		"both say the same":           {proxy, []string{standard, "for=192.0.2.1", plain, "192.0.2.1"}, "192.0.2.1"},
		"the client wrote the other":  {proxy, []string{standard, "for=198.51.100.1", plain, "192.0.2.1"}, "10.0.0.7"},
		"X-Real-IP is nobody's":       {proxy, []string{"X-Real-Ip", "198.51.100.1"}, "10.0.0.7"},
	} {
		r := &http.Request{RemoteAddr: c.from, Header: http.Header{}}
		for i := 0; i < len(c.headers); i += 2 {
			r.Header.Add(c.headers[i], c.headers[i+1])
		}
		if got := addressOf(proxies)(r); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if c.from[0] == '1' && c.from != proxy {
			continue
		}
		if got := addressOf(nil)(r); got != netip.MustParseAddrPort(c.from).Addr().String() {
			t.Errorf("%s, without a list: %s", name, got)
		}
	}
}
