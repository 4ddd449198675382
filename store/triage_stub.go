package store

import (
	"context"
	"errors"

	"redrive/delivery"
)

var errToCome = errors.New("not built yet")

// Suggest answers values of a field of the search bar that begin with what was typed, the most useful first, at most 10.
func (s *Store) Suggest(ctx context.Context, field, typed string) ([]string, error) {
	return nil, errToCome
}

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
