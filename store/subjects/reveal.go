package subjects

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
	"redrive/store/queue"
	"redrive/store/record"
)

// Reveal returns one value of what is sent for a delivery. The entry of the audit is committed before: without it nobody gets the value.
// Whoever was shown it before, for a time that has not ended, needs no reason, and no entry is added.
func (s *Subjects) Reveal(ctx context.Context, r delivery.RevealRequest) (shown delivery.Revealed, err error) {
	if err := r.Check(); err != nil {
		return shown, err
	}
	if !delivery.IsUUID(r.ID) {
		return shown, delivery.ErrNotFound
	}
	var found delivery.Revealed
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		found, err = s.reveal(tx, r)
		return err
	})
	if err != nil {
		return shown, err
	}
	return found, nil
}

func (s *Subjects) reveal(tx *gorm.DB, r delivery.RevealRequest) (shown delivery.Revealed, err error) {
	m, integration, edit, err := sentOf(tx, r.ID, r.Edit)
	if err != nil {
		return shown, err
	}
	if err := pg.MayFor(tx, integration, delivery.PermitViewPayload, delivery.PermitReveal); err != nil {
		return shown, err
	}
	if shown.Value, err = delivery.FieldOf(m, r.Path); err != nil {
		return shown, err
	}
	known, err := again(tx, r, edit)
	if err == nil {
		shown.AuditID, shown.Until = known.AuditID, known.Until
		return shown, nil
	}
	if !errors.Is(err, delivery.ErrNotFound) {
		return shown, err
	}
	if strings.TrimSpace(r.Reason) == "" {
		return shown, delivery.Mistake("reason_required.reveal", "reason")
	}
	seq, err := s.tell(tx, r, m, integration, edit)
	if err != nil {
		return shown, err
	}
	shown.AuditID = strconv.FormatInt(seq, 10)
	if r.For > 0 {
		shown.Until, err = keep(tx, r, edit, seq)
	}
	return shown, err
}

// sentOf is a version of what is sent for a delivery: the present one for 0.
func sentOf(tx *gorm.DB, id string, number int) (m delivery.Message, integration string, edit int, err error) {
	type row struct {
		MessageID, Integration string
		Edit                   int
	}
	d, err := pg.ScanOne[row](tx, "SELECT message_id::text, integration, coalesce(edit, 1) AS edit FROM redrive.all_deliveries WHERE id = ?", id)
	if err != nil {
		return m, "", 0, err
	}
	if err := pg.See(tx, d.Integration); err != nil {
		return m, "", 0, err
	}
	if m, err = queue.Message(tx, d.MessageID); err != nil {
		return m, "", 0, err
	}
	if edit = number; edit == 0 {
		edit = d.Edit
	}
	if edit == 1 {
		return m, d.Integration, edit, nil
	}
	type version struct {
		payload []byte
		headers map[string]string
	}
	v, err := pg.ReadOne(tx, func(v *version) []any { return []any{&v.payload, pg.JSON{To: &v.headers}} },
		"SELECT payload, headers FROM redrive.edits WHERE delivery_id = ? AND number = ?", id, edit)
	m.Payload, m.Headers = v.payload, v.headers
	return m, d.Integration, edit, err
}

// again is what was shown before and may be looked at still.
func again(tx *gorm.DB, r delivery.RevealRequest, edit int) (known delivery.Revealed, err error) {
	type row struct {
		AuditSeq int64
		Until    time.Time
	}
	found, err := pg.ScanOne[row](tx, `SELECT audit_seq, until FROM redrive.reveals
		WHERE delivery_id = ? AND edit = ? AND path = ? AND actor = ? AND until > clock_timestamp()`, r.ID, edit, r.Path, r.Actor)
	return delivery.Revealed{AuditID: strconv.FormatInt(found.AuditSeq, 10), Until: &found.Until}, err
}

// keep lets whoever asked look again for a time, and forgets what has ended.
func keep(tx *gorm.DB, r delivery.RevealRequest, edit int, seq int64) (*time.Time, error) {
	if err := tx.Exec(`DELETE FROM redrive.reveals WHERE ctid = ANY(ARRAY(
		SELECT ctid FROM redrive.reveals WHERE until < clock_timestamp() ORDER BY until LIMIT 100 FOR UPDATE SKIP LOCKED))`).Error; err != nil {
		return nil, fmt.Errorf("forgetting what was revealed: %w", err)
	}
	until, err := pg.ReadOne(tx, pg.Single[time.Time], `INSERT INTO redrive.reveals (delivery_id, edit, path, actor, audit_seq, until)
		VALUES (?, ?, ?, ?, ?, clock_timestamp() + ?::bigint * interval '1 millisecond')
		ON CONFLICT (delivery_id, edit, path, actor) DO UPDATE SET audit_seq = excluded.audit_seq, until = excluded.until RETURNING until`,
		r.ID, edit, r.Path, r.Actor, seq, r.For.Milliseconds())
	return &until, err
}

// tell writes down who is shown what.
func (s *Subjects) tell(tx *gorm.DB, r delivery.RevealRequest, m delivery.Message, integration string, edit int) (seq int64, err error) {
	masks, err := record.ReadMasks(tx)
	if err != nil {
		return 0, err
	}
	hashes, err := s.hashes(tx, masks.Subjects(m, integration))
	if err != nil {
		return 0, err
	}
	members := map[string]any{"path": r.Path, "integration": integration, "edit": edit, "from": r.From, "data_subject": strings.Join(hashes, ",")}
	if r.For > 0 {
		members["for_seconds"] = int(r.For.Seconds())
	}
	return audit.Recorded(tx, delivery.AuditEntry{Actor: r.Actor, Action: "delivery.reveal", SubjectType: audit.SubjectDelivery, Subject: r.ID,
		Reason: strings.TrimSpace(r.Reason), Details: audit.Details(members)})
}
