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
