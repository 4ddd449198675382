package services

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Proxy is a connection that can be broken. It runs within the test.
type Proxy struct {
	Addr string // host:port

	t     testing.TB
	proxy *toxiproxy.Proxy
}

// StartProxy leads to upstream (host:port) until the test ends.
func StartProxy(t testing.TB, upstream string) *Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := &Proxy{t: t, proxy: toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", upstream)}
	if err := p.proxy.Start(); err != nil {
		t.Fatalf("services: %v", err)
	}
	p.Addr = p.proxy.Listen
	t.Cleanup(p.proxy.Stop)
	return p
}

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
func (p *Proxy) LoseAnswers() { p.add("downstream") }

// Silence makes the connections half open: they stand, and nothing passes either way.
func (p *Proxy) Silence() {
	p.add("downstream")
	p.add("upstream")
}

func (p *Proxy) add(stream string) {
	p.t.Helper()
	toxic := fmt.Sprintf(`{"name": %q, "type": "timeout", "stream": %q, "attributes": {"timeout": 0}}`, stream, stream)
	if _, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		p.t.Fatalf("services: %v", err)
	}
}

// Cut closes all connections and takes no more.
func (p *Proxy) Cut() { p.proxy.Stop() }

// Heal is as good as new. Connections that lost data are closed.
func (p *Proxy) Heal() {
	p.t.Helper()
	p.proxy.Toxics.ResetToxics(context.Background())
	if err := p.proxy.Start(); err != nil && err != toxiproxy.ErrProxyAlreadyStarted {
		p.t.Fatalf("services: %v", err)
	}
}
