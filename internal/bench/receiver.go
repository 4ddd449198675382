package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const numberDigits = 16 // at the start of each payload

// Receiver is an HTTP endpoint on the loopback address that confirms everything and remembers when each message arrived.
type Receiver struct {
	server  *http.Server
	address string
	round   atomic.Pointer[round]
}

// round is what is expected until the next one.
type round struct {
	began      time.Time
	arrivals   []atomic.Int64 // nanoseconds since began; 0: not yet
	missing    atomic.Int64
	duplicates atomic.Int64
	complete   chan struct{}
}

// NewReceiver listens on a free port.
func NewReceiver() (*Receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Receiver{address: "http://" + listener.Addr().String() + "/"}
	r.server = &http.Server{Handler: http.HandlerFunc(r.receive), ReadHeaderTimeout: 10 * time.Second}
	r.Expect(0)
	go func() { _ = r.server.Serve(listener) }() // ends with Close
	return r, nil
}

// URL is where to post.
func (r *Receiver) URL() string { return r.address }

// Close ends the receiver and its connections.
func (r *Receiver) Close() { _ = r.server.Close() }

// Expect starts a round: the messages 0 to n-1 are to come.
func (r *Receiver) Expect(n int) {
	next := &round{began: time.Now(), arrivals: make([]atomic.Int64, n), complete: make(chan struct{})}
	next.missing.Store(int64(n))
	r.round.Store(next)
}

// Wait returns when every expected message has arrived at least once.
func (r *Receiver) Wait(ctx context.Context) error {
	current := r.round.Load()
	select {
	case <-current.complete:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d messages have not arrived: %w", current.missing.Load(), context.Cause(ctx))
	}
}

// Duplicates counts requests of this round beyond one for each message.
func (r *Receiver) Duplicates() int { return int(r.round.Load().duplicates.Load()) }

// Took is the time from the first arrival of the round to the last.
func (r *Receiver) Took() time.Duration {
	first, last := int64(math.MaxInt64), int64(0)
	for i := range r.round.Load().arrivals {
		if at := r.round.Load().arrivals[i].Load(); at > 0 {
			first, last = min(first, at), max(last, at)
		}
	}
	return time.Duration(last - first)
}

func (r *Receiver) arrival(n int) time.Time {
	current := r.round.Load()
	return current.began.Add(time.Duration(current.arrivals[n].Load()))
}

func (r *Receiver) receive(w http.ResponseWriter, request *http.Request) {
	at := time.Now()
	var digits [numberDigits]byte
	if _, err := io.ReadFull(request.Body, digits[:]); err != nil {
		http.Error(w, "the payload is too short", http.StatusBadRequest)
		return
	}
	if _, err := io.Copy(io.Discard, request.Body); err != nil {
		return
	}
	if err := r.round.Load().record(string(digits[:]), at); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *round) record(digits string, at time.Time) error {
	n, err := strconv.Atoi(strings.TrimPrefix(digits, `"`)) // a captured payload is JSON
	if err != nil || n < 0 || n >= len(r.arrivals) {
		return errors.New("nobody expects this message")
	}
	if !r.arrivals[n].CompareAndSwap(0, max(int64(at.Sub(r.began)), 1)) {
		r.duplicates.Add(1)
	} else if r.missing.Add(-1) == 0 {
		close(r.complete)
	}
	return nil
}

// Payload is the payload of message n.
func Payload(n, bytes int) []byte { return append(number(n), padding(bytes)...) }

func number(n int) []byte { return fmt.Appendf(nil, "%0*d", numberDigits, n) }

func padding(bytes int) []byte {
	pad := make([]byte, max(bytes-numberDigits, 0))
	for i := range pad {
		pad[i] = 'x'
	}
	return pad
}
