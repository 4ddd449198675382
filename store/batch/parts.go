package batch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/queue"
)

const (
	partSize     = 1 << 20
	partsAhead   = 2 // filled and not yet written
	rowsAtOnce   = 1000
	rowBytesOnce = 4 << 20
)

// partWriter stores what is written to it in parts. While one part is on its way to the database, the next is filled.
type partWriter struct {
	current []byte
	parts   chan []byte
	free    chan []byte
	done    chan struct{}
	err     error // of the database; read after done
	bytes   int64
	hash    hash.Hash
}

func newPartWriter(tx *gorm.DB, file string) *partWriter {
	w := &partWriter{
		current: make([]byte, 0, partSize),
		parts:   make(chan []byte, partsAhead),
		free:    make(chan []byte, partsAhead+1),
		done:    make(chan struct{}),
		hash:    sha256.New(),
	}
	go w.store(tx, file)
	return w
}

func (w *partWriter) store(tx *gorm.DB, file string) {
	defer close(w.done)
	n := 0
	for part := range w.parts {
		w.hash.Write(part)
		err := tx.Exec("INSERT INTO redrive.batch_parts (file_id, n, bytes) VALUES (?, ?, ?)", file, n, part).Error
		if err != nil {
			w.err = fmt.Errorf("storing the file's bytes: %w", err)
			return
		}
		n++
		w.free <- part[:0] // never blocks: it has room for every buffer there is
	}
}

// Write implements io.Writer.
func (w *partWriter) Write(p []byte) (int, error) {
	written := len(p)
	w.bytes += int64(written)
	for len(p) > 0 {
		n := min(len(p), partSize-len(w.current))
		w.current = append(w.current, p[:n]...)
		p = p[n:]
		if len(w.current) == partSize {
			if err := w.flush(); err != nil {
				return written - len(p), err
			}
		}
	}
	return written, nil
}

func (w *partWriter) flush() error {
	select {
	case w.parts <- w.current:
	case <-w.done:
		return w.err
	}
	select {
	case w.current = <-w.free:
	default:
		w.current = make([]byte, 0, partSize)
	}
	return nil
}

// close writes the rest and waits until everything is stored.
func (w *partWriter) close() error {
	var err error
	if len(w.current) > 0 {
		err = w.flush()
	}
	close(w.parts)
	<-w.done
	if err == nil {
		err = w.err
	}
	return err
}

// sum is the hash of everything, after close.
func (w *partWriter) sum() string { return hex.EncodeToString(w.hash.Sum(nil)) }

// rowWriter makes rows deliveries of their own.
type rowWriter struct {
	tx          *gorm.DB
	integration string
	size        int
	keys        []string
	payloads    [][]byte
}

// add takes one row and copies its bytes.
func (r *rowWriter) add(key string, payload []byte) error {
	r.keys, r.payloads = append(r.keys, delivery.Storable(key)), append(r.payloads, append([]byte(nil), payload...))
	r.size += len(payload)
	if len(r.keys) >= rowsAtOnce || r.size >= rowBytesOnce {
		return r.flush()
	}
	return nil
}

func (r *rowWriter) flush() error {
	if len(r.keys) == 0 {
		return nil
	}
	if err := queue.AddCommands(r.tx, r.integration, delivery.TypeBatchRow, nil, r.keys, r.payloads); err != nil {
		return fmt.Errorf("queueing rows: %w", err)
	}
	r.keys, r.payloads, r.size = r.keys[:0], r.payloads[:0], 0
	return nil
}
