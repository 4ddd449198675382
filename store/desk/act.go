package desk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
	"redrive/store/queue"
)

// subject is what an action looks at, locked.
type subject struct {
	MessageID   string
	Integration string
	State       delivery.State
	Version     int
	Attempts    int
	ChangedAt   time.Time
	Expired     bool
	Active      bool
	Actor       string
	Action      string
	ActedAt     *time.Time
	Edit        *int
	OpActor     string // of the operation that made the present state, empty when none did
	OpAction    string
}

func (s *subject) columns() []any {
	return []any{&s.MessageID, &s.Integration, &s.State, &s.Version, &s.Attempts, &s.ChangedAt, &s.Expired, &s.Active, &s.Actor,
		&s.Action, &s.ActedAt, &s.Edit, &s.OpActor, &s.OpAction}
}

// Act does one action of one person on one delivery and audits it in the same transaction. It answers the new record, or
// *delivery.ConflictError when somebody or something was faster. A form that was carried out changes nothing any more.
func (s *Desk) Act(ctx context.Context, a delivery.ActionRequest) (d delivery.Delivery, err error) {
	if err := checkAction(a); err != nil {
		return d, err
	}
	return s.changed(ctx, a.ID, a.Token, func(tx *gorm.DB) error { return act(tx, a) })
}

func act(tx *gorm.DB, a delivery.ActionRequest) error {
	before, err := lockSubject(tx, a.ID)
	if err != nil {
		return err
	}
	if err := before.permit(a); err != nil {
		return err
	}
	if err := apply(tx, a, before); err != nil {
		return fmt.Errorf("%s: %w", a.Action, err)
	}
	return nil
}

// claimToken answers whether this is the first time that the form with this token is carried out; an empty token is always fresh.
// It comes first in the transaction that carries it out: whoever sends the same form meanwhile waits here for the end of that.
func claimToken(tx *gorm.DB, token string) (fresh bool, err error) {
	if token == "" {
		return true, nil
	}
	if !pg.IsUUID(token) {
		return false, delivery.Mistake("bad_token", "token")
	}
	claimed := tx.Exec("INSERT INTO redrive.form_tokens (token) VALUES (?) ON CONFLICT DO NOTHING", token)
	if claimed.Error != nil {
		return false, fmt.Errorf("claiming the form's token: %w", claimed.Error)
	}
	return claimed.RowsAffected == 1, nil
}

// checkAction refuses what no state of the delivery would allow.
func checkAction(a delivery.ActionRequest) error {
	if !pg.IsUUID(a.ID) {
		return delivery.ErrNotFound
	}
	return checkReason(a.Action, a.Reason, a.Category)
}

// ForgetFormTokens forgets the forms that nobody has open any more.
func (s *Desk) ForgetFormTokens(ctx context.Context) error {
	err := s.Gorm.WithContext(ctx).Exec(`DELETE FROM redrive.form_tokens WHERE token IN (
		SELECT token FROM redrive.form_tokens WHERE at < statement_timestamp() - interval '7 days' LIMIT 50000)`).Error
	if err != nil {
		return fmt.Errorf("forgetting forms: %w", err)
	}
	return nil
}

// checkReason holds for one delivery as for many.
func checkReason(a delivery.Action, reason, category string) error {
	switch {
	case (a == delivery.ActionIgnore || a == delivery.ActionResolve) && strings.TrimSpace(reason) == "":
		return delivery.Mistake("reason_required", "reason")
	case a == delivery.ActionIgnore && category == "":
		return delivery.Mistake("category_required", "category", "categories", delivery.IgnoreCategories)
	}
	return nil
}

// lockSubject locks first and looks afterwards: what is joined to a row that was waited for would be from before the wait.
func lockSubject(tx *gorm.DB, id string) (subject, error) {
	_, err := pg.ReadOne(tx, pg.Single[int], "SELECT 1 FROM redrive.deliveries WHERE id = ? FOR UPDATE", id)
	if errors.Is(err, delivery.ErrNotFound) {
		// it may wait for its first attempt: nothing has failed yet
		return pg.ReadOne(tx, func(s *subject) []any { return []any{&s.State, &s.Integration, &s.ChangedAt} },
			`SELECT q.state, q.integration, m.created_at FROM redrive.all_deliveries q JOIN redrive.messages m ON m.id = q.message_id
			WHERE q.id = ?`, id)
	}
	if err != nil {
		return subject{}, err
	}
	return pg.ReadOne(tx, (*subject).columns, `SELECT r.message_id::text, r.integration,
			CASE WHEN w.token IS NOT NULL THEN 'sending' ELSE r.state END, r.version, r.attempts, r.changed_at,
			coalesce(m.expires_at <= statement_timestamp(), false), coalesce(i.active, false), coalesce(f.actor, ''),
			coalesce(f.action, ''), f.acted_at, r.edit, coalesce(o.actor, ''), coalesce(o.action, '')
		FROM redrive.deliveries r LEFT JOIN redrive.messages m ON m.id = r.message_id
		LEFT JOIN redrive.operations o ON o.id = r.operation_id
		LEFT JOIN redrive.failure_details f ON f.delivery_id = r.id
		LEFT JOIN redrive.integrations i ON i.name = r.integration
		LEFT JOIN redrive.queue w ON w.id = r.id
		WHERE r.id = ?`, id)
}

// permit says whether the action may be done to what was found.
func (s subject) permit(a delivery.ActionRequest) error {
	if !slices.Contains(a.Action.From(), s.State) || (a.Version != 0 && a.Version != s.Version) {
		return s.conflict(a.ID)
	}
	if a.Action != delivery.ActionRetry {
		return nil
	}
	if s.Expired {
		return delivery.Mistake("expired", "")
	}
	if !s.Active {
		return delivery.Mistake("no_integration", "")
	}
	return nil
}

// conflict tells who was faster: the person whose decision or operation made the present state, else the engine.
func (s subject) conflict(id string) error {
	c := &delivery.ConflictError{ID: id, State: s.State, Version: s.Version, Actor: "engine", Action: "attempt", At: s.ChangedAt}
	if s.OpActor != "" && s.State != delivery.StateDelivered && s.made(delivery.Action(s.OpAction)) {
		c.Actor, c.Action = s.OpActor, s.OpAction
		return c
	}
	if s.ActedAt != nil && s.Actor != "" && !s.ActedAt.Before(s.ChangedAt) {
		c.Actor, c.Action, c.At = s.Actor, s.Action, *s.ActedAt
	}
	return c
}

// made says whether the present state can be what an operation's action made of it: a retry may have ended since.
func (s subject) made(a delivery.Action) bool {
	return a.To() == s.State || a == delivery.ActionRetry && s.State == delivery.StateSending
}

func apply(tx *gorm.DB, a delivery.ActionRequest, before subject) error {
	if err := perform(tx, a, before); err != nil {
		return err
	}
	return audit.Record(tx, actionEntry(a, before))
}

// perform does everything of an action but its audit entry.
func perform(tx *gorm.DB, a delivery.ActionRequest, before subject) error {
	changes := map[delivery.Action]string{
		delivery.ActionRetry:   "state = 'pending', dead_at = NULL, retry_requested_at = clock_timestamp()",
		delivery.ActionIgnore:  "state = 'ignored', dead_at = NULL, settled_at = clock_timestamp()",
		delivery.ActionResolve: "state = 'resolved', dead_at = NULL, settled_at = clock_timestamp()",
		delivery.ActionReopen:  "state = 'dead', settled_at = NULL, dead_at = clock_timestamp()",
	}
	changed, err := pg.ReadOne(tx, pg.Single[time.Time], "UPDATE redrive.deliveries SET "+changes[a.Action]+`, version = version + 1, changed_at = clock_timestamp(),
		actor = ?, operation_id = NULL, operation_item = NULL, acknowledged_at = NULL WHERE id = ? RETURNING changed_at`, a.Actor, a.ID)
	if err != nil {
		return err
	}
	if err := tx.Exec(`INSERT INTO redrive.failure_details (delivery_id, actor, action, acted_at, reason, category, until, evidence)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (delivery_id) DO UPDATE SET actor = excluded.actor, action = excluded.action,
		acted_at = excluded.acted_at, reason = excluded.reason, category = excluded.category, until = excluded.until,
		evidence = excluded.evidence`, a.ID, a.Actor, string(a.Action), changed, a.Reason, pg.Optional(a.Category), a.Until,
		pg.Optional(a.Evidence)).Error; err != nil {
		return err
	}
	if a.Action == delivery.ActionRetry {
		// the head of a lane stays its head: what waits behind it goes on only when it is settled. What has left its lane goes
		// outside of the order. Rejected rows and failed runs of a batch are due never: its leader takes care of them, see
		// store/batch/answers.go and runs.go.
		if err := tx.Exec(`INSERT INTO redrive.queue (id, message_id, integration, attempts, round_start, edit, lane, position, due_at)
			SELECT ?::uuid, ?::uuid, ?, ?, ?, ?, l.key, CASE WHEN l.head IS NOT NULL THEN 0 END,
				CASE WHEN EXISTS (SELECT FROM redrive.batch_rows b WHERE b.delivery_id = ?)
					OR EXISTS (SELECT FROM redrive.batch_runs b WHERE b.delivery_id = ?) THEN 'infinity' ELSE clock_timestamp() END
			FROM (VALUES (true)) one LEFT JOIN redrive.lanes l ON l.head = ?`,
			a.ID, before.MessageID, before.Integration, before.Attempts, before.Attempts, before.Edit, a.ID, a.ID, a.ID).Error; err != nil {
			return err
		}
	} else if a.Action != delivery.ActionReopen {
		if err := queue.ReleaseLanes(tx, []string{a.ID}); err != nil {
			return err
		}
	}
	return nil
}

func actionEntry(a delivery.ActionRequest, before subject) delivery.AuditEntry {
	members := map[string]any{"integration": before.Integration, "from": string(before.State), "to": string(a.Action.To()),
		"version": before.Version + 1, "category": a.Category, "evidence": a.Evidence, "until": audit.UntilText(a.Until)}
	return delivery.AuditEntry{Actor: a.Actor, Action: "delivery." + string(a.Action), SubjectType: "delivery", Subject: a.ID,
		Reason: a.Reason, Details: audit.Details(members)}
}

const reopenDueSQL = `
WITH due AS (
    SELECT r.id FROM redrive.failure_details f JOIN redrive.deliveries r ON r.id = f.delivery_id AND r.state = 'ignored'
    WHERE f.until <= statement_timestamp() ORDER BY r.id LIMIT 500 FOR UPDATE OF r SKIP LOCKED
), opened AS (
    UPDATE redrive.deliveries r SET state = 'dead', version = r.version + 1, settled_at = NULL, dead_at = statement_timestamp(),
        changed_at = statement_timestamp(), actor = 'policy' FROM due WHERE r.id = due.id RETURNING r.id, r.integration, r.version
), noted AS (
    UPDATE redrive.failure_details f SET actor = 'policy', action = 'reopen', acted_at = statement_timestamp(),
        reason = 'the time it was ignored for is over', category = NULL, until = NULL FROM opened o WHERE f.delivery_id = o.id
)
INSERT INTO redrive.audit (actor, action, subject_type, subject, reason, details)
SELECT 'policy', 'delivery.reopen', 'delivery', id::text, 'the time it was ignored for is over',
    jsonb_build_object('integration', integration, 'from', 'ignored', 'to', 'dead', 'version', version) FROM opened`

// ReopenDue moves ignored deliveries whose time is over back to dead, at most 500 at once, and answers how many.
func (s *Desk) ReopenDue(ctx context.Context) (n int, err error) {
	result := s.Gorm.WithContext(ctx).Exec(reopenDueSQL)
	if result.Error != nil {
		return 0, fmt.Errorf("reopening ignored deliveries: %w", result.Error)
	}
	return int(result.RowsAffected), nil
}
