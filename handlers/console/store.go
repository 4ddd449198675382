package console

import (
	"context"
	"time"

	"redrive/delivery"
	"redrive/delivery/past"
	"redrive/handlers/web"
)

// Store is what the console needs from the database.
type Store interface {
	Message(ctx context.Context, id string) (delivery.Message, []delivery.Delivery, error)
	Reveal(ctx context.Context, r delivery.RevealRequest) (delivery.Revealed, error)
	Failures(ctx context.Context, f delivery.Filter) (delivery.Page[delivery.Delivery], error)
	Delivery(ctx context.Context, id string) (delivery.Detail, error)
	Underway(ctx context.Context, integration string, state delivery.State, after string) (delivery.Page[delivery.Delivery], error) // the next one first
	Delivered(ctx context.Context, integration, after string) (delivery.Page[delivery.Delivery], error)                             // in the hours of Health
	Blocked(
		ctx context.Context,
		id, after string,
	) (delivery.Page[delivery.Delivery], error) // by the order of a key; the next one first
	// Neighbours are the places beside one in a filter's list; nil where there is none.
	Neighbours(ctx context.Context, f delivery.Filter, at delivery.Place) (before, after *delivery.Place, err error)
	EndingIn(ctx context.Context, end string) ([]string, error)       // ids of failures
	Look(ctx context.Context, operator string) (delivery.Look, error) // what somebody has seen of failures
	Seen(ctx context.Context, operator string, until time.Time) error // notes it
	ChooseLanguage(ctx context.Context, operator, lang string) error  // in which somebody reads; empty: none
	Since(ctx context.Context) (past.Since, error)                    // the demo's week
	CountFailures(ctx context.Context, f delivery.Filter, atMost int) (n int, capped bool, err error)
	Groups(ctx context.Context, f delivery.GroupFilter) (delivery.Page[delivery.Group], error)
	Group(ctx context.Context, id string) (delivery.Group, error)
	Suggest(ctx context.Context, field, typed string) ([]string, error) // values of a field of the search bar
	// Act does one action on one delivery and returns its new record.
	Act(ctx context.Context, a delivery.ActionRequest) (delivery.Delivery, error)
	Edit(ctx context.Context, r delivery.EditRequest) (delivery.Delivery, error)
	EditOf(ctx context.Context, id string, number int) (delivery.Edit, error) // one version with its payload
	Redirect(ctx context.Context, r delivery.RedirectRequest) (delivery.Delivery, error)
	RedirectTargets(ctx context.Context, id string) ([]string, error)                 // names of integrations
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
	ApprovalsToDo(ctx context.Context, person string) (int, error)                       // up to 100
	IntegrationStates(ctx context.Context) (map[string]delivery.IntegrationState, error) // paused or resting, by name
	Secrets(ctx context.Context, integration string) ([]delivery.StoredSecret, error)    // never a value
	SetSecret(ctx context.Context, integration, name, value, actor string) error
	RemoveSecret(ctx context.Context, integration, name, actor string) error
	SetPaused(ctx context.Context, integration string, paused bool, actor, reason string) error
	PauseUntil(ctx context.Context, integration, actor, reason string, until time.Time) error
	// RequestRun asks for a run of a batch, of a business date (2006-01-02) or of now when that is empty.
	RequestRun(ctx context.Context, integration, date, actor, reason string) (delivery.BatchRun, error)
	Runs(ctx context.Context, integration, after string, limit int) (delivery.Page[delivery.BatchRun], error) // newest first
	File(ctx context.Context, id string) (delivery.StoredFile, error)
	web.IgnoreRuleStore
	Ignored(ctx context.Context, f delivery.IgnoredFilter) (delivery.Page[delivery.Delivery], error)
	IgnoredCounts(ctx context.Context, f delivery.IgnoredFilter) (counts []delivery.IgnoredCount, whole bool, err error)
	Audit(ctx context.Context, f delivery.AuditFilter) (delivery.Page[delivery.AuditEntry], error)
	AuditActors(ctx context.Context) ([]delivery.AuditActor, error) // whom the audit tells of, with their present names
	AuditHead(ctx context.Context) (delivery.AuditEntry, error)     // zero Seq on an empty chain
	Operator(ctx context.Context, id string) (delivery.Operator, error)
	OperatorByName(ctx context.Context, name string) (delivery.Operator, error)
	Sessions(ctx context.Context, operator string) ([]delivery.Session, error) // the latest use first
	EndSession(ctx context.Context, operator, session, actor string) error     // of that operator
	Holding(ctx context.Context, ids []string) ([]string, error)               // of sessions and tokens: those that have not ended
	Operators(ctx context.Context) ([]delivery.Operator, error)
	CreateOperator(ctx context.Context, o delivery.Operator, actor string) (delivery.Operator, error)
	ChangeOperator(ctx context.Context, c delivery.OperatorChange) (delivery.Operator, error)
	Passkeys(ctx context.Context, operator string) ([]delivery.Passkey, error)
	AddPasskey(ctx context.Context, o delivery.Operator, k delivery.Passkey) error
	RemovePasskey(ctx context.Context, o delivery.Operator, id, actor string) error
	CodeSecret(ctx context.Context, operator string) (delivery.CodeSecret, error)
	ProposeCodeSecret(ctx context.Context, operator string, secret []byte) error
	ConfirmCodes(ctx context.Context, o delivery.Operator, secret []byte, step int64, recovery [][]byte) error
	RecoveryCodes(ctx context.Context, operator string) (left int, err error)
	Tokens(ctx context.Context) ([]delivery.Token, error)
	TokensOf(ctx context.Context, operator string) ([]delivery.Token, error)
	web.TokenStore
	RevokeToken(ctx context.Context, id, actor string) error
	DeadGeneration(ctx context.Context) (int64, error) // changes whenever a dead letter comes or goes
}
