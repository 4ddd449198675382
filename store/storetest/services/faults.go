package services

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Proxy is a connection that can be broken. It runs within the test.
type Proxy struct {
	Addr string // host:port

	t     testing.TB
	proxy *toxiproxy.Proxy
	gate  *gate // behind it, before a Kafka; else nil
}

// StartProxy leads to upstream (host:port) until the test ends.
func StartProxy(t testing.TB, upstream string) *Proxy {
	t.Helper()
	var p *Proxy
	var err error
	for range 100 {
		if p, err = startProxy(t, fmt.Sprint("127.0.0.1:", quietPort()), upstream); !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	check(t, err)
	t.Cleanup(p.proxy.Stop)
	return p
}

func startProxy(t testing.TB, at, upstream string) (*Proxy, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := &Proxy{Addr: at, t: t, proxy: toxiproxy.NewProxy(server, t.Name(), at, upstream)}
	return p, p.proxy.Start()
}

// quietPort is none of the ports that the system gives to connections: while nobody listens there, none of them takes it.
func quietPort() int { return 20_000 + rand.IntN(12_000) }

// StartRabbitMQProxy leads to the broker of an address; URL is the same address by way of the proxy.
func StartRabbitMQProxy(t testing.TB, address string) (p *Proxy, URL string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal("services: the broker's address is none")
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "5672")
	}
	p = StartProxy(t, host)
	u.Host = p.Addr
	return p, u.String()
}

// LoseAnswers lets everything through to the server and nothing back.
func (p *Proxy) LoseAnswers() { p.add(Downstream) }

// Silence makes the connections half open: they stand, and nothing passes either way.
func (p *Proxy) Silence() {
	p.add(Downstream)
	p.add(Upstream)
}

// Streams of a connection.
const (
	Upstream   = "upstream"   // to the server
	Downstream = "downstream" // its answers
)

// CutAfter closes each new connection once n bytes have passed on a stream.
func (p *Proxy) CutAfter(stream string, n int) {
	p.t.Helper()
	p.toxic(fmt.Sprintf(`{"name": %q, "type": "limit_data", "stream": %q, "attributes": {"bytes": %d}}`, stream, stream, n))
}

// Delay lets everything arrive later, in both directions.
func (p *Proxy) Delay(d time.Duration) {
	p.t.Helper()
	for _, stream := range []string{Upstream, Downstream} {
		p.toxic(fmt.Sprintf(`{"name": "slow %s", "type": "latency", "stream": %q, "attributes": {"latency": %d}}`, stream, stream, d.Milliseconds()))
	}
}

func (p *Proxy) add(stream string) {
	p.t.Helper()
	p.toxic(fmt.Sprintf(`{"name": %q, "type": "timeout", "stream": %q, "attributes": {"timeout": 0}}`, stream, stream))
}

func (p *Proxy) toxic(toxic string) {
	p.t.Helper()
	if _, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		p.t.Fatalf("services: %v", err)
	}
}

// Cut closes all connections and takes no more.
func (p *Proxy) Cut() { p.proxy.Stop() }

// Drop closes all connections and takes new ones, under the same faults.
func (p *Proxy) Drop() {
	p.t.Helper()
	p.proxy.Stop()
	p.start()
}

// Heal is as good as new. Connections that lost data are closed.
func (p *Proxy) Heal() {
	p.t.Helper()
	p.proxy.Toxics.ResetToxics(context.Background())
	p.start()
}

func (p *Proxy) start() {
	p.t.Helper()
	if err := p.proxy.Start(); err != nil && !errors.Is(err, toxiproxy.ErrProxyAlreadyStarted) {
		p.t.Fatalf("services: %v", err)
	}
}
