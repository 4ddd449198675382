package api

import (
	"context"
	"time"

	"redrive/delivery"
	"redrive/delivery/ledger"
	"redrive/handlers/web"
)

// Store is what the API needs from the database.
type Store interface {
	Accept(ctx context.Context, m delivery.Message) (delivery.Accepted, error) // m.ID is given by the store
	NoteKeyReuse(ctx context.Context, m delivery.Message, first delivery.Accepted) error
	Message(ctx context.Context, id string) (delivery.Message, []delivery.Delivery, error)
	Reveal(ctx context.Context, r delivery.RevealRequest) (delivery.Revealed, error)
	Failures(ctx context.Context, f delivery.Filter) (delivery.Page[delivery.Delivery], error)
	Delivery(ctx context.Context, id string) (delivery.Detail, error)
	CountFailures(ctx context.Context, f delivery.Filter, atMost int) (n int, capped bool, err error)
	Groups(ctx context.Context, f delivery.GroupFilter) (delivery.Page[delivery.Group], error)
	Group(ctx context.Context, id string) (delivery.Group, error)
	// Act does one action on one delivery and returns its new record.
	Act(ctx context.Context, a delivery.ActionRequest) (delivery.Delivery, error)
	Edit(ctx context.Context, r delivery.EditRequest) (delivery.Delivery, error)
	Redirect(ctx context.Context, r delivery.RedirectRequest) (delivery.Delivery, error)
	ChangeCase(ctx context.Context, c delivery.CaseChange) (delivery.Delivery, error) // *delivery.CaseConflictError
	AddNote(ctx context.Context, id, author, text, token string) (delivery.Delivery, error)
	SavedViews(ctx context.Context, owner string) ([]delivery.SavedView, error)
	SaveView(ctx context.Context, v delivery.SavedView) (delivery.SavedView, error)
	DeleteView(ctx context.Context, id, actor string) error
	DryRun(ctx context.Context, r delivery.OperationRequest) (delivery.DryRun, error)
	StartOperation(ctx context.Context, r delivery.OperationRequest) (delivery.Operation, error)
	Operations(ctx context.Context, f delivery.OperationFilter) (delivery.Page[delivery.Operation], error)
	OperationItems(ctx context.Context, id string, f delivery.ItemFilter) (delivery.Page[delivery.OperationItem], error)
	SteerOperation(ctx context.Context, step delivery.Steer) (delivery.Operation, error) // *delivery.OperationConflictError
	Approvals(ctx context.Context, f delivery.ApprovalFilter) (delivery.Page[delivery.Approval], error)
	Approval(ctx context.Context, id string) (delivery.Approval, error)
	ApprovalItems(ctx context.Context, id, after string, limit int) (delivery.Page[delivery.ApprovalItem], error)
	Approve(ctx context.Context, d delivery.ApprovalDecision) (delivery.Approval, error) // *delivery.VoidError
	Reject(ctx context.Context, d delivery.ApprovalDecision) (delivery.Approval, error)
	Withdraw(ctx context.Context, d delivery.ApprovalDecision) (delivery.Approval, error)
	Secrets(ctx context.Context, integration string) ([]delivery.StoredSecret, error) // never a value
	web.IgnoreRuleStore
	SetSecret(ctx context.Context, integration, name, value, actor string) error
	RemoveSecret(ctx context.Context, integration, name, actor string) error
	Operators(ctx context.Context) ([]delivery.Operator, error) // by name
	Operator(ctx context.Context, id string) (delivery.Operator, error)
	ChangeOperator(ctx context.Context, c delivery.OperatorChange) (delivery.Operator, error)
	Tokens(ctx context.Context) ([]delivery.Token, error) // with their secrets, the newest first
	web.TokenStore
	RevokeToken(ctx context.Context, id, actor string) error
	SetPaused(ctx context.Context, integration string, paused bool, actor, reason string) error
	PauseUntil(ctx context.Context, integration, actor, reason string, until time.Time) error
	// RequestRun asks for a run of a batch, of a business date (2006-01-02) or of now when that is empty.
	RequestRun(ctx context.Context, integration, date, actor, reason string) (delivery.BatchRun, error)
	Runs(ctx context.Context, integration, after string, limit int) (delivery.Page[delivery.BatchRun], error) // newest first
	File(ctx context.Context, id string) (delivery.StoredFile, error)
	Audit(ctx context.Context, f delivery.AuditFilter) (delivery.Page[delivery.AuditEntry], error)
	AuditHead(ctx context.Context) (delivery.AuditEntry, error) // zero Seq on an empty chain
	LastCheckpoint(ctx context.Context) (signed string, err error)
	Prove(ctx context.Context, seq int64) (ledger.Proof, error)
}
