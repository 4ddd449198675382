package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"
)

// addressOf says where requests come from: from whoever is connected, unless that is a proxy of the list. Of what proxies write down the
// last entry counts that is none of theirs; what stands before it, anybody can write.
func addressOf(proxies []netip.Prefix) echo.IPExtractor {
	direct := echo.ExtractIPDirect()
	if len(proxies) == 0 {
		return direct
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range proxies {
		options = append(options, echo.TrustIPRange(&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}))
	}
	last := echo.ExtractIPFromXFFHeader(options...)
	through := func(r *http.Request, list []string) string {
		return last(&http.Request{RemoteAddr: r.RemoteAddr, Header: http.Header{echo.HeaderXForwardedFor: list}})
	}
	return func(r *http.Request) string {
		plain, standard := plainHops(r.Header.Values(echo.HeaderXForwardedFor)), forwardedHops(r.Header.Values("Forwarded"))
		switch {
		case len(standard) == 0:
			return through(r, plain)
		case len(plain) == 0:
			return through(r, standard)
		}
		if address := through(r, plain); address == through(r, standard) {
			return address
		}
		return direct(r) // a proxy writes one of them, and lets the other through as it came
	}
}

// plainHops are the entries of X-Forwarded-For, each as an address alone.
func plainHops(values []string) (hops []string) {
	for _, value := range values {
		for _, hop := range strings.Split(value, ",") {
			hops = append(hops, hopAddress(hop))
		}
	}
	return hops
}

// forwardedHops are the addresses that Forwarded (RFC 7239) names, one for each element.
func forwardedHops(values []string) (hops []string) {
	for _, value := range values {
		for _, element := range strings.Split(value, ",") {
			hop := "unknown"
			for _, part := range strings.Split(element, ";") {
				if name, text, ok := strings.Cut(strings.TrimSpace(part), "="); ok && strings.EqualFold(name, "for") {
					hop = hopAddress(strings.Trim(text, `"`))
				}
			}
			hops = append(hops, hop)
		}
	}
	return hops
}

// hopAddress leaves out the port that some proxies write. What is no address stays none.
func hopAddress(text string) string {
	text = strings.TrimSpace(text)
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().String()
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		return strings.TrimSuffix(inner, "]")
	}
	return text
}
