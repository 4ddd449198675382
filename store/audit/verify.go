package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/sync/errgroup"

	"redrive/delivery"
	"redrive/delivery/progress"
)

// KeyMade is the action of the entry with which the log began to be signed, or went on with another key.
const KeyMade = "audit.key"

// Report is the result of recomputing the chain.
type Report struct {
	Entries int64     // entries that match the chain
	Head    []byte    // hash of the last of them
	Broken  int64     // number of the first entry that does not fit, 0 when all do
	Problem string    // what is wrong with it
	last    time.Time // of the last of them, once times are in order
}

// OK reports whether every entry fits.
func (r Report) OK() bool { return r.Problem == "" }

// String returns the report as one line for people.
func (r Report) String() string {
	if !r.OK() {
		return fmt.Sprintf("audit: broken at entry %d: %s (%d entries before it fit)", r.Broken, r.Problem, r.Entries)
	}
	return fmt.Sprintf("audit: %d entries fit, head %x", r.Entries, r.Head)
}

// TimeLayout is how times of entries are hashed: UTC, microseconds.
const TimeLayout = "2006-01-02T15:04:05.000000Z"

// Hash is the hash that an entry must have after the entry with hash prev. Each field goes in as its length in bytes, a
// colon and its text, so that no two entries share one encoding.
func Hash(prev []byte, e delivery.AuditEntry) []byte {
	sum := sha256.Sum256(encode(nil, prev, e))
	return sum[:]
}

// encode appends what is hashed to b.
func encode(b, prev []byte, e delivery.AuditEntry) []byte {
	var number, moment [40]byte
	b = append(b, prev...)
	b = appendField(b, strconv.AppendInt(number[:0], e.Seq, 10))
	b = appendField(b, e.At.UTC().AppendFormat(moment[:0], TimeLayout))
	for _, text := range [...]string{e.Actor, e.Action, e.SubjectType, e.Subject, e.Reason} {
		b = appendField(b, text)
	}
	return appendField(b, e.Details)
}

func appendField[T ~string | ~[]byte](b []byte, field T) []byte {
	b = append(strconv.AppendInt(b, int64(len(field)), 10), ':')
	return append(b, field...)
}

// VerifyAudit recomputes the chain from the rows, without trusting the database's own function, in one snapshot.
func (s *Trail) VerifyAudit(ctx context.Context) (Report, error) {
	return s.Walk(ctx, nil)
}

// Walk is VerifyAudit that hands out each entry that fits, in order; each may be nil. The entry must not be kept.
func (s *Trail) Walk(ctx context.Context, each func(*delivery.AuditEntry) error) (report Report, err error) {
	conn, err := s.Pool.Conn(ctx)
	if err != nil {
		return report, fmt.Errorf("reading the audit: %w", err)
	}
	defer conn.Close()
	err = conn.Raw(func(c any) error {
		tx, err := c.(*stdlib.Conn).Conn().BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		report, err = walk(ctx, tx, each)
		return err
	})
	if err != nil {
		return report, fmt.Errorf("reading the audit: %w", err)
	}
	return report, nil
}

// GoneSQL is up to where entries have left, and the hash of the last of them.
const GoneSQL = "SELECT upto, hash FROM redrive.audit_gone ORDER BY upto DESC LIMIT 1"

func walk(ctx context.Context, tx pgx.Tx, each func(*delivery.AuditEntry) error) (report Report, err error) {
	err = tx.QueryRow(ctx, GoneSQL).Scan(&report.Entries, &report.Head)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return report, err
	}
	head := Report{}
	if err = tx.QueryRow(ctx, "SELECT seq, hash FROM redrive.audit_head").Scan(&head.Entries, &head.Head); err != nil {
		return report, err
	}
	step := progress.Begin(ctx, "audit entries", head.Entries-report.Entries)
	defer step.End()
	g, reading := errgroup.WithContext(ctx)
	batches := make(chan *batch, batchesAhead)
	g.Go(func() error { return readBatches(reading, tx, batches) })
	g.Go(func() error {
		for b := range batches {
			<-b.checked
			if err := report.take(b, each); err != nil {
				return err
			}
			step.Add(int64(len(b.entries)))
		}
		return nil
	})
	if err = g.Wait(); errors.Is(err, errBroken) {
		return report, nil
	}
	if err == nil && (head.Entries != report.Entries || !bytes.Equal(head.Head, report.Head)) {
		report.Broken, report.Problem = report.Entries+1, fmt.Sprintf("the chain ends after %d entries, its head "+
			"speaks of %d: entries are missing at the end", report.Entries, head.Entries)
	}
	return report, err
}

// Entries are read one after the other, and hashed by several processors.
const (
	batchSize    = 2048
	batchesAhead = 8
)

// errBroken ends a walk at what does not fit.
var errBroken = errors.New("the chain is broken")

// batch are entries in their order.
type batch struct {
	entries []delivery.AuditEntry
	fits    []bool // whether each has the hash of its content
	checked chan struct{}
}

func (b *batch) check() {
	defer close(b.checked)
	b.fits = make([]bool, len(b.entries))
	var space []byte
	for i, e := range b.entries {
		space = encode(space[:0], e.PrevHash, e)
		sum := sha256.Sum256(space)
		b.fits[i] = bytes.Equal(sum[:], e.Hash)
	}
}

const walkSQL = `SELECT seq, at, actor, action, subject_type, subject, reason, details::text, prev_hash, hash
	FROM redrive.audit ORDER BY seq`

func readBatches(ctx context.Context, tx pgx.Tx, out chan<- *batch) error {
	defer close(out)
	rows, err := tx.Query(ctx, walkSQL, pgx.QueryResultFormats{pgx.BinaryFormatCode})
	if err != nil {
		return err
	}
	defer rows.Close()
	b := &batch{checked: make(chan struct{})}
	send := func() error {
		select {
		case out <- b:
			go b.check()
		case <-ctx.Done():
			return ctx.Err()
		}
		b = &batch{checked: make(chan struct{})}
		return nil
	}
	for rows.Next() {
		b.entries = append(b.entries, entryOf(rows.RawValues()))
		if len(b.entries) < batchSize {
			continue
		}
		if err := send(); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return send()
}

// postgresEpoch is the time 0 of Postgres.
var postgresEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// entryOf reads the columns of walkSQL in their binary form.
func entryOf(columns [][]byte) delivery.AuditEntry {
	size := 0
	for _, c := range columns[2:] {
		size += len(c)
	}
	text := make([]byte, 0, size) // one piece of memory for all
	next := func(c []byte) []byte {
		text = append(text, c...)
		return text[len(text)-len(c) : len(text) : len(text)]
	}
	at := int64(binary.BigEndian.Uint64(columns[1]))
	return delivery.AuditEntry{
		Seq:         int64(binary.BigEndian.Uint64(columns[0])),
		At:          postgresEpoch.Add(time.Duration(at/1e6) * time.Second).Add(time.Duration(at%1e6) * time.Microsecond),
		Actor:       string(columns[2]),
		Action:      string(columns[3]),
		SubjectType: string(columns[4]),
		Subject:     string(columns[5]),
		Reason:      string(columns[6]),
		Details:     next(columns[7]),
		PrevHash:    next(columns[8]),
		Hash:        next(columns[9]),
	}
}

// take takes the next entries into account.
func (r *Report) take(b *batch, each func(*delivery.AuditEntry) error) error {
	for i := range b.entries {
		if r.check(&b.entries[i], b.fits[i]); !r.OK() {
			return errBroken
		}
		if each == nil {
			continue
		}
		if err := each(&b.entries[i]); err != nil {
			return err
		}
	}
	return nil
}

// check takes the next entry into account; fits is whether it has the hash of its content.
func (r *Report) check(e *delivery.AuditEntry, fits bool) {
	switch {
	case e.Seq != r.Entries+1:
		r.Problem = fmt.Sprintf("entry %d is missing", r.Entries+1)
	case !bytes.Equal(e.PrevHash, r.Head):
		r.Problem = "it does not continue the entry before it"
	case !fits:
		r.Problem = "its content does not match its hash: it was changed"
	case e.At.Before(r.last):
		r.Problem = "its time is before that of the entry before it"
	default:
		r.Entries, r.Head = e.Seq, e.Hash
		if !r.last.IsZero() || e.Action == KeyMade { // versions before the log had keys did not hold times in order
			r.last = e.At
		}
		return
	}
	r.Broken = r.Entries + 1
}
