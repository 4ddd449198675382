package delivery

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// corpus are texts as others write them, whose dead letters bring them whole or whose answers have them in it: receivers, networks,
// databases, brokers, servers. Each line is another error; what stands in braces differs from one occurrence to the next. What our own
// senders make of answers is held against real ones in their packages.
var corpus = []string{
	// HTTP
	"order {number} is locked by another process",
	"no such article {sku}",
	"payment of order {number} was captured before, request {uuid}",
	"customer {number} has no billing address",
	"e-mail {email} is not deliverable",
	"ask again in {duration}",
	"unexpected status 401 Unauthorized for /v1/orders/{number}/lines?page={number}",
	"unexpected status 403 Forbidden for /v1/orders/{number}/lines?page={number}",
	"HTTP/1.1 504 Gateway Timeout (request {hex})",
	"HTTP/1.1 502 Bad Gateway (request {hex})",
	"server returned HTTP status 451 at {time}",
	"server returned HTTP status 507 at {time}",
	"server responded with 418 after {duration}",
	"server responded with 421 after {duration}",
	"status code: 413, body of {number} bytes is larger than 65536",
	"{\"error\":{\"code\":\"invalid_request\",\"id\":\"{uuid}\"}}",
	"{\"error\":{\"code\":\"rate_limited\",\"id\":\"{uuid}\"}}",
	"Post \"https://{host}/hooks/{number}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
	"Post \"https://{host}/hooks/{number}\": EOF",
	"http2: server sent GOAWAY and closed the connection; LastStreamID={number}, ErrCode=NO_ERROR",
	"http2: server sent GOAWAY and closed the connection; LastStreamID={number}, ErrCode=ENHANCE_YOUR_CALM",
	"invalid character '<' looking for beginning of value in response {hex}",
	// connections
	"dial tcp {address}: connect: connection refused",
	"dial tcp {address}: connect: network is unreachable",
	"dial tcp {address}: i/o timeout",
	"read tcp {address}->{address}: read: connection reset by peer",
	"write tcp {address}->{address}: write: broken pipe",
	"connect ECONNREFUSED {address}",
	"os error 111 while connecting to {address}",
	"os error 113 while connecting to {address}",
	// TLS
	"tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time {time} is after {time}",
	"tls: failed to verify certificate: x509: certificate signed by unknown authority",
	"tls: failed to verify certificate: x509: certificate is valid for shop.example, not api.example",
	"remote error: tls: handshake failure (alert 40)",
	"remote error: tls: handshake failure (alert 42)",
	"tls: first record does not look like a TLS handshake, peer {address}",
	"TLSv1.2 is required, the peer offered TLSv1.0",
	// DNS
	"lookup {host} on {address}: no such host",
	"lookup {host} on {address}: server misbehaving",
	"lookup {host}: i/o timeout after {duration}",
	"getaddrinfo EAI_AGAIN {host}",
	// SQL
	"ERROR: duplicate key value violates unique constraint \"orders_pkey\" (SQLSTATE 23505)",
	"ERROR: duplicate key value violates unique constraint \"invoices_number_key\" (SQLSTATE 23505)",
	"ERROR: insert or update on table \"lines\" violates foreign key constraint \"lines_order_fkey\" (SQLSTATE 23503)",
	"SQLSTATE 40001: could not serialize access, transaction {number}",
	"SQLSTATE 40P01: could not serialize access, transaction {number}",
	"Key (order_id, line)=({sku}, {number}) already exists.",
	"Key (customer_id)=({number}) is not present in table \"customers\".",
	"deadlock detected: process {number} waits for ShareLock on transaction {number}; blocked by process {number}",
	"invalid input syntax for type uuid: \"{word}\"",
	"invalid input syntax for type integer: \"{word}\"",
	"Error 1062 (23000): Duplicate entry '{sku}' for key 'orders.reference'",
	"Error 1213 (40001): Deadlock found when trying to get lock; try restarting transaction",
	"Error 1205 (HY000): Lock wait timeout exceeded; try restarting transaction",
	"ORA-00001: unique constraint (SHOP.ORDERS_PK) violated on row {number}",
	"ORA-00060: deadlock detected while waiting for resource of session {number}",
	"ORA-12541: TNS:no listener at {address}",
	"Msg 2627, Level 14, State 1: Violation of PRIMARY KEY, the value is {number}",
	"Msg 1205, Level 13, State 51: Transaction (Process ID {number}) was deadlocked",
	"E11000 duplicate key error collection: shop.orders index: ref_1 dup key: { ref: \"{sku}\" }",
	"value too long for type character varying({number}) in row {number}",
	// AMQP
	"Exception (404) Reason: \"NOT_FOUND - no queue 'orders' in vhost '/'\"",
	"Exception (404) Reason: \"NOT_FOUND - no exchange 'orders' in vhost '/'\"",
	"Exception (403) Reason: \"ACCESS_REFUSED - login was refused using authentication mechanism PLAIN\"",
	"Exception (406) Reason: \"PRECONDITION_FAILED - unknown delivery tag {number}\"",
	"no queue takes the message: 312 NO_ROUTE",
	"no queue takes the message: 313 NO_CONSUMERS",
	"the broker closed the connection before the message was sent: 320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
	"the broker closed the connection before the message was sent: 541 INTERNAL_ERROR",
	"channel {number} was closed, reply-code=504, delivery tag {number}",
	// Kafka
	"NOT_LEADER_FOR_PARTITION: partition {number} of topic orders at offset {number}",
	"UNKNOWN_TOPIC_OR_PARTITION: partition {number} of topic orders at offset {number}",
	"kafka error code 10: the message of {number} bytes is too large",
	"kafka error code 47: the producer epoch {number} is old",
	"leader of partitions [{list}] moved to broker {number}",
	"no in-sync replicas for partitions [{list}] at broker {number}",
	"the transaction {hex} timed out after {duration}",
	// SFTP and files
	"sftp: \"Permission denied\" (SSH_FX_PERMISSION_DENIED) for /in/{number}/orders.csv",
	"sftp: \"No such file\" (SSH_FX_NO_SUCH_FILE) for /in/{number}/orders.csv",
	"sftp: connection lost after {number} of {number} bytes",
	"ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain",
	"ssh: handshake failed: host key of {address} changed",
	"open /data/export/{number}/{hex}.csv: no space left on device",
	"open /data/export/{number}/{hex}.csv: too many open files",
	"the server keeps {number} of {number} bytes",
	// mail and others
	"smtp: 550 5.1.1 <{email}>: recipient address rejected",
	"smtp: 421 4.7.0 <{email}>: try again later",
	"user \"{word}\" may not write to topic orders",
	"java.lang.NullPointerException: at OrderService.reserve(OrderService.java:{number}), order {sku}",
	"java.lang.IllegalStateException: at OrderService.reserve(OrderService.java:{number}), order {sku}",
	"HRESULT 0x80070005 in call {number}",
	"HRESULT 0x80004005 in call {number}",
	"AADSTS50011: reply address of application {uuid} does not match, trace {uuid}",
	"AADSTS70002: credentials of application {uuid} are not valid, trace {uuid}",
	"job {ulid} of worker {number} panicked on {day}: index out of range",
	"job {ulid} of worker {number} panicked on {day}: nil map",
}

var kinds = map[string]func(*rapid.T, string) string{
	"number": func(t *rapid.T, l string) string {
		n := rapid.Int64Range(0, 1e15).Draw(t, l) >> rapid.IntRange(0, 49).Draw(t, l)
		return fmt.Sprint(n)
	},
	"duration": func(t *rapid.T, l string) string {
		return rapid.SampledFrom([]string{"5s", "1.5s", "250ms", "1m30s", "2h0m0.25s", "30 s"[:2] + "s"}).Draw(t, l)
	},
	"uuid": func(t *rapid.T, l string) string {
		h := hexOf(t, l, 32)
		return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	},
	"hex": func(t *rapid.T, l string) string {
		return hexOf(t, l, rapid.SampledFrom([]int{12, 16, 32, 40}).Draw(t, l))
	},
	"address": func(t *rapid.T, l string) string {
		host := rapid.SampledFrom([]string{"10.%d.0.%d:%d", "192.168.%d.%d:%d", "[2001:db8:%x::%x]:%d", "[fe80::%x:%x]:%d"}).Draw(t, l)
		return fmt.Sprintf(host, rapid.IntRange(0, 255).Draw(t, l), rapid.IntRange(0, 255).Draw(t, l), rapid.IntRange(1, 65535).Draw(t, l))
	},
	"host": func(t *rapid.T, l string) string { // the name stays, its numbers and port do not
		return fmt.Sprintf("edge-%d.partner.example:%d", rapid.IntRange(0, 5000).Draw(t, l), rapid.IntRange(1, 65535).Draw(t, l))
	},
	"time": func(t *rapid.T, l string) string {
		clock := fmt.Sprintf("%02d:%02d:%02d", rapid.IntRange(0, 23).Draw(t, l), rapid.IntRange(0, 59).Draw(t, l), rapid.IntRange(0, 59).Draw(t, l))
		day := fmt.Sprintf("%d-%02d-%02d", rapid.IntRange(1990, 2090).Draw(t, l), rapid.IntRange(1, 12).Draw(t, l), rapid.IntRange(1, 28).Draw(t, l))
		return rapid.SampledFrom([]string{day + "T" + clock + "Z", day + " " + clock + ".123456+09:00", strings.ReplaceAll(day, "-", "/") + " " + clock}).Draw(t, l)
	},
	"day": func(t *rapid.T, l string) string {
		return rapid.SampledFrom([]string{"04 Mar 2026 05:06:07 GMT", "11 Dec 2027 23:00:01 UTC", "01 May 2025 00:00:00 GMT"}).Draw(t, l)
	},
	"email": func(t *rapid.T, l string) string {
		return rapid.StringMatching(`[a-z]{1,8}([._+-][a-z0-9]{1,5})?@[a-z]{2,8}(\.[a-z]{2,6}){1,2}`).Draw(t, l)
	},
	"sku": func(t *rapid.T, l string) string {
		return fmt.Sprintf("SKU-%d", rapid.IntRange(0, 1e9).Draw(t, l))
	},
	"list": func(t *rapid.T, l string) string {
		return strings.Trim(strings.ReplaceAll(fmt.Sprint(rapid.SliceOfN(rapid.IntRange(0, 99), 1, 9).Draw(t, l)), " ", rapid.SampledFrom([]string{" ", ", ", ","}).Draw(t, l)), "[]")
	},
	"word": func(t *rapid.T, l string) string { return rapid.StringMatching(`[a-zA-Z0-9 .,_%-]{1,12}`).Draw(t, l) },
	"ulid": func(t *rapid.T, l string) string {
		return "01" + rapid.StringMatching(`[0-9A-HJKMNP-TV-Z]{24}`).Draw(t, l)
	},
}

func hexOf(t *rapid.T, l string, n int) string {
	b := []byte{}
	for len(b) < n {
		b = fmt.Appendf(b, "%016x", rapid.Uint64().Draw(t, l))
	}
	b = b[:n]
	b[rapid.IntRange(0, n-1).Draw(t, l)] = '7' // one digit at least
	return string(b)
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// occurrence is one occurrence of an error.
func occurrence(t *rapid.T, text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		if make := kinds[p[1:len(p)-1]]; make != nil {
			return make(t, p)
		}
		return p
	})
}

func TestTheCorpusIsLargeEnough(t *testing.T) {
	if len(corpus) < 60 {
		t.Errorf("%d texts", len(corpus))
	}
}

// Two occurrences of one error are one group, whatever differs between them; two errors never are.
func TestOccurrencesOfTheCorpus(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seen := map[string]string{}
		for _, text := range corpus {
			a, b := occurrence(t, text), occurrence(t, text)
			one, oneText := Fingerprint("push", "x", a)
			two, twoText := Fingerprint("push", "x", b)
			if one != two {
				t.Fatalf("%q and %q are two groups:\n%s\n%s", a, b, oneText, twoText)
			}
			if other, taken := seen[one]; taken {
				t.Fatalf("%q and %q share a group: %s", other, a, oneText)
			}
			seen[one] = a
		}
	})
}

// Whatever the text: it ends, it is short, valid, and the same again.
func TestNormaliseAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`([0-9a-f:.@\[\]"'=( -]|[A-Z]{1,4}|status|code|<n>){0,60}`), rapid.StringN(0, -1, 700)).Draw(t, "text")
		got := Normalise(text)
		if got != Normalise(text) || !utf8.ValidString(got) || utf8.RuneCountInString(got) > longestNormalised {
			t.Fatalf("%q becomes %q", text, got)
		}
	})
}

func TestCodesStayAndValuesGo(t *testing.T) {
	for in, want := range map[string]string{
		"the receiver answered 503: 4711 is locked":             "the receiver answered 503: <n> is locked",
		"order 503 not found":                                   "order <n> not found",
		"ERROR: null value in column \"name\" (SQLSTATE 23502)": "ERROR: null value in column \"name\" (SQLSTATE 23502)",
		"Duplicate entry 'ann weber' for key 'users.name'":      "Duplicate entry '<value>' for key 'users.name'",
		"doesn't exist, isn't there":                            "doesn't exist, isn't there",
		"x509 sha256 utf8 http2 IPv6":                           "x509 sha256 utf8 http2 IPv6",
		"no route to 10.1.2.3:443 since 05:06:07.89":            "no route to <address> since <time>",
		"fe80::1 is down, 2001:db8:0:0:0:0:0:1 too":             "<address> is down, <address> too",
		"the worker vanished before it reported an outcome":     "the worker vanished before it reported an outcome",
		"its integration left the integrations file":            "its integration left the integrations file",
		"   spaces \n\t everywhere  ":                           "spaces everywhere",
		"주문 4711 을 찾을 수 없습니다":                                   "주문 <n> 을 찾을 수 없습니다",
		"token eyJhbGciOiJIUzI1NiJ9 expired":                    "token <n> expired",
		"/v1/orders/4711/lines and /v2/orders/ord_8f3a2k":       "/v1/orders/<n>/lines and /v2/orders/ord_<n>",
		"1,234,567 rows, 12.5 %":                                "<n> rows, <n> %",
		strings.Repeat("é", 400):                                strings.Repeat("é", 300),
		"":                                                      "",
	} {
		if got := Normalise(in); got != want {
			t.Errorf("%q becomes\n%q, want\n%q", in, got, want)
		}
	}
}

func BenchmarkNormalise(b *testing.B) {
	text := "Post \"https://edge-17.partner.example:8443/hooks/4711\": read tcp 10.0.0.5:51234->10.1.2.3:443: request 0d4e7a4c-6f3e-4b43-9a55-0f1d2c3b4a59 at 2026-01-02T03:04:05Z: connection reset by peer"
	for b.Loop() {
		Normalise(text)
	}
}
