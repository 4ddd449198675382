package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"

	"redrive/delivery"
	"redrive/delivery/progress"
)

// Report is the result of recomputing the chain.
type Report struct {
	Entries int64  // entries that match the chain
	Head    []byte // hash of the last of them
	Broken  int64  // number of the first entry that does not fit, 0 when all do
	Problem string // what is wrong with it
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

// Hash is the hash that an entry must have after the entry with hash prev. Each field goes in as its length in bytes, a
// colon and its text, so that no two entries share one encoding.
func Hash(prev []byte, e delivery.AuditEntry) []byte {
	h := sha256.New()
	h.Write(prev)
	for _, field := range []string{fmt.Sprint(e.Seq), e.At.UTC().Format("2006-01-02T15:04:05.000000Z"), e.Actor, e.Action,
		e.SubjectType, e.Subject, e.Reason, string(e.Details)} {
		fmt.Fprintf(h, "%d:%s", len(field), field)
	}
	return h.Sum(nil)
}

// VerifyAudit recomputes the chain from the rows, without trusting the database's own function, in one snapshot.
func (s *Trail) VerifyAudit(ctx context.Context) (report Report, err error) {
	tx, err := s.Pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return report, fmt.Errorf("reading the audit: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	step, err := auditStep(ctx, tx)
	if err != nil {
		return report, fmt.Errorf("reading the audit: %w", err)
	}
	defer step.End()
	rows, err := tx.QueryContext(ctx, "SELECT "+AuditColumns+" FROM redrive.audit ORDER BY seq")
	if err != nil {
		return report, fmt.Errorf("reading the audit: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e delivery.AuditEntry
		if err := rows.Scan(AuditPointers(&e)...); err != nil {
			return report, fmt.Errorf("reading an audit entry: %w", err)
		}
		if report.check(e); !report.OK() {
			return report, nil
		}
		step.Add(1)
	}
	if err := rows.Err(); err != nil {
		return report, fmt.Errorf("reading the audit: %w", err)
	}
	var seq int64
	var hash []byte
	if err := tx.QueryRowContext(ctx, "SELECT seq, hash FROM redrive.audit_head").Scan(&seq, &hash); err != nil {
		return report, fmt.Errorf("reading the audit's head: %w", err)
	}
	if seq != report.Entries || !bytes.Equal(hash, report.Head) {
		report.Broken, report.Problem = report.Entries+1, fmt.Sprintf("the chain ends after %d entries, its head "+
			"speaks of %d: entries are missing at the end", report.Entries, seq)
	}
	return report, nil
}

// auditStep tells how far the entries are read.
func auditStep(ctx context.Context, tx *sql.Tx) (*progress.Step, error) {
	var entries int64
	err := tx.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM redrive.audit").Scan(&entries)
	return progress.Begin(ctx, "audit entries", entries), err
}

// check takes the next entry into account.
func (r *Report) check(e delivery.AuditEntry) {
	switch {
	case e.Seq != r.Entries+1:
		r.Problem = fmt.Sprintf("entry %d is missing", r.Entries+1)
	case !bytes.Equal(e.PrevHash, r.Head):
		r.Problem = "it does not continue the entry before it"
	case !bytes.Equal(e.Hash, Hash(r.Head, e)):
		r.Problem = "its content does not match its hash: it was changed"
	default:
		r.Entries, r.Head = e.Seq, e.Hash
		return
	}
	r.Broken = r.Entries + 1
}
