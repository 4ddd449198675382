package filesend

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"redrive/delivery"
)

const (
	large      = 200 << 20
	largestUse = 24 << 20 // of the heap beyond what was there before
)

// A file of 200 MB is never held in memory, wherever it goes.
func TestLargeFilesStream(t *testing.T) {
	source := &endless{size: large}
	f := describeLarge(t, source)
	send := func(t *testing.T, d delivery.FileDestination) {
		t.Helper()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		source.peak.Store(0)
		d.Timeout = 2 * time.Minute
		began := time.Now()
		expect(t, newSender(t, d, source).Send(t.Context(), request(f, 1)), delivery.OutcomeOK, "")
		if use := int64(source.peak.Load()) - int64(m.HeapAlloc); use > largestUse || source.peak.Load() == 0 {
			t.Errorf("%d MB of memory", use>>20)
		} else {
			t.Logf("%.1f MB of memory, %.0f MB/s", float64(use)/(1<<20), large/(1<<20)/time.Since(began).Seconds())
		}
	}
	everywhere(t, func(t *testing.T, d delivery.FileDestination, dir string) {
		send(t, d)
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() != large {
			t.Errorf("%v: %v", info, err)
		}
	})
	t.Run("upload", func(t *testing.T) {
		var sum string
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			hash := sha256.New()
			_, _ = io.Copy(hash, r.Body)
			sum = hex.EncodeToString(hash.Sum(nil)) + r.Header.Get("Content-Length")
		}))
		defer server.Close()
		send(t, delivery.FileDestination{Upload: &delivery.HTTPDestination{URL: server.URL}})
		if sum != f.SHA256+strconv.Itoa(large) {
			t.Error("other bytes arrived")
		}
	})
}

func describeLarge(t *testing.T, source *endless) delivery.BatchFile {
	t.Helper()
	r, err := source.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, r); err != nil {
		t.Fatal(err)
	}
	f := describe(name, nil)
	f.Bytes, f.SHA256 = large, hex.EncodeToString(hash.Sum(nil))
	return f
}

// endless makes size bytes without keeping them, and notes the largest heap on the way.
type endless struct {
	size int64
	peak atomic.Uint64
}

const pattern = 1 << 20

func (e *endless) Open(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(&flow{e: e, left: e.size, block: noise(pattern)}), nil
}

type flow struct {
	e     *endless
	left  int64
	block []byte
}

func (f *flow) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	at := (f.e.size - f.left) % pattern
	n := copy(p[:min(int64(len(p)), f.left)], f.block[at:])
	f.left -= int64(n)
	if at+int64(n) == pattern {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		f.e.peak.Store(max(f.e.peak.Load(), m.HeapAlloc))
	}
	return n, nil
}
