package seed

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/delivery/past"
	"redrive/store/audit"
	"redrive/store/ignore"
	"redrive/store/pg"
)

// freshSQL reports whether nothing has happened yet. The lock lets one process at a time ask.
const freshSQL = `SELECT NOT EXISTS (SELECT FROM redrive.operators) AND NOT EXISTS (SELECT FROM redrive.audit)
	AND NOT EXISTS (SELECT FROM redrive.messages) AND NOT EXISTS (SELECT FROM redrive.deliveries)`

// WriteHistory writes what had happened, in one transaction, where nothing has: no person, no message and no entry of the audit is there.
// It reports whether it did. All people of the history have the same hash of a password.
func (s *Seed) WriteHistory(ctx context.Context, tell func() (*past.History, error), passwordHash string) (written bool, err error) {
	err = s.TransactAfter(ctx, "LOCK TABLE redrive.operators IN SHARE ROW EXCLUSIVE MODE", func(tx *gorm.DB) error {
		if written, err = pg.ReadOne(tx, pg.Single[bool], freshSQL); err != nil || !written {
			return err
		}
		h, err := tell()
		if err != nil {
			return err
		}
		return write(tx, h, passwordHash)
	})
	if err != nil {
		return false, fmt.Errorf("writing a history: %w", err)
	}
	return written, nil
}

const sinceSQL = `
WITH edited AS MATERIALIZED (
    SELECT DISTINCT subject::uuid AS id FROM redrive.audit WHERE action = 'delivery.edit' AND details -> '` + audit.PastMember + `' IS NULL
)
SELECT EXISTS (SELECT FROM redrive.audit WHERE seq = 1 AND details -> '` + audit.PastMember + `' IS NOT NULL) AS told,
    EXISTS (SELECT FROM edited e JOIN redrive.deliveries r ON r.id = e.id AND r.state = 'delivered') AS delivered,
    EXISTS (SELECT FROM redrive.audit WHERE action = 'operation.start' AND details -> '` + audit.PastMember + `' IS NULL
        AND details -> 'pace' -> '` + delivery.PaceCanary + `' IS NOT NULL) AS canary,
    EXISTS (SELECT FROM redrive.audit WHERE action = 'failures.export' AND subject = 'ignored' AND details -> '` + audit.PastMember + `' IS NULL) AS exported`

// Since returns what people have done since a history was written, if one was.
func (s *Seed) Since(ctx context.Context) (since past.Since, err error) {
	if since, err = pg.ScanOne[past.Since](s.Gorm.WithContext(ctx), sinceSQL); err != nil {
		return since, fmt.Errorf("looking what people did: %w", err)
	}
	return since, nil
}

func write(tx *gorm.DB, h *past.History, passwordHash string) error {
	t := tables{hash: passwordHash, groups: map[string]*groupRow{}, hours: map[hourKey]*hourRow{}, remedies: map[remedyKey]*settlementRow{},
		retried: map[string]retriedRow{}}
	for _, p := range h.People {
		t.operators = append(t.operators, operatorRow{p.ID, p.Name, p.Role, passwordHash, p.Since})
	}
	for _, v := range h.Views {
		t.views = append(t.views, viewRow{v.OwnerID, v.Name, v.Search, v.Shared})
	}
	for _, d := range h.Delivered {
		t.delivered(d)
	}
	for _, f := range h.Failures {
		t.failure(f)
	}
	for _, o := range h.Operations {
		t.operation(o)
	}
	if err := t.days(tx); err != nil {
		return err
	}
	if err := t.insert(tx); err != nil {
		return err
	}
	if err := t.count(tx); err != nil {
		return err
	}
	return audit.RecordPast(tx, append(h.Entries, t.entries...))
}

// days makes partitions for the messages of the past.
func (t *tables) days(tx *gorm.DB) error {
	days := map[string]bool{}
	for _, m := range t.messages {
		days[m.CreatedAt.UTC().Format(time.DateOnly)] = true
	}
	list := make([]string, 0, len(days))
	for day := range days {
		list = append(list, day)
	}
	return tx.Exec("SELECT redrive.add_message_partition(d) FROM unnest(?::date[]) d", &list).Error
}

// insert writes the rows of each table. A message of the past has the number of a transaction before all positions: no relay takes it for
// new.
func (t *tables) insert(tx *gorm.DB) error {
	for _, put := range []func(*gorm.DB) error{
		rows("INSERT INTO redrive.operators", t.operators), rows("INSERT INTO redrive.saved_views", t.views),
		rows("INSERT INTO redrive.messages", t.messages), rows("INSERT INTO redrive.groups", values(t.groups)),
		rows("INSERT INTO redrive.operations", t.operations), rows("INSERT INTO redrive.operation_parts", t.parts),
		rows("INSERT INTO redrive.deliveries", t.deliveries), rows("INSERT INTO redrive.failure_details", t.details),
		rows("INSERT INTO redrive.attempts", t.attempts), rows("INSERT INTO redrive.queue", t.queue),
		rows("INSERT INTO redrive.edits", t.edits), rows("INSERT INTO redrive.cases", t.cases), rows("INSERT INTO redrive.notes", t.notes),
		rows("INSERT INTO redrive.operation_items", t.items), rows("INSERT INTO redrive.group_retries", values(t.retried)),
		rows("INSERT INTO redrive.settlements", values(t.remedies)), rows("INSERT INTO redrive.hourly", values(t.hours)),
	} {
		if err := put(tx); err != nil {
			return err
		}
	}
	return tx.Exec("UPDATE redrive.failure_details f SET reason = p.reason FROM " + ignore.PolicySQL + " WHERE f.actor = p.policy").Error
}

// count tells the counters of groups when what happened, in its order, in place of what the triggers have just noted as of now.
func (t *tables) count(tx *gorm.DB) error {
	if err := tx.Exec("DELETE FROM redrive.group_deltas").Error; err != nil {
		return err
	}
	raw, err := json.Marshal(t.moves)
	if err != nil {
		return err
	}
	return tx.Exec(`INSERT INTO redrive.group_deltas (group_id, at, dead, acknowledged, pending, ignored, resolved, delivered, failed, died, came)
		SELECT group_id, at, dead, acknowledged, pending, ignored, resolved, delivered, failed, died, came
		FROM json_populate_recordset(NULL::redrive.group_deltas, ?::json) ORDER BY at`, string(raw)).Error
}

// rows is a statement that inserts rows into a table, whose columns are their members.
func rows[R any](into string, list []R) func(*gorm.DB) error {
	return func(tx *gorm.DB) error {
		if len(list) == 0 {
			return nil
		}
		raw, err := json.Marshal(list)
		if err != nil {
			return fmt.Errorf("%s: %w", into, err)
		}
		columns := strings.Join(members(reflect.TypeFor[R]()), ", ")
		table := strings.TrimPrefix(into, "INSERT INTO ")
		err = tx.Exec(into+" ("+columns+") SELECT "+columns+" FROM json_populate_recordset(NULL::"+table+", ?::json)", string(raw)).Error
		if err != nil {
			return fmt.Errorf("%s: %w", into, err)
		}
		return nil
	}
}

func members(row reflect.Type) (names []string) {
	if row.Kind() == reflect.Pointer {
		row = row.Elem()
	}
	for i := range row.NumField() {
		names = append(names, row.Field(i).Tag.Get("json"))
	}
	return names
}

func values[K comparable, R any](m map[K]R) []R {
	list := make([]R, 0, len(m))
	for _, r := range m {
		list = append(list, r)
	}
	return list
}

// blob is bytes as a text that Postgres reads as bytea; nil is null.
type blob []byte

// MarshalJSON writes the hex form.
func (b blob) MarshalJSON() ([]byte, error) {
	if b == nil {
		return []byte("null"), nil
	}
	return json.Marshal(`\x` + hex.EncodeToString(b))
}

func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// by is the actor of a decision.
func by(p past.Person) string {
	if p.ID == "" {
		return delivery.ActorPolicy
	}
	return p.ID
}
