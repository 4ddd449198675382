package notary

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"redrive/delivery"
	"redrive/delivery/ledger"
)

// Period is a span of time; a zero time is no bound.
type Period struct{ From, Until time.Time }

func (p Period) has(at time.Time) bool {
	return !at.Before(p.From) && (p.Until.IsZero() || at.Before(p.Until))
}

// errEnough ends a walk where the checkpoint does.
var errEnough = errors.New("the checkpoint ends here")

// Export makes a checkpoint of what is committed and hands out the lines of an export of all that it covers: the entries of a period, and the
// hashes of the leaves of all others, so that the tree can be computed. It refuses an audit whose chain is broken.
func (n *Notary) Export(ctx context.Context, p Period, each func(line []byte) error) (signed string, err error) {
	if signed, err = n.Checkpoint(ctx); err != nil {
		return "", err
	}
	c, err := ledger.Unsigned(signed)
	if err != nil {
		return "", err
	}
	old := &ledger.Tree{}
	gone, err := n.gone(ctx, old)
	if err != nil {
		return "", err
	}
	run := leafRun{next: 1, each: each}
	for i := range gone {
		leaf, err := old.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
		if err == nil {
			err = run.add(leaf[0])
		}
		if err != nil {
			return "", err
		}
	}
	report, err := n.trail.Walk(ctx, func(e *delivery.AuditEntry) error {
		switch {
		case e.Seq > c.Size:
			return errEnough
		case !p.has(e.At):
			return run.add(ledger.Leaf(e.Hash))
		}
		if err := run.flush(); err != nil {
			return err
		}
		run.next = e.Seq + 1
		return each(ledger.Line(*e))
	})
	if err == nil && !report.OK() {
		err = fmt.Errorf("entry %d: %s", report.Broken, report.Problem)
	}
	if err != nil && !errors.Is(err, errEnough) {
		return "", fmt.Errorf("exporting the audit: %w", err)
	}
	return signed, run.flush()
}

// leafRun tells entries by the hashes of their leaves, a tile at a time.
type leafRun struct {
	next   int64 // number of the first that is not told yet
	hashes []byte
	each   func(line []byte) error
}

func (r *leafRun) add(leaf tlog.Hash) error {
	if r.hashes = append(r.hashes, leaf[:]...); len(r.hashes) < ledger.TileWidth*tlog.HashSize {
		return nil
	}
	return r.flush()
}

func (r *leafRun) flush() error {
	if len(r.hashes) == 0 {
		return nil
	}
	line := ledger.Leaves(r.next, r.hashes)
	r.next, r.hashes = r.next+int64(len(r.hashes)/tlog.HashSize), nil
	return r.each(line)
}
