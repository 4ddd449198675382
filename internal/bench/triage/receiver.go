package triage

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// receiver confirms everything, as soon as its gate is open.
type receiver struct {
	url    string
	server *http.Server
	gate   atomic.Pointer[chan struct{}] // closed: open
	got    atomic.Int64
}

func newReceiver() (*receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{url: "http://" + listener.Addr().String() + "/"}
	r.shut()
	r.open()
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = r.server.Serve(listener) }() // ends with close
	return r, nil
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if _, err := io.Copy(io.Discard, request.Body); err != nil {
		return
	}
	select {
	case <-*r.gate.Load():
		r.got.Add(1)
		w.WriteHeader(http.StatusNoContent)
	case <-request.Context().Done():
	}
}

// shut lets requests wait for their answers; once it is open again it stays so for them.
func (r *receiver) shut() {
	gate := make(chan struct{})
	r.gate.Store(&gate)
}

func (r *receiver) open() { close(*r.gate.Load()) }

func (r *receiver) close() { _ = r.server.Close() }
