package httpsend

import (
	"context"
	"io"
	"sync"

	"redrive/delivery"
)

// Body is what one request carries instead of the message's payload.
type Body struct {
	URL    string            // instead of the destination's
	Header map[string]string // over the message's and the destination's
	Length int64             // bytes
	// Open returns the bytes from the start. It is called once for each connection that is tried; what it answers is closed
	// before SendBody returns.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// SendBody makes one attempt within the destination's timeout, with a body that is read while it is sent. It is not signed:
// a signature goes before the payload that it covers.
func (s *Sender) SendBody(ctx context.Context, r delivery.Request, b Body) delivery.Result {
	address, err := parse(b.URL)
	if err != nil {
		return badRequest(err)
	}
	for name, value := range b.Header {
		if err := checkHeader(name, value); err != nil {
			return badRequest(err)
		}
	}
	var open sync.WaitGroup
	source := b.Open
	b.Open = func(ctx context.Context) (io.ReadCloser, error) {
		body, err := source(ctx)
		if err != nil {
			return nil, err
		}
		open.Add(1)
		return &tracked{ReadCloser: body, closed: open.Done}, nil
	}
	header, err := s.header(r)
	if err != nil {
		return badRequest(err)
	}
	if err := s.sign(header, r, nil); err != nil {
		return badRequest(err)
	}
	for name, value := range b.Header {
		header.Set(name, value)
	}
	result := s.attempt(ctx, r, header, address, b)
	open.Wait() // the transport closes a body some time after an early answer
	return result
}

// tracked says when it was closed; the transport may do that more than once.
type tracked struct {
	io.ReadCloser
	once   sync.Once
	closed func()
}

// Close closes the source.
func (t *tracked) Close() error {
	err := t.ReadCloser.Close()
	t.once.Do(t.closed)
	return err
}
