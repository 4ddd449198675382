package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/record"
)

// BeginRemask lets Remask go through the failures of integrations, from the first on. What is under way already begins anew.
func BeginRemask(tx *gorm.DB, integrations []string) error {
	return tx.Exec(`INSERT INTO redrive.remasking AS r (integrations) VALUES (?) ON CONFLICT (alone) DO UPDATE
		SET integrations = ARRAY(SELECT DISTINCT unnest(r.integrations || excluded.integrations)), cursor = DEFAULT, begun_at = DEFAULT`, &integrations).Error
}

// Remask hides in what was written of failures what has been masked since: their errors, answers and exchanges, and the texts of their groups.
// It looks at the next deliveries, at most limit, and answers how many that were; more says that others wait. A step is one transaction, so that
// the next one goes on where it ended, whatever happens between them.
func (s *Queue) Remask(ctx context.Context, limit int) (n int, more bool, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		n, more, err = remask(tx, limit)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("masking anew: %w", err)
	}
	return n, more, nil
}

// failed is a delivery of which something was written.
type failed struct {
	ID, MessageID, Integration, GroupID, ErrorClass, Error string
}

func remask(tx *gorm.DB, limit int) (n int, more bool, err error) {
	waits, err := pg.ReadOne(tx, pg.Single[bool], "SELECT EXISTS (SELECT FROM redrive.remasking)")
	if err != nil || !waits {
		return 0, false, err
	}
	type row struct{ ID string }
	ids, err := pg.Scan[row](tx, `SELECT r.id::text FROM (SELECT cursor FROM redrive.remasking FOR UPDATE SKIP LOCKED) w
		CROSS JOIN LATERAL (SELECT id FROM redrive.deliveries WHERE id > w.cursor ORDER BY id LIMIT ?) r ORDER BY r.id`, limit)
	if err != nil {
		return 0, false, err
	}
	if len(ids) == 0 { // the end, or another process is at it
		return 0, false, tx.Exec(`DELETE FROM redrive.remasking WHERE ctid IN (SELECT ctid FROM redrive.remasking FOR UPDATE SKIP LOCKED)`).Error
	}
	last := ids[len(ids)-1].ID
	list, err := pg.Scan[failed](tx, `SELECT r.id::text, r.message_id::text, r.integration, coalesce(r.group_id, '') AS group_id,
			coalesce(r.error_class, '') AS error_class, coalesce(f.error, '') AS error
		FROM redrive.deliveries r LEFT JOIN redrive.failure_details f ON f.delivery_id = r.id
		WHERE r.id BETWEEN ? AND ? AND r.failed_at IS NOT NULL AND r.integration IN (SELECT unnest(integrations) FROM redrive.remasking) ORDER BY r.id`,
		ids[0].ID, last)
	if err != nil {
		return 0, false, err
	}
	masks, err := record.ReadMasks(tx)
	if err != nil {
		return 0, false, err
	}
	for _, f := range list {
		if err := f.remask(tx, masks); err != nil {
			return 0, false, fmt.Errorf("delivery %s: %w", f.ID, err)
		}
	}
	return len(ids), true, tx.Exec("UPDATE redrive.remasking SET cursor = ?", last).Error
}

// remask hides in all that is written of a failure what is masked in any version of its message.
func (f failed) remask(tx *gorm.DB, masks delivery.Masks) error {
	hide, err := f.hider(tx, masks)
	if err != nil {
		return err
	}
	if err := f.remaskAttempts(tx, hide); err != nil {
		return err
	}
	if shown := hide.Error(f.ErrorClass, f.Error); shown != f.Error {
		if err := tx.Exec("UPDATE redrive.failure_details SET error = ? WHERE delivery_id = ? AND error = ?", shown, f.ID, f.Error).Error; err != nil {
			return err
		}
	}
	if f.GroupID == "" {
		return nil
	}
	text, err := pg.Read(tx, pg.Single[string], "SELECT message FROM redrive.groups WHERE id = ?", f.GroupID)
	if err != nil || len(text) == 0 {
		return err
	}
	shown := hide.Error(f.ErrorClass, text[0])
	if shown == text[0] {
		return nil
	}
	return tx.Exec("UPDATE redrive.groups SET message = ? WHERE id = ? AND message = ?", shown, f.GroupID, text[0]).Error
}

func (f failed) hider(tx *gorm.DB, masks delivery.Masks) (hide delivery.Hider, err error) {
	found, err := pg.Read(tx, pg.Single[string], "SELECT id::text FROM redrive.messages WHERE id = ?", f.MessageID)
	if err != nil {
		return hide, err
	}
	m := delivery.Message{Dropped: true}
	if len(found) > 0 {
		if m, err = Message(tx, f.MessageID); err != nil {
			return hide, err
		}
	}
	hide = masks.For(m, f.Integration).HiderOf(m)
	type version struct {
		payload []byte
		headers map[string]string
	}
	edits, err := pg.Read(tx, func(v *version) []any { return []any{&v.payload, pg.JSON{To: &v.headers}} },
		"SELECT payload, headers FROM redrive.edits WHERE delivery_id = ? AND NOT dropped ORDER BY number", f.ID)
	for _, e := range edits {
		m.Payload, m.Headers = e.payload, e.headers
		hide = hide.And(masks.For(m, f.Integration).HiderOf(m))
	}
	return hide, err
}

// written is what is kept of an attempt.
type written struct {
	delivery.Attempt
	token int64
	at    time.Time
}

func (f failed) remaskAttempts(tx *gorm.DB, hide delivery.Hider) error {
	list, err := pg.Read(tx, func(a *written) []any {
		return []any{&a.token, &a.Number, &a.at, &a.ErrorClass, &a.Error, &a.Response, pg.JSON{To: &a.Exchange}}
	}, "SELECT token, number, recorded_at, error_class, error, response, exchange FROM redrive.attempts WHERE delivery_id = ?", f.ID)
	if err != nil {
		return err
	}
	for _, a := range list {
		shown, changed := hide.Attempt(a.Attempt)
		if !changed {
			continue
		}
		exchange, err := json.Marshal(shown.Exchange)
		if err != nil {
			return err
		}
		if err := tx.Exec(`UPDATE redrive.attempts SET error = ?, response = ?, exchange = nullif(?::jsonb, 'null'::jsonb)
			WHERE delivery_id = ? AND token = ? AND number = ? AND recorded_at = ?`,
			shown.Error, shown.Response, string(exchange), f.ID, a.token, a.Number, a.at).Error; err != nil {
			return err
		}
	}
	return nil
}
