package approve

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// stateSQL is the state of a request a: one whose time is over has expired, also before that is written down.
const stateSQL = "CASE WHEN q.state = 'open' AND q.expires_at <= statement_timestamp() THEN 'expired' ELSE q.state END"

var approvalSQL = `SELECT q.id::text, ` + stateSQL + `, q.kind, q.action, q.target, ` + pg.Called("q.actor") + `, q.actor, coalesce(q.person, ''), q.reason,
	array_to_json(q.rules), array_to_json(q.integrations), q.items, q.hash, q.created_at, q.expires_at, q.decided_at, ` + pg.Called("q.decided_by") + `,
	coalesce(q.decided_by, ''), coalesce(q.comment, ''), q.void_because, coalesce(q.result, ''), q.request FROM redrive.approvals q`

func columns(a *delivery.Approval) []any {
	return []any{&a.ID, &a.State, &a.Kind, &a.Action, &a.Target, &a.Actor, &a.ActorID, &a.Person, &a.Reason, pg.JSON{To: &a.Rules},
		pg.JSON{To: &a.Integrations}, &a.Count, &a.Hash, &a.CreatedAt, &a.ExpiresAt, &a.DecidedAt, &a.Decider, &a.DeciderID,
		&a.Comment, pg.JSON{To: &a.Void}, &a.Result, &a.Request}
}

func one(tx *gorm.DB, condition string, arg any) (delivery.Approval, error) {
	return pg.ReadOne(tx, columns, approvalSQL+" WHERE "+condition, arg)
}

// seen puts in that all integrations of a request are shown to whoever asks, or that they asked for it themselves.
func seen(db *gorm.DB, w *pg.Where) {
	scope := pg.Seen(db)
	if scope.All {
		return
	}
	r, _ := delivery.RightOf(db.Statement.Context)
	w.Add("(q.integrations <@ ? OR q.actor = ?)", pg.Names(scope), r.Actor)
}

// see returns delivery.ErrNotFound for a request that is not shown.
func see(tx *gorm.DB, a delivery.Approval) error {
	r, _ := delivery.RightOf(tx.Statement.Context)
	if scope := pg.Seen(tx); !scope.All && a.ActorID != r.Actor && slices.ContainsFunc(a.Integrations, func(name string) bool { return !scope.Has(name) }) {
		return delivery.ErrNotFound
	}
	return nil
}

// Approvals returns requests, newest first, without their parameters.
func (s *Requests) Approvals(ctx context.Context, f delivery.ApprovalFilter) (page delivery.Page[delivery.Approval], err error) {
	limit, err := delivery.PageSize(f.Limit)
	if err != nil {
		return page, err
	}
	db, w := s.Gorm.WithContext(ctx), pg.NewWhere()
	seen(db, w)
	filter(w, f)
	if f.After != "" {
		c, err := pg.ParseCursor(f.After)
		if err != nil {
			return page, err
		}
		w.Add("(q.created_at, q.id) < (?::timestamptz, ?::uuid)", c.At, c.Id)
	}
	page.Items, err = pg.Read(db, columns, approvalSQL+w.Sql()+" ORDER BY q.created_at DESC, q.id DESC LIMIT ?", append(w.Args, limit+1)...)
	if err != nil {
		return page, pg.DomainError(fmt.Errorf("reading requests for approval: %w", err))
	}
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		page.Next = pg.Cursor{At: page.Items[limit-1].CreatedAt, Id: page.Items[limit-1].ID}.String()
	}
	for n := range page.Items {
		page.Items[n].Request = nil
	}
	return page, nil
}

// filter puts in what is asked for. Open ones are read by their own index.
func filter(w *pg.Where, f delivery.ApprovalFilter) {
	switch states := textsOf(f.States); {
	case len(states) == 1 && f.States[0] == delivery.ApprovalOpen:
		w.Add("q.state = 'open' AND q.expires_at > statement_timestamp()")
	case len(states) > 0:
		w.Add(stateSQL+" = ANY(?)", &states)
	}
	if f.Mine != "" {
		w.Add("q.person = ?", f.Mine)
	}
	if f.ToDo != "" {
		w.Add("q.person IS DISTINCT FROM ?", f.ToDo)
	}
}

func textsOf(states []delivery.ApprovalState) (texts []string) {
	for _, state := range states {
		texts = append(texts, string(state))
	}
	return texts
}

// countedApprovals is how many are counted at most.
const countedApprovals = 100

// ApprovalsToDo counts what waits for a person to approve it, up to 100: what somebody else asked for, of integrations for which they may.
func (s *Requests) ApprovalsToDo(ctx context.Context, person string) (n int, err error) {
	db, w := s.Gorm.WithContext(ctx), pg.NewWhere()
	scope := pg.Scope(db, delivery.PermitView, delivery.PermitApprove)
	if person == "" || scope.IsEmpty() {
		return 0, nil
	}
	if !scope.All {
		w.Add("q.integrations <@ ?", pg.Names(scope))
	}
	filter(w, delivery.ApprovalFilter{States: []delivery.ApprovalState{delivery.ApprovalOpen}, ToDo: person})
	return pg.ReadOne(db, pg.Single[int], "SELECT count(*) FROM (SELECT FROM redrive.approvals q"+w.Sql()+" LIMIT "+strconv.Itoa(countedApprovals)+") x", w.Args...)
}

// Approval returns one request with its parameters. Of an open one it says what is not as it was asked for any more.
func (s *Requests) Approval(ctx context.Context, id string) (a delivery.Approval, err error) {
	if !delivery.IsUUID(id) {
		return a, delivery.ErrNotFound
	}
	db := s.Gorm.WithContext(ctx)
	if a, err = one(db, "q.id = ?", id); err != nil {
		return a, err
	}
	if err := see(db, a); err != nil {
		return delivery.Approval{}, err
	}
	if a.State == delivery.ApprovalOpen {
		a.Void, err = differs(db, a, "")
	}
	return a, err
}

const itemsSQL = `SELECT i.n, i.delivery_id::text, coalesce(r.integration, i.integration) AS integration, coalesce(r.key, '') AS key, i.version,
	coalesce(r.version, 0) AS now, coalesce(r.state, '') AS state FROM redrive.approval_items i LEFT JOIN redrive.deliveries r ON r.id = i.delivery_id
	WHERE i.approval_id = ? AND i.n > ? ORDER BY i.n LIMIT ?`

// ApprovalItems lists what a request is about, in order; Next is the last number.
func (s *Requests) ApprovalItems(ctx context.Context, id, after string, limit int) (page delivery.Page[delivery.ApprovalItem], err error) {
	if limit, err = delivery.PageSize(limit); err != nil {
		return page, err
	}
	from := 0
	if after != "" {
		if from, err = strconv.Atoi(after); err != nil || from < 0 {
			return page, pg.BadCursor()
		}
	}
	if _, err := s.Approval(ctx, id); err != nil {
		return page, err
	}
	page.Items, err = pg.Scan[delivery.ApprovalItem](s.Gorm.WithContext(ctx), itemsSQL, id, from, limit+1)
	if err != nil {
		return page, fmt.Errorf("reading what a request is about: %w", err)
	}
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		page.Next = strconv.Itoa(page.Items[limit-1].N)
	}
	return page, nil
}
