package triage

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"redrive/delivery"
)

// route is one integration of the made-up company.
type route struct {
	name, kind string // of message
	method     delivery.Method
	to         string // destination, as the integrations file has it
}

// The first one has the large group. None of these addresses answers but the receiver's, and nothing of theirs is due.
var routes = []route{
	{
		"orders-erp",
		"order.placed",
		delivery.MethodOutbox,
		"http",
	},
	{"orders-warehouse", "order.placed", delivery.MethodOutbox, "http"},
	{
		"orders-invoicing",
		"order.placed",
		delivery.MethodOutbox,
		"http",
	},
	{"orders-analytics", "order.placed", delivery.MethodPool, "http"},
	{
		"payments-ledger",
		"payment.captured",
		delivery.MethodOutbox,
		"http",
	},
	{"payments-fraud", "payment.captured", delivery.MethodPool, "http"},
	{
		"payments-notice",
		"payment.captured",
		delivery.MethodOutbox,
		"redis",
	},
	{"refunds-bank", "refund.requested", delivery.MethodOutbox, "http"},
	{
		"shipping-carrier",
		"parcel.packed",
		delivery.MethodOutbox,
		"http",
	},
	{"shipping-notice", "parcel.shipped", delivery.MethodOutbox, "http"},
	{
		"shipping-labels",
		"parcel.packed",
		delivery.MethodBatch,
		"file",
	},
	{"returns-warehouse", "return.announced", delivery.MethodOutbox, "http"},
	{
		"stock-marketplace",
		"stock.changed",
		delivery.MethodOutbox,
		"http",
	},
	{"stock-display", "stock.changed", delivery.MethodOutbox, "redis"},
	{
		"prices-marketplace",
		"price.changed",
		delivery.MethodOutbox,
		"http",
	},
	{"customers-crm", "customer.changed", delivery.MethodPool, "http"},
	{
		"customers-newsletter",
		"customer.changed",
		delivery.MethodPool,
		"http",
	},
	{"login-sms", "login.requested", delivery.MethodPool, "http"},
	{
		"points-partner",
		"points.earned",
		delivery.MethodBatch,
		"file",
	},
	{"search-index", "article.changed", delivery.MethodOutbox, "http"},
}

const (
	groupsOfRoute = 10 // fingerprints of each integration
	largeShare    = 0.4
)

// shape is a failure group to be.
type shape struct {
	n, status                      int
	integration, kind, class, text string
	id, message                    string // of the group
	young                          bool   // began in the last hours
	open, settled                  int
}

// sample is a text's arguments for the fingerprint.
var sample = strings.NewReplacer("%1$s", "104711001", "%2$s", "4711", "%3$s", "10.1.2.3", "%4$s", "ann.17@mail.example",
	"%5$s", "0d4e7a4c-6f3e-4b43-9a55-0f1d2c3b4a59", "%6$s", "2026-03-04T05:06:07Z", "%7$s", "1234", "%8$s", "5")

// shapes returns the groups with how many failures each has. A few have most; those beyond the usual ones, up to groups, have one open each.
func shapes(why []reason, open, settled, groups int) []shape {
	var list []shape
	for i, r := range routes {
		for j := range groupsOfRoute {
			e := why[(i+j)%len(why)]
			s := shape{n: len(list) + 1, status: e.status, integration: r.name, kind: r.kind, class: e.class, text: e.text}
			s.id, s.message = delivery.Fingerprint(r.name, e.class, sample.Replace(e.text))
			s.young = len(list)%31 == 17
			list = append(list, s)
		}
	}
	few := small(why, len(list), groups)
	for _, s := range few {
		open, settled = open-s.open, settled-s.settled
	}
	large := int(float64(open) * largeShare)
	list[0].open = large
	share(list, open-large, func(s *shape) *int { return &s.open }, func(i int) bool { return i > 0 })
	share(list, settled, func(s *shape) *int { return &s.settled }, func(i int) bool { return !list[i].young })
	return append(list, few...)
}

// small are groups of single failures: receivers that name one of many stations.
func small(why []reason, from, to int) (list []shape) {
	for i := from; i < to; i++ {
		r, e := routes[i%len(routes)], why[i/len(routes)%len(why)]
		s := shape{n: i + 1, status: e.status, integration: r.name, kind: r.kind, class: e.class, text: e.text + ", station " + station(i), open: 1,
			settled: i % 3, young: i%31 == 17}
		if s.young {
			s.settled = 0
		}
		s.id, s.message = delivery.Fingerprint(r.name, e.class, sample.Replace(s.text))
		list = append(list, s)
	}
	return list
}

// station is a word for a number, without digits and what looks like a number in hexadecimal.
func station(n int) string {
	const letters = "ghijklmnopqrstuvwxyz"
	word := ""
	for range 4 {
		word, n = word+letters[n%len(letters):][:1], n/len(letters)
	}
	return word + "wick"
}

// share divides total among those chosen in inverse proportion to a rank that is no order of the list.
func share(list []shape, total int, of func(*shape) *int, chosen func(int) bool) {
	weight, sum := make([]float64, len(list)), 0.0
	for i := range list {
		if chosen(i) {
			weight[i] = 1 / math.Pow(float64((i*77+13)%len(list)+1), 0.9)
			sum += weight[i]
		}
	}
	left, last := total, 0
	for i := range list {
		if chosen(i) {
			*of(&list[i]) = int(float64(total) * weight[i] / sum)
			left, last = left-*of(&list[i]), i
		}
	}
	*of(&list[last]) += left
}

// bounds are where each shape's part of 0..total-1 begins.
func bounds(list []shape, of func(shape) int) []int64 {
	starts, at := make([]int64, len(list)), int64(0)
	for i, s := range list {
		starts[i] = at
		at += int64(of(s))
	}
	return starts
}

// configFile writes the integrations file; everything that is sent by HTTP goes to receiver.
func configFile(dir, receiver string) (path string, err error) {
	var b strings.Builder
	b.WriteString("integrations:\n")
	for _, r := range routes {
		fmt.Fprintf(&b,
			"  - name: %s\n    description: Made for measuring\n    method: %s\n    idempotent: true\n    destination:\n",
			r.name, r.method)
		switch r.to {
		case "http":
			fmt.Fprintf(&b, "      http: {url: %q, timeout: 60s}\n", receiver)
		case "redis":
			b.WriteString("      redis: {addr: \"127.0.0.1:9\", channel: bench}\n")
		case "file":
			fmt.Fprintf(&b, "      file: {format: csv, to: {dir: %q}}\n", dir)
			b.WriteString("    batch: {schedule: \"0 0 1 1 *\", missed: skip, query: \"SELECT 1 AS id\"}\n")
		}
	}
	path = filepath.Join(dir, "integrations.yaml")
	return path, os.WriteFile(path, []byte(b.String()), 0o600)
}

// integrations are the same for a store that writes data before any program has served it.
func integrations() []delivery.Integration {
	list := make([]delivery.Integration, len(routes))
	for i, r := range routes {
		list[i] = delivery.Integration{
			Name:        r.name,
			Method:      r.method,
			Idempotent:  true,
			Retry:       delivery.DefaultRetry,
			OnFailure:   delivery.StateDead,
			Concurrency: 1,
			Destination: delivery.Destination{To: &delivery.HTTPDestination{URL: "http://127.0.0.1:9/"}},
		}
	}
	return list
}
