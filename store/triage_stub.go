package store

import (
	"context"
	"errors"

	"redrive/delivery"
)

var errToCome = errors.New("not built yet")

// CountFailures answers how many failures a filter selects; more than atMost are not counted, and capped says so.
func (s *Store) CountFailures(ctx context.Context, f delivery.Filter, atMost int) (n int, capped bool, err error) {
	return 0, false, errToCome
}

// Group answers one fingerprint's group, whatever the states of its failures; Count is its dead letters.
func (s *Store) Group(ctx context.Context, id string) (delivery.Group, error) {
	return delivery.Group{}, errToCome
}

// DeadGeneration answers a number that changes whenever a dead letter comes or goes.
func (s *Store) DeadGeneration(ctx context.Context) (int64, error) { return 0, errToCome }

// Suggest answers values of a field of the search bar that begin with what was typed, the most useful first, at most 10.
func (s *Store) Suggest(ctx context.Context, field, typed string) ([]string, error) {
	return nil, errToCome
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
