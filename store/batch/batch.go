package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/approve"
	"redrive/store/audit"
	"redrive/store/pg"
)

// fileColumns are what is shown of a file f with its delivery.
const fileColumns = `f.id::text, f.integration, f.business_date::text, f.sequence, f.name, f.rows, f.bytes, f.sha256, f.control_total,
	f.previous_sha256, coalesce(f.correction_of, 0), f.created_at, coalesce(f.acknowledgement, ''), f.acknowledged_at,
	f.format, coalesce(d.id::text, ''), coalesce(d.state, '')`

// fileSQL follows a file to its delivery; a batch that sends row by row has none.
const fileSQL = "SELECT " + fileColumns + fileJoin

const fileJoin = ` FROM redrive.batch_files f LEFT JOIN LATERAL (SELECT d.id, d.state FROM redrive.all_deliveries d
	WHERE d.id = redrive.delivery_id(f.id, f.integration) LIMIT 1) d ON true`

func storedFileColumns(f *delivery.StoredFile) []any {
	return []any{
		&f.ID,
		&f.Integration,
		&f.BusinessDate,
		&f.Sequence,
		&f.Name,
		&f.Rows,
		&f.Bytes,
		&f.SHA256,
		&f.Control,
		&f.Previous,
		&f.CorrectionOf,
		&f.CreatedAt,
		&f.Acknowledgement,
		&f.AcknowledgedAt,
		pg.JSON{To: &f.Format},
		&f.DeliveryID,
		&f.State,
	}
}

// File returns a file of a batch; unknown ids answer delivery.ErrNotFound.
func (s *Batches) File(ctx context.Context, id string) (f delivery.StoredFile, err error) {
	if !delivery.IsUUID(id) {
		return f, delivery.ErrNotFound
	}
	if f, err = pg.ReadOne(s.Gorm.WithContext(ctx), storedFileColumns, fileSQL+" WHERE f.id = ?", id); err != nil {
		return f, fmt.Errorf("reading file %s: %w", id, err)
	}
	if err := pg.See(s.Gorm.WithContext(ctx), f.Integration); err != nil {
		return delivery.StoredFile{}, err
	}
	return f, nil
}

var runSQL = `SELECT r.id::text, r.integration, coalesce(r.business_date::text, ''), r.dated, r.scheduled_at, r.trigger,
	` + pg.Called("r.requested_by") + `, r.requested_by,
	r.reason, r.state, r.attempts, r.rows, r.error::text, r.created_at, r.started_at, r.finished_at, coalesce(r.delivery_id::text, ''),
	r.because::text FROM redrive.batch_runs r`

func runColumns(r *delivery.BatchRun) []any {
	return []any{
		&r.ID,
		&r.Integration,
		&r.BusinessDate,
		&r.Dated,
		&r.ScheduledAt,
		&r.Trigger,
		&r.RequestedBy,
		&r.RequestedID,
		&r.Reason,
		&r.State,
		&r.Attempts,
		&r.Rows,
		pg.JSON{To: &r.Error},
		&r.CreatedAt,
		&r.StartedAt,
		&r.FinishedAt,
		&r.DeliveryID,
		pg.JSON{To: &r.Because},
	}
}

// Runs returns one page of an integration's runs with their files, newest first.
func (s *Batches) Runs(
	ctx context.Context,
	integration, after string,
	limit int,
) (page delivery.Page[delivery.BatchRun], err error) {
	limit, err = delivery.PageSize(limit)
	if err != nil {
		return page, err
	}
	w := pg.NewWhere()
	w.Add("r.integration = ?", integration)
	w.In("r.integration", pg.Seen(s.Gorm.WithContext(ctx)))
	if after != "" {
		c, err := pg.ParseCursor(after)
		if err != nil {
			return page, err
		}
		w.Add("r.id < ?::uuid", c.Id)
	}
	db := s.Gorm.WithContext(ctx)
	page.Items, err = pg.Read(db, runColumns, runSQL+w.Sql()+fmt.Sprintf(" ORDER BY r.id DESC LIMIT %d", limit+1), w.Args...)
	if err != nil {
		return page, fmt.Errorf("reading runs: %w", err)
	}
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		last := page.Items[limit-1]
		page.Next = pg.Cursor{At: last.CreatedAt, Id: last.ID}.String()
	}
	return page, withFiles(db, page.Items)
}

// withFiles gives runs their files.
func withFiles(db *gorm.DB, runs []delivery.BatchRun) error {
	ids := make([]string, len(runs))
	for i, r := range runs {
		ids[i] = r.ID
	}
	type row struct {
		run string
		delivery.StoredFile
	}
	files, err := pg.Read(db, func(r *row) []any { return append([]any{&r.run}, storedFileColumns(&r.StoredFile)...) },
		"SELECT r.id::text, "+fileColumns+fileJoin+
			" JOIN redrive.batch_runs r ON r.file_id = f.id WHERE r.id = ANY(?::uuid[])", &ids)
	if err != nil {
		return fmt.Errorf("reading the runs' files: %w", err)
	}
	for _, f := range files {
		for i := range runs {
			if runs[i].ID == f.run {
				runs[i].File = &f.StoredFile
			}
		}
	}
	return nil
}

// runnable says why an integration has no run, or none of a date.
func runnable(tx *gorm.DB, integration, date string) error {
	type batch struct {
		Method   delivery.Method
		Windowed bool
	}
	in, err := pg.ScanOne[batch](tx, "SELECT method, windowed FROM redrive.integrations WHERE name = ? AND active", integration)
	switch {
	case err != nil:
		return err
	case in.Method != delivery.MethodBatch:
		return delivery.Mistake("no_batch", "", "integration", integration, "method", in.Method)
	case in.Windowed && date != "":
		return delivery.ErrNotDated
	}
	return nil
}

// RequestRun asks for a run, of a business date (2006-01-02) or of now when that is empty. It begins when the leader gets to it.
func (s *Batches) RequestRun(ctx context.Context, integration, date, actor, reason string) (run delivery.BatchRun, err error) {
	if _, err := time.Parse(time.DateOnly, date); err != nil && date != "" {
		return run, delivery.Mistake("bad_date", "business_date")
	}
	err = approve.Transact(ctx, s.DB, func(tx *gorm.DB) error {
		run, err = requestRun(tx, delivery.RunRequest{Integration: integration, Date: date, Actor: actor, Reason: reason})
		return err
	})
	return run, err
}

// Executors carry out what was approved.
var Executors = approve.Executors{delivery.ApprovalRun: func(tx *gorm.DB, a delivery.Approval) (string, error) {
	var r delivery.RunRequest
	if err := a.Decode(&r); err != nil {
		return "", fmt.Errorf("reading what was asked for: %w", err)
	}
	run, err := requestRun(tx, r)
	return run.ID, err
}}

func requestRun(tx *gorm.DB, r delivery.RunRequest) (run delivery.BatchRun, err error) {
	integration, date := r.Integration, r.Date
	if err := pg.MayFor(tx, integration, delivery.PermitResend); err != nil {
		return run, err
	}
	if err := runnable(tx, integration, date); err != nil {
		return run, err
	}
	// of two that ask at once, the second must see the first
	err = tx.Exec("SELECT pg_advisory_xact_lock(hashtextextended('redrive run ' || ?, 0))", integration).Error
	if err != nil {
		return run, err
	}
	open, err := pg.ReadOne(tx, pg.Single[string], `SELECT id::text FROM redrive.batch_runs WHERE integration = ?
			AND state IN ('queued', 'running')
			AND trigger = 'manual' AND coalesce(business_date::text, '') = ? AND dated = (? <> '') LIMIT 1`,
		integration, date, date)
	if err == nil {
		return run, delivery.Mistake("run_waiting", "", "run", open)
	}
	if !errors.Is(err, delivery.ErrNotFound) {
		return run, err
	}
	if err := approve.Ask(tx, approve.Request{Kind: delivery.ApprovalRun, Action: "run", Target: integration, Actor: r.Actor, Reason: r.Reason,
		Body: r, Deeds: []delivery.Deed{{Integration: integration, Resends: true}}}); err != nil {
		return run, err
	}
	id, err := pg.ReadOne(tx, pg.Single[string],
		`INSERT INTO redrive.batch_runs (integration, business_date, dated, scheduled_at, trigger, requested_by, reason)
			VALUES (?, nullif(?, '')::date, ? <> '', clock_timestamp(), 'manual', ?, ?) RETURNING id::text`,
		integration, date, date, r.Actor, r.Reason)
	if err != nil {
		return run, fmt.Errorf("queueing a run: %w", err)
	}
	if run, err = pg.ReadOne(tx, runColumns, runSQL+" WHERE r.id = ?", id); err != nil {
		return run, err
	}
	return run, audit.Record(tx, delivery.AuditEntry{
		Actor:       r.Actor,
		Action:      "batch.run",
		SubjectType: "integration",
		Subject:     integration,
		Reason:      r.Reason,
		Details:     audit.Details(map[string]any{"run": id, "business_date": date, "approval": approve.Member(tx)}),
	})
}

// BatchStatus is what people see of a batch.
func (s *Batches) BatchStatus(
	ctx context.Context,
	integration string,
) (feed delivery.BatchFeed, last []delivery.BatchRun, err error) {
	db := s.Gorm.WithContext(ctx)
	feed, err = pg.ScanOne[delivery.BatchFeed](db, feedSQL+" WHERE integration = ?", integration)
	if err != nil && !errors.Is(err, delivery.ErrNotFound) {
		return feed, nil, fmt.Errorf("reading the feed: %w", err)
	}
	last, err = pg.Read(db, runColumns, runSQL+" WHERE r.integration = ? ORDER BY r.id DESC LIMIT 1", integration)
	if err != nil {
		return feed, nil, fmt.Errorf("reading the last run: %w", err)
	}
	running, err := pg.Read(db, runColumns, runSQL+" WHERE r.integration = ? AND r.state = 'running' LIMIT 1", integration)
	if err != nil {
		return feed, nil, fmt.Errorf("reading the running run: %w", err)
	}
	return feed, append(last, running...), nil
}

// Files opens the stored bytes of files.
type Files struct{ store *Batches }

// Files are the stored files of batches.
func (s *Batches) Files() Files { return Files{s} }

// Open returns the bytes of a file, part by part as they are read. fs.ErrNotExist: there is no such file, or its bytes are not
// kept any more.
func (f Files) Open(ctx context.Context, id string) (io.ReadCloser, error) {
	kept, err := pg.ReadOne(f.store.Gorm.WithContext(ctx), pg.Single[bool],
		`SELECT bytes = 0 OR EXISTS (SELECT FROM redrive.batch_parts p
		WHERE p.file_id = f.id AND p.n = 0) FROM redrive.batch_files f WHERE f.id = ?`, id)
	if errors.Is(err, delivery.ErrNotFound) || err == nil && !kept {
		return nil, fmt.Errorf("file %s: %w", id, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("opening file %s: %w", id, err)
	}
	return &partReader{ctx: ctx, db: f.store.Gorm, id: id}, nil
}

type partReader struct {
	ctx  context.Context
	db   *gorm.DB
	id   string
	n    int
	rest []byte
	err  error
}

// Read implements io.Reader.
func (r *partReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.rest, r.err = pg.ReadOne(r.db.WithContext(r.ctx), pg.Single[[]byte],
			"SELECT bytes FROM redrive.batch_parts WHERE file_id = ? AND n = ?", r.id, r.n)
		if errors.Is(r.err, delivery.ErrNotFound) {
			r.err = io.EOF
		} else if r.err != nil {
			r.err = fmt.Errorf("reading the file's bytes: %w", r.err)
		}
		r.n++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (r *partReader) Close() error {
	r.err, r.rest = io.ErrClosedPipe, nil
	return nil
}

// OpenFile is Files().Open for whoever may see the file.
func (s *Batches) OpenFile(ctx context.Context, id string) (io.ReadCloser, error) {
	if _, err := s.File(ctx, id); err != nil {
		return nil, err
	}
	return s.Files().Open(ctx, id)
}
