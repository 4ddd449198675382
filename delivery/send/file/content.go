package filesend

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"io/fs"
	"sync"

	"redrive/delivery"
)

// item is what gets a name in the directory.
type item struct {
	name   string
	bytes  int64
	sha256 string
	open   func(context.Context) (*checked, error)
}

// content is the file itself.
func content(files Files, f delivery.BatchFile) item {
	return item{name: f.Name, bytes: f.Bytes, sha256: f.SHA256, open: func(ctx context.Context) (*checked, error) {
		source, err := files.Open(ctx, f.ID)
		if err != nil {
			return nil, &sourceError{err}
		}
		return &checked{ctx: ctx, source: source, hash: sha256.New(), left: f.Bytes, sha256: f.SHA256}, nil
	}}
}

// manifest is what the message says of the file: the same bytes on every attempt.
func manifest(f delivery.BatchFile) item {
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil { // it came from JSON
		panic(err)
	}
	raw = append(raw, '\n')
	sum := sha256.Sum256(raw)
	text := hex.EncodeToString(sum[:])
	return item{
		name:   f.Name + manifestSuffix,
		bytes:  int64(len(raw)),
		sha256: text,
		open: func(ctx context.Context) (*checked, error) {
			return &checked{
				ctx:    ctx,
				source: io.NopCloser(bytes.NewReader(raw)),
				hash:   sha256.New(),
				left:   int64(len(raw)),
				sha256: text,
			}, nil
		},
	}
}

// errCorrupt says that the stored bytes are not those whose hash was recorded.
var errCorrupt = errors.New("the stored bytes are not the recorded ones")

// sourceError is a failure to read what is to be sent.
type sourceError struct{ cause error }

func (e *sourceError) Error() string { return "reading the stored bytes: " + e.cause.Error() }

// Unwrap returns the cause.
func (e *sourceError) Unwrap() error { return e.cause }

func (e *sourceError) gone() bool { return errors.Is(e.cause, fs.ErrNotExist) }

// checked reads a file's bytes and hands the last of them over only if all of them are the recorded ones.
type checked struct {
	ctx    context.Context
	source io.ReadCloser
	sha256 string

	mu   sync.Mutex // the HTTP transport may still read when its answer is judged
	hash hash.Hash
	left int64
	err  error // why reading ended: io.EOF after everything
}

// Read is io.Reader's.
func (c *checked) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	n, err := 0, c.ctx.Err()
	if err == nil {
		n, err = c.source.Read(p)
	}
	c.hash.Write(p[:n])
	c.left -= int64(n)
	switch {
	case err != nil && c.ctx.Err() != nil: // whoever sends it has ended: the source is not to blame
		c.err = c.ctx.Err()
	case err != nil && !errors.Is(err, io.EOF):
		c.err = &sourceError{err}
	case c.left == 0:
		c.err = c.verify(err)
	case c.left < 0, err != nil:
		c.err = errCorrupt
	}
	if c.err != nil && !errors.Is(c.err, io.EOF) {
		return 0, c.err
	}
	return n, c.err
}

// verify is called after the last byte; err is what came with it.
func (c *checked) verify(err error) error {
	if err == nil {
		n := 0
		for n == 0 && err == nil {
			n, err = c.source.Read(make([]byte, 1))
		}
		if n > 0 {
			return errCorrupt
		}
	}
	switch {
	case !errors.Is(err, io.EOF):
		return &sourceError{err}
	case hex.EncodeToString(c.hash.Sum(nil)) != c.sha256:
		return errCorrupt
	}
	return io.EOF
}

// outcome reports whether everything was read; else why not.
func (c *checked) outcome() (complete bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.err, io.EOF) {
		return true, nil
	}
	return false, c.err
}

// Close closes the source.
func (c *checked) Close() error { return c.source.Close() }
