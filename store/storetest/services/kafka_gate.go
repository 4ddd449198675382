package services

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// gate is a part of the way to a broker that knows what is asked: a fault that is about one request begins with just that one,
// whatever else the client asks meanwhile.
type gate struct {
	broker string // host:port
	strike atomic.Pointer[strike]
}

// strike is a fault that begins with the first request of a kind.
type strike struct {
	key   int16
	torn  bool // half of that request reaches the broker
	begin func()
	begun atomic.Bool
	asked atomic.Int64
}

// startGate returns a gate before a listener of Kafka's, and its address (host:port). It stands until the test ends.
func startGate(t testing.TB, broker string) (g *gate, at string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	g = &gate{broker: broker}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // the test has ended
			}
			go g.lead(client)
		}
	}()
	return g, listener.Addr().String()
}

func (g *gate) lead(client net.Conn) {
	defer client.Close()
	broker, err := net.Dial("tcp", g.broker)
	if err != nil {
		return // the client is told by the end of its connection
	}
	go func() {
		defer broker.Close()
		g.requests(broker, bufio.NewReader(client))
	}()
	_, _ = io.Copy(client, broker)
}

// requests lets a client's requests through, one by one: a size (4 bytes), then that many, of which the first two are the kind.
func (g *gate) requests(to io.Writer, from *bufio.Reader) {
	for {
		head, err := from.Peek(6)
		if err != nil {
			return
		}
		size := 4 + int64(binary.BigEndian.Uint32(head))
		if s := g.strike.Load(); s != nil && s.key == int16(binary.BigEndian.Uint16(head[4:])) {
			if !s.begun.Swap(true) {
				if s.torn {
					_, _ = io.CopyN(to, from, size/2) // an error tears it too
				}
				s.begin()
			}
			if s.asked.Add(1) == 1 && s.torn {
				return
			}
		}
		if _, err := io.CopyN(to, from, size); err != nil {
			return
		}
	}
}

// LoseAnswersTo lets everything pass until the client makes a request of a kind (a Kafka API key): that one still reaches the
// broker, and from then on nothing comes back, as with [Proxy.LoseAnswers]. It returns how many requests of the kind have come since: the
// fault has struck with the first, and a later one shows that the client asks again.
func (p *Proxy) LoseAnswersTo(key int16) (asked func() int) {
	return p.strike(&strike{key: key, begin: p.LoseAnswers})
}

// CutWithin is the same of a request in whose middle all connections end, as with [Proxy.Cut].
func (p *Proxy) CutWithin(key int16) (asked func() int) {
	return p.strike(&strike{key: key, torn: true, begin: p.Cut})
}

func (p *Proxy) strike(s *strike) (asked func() int) {
	p.t.Helper()
	p.gate.strike.Store(s)
	return func() int { return int(s.asked.Load()) }
}
