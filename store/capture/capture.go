package capture

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/approve"
	"redrive/store/audit"
	"redrive/store/pg"
	"redrive/store/queue"
	"redrive/store/record"
)

// captureSQL moves a position on. It finds no row when the position was begun anew meanwhile: then nothing of the transaction counts.
const captureSQL = `
UPDATE redrive.captures SET lsn = ?::pg_lsn, committed_at = ?, changes = ?, snapshot = ?::jsonb, updated_at = clock_timestamp()
WHERE integration = ? AND system_identifier = ? AND slot = ? AND lsn <= ?::pg_lsn`

const captureColumns = `system_identifier, slot, lsn::text, committed_at, changes, snapshot, resnapshot_at, to_jsonb(resnapshot_tables), tables, verified::text, updated_at`

var errPositionMoved = errors.New("the position was moved by somebody else")

// Capture makes durable what changes of a source became, and how far its changes are read then, in one transaction: work hands
// messages over as often as it likes and returns the position behind them.
func (l *Term) Capture(ctx context.Context, integration string,
	work func(write func([]delivery.Captured) error) (delivery.CapturePosition, error)) error {
	return pg.DomainError(l.Gorm.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		position, err := work(func(list []delivery.Captured) error { return l.writeCaptured(tx, integration, list) })
		if err != nil {
			return err
		}
		result := tx.Exec(captureSQL, position.LSN.String(), position.CommittedAt, position.Changes, progress(position), integration,
			position.SystemIdentifier, position.Slot, position.LSN.String())
		if result.Error != nil {
			return fmt.Errorf("saving the position of %s: %w", integration, result.Error)
		}
		if result.RowsAffected == 0 {
			return fmt.Errorf("saving the position of %s: %w", integration, errPositionMoved)
		}
		return noteGaps(tx, integration, position.Gaps)
	}))
}

// byTable is what is kept of each table of a source, as JSON.
type byTable[T delivery.SnapshotProgress | delivery.CapturedTable] map[string]T

// Value is how the database keeps it.
func (t byTable[T]) Value() (driver.Value, error) {
	if len(t) == 0 {
		return "{}", nil
	}
	raw, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encoding what is kept of the source's tables: %w", err)
	}
	return string(raw), nil
}

func progress(p delivery.CapturePosition) byTable[delivery.SnapshotProgress] { return p.Snapshot }

func tables(p delivery.CapturePosition) byTable[delivery.CapturedTable] { return p.Tables }

// writeCaptured writes messages of an integration's source in the order given: their ids grow, and lanes follow the ids.
func (l *Term) writeCaptured(tx *gorm.DB, source string, list []delivery.Captured) error {
	var batch queue.Captured
	var failed []delivery.Parked
	for _, c := range list {
		switch {
		case c.Error != "":
			failed = append(failed, l.deadCaptured(source, c)...)
		case c.Message.Kind == delivery.KindEvent:
			if err := batch.Add(l.IDs.Next(), "", c.Message); err != nil {
				return err
			}
		default:
			for _, integration := range c.To {
				if err := batch.Add(l.IDs.Next(), integration, c.Message); err != nil {
					return err
				}
			}
		}
	}
	if err := batch.Write(tx, source); err != nil {
		return err
	}
	if len(failed) == 0 {
		return nil
	}
	masks, err := record.ReadMasks(tx)
	if err != nil {
		return fmt.Errorf("reading what is hidden: %w", err)
	}
	for i, p := range failed { // an expression's mistake may quote the change
		failed[i].Attempts[0] = p.Attempts[0].Conceal(p.Message.Payload, masks.For(p.Message, p.Integration))
	}
	_, err = queue.Park(tx, failed)
	return err
}

// deadCaptured is a change that could not be made a message: dead from the start, without an attempt.
func (l *Term) deadCaptured(source string, c delivery.Captured) []delivery.Parked {
	parked := make([]delivery.Parked, len(c.To))
	for i, integration := range c.To {
		message := c.Message
		message.ID, message.Sender = l.IDs.Next(), delivery.SenderIntegration+source
		parked[i] = delivery.Parked{
			DeliveryID:  l.IDs.Next(),
			Integration: integration,
			Message:     message,
			Next:        delivery.StateDead,
			Attempts: []delivery.Attempt{
				{StartedAt: time.Now(), Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassMapping,
					Error: delivery.Storable(c.Error)},
			},
		}
	}
	return parked
}

// CapturePosition returns how far the changes of an integration's source are read; the zero position when nothing was.
func (s *Captures) CapturePosition(ctx context.Context, integration string) (delivery.CapturePosition, error) {
	return capturePosition(s.Gorm.WithContext(ctx), integration)
}

// CapturePosition is the store's, on the leader's session. From it on the leader's ids follow the database's clock.
func (l *Term) CapturePosition(ctx context.Context, integration string) (delivery.CapturePosition, error) {
	db := l.Gorm.WithContext(ctx)
	now, err := pg.ReadOne(db, pg.Single[time.Time], "SELECT clock_timestamp()")
	if err != nil {
		return delivery.CapturePosition{}, fmt.Errorf("asking for the time: %w", err)
	}
	l.IDs.Follow(now)
	return capturePosition(db, integration)
}

func capturePosition(db *gorm.DB, integration string) (p delivery.CapturePosition, err error) {
	var lsn, verified string
	columns := func(p *delivery.CapturePosition) []any {
		return []any{
			&p.SystemIdentifier,
			&p.Slot,
			&lsn,
			&p.CommittedAt,
			&p.Changes,
			pg.JSON{To: &p.Snapshot},
			&p.ResnapshotAt,
			pg.JSON{To: &p.Resnapshot},
			pg.JSON{To: &p.Tables},
			&verified,
			&p.UpdatedAt,
		}
	}
	p, err = pg.ReadOne(db, columns, "SELECT "+captureColumns+" FROM redrive.captures WHERE integration = ?", integration)
	if errors.Is(err, delivery.ErrNotFound) {
		return delivery.CapturePosition{}, nil
	}
	if err == nil {
		p.LSN, err = delivery.ParseLSN(lsn)
	}
	if err == nil {
		p.Verified, err = delivery.ParseLSN(verified)
	}
	if err != nil {
		return p, fmt.Errorf("reading the position of %s: %w", integration, err)
	}
	return p, nil
}

// ResetCapture begins at a position anew: a slot that was created, and the snapshot that belongs to it. It settles what
// RequestResnapshot asked for, and closes the gaps of all tables.
func (l *Term) ResetCapture(ctx context.Context, integration string, p delivery.CapturePosition) error {
	err := l.Gorm.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		err := tx.Exec(`INSERT INTO redrive.captures
				(integration, system_identifier, slot, lsn, changes, snapshot, tables, verified)
			VALUES (?, ?, ?, ?::pg_lsn, ?, ?::jsonb, ?::jsonb, ?::pg_lsn)
			ON CONFLICT (integration) DO UPDATE SET system_identifier = excluded.system_identifier, slot = excluded.slot,
				lsn = excluded.lsn, changes = excluded.changes, snapshot = excluded.snapshot, tables = excluded.tables,
				verified = excluded.verified, committed_at = NULL, resnapshot_at = NULL, resnapshot_tables = '{}',
				updated_at = clock_timestamp()`,
			integration, p.SystemIdentifier, p.Slot, p.LSN.String(), p.Changes, progress(p), tables(p), p.Verified.String()).Error
		if err != nil {
			return err
		}
		return tx.Exec(`UPDATE redrive.capture_gaps SET to_lsn = ?::pg_lsn, closed_at = clock_timestamp()
			WHERE integration = ? AND closed_at IS NULL`, p.LSN.String(), integration).Error
	})
	if err != nil {
		return fmt.Errorf("beginning %s anew: %w", integration, err)
	}
	return nil
}

// ChangeSlot goes on at the same position with another slot.
func (l *Term) ChangeSlot(ctx context.Context, integration, slot string) error {
	err := l.Gorm.WithContext(ctx).
		Exec("UPDATE redrive.captures SET slot = ?, updated_at = clock_timestamp() WHERE integration = ?", slot, integration).
		Error
	if err != nil {
		return fmt.Errorf("changing the slot of %s: %w", integration, err)
	}
	return nil
}

// RequestResnapshot asks whoever reads an integration's source to begin anew, with a new slot and a snapshot of its tables. What
// is asked for already changes nothing and is not audited.
func (s *Captures) RequestResnapshot(ctx context.Context, integration, actor, reason string) error {
	return s.request(ctx, delivery.RunRequest{Integration: integration, Actor: actor, Reason: reason})
}

// request reads tables anew, unless another person is asked first.
func (s *Captures) request(ctx context.Context, r delivery.RunRequest) error {
	r.Snapshot = true
	return approve.Transact(ctx, s.DB, func(tx *gorm.DB) error { return requestSnapshot(tx, r) })
}

// Executors carry out what was approved.
var Executors = approve.Executors{delivery.ApprovalSnapshot: func(tx *gorm.DB, a delivery.Approval) (string, error) {
	var r delivery.RunRequest
	if err := a.Decode(&r); err != nil {
		return "", fmt.Errorf("reading what was asked for: %w", err)
	}
	return r.Integration, requestSnapshot(tx, r)
}}

func requestSnapshot(tx *gorm.DB, r delivery.RunRequest) error {
	if err := mustCapture(tx, r.Integration); err != nil {
		return err
	}
	if r.Table != "" {
		if err := mustKnow(tx, r.Integration, r.Table); err != nil {
			return err
		}
	}
	if err := approve.Ask(tx, approve.Request{Kind: delivery.ApprovalSnapshot, Action: "resnapshot", Target: r.Integration, Actor: r.Actor, Reason: r.Reason,
		Body: r, Deeds: []delivery.Deed{{Integration: r.Integration, Resends: true}}}); err != nil {
		return err
	}
	if r.Table != "" {
		return requestTable(tx, r)
	}
	result := tx.Exec(`INSERT INTO redrive.captures AS c (integration, resnapshot_at) VALUES (?, clock_timestamp())
			ON CONFLICT (integration) DO UPDATE SET resnapshot_at = excluded.resnapshot_at WHERE c.resnapshot_at IS NULL`, r.Integration)
	if result.Error != nil || result.RowsAffected == 0 {
		return result.Error
	}
	return recordSnapshot(tx, r)
}

func recordSnapshot(tx *gorm.DB, r delivery.RunRequest) error {
	return audit.Record(tx, delivery.AuditEntry{
		Actor:       r.Actor,
		Action:      "integration.resnapshot",
		SubjectType: "integration",
		Subject:     r.Integration,
		Reason:      r.Reason,
		Details:     audit.Details(map[string]any{"table": r.Table, "approval": approve.Member(tx)}),
	})
}

func mustCapture(tx *gorm.DB, integration string) error {
	if err := pg.MayFor(tx, integration, delivery.PermitResend); err != nil {
		return err
	}
	method, err := pg.ReadOne(tx, pg.Single[delivery.Method],
		"SELECT method FROM redrive.integrations WHERE name = ? AND active", integration)
	if err == nil && method != delivery.MethodCDC {
		err = delivery.Mistake("not_captured", "", "integration", integration, "method", method)
	}
	return err
}

// CannotCapture says why changes of this database cannot be read with our role; the zero phrase when they can.
func (s *Captures) CannotCapture(ctx context.Context) (why delivery.Phrase, err error) {
	type role struct {
		Name, Level string
		Replicates  bool
	}
	r, err := pg.ScanOne[role](s.Gorm.WithContext(ctx), `SELECT rolname AS name, current_setting('wal_level') AS level,
		rolsuper OR rolreplication AS replicates FROM pg_roles WHERE rolname = current_user`)
	switch {
	case err != nil:
		return why, fmt.Errorf("asking whether changes can be read: %w", err)
	case r.Level != "logical":
		return delivery.Say("capture.cannot.level", "level", r.Level), nil
	case !r.Replicates:
		return delivery.Say("capture.cannot.role", "role", r.Name), nil
	}
	return why, nil
}
