package desk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/approve"
	"redrive/store/pg"
	"redrive/store/queue"
	"redrive/store/record"
)

// Edit makes a new version of what is sent for a dead letter, and retries it.
func (s *Desk) Edit(ctx context.Context, r delivery.EditRequest) (d delivery.Delivery, err error) {
	if err := checkAction(delivery.ActionRequest{Action: delivery.ActionEdit, ID: r.ID, Reason: r.Reason}); err != nil {
		return d, err
	}
	if err := delivery.CheckPayloadSize(len(r.Payload)); err != nil {
		return d, err
	}
	return s.changed(ctx, r.ID, r.Token, func(tx *gorm.DB) error { return edit(tx, r) })
}

// changed does work in a transaction, unless the form with that token was carried out before, and returns the delivery after it.
func (s *Desk) changed(ctx context.Context, id, token string, work func(tx *gorm.DB) error) (d delivery.Delivery, err error) {
	err = approve.Transact(ctx, s.DB, func(tx *gorm.DB) error {
		fresh, err := claimToken(tx, token)
		switch {
		case err == nil && fresh:
			err = work(tx)
		case err == nil:
			err = approve.Known(tx, token)
		}
		if err != nil {
			return err
		}
		list, err := record.ListDeliveries(tx, record.SQL+" WHERE d.id = ?", id)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return delivery.ErrNotFound
		}
		d = list[0]
		d.Repeated = !fresh
		return pg.See(tx, d.Integration)
	})
	return d, err
}

func edit(tx *gorm.DB, r delivery.EditRequest) error {
	d := decision{Transition: delivery.ActionEdit.Row(), actor: r.Actor, reason: r.Reason}
	before, err := permittedOne(tx, r.ID, r.Version, d)
	if err != nil {
		return err
	}
	old, err := lastVersion(tx, r.ID)
	if err != nil {
		return err
	}
	next, err := old.edited(r)
	if err != nil {
		return err
	}
	r.Version = before.version
	if err := askFor(tx, before, d, delivery.ApprovalEdit, r.Token, r); err != nil {
		return err
	}
	if err := insertEdit(tx, r.ID, next); err != nil {
		return err
	}
	d.members = map[string]any{"number": next.Number}
	if err := old.addHashes(tx, r.ID, d.members, next.Payload); err != nil {
		return err
	}
	return carryOut(tx, []lockedDelivery{before}, d)
}

// version is what is sent for a delivery now.
type version struct {
	delivery.Edit
	last  int  // number of the latest version
	batch bool // a file, a rejected row or a run of a batch
}

func lastVersion(tx *gorm.DB, id string) (v version, err error) {
	columns := func(v *version) []any {
		return []any{&v.Number, &v.last, &v.batch, &v.Payload, pg.JSON{To: &v.Headers}}
	}
	v, err = pg.ReadOne(tx, columns,
		`SELECT coalesce(r.edit, 1), coalesce((SELECT max(x.number) FROM redrive.edits x WHERE x.delivery_id = r.id), 1),
			`+ofBatchSQL+`, CASE WHEN e.number IS NULL THEN m.payload ELSE e.payload END, CASE WHEN e.number IS NULL THEN m.headers ELSE e.headers END
		FROM redrive.deliveries r LEFT JOIN redrive.messages m ON m.id = r.message_id
		LEFT JOIN redrive.edits e ON e.delivery_id = r.id AND e.number = r.edit WHERE r.id = ?`, id)
	if err != nil {
		return v, fmt.Errorf("reading the version that is sent: %w", err)
	}
	if v.batch {
		err = delivery.Mistake("batch.edit", "")
	}
	return v, err
}

// ofBatchSQL says of a delivery r whether the leader of its batch takes care of it.
const ofBatchSQL = `(EXISTS (SELECT FROM redrive.batch_files b WHERE b.id = r.message_id) OR EXISTS (SELECT FROM redrive.batch_rows b
	WHERE b.delivery_id = r.id) OR EXISTS (SELECT FROM redrive.batch_runs b WHERE b.delivery_id = r.id))`

// edited is the version that a request makes of v.
func (v version) edited(r delivery.EditRequest) (delivery.Edit, error) {
	next := delivery.Edit{Number: v.last + 1, Payload: r.Payload, Headers: v.Headers, ActorID: r.Actor, Reason: r.Reason}
	if next.Payload == nil && !r.PayloadNull {
		next.Payload = v.Payload
	}
	if delivery.EditFormat(v.Payload) == delivery.EditJSON && !r.PayloadNull {
		if err := delivery.CheckJSON(next.Payload); err != nil {
			return next, err
		}
	}
	if r.Headers == nil {
		return next, nil
	}
	headers, err := delivery.EditHeaders(r.Headers, v.Headers)
	if err == nil {
		err = delivery.CheckHeaders(headers, v.Headers)
	}
	next.Headers = headers
	return next, err
}

func insertEdit(tx *gorm.DB, id string, e delivery.Edit) error {
	headers, err := json.Marshal(e.Headers)
	if err != nil {
		return fmt.Errorf("encoding headers: %w", err)
	}
	if e.Headers == nil {
		headers = []byte("{}")
	}
	if err := tx.Exec(`INSERT INTO redrive.edits (delivery_id, number, payload, headers, actor, reason, after_attempt)
		SELECT id, ?, ?, ?::jsonb, ?, ?, attempts FROM redrive.deliveries WHERE id = ?`, e.Number, e.Payload, string(headers), e.ActorID, e.Reason, id).Error; err != nil {
		return err
	}
	return tx.Exec("UPDATE redrive.deliveries SET edit = ? WHERE id = ?", e.Number, id).Error
}

// addHashes tells the auditor of both payloads without their content. Where fields are masked the hashes are of what people may see:
// a short secret could be guessed from the hash of everything around it.
func (v version) addHashes(tx *gorm.DB, id string, members map[string]any, next []byte) error {
	masking, err := maskingOf(tx, id)
	if err != nil {
		return fmt.Errorf("reading masks: %w", err)
	}
	for which, payload := range map[string][]byte{"old": v.Payload, "new": next} {
		if payload == nil {
			members[which+"_null"] = true
			continue
		}
		if masking.Hides() {
			members["masked"] = true
		}
		seen, ok := masking.Payload(payload)
		if !ok {
			continue
		}
		sum := sha256.Sum256(seen)
		members[which+"_sha256"] = hex.EncodeToString(sum[:])
	}
	return nil
}

// maskingOf is what is hidden of the message of a delivery.
func maskingOf(tx *gorm.DB, id string) (delivery.Masking, error) {
	masks, err := record.ReadMasks(tx)
	if err != nil {
		return delivery.Masking{}, err
	}
	type sent struct {
		Kind                    delivery.Kind
		Addressee, Type, SentTo string
	}
	s, err := pg.ScanOne[sent](tx,
		`SELECT m.kind, m.integration AS addressee, m.type, r.integration AS sent_to
		FROM redrive.deliveries r JOIN redrive.messages m ON m.id = r.message_id WHERE r.id = ?`, id)
	return masks.For(delivery.Message{Kind: s.Kind, Integration: s.Addressee, Type: s.Type}, s.SentTo), err
}

// editsLoaded bounds what the payloads of all versions of one delivery may take in memory; older ones are read one by one.
const editsLoaded = 24 << 20

var editColumns = `number, coalesce(octet_length(payload), 0), payload IS NULL AND NOT dropped, dropped, headers, ` + pg.Called("actor") + `, actor, reason, created_at, after_attempt`

func editPointers(e *delivery.Edit) []any {
	return []any{
		&e.Number,
		&e.Size,
		&e.Null,
		&e.Dropped,
		pg.JSON{To: &e.Headers},
		&e.Actor,
		&e.ActorID,
		&e.Reason,
		&e.CreatedAt,
		&e.AfterAttempt,
		&e.Payload,
		&e.Omitted,
	}
}

// edits are all versions of what was sent for a delivery, oldest first; none while there is only the message.
func edits(tx *gorm.DB, id string, m delivery.Message) ([]delivery.Edit, error) {
	list, err := pg.Read(tx, editPointers, `SELECT `+editColumns+`, CASE WHEN newer <= ? THEN payload END, newer > ? FROM (
			SELECT *, sum(coalesce(octet_length(payload), 0)) OVER (ORDER BY number DESC) AS newer FROM redrive.edits WHERE delivery_id = ?) e ORDER BY number`,
		editsLoaded, editsLoaded, id)
	if err != nil {
		return nil, fmt.Errorf("reading edits: %w", err)
	}
	if len(list) == 0 {
		return nil, nil
	}
	return append([]delivery.Edit{firstVersion(m)}, list...), nil
}

func firstVersion(m delivery.Message) delivery.Edit {
	return delivery.Edit{
		Number:    1,
		Size:      len(m.Payload),
		Payload:   m.Payload,
		Null:      m.Payload == nil && !m.Dropped,
		Headers:   m.Headers,
		CreatedAt: m.CreatedAt,
		Dropped:   m.Dropped,
	}
}

// seeDelivery is pg.See for the integration of a delivery.
func seeDelivery(db *gorm.DB, id string) error {
	if pg.Seen(db).All {
		return nil
	}
	name, err := pg.ReadOne(db, pg.Single[string], "SELECT integration FROM redrive.all_deliveries WHERE id = ?", id)
	if err != nil {
		return err
	}
	return pg.See(db, name)
}

// EditOf returns one version of what was sent for a delivery, with its payload.
func (s *Desk) EditOf(ctx context.Context, id string, number int) (e delivery.Edit, err error) {
	if !delivery.IsUUID(id) {
		return e, delivery.ErrNotFound
	}
	db := s.Gorm.WithContext(ctx)
	if err := seeDelivery(db, id); err != nil {
		return e, err
	}
	if number != 1 {
		return pg.ReadOne(db, editPointers,
			"SELECT "+editColumns+", payload, false FROM redrive.edits WHERE delivery_id = ? AND number = ?", id, number)
	}
	of, err := pg.ReadOne(db, pg.Single[string], "SELECT message_id::text FROM redrive.all_deliveries WHERE id = ?", id)
	if err != nil {
		return e, err
	}
	m, err := queue.Message(db, of)
	if errors.Is(err, delivery.ErrNotFound) {
		m, err = delivery.Message{Dropped: true}, nil
	}
	return firstVersion(m), err
}
