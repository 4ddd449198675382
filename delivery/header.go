package delivery

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// connectionHeaders speak of the connection.
var connectionHeaders = map[string]bool{
	"Host":              true,
	"Content-Length":    true,
	"Transfer-Encoding": true,
	"Connection":        true,
	"Keep-Alive":        true,
	"Proxy-Connection":  true,
	"Te":                true,
	"Trailer":           true,
	"Upgrade":           true,
	"Expect":            true,
}

// OwnHeader reports whether an HTTP header, in any letter case, is ours: neither a message nor an integration can set it.
func OwnHeader(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return name == "Idempotency-Key" || strings.HasPrefix(name, "Webhook-") || strings.HasPrefix(name, "Redrive-")
}

// ReservedHeader reports whether an HTTP header, in any letter case, is ours or the connection's: a message cannot set it.
func ReservedHeader(name string) bool {
	return connectionHeaders[http.CanonicalHeaderKey(name)] || OwnHeader(name)
}

// loginHeaders say who a caller is: a receiver takes them for Redrive's own.
var loginHeaders = map[string]bool{"Authorization": true, "Proxy-Authorization": true, "Cookie": true}

// LoginHeader reports whether an HTTP header, in any letter case and also as receivers that read names as variables (CGI) write it,
// says who the caller is: a message sets it only where the destination passes it on.
func LoginHeader(name string) bool {
	return loginHeaders[http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))]
}

// EncodeHeader writes any text as the value of an HTTP header, as CloudEvents does with attributes (HTTP binding 1.0.2, 3.1.3.2):
// each byte of what is no printable ASCII, a space, a quote or a percent sign becomes %XX.
func EncodeHeader(text string) string {
	toEncode := func(c byte) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '%' }
	if !slices.ContainsFunc([]byte(text), toEncode) { // as nearly always
		return text
	}
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; toEncode(c) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
