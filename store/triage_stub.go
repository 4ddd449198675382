package store

import (
	"context"
	"errors"

	"redrive/delivery"
)

var errToCome = errors.New("not built yet")

// DryRun answers what an operation would select, and changes nothing.
func (s *Store) DryRun(ctx context.Context, r delivery.OperationRequest) (delivery.DryRun, error) {
	return delivery.DryRun{}, errToCome
}

// StartOperation freezes the set and answers the operation; it is carried out in the background.
func (s *Store) StartOperation(ctx context.Context, r delivery.OperationRequest) (delivery.Operation, error) {
	return delivery.Operation{}, errToCome
}

// Operation answers one operation with its parts.
func (s *Store) Operation(ctx context.Context, id string) (delivery.Operation, error) {
	return delivery.Operation{}, errToCome
}

// Operations answers operations without their parts, newest first.
func (s *Store) Operations(ctx context.Context, f delivery.OperationFilter) (delivery.Page[delivery.Operation], error) {
	return delivery.Page[delivery.Operation]{}, errToCome
}

// OperationItems answers the items of an operation in their order; outcome empty: all.
func (s *Store) OperationItems(ctx context.Context, id, outcome, after string, limit int) (delivery.Page[delivery.OperationItem], error) {
	return delivery.Page[delivery.OperationItem]{}, errToCome
}

// SteerOperation pauses, resumes or cancels an operation, or changes its pace.
func (s *Store) SteerOperation(ctx context.Context, step delivery.Steer) (delivery.Operation, error) {
	return delivery.Operation{}, errToCome
}

// Edit makes a new version of what is sent for a dead letter, and retries it.
func (s *Store) Edit(ctx context.Context, r delivery.EditRequest) (delivery.Delivery, error) {
	return delivery.Delivery{}, errToCome
}

// Redirect retries a dead letter by another integration.
func (s *Store) Redirect(ctx context.Context, r delivery.RedirectRequest) (delivery.Delivery, error) {
	return delivery.Delivery{}, errToCome
}

// ChangeCase changes what people keep about a failure.
func (s *Store) ChangeCase(ctx context.Context, c delivery.CaseChange) (delivery.Delivery, error) {
	return delivery.Delivery{}, errToCome
}

// AddNote writes a note about a failure.
func (s *Store) AddNote(ctx context.Context, id, author, text, token string) error { return errToCome }

// SavedViews answers a person's views and the shared ones, by name.
func (s *Store) SavedViews(ctx context.Context, owner string) ([]delivery.SavedView, error) {
	return nil, errToCome
}

// SaveView keeps a view; one of the same owner and name is replaced.
func (s *Store) SaveView(ctx context.Context, v delivery.SavedView) (delivery.SavedView, error) {
	return v, errToCome
}

// DeleteView forgets a view. Others' views can be deleted by nobody but an admin.
func (s *Store) DeleteView(ctx context.Context, id, actor string, admin bool) error { return errToCome }
