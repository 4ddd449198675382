package pool

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"redrive/delivery"
)

const (
	adoptEvery  = 10 * time.Second // segments of processes that died meanwhile
	firstImport = time.Second
	lastImport  = 30 * time.Second
	importPause = 200 * time.Millisecond // collects what comes meanwhile in one segment
)

// importLoop moves what the journal has into the store: at the start what earlier processes left, then whatever comes.
func (p *Pool) importLoop(ctx context.Context) {
	wait := firstImport
	for {
		if err := p.importAll(ctx); err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "importing the journal failed, will be tried again", "wait", wait, "error", err)
			if !delivery.Pause(ctx, wait) {
				return
			}
			wait = min(wait*2, lastImport)
			continue
		}
		wait = firstImport
		select {
		case <-ctx.Done():
			return
		case <-p.journal.fresh:
			delivery.Pause(ctx, importPause)
		case <-time.After(adoptEvery):
		}
	}
}

func (p *Pool) importAll(ctx context.Context) error {
	if err := p.journal.adopt(); err != nil {
		p.log.ErrorContext(ctx, "a journal cannot be read", "error", err)
	}
	if err := p.importRetired(ctx); err != nil {
		return err // the active segment goes on, so that their number stays small while the store is away
	}
	p.journal.retire()
	return p.importRetired(ctx)
}

func (p *Pool) importRetired(ctx context.Context) error {
	for s := p.journal.oldest(); s != nil; s = p.journal.oldest() {
		if err := p.importSegment(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// importSegment parks all records of a segment, then removes it. A record that is parked already changes nothing.
func (p *Pool) importSegment(ctx context.Context, s *segment) error {
	p.journal.settle(s)
	r := newReader(s)
	total := 0
	for {
		batch, err := r.next()
		if err != nil {
			return fmt.Errorf("reading %s: %w", s.path, err)
		}
		if len(batch) == 0 {
			break
		}
		refused, err := p.parkImported(ctx, batch)
		if err != nil {
			return err
		}
		if err := p.journal.keepRefused(s, refused); err != nil {
			return err
		}
		total += len(batch) - len(refused)
	}
	if r.torn > 0 || r.skipped > 0 {
		p.log.ErrorContext(ctx, "a journal was not whole; it is kept as .damaged for you to look at and delete", "file", s.path,
			"imported", total, "unreadable_records", r.skipped, "torn_bytes_at_the_end", r.torn)
	} else if total > 0 {
		p.log.InfoContext(ctx, "the journal was imported", "messages", total)
	}
	return p.journal.drop(s, r.torn > 0 || r.skipped > 0)
}

// parkImported parks a batch; when one record spoils it, each for itself. It returns those that the store does not take, so
// that they do not hold up the others.
func (p *Pool) parkImported(ctx context.Context, batch []record) (refused []record, err error) {
	for i := range batch {
		batch[i] = p.addressed(batch[i])
	}
	if err := p.park(ctx, batch); err == nil || !p.storeAnswers(ctx) {
		return nil, err
	}
	for _, r := range batch {
		err := p.park(ctx, []record{r})
		if err == nil {
			continue
		}
		if !p.storeAnswers(ctx) {
			return nil, err
		}
		p.log.ErrorContext(ctx, "the database refuses a message of the journal; it is kept as .refused", "integration",
			r.Parked.Integration, "delivery", r.Parked.DeliveryID, "message", r.Parked.Message.ID, "error", err)
		refused = append(refused, r)
	}
	return refused, nil
}

// storeAnswers tells a store that is away from one that refuses something.
func (p *Pool) storeAnswers(ctx context.Context) bool {
	query, cancel := context.WithTimeout(ctx, parkTimeout)
	defer cancel()
	_, err := p.cfg.Store.AcceptedByKey(query, delivery.Message{})
	return err == nil || errors.Is(err, delivery.ErrNotFound)
}

// addressed makes a dead letter of what waits for an integration that left the file meanwhile: nobody would ever take it.
func (p *Pool) addressed(r record) record {
	for _, in := range p.cfg.Integrations {
		if in.Name == r.Parked.Integration {
			return r
		}
	}
	if r.Parked.Next == delivery.StatePending {
		r.Parked.Next = delivery.StateDead
		r.Parked.Attempts = append(r.Parked.Attempts,
			delivery.Attempt{Number: len(r.Parked.Attempts) + 1, StartedAt: time.Now(), Outcome: delivery.OutcomePermanent,
				ErrorClass: delivery.ClassNoIntegration, Error: delivery.ErrorNoRoute})
	}
	return r
}

// reader reads the records of a segment in batches.
type reader struct {
	in      *bufio.Reader
	left    int64 // bytes
	skipped int   // records in the middle that are damaged
	torn    int64 // bytes at the end that make no record: an append that a crash cut off
}

func newReader(s *segment) *reader {
	size := s.written
	return &reader{in: bufio.NewReaderSize(io.NewSectionReader(s.file, 0, size), 256<<10), left: size}
}

// next returns the next batch, an empty one at the end.
func (r *reader) next() (batch []record, err error) {
	size := 0
	for len(batch) < parkBatch && size < parkBytes {
		raw, whole, err := r.record()
		if err != nil || raw == nil {
			return batch, err
		}
		var rec record
		if !whole || json.Unmarshal(raw, &rec) != nil || rec.Parked.DeliveryID == "" {
			if r.left == 0 {
				r.torn += int64(recordHead + len(raw))
				return batch, nil
			}
			r.skipped++
			continue
		}
		size += len(raw)
		batch = append(batch, rec)
	}
	return batch, nil
}

// record returns the next record's bytes, nil at the end; whole says that its checksum fits.
func (r *reader) record() (raw []byte, whole bool, err error) {
	if err := r.magic(); err != nil || r.left == 0 {
		return nil, false, err
	}
	head, err := r.in.Peek(int(min(r.left, recordHead)))
	if err != nil {
		return nil, false, err
	}
	if len(head) < recordHead {
		return nil, false, r.stop()
	}
	length, sum := binary.LittleEndian.Uint32(head), binary.LittleEndian.Uint32(head[4:])
	if length == 0 || length > maxRecord || int64(length)+recordHead > r.left {
		return nil, false, r.stop()
	}
	raw = make([]byte, length)
	if _, err := r.in.Discard(recordHead); err != nil {
		return nil, false, err
	}
	if _, err := io.ReadFull(r.in, raw); err != nil {
		return nil, false, err
	}
	r.left -= recordHead + int64(length)
	return raw, crc32.Checksum(raw, castagnoli) == sum, nil
}

// magic passes over the beginning of a file; a file without it holds nothing readable.
func (r *reader) magic() error {
	begin, err := r.in.Peek(len(segmentMagic))
	if bytes.Equal(begin, []byte(segmentMagic)) {
		_, err = r.in.Discard(len(segmentMagic))
		r.left -= int64(len(segmentMagic))
		return err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// stop ends reading: what is left makes no record.
func (r *reader) stop() error {
	r.torn, r.left = r.left, 0
	return nil
}

// countRecords reads a segment to its end.
func countRecords(s *segment) (n int64, err error) {
	for r := newReader(s); ; {
		raw, whole, err := r.record()
		if err != nil || raw == nil {
			return n, err
		}
		if whole {
			n++
		}
	}
}
