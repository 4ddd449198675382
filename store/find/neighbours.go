package find

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// besidePatience is how long a page looks for what stands beside a failure in a list: it shows without, too.
const besidePatience = time.Second

// Neighbours returns the places before and after a place in a filter's list; nil at its ends, and where the list is too broad to be
// searched in a moment. What a place names need not be in the list any more.
func (s *Lists) Neighbours(ctx context.Context, f delivery.Filter, at delivery.Place) (before, after *delivery.Place, err error) {
	f.After, f.Limit = pg.Cursor{At: at.At, Id: at.ID}.String(), 0
	back := f
	if back.Sort = delivery.SortOldest; f.Sort == delivery.SortOldest {
		back.Sort = delivery.SortNewest
	}
	err = s.Snapshot(ctx, func(tx *gorm.DB) error {
		if after, err = s.beside(tx, f, at.ID); err == nil {
			before, err = s.beside(tx, back, at.ID)
		}
		return err
	})
	if errors.Is(tooBroad(err), errTooBroad) {
		return nil, nil, nil
	}
	return before, after, err
}

// beside is the first place of a list that is not that of a failure itself, which may have moved.
func (s *Lists) beside(tx *gorm.DB, f delivery.Filter, itself string) (*delivery.Place, error) {
	search, err := s.newFinder(tx, f, 2)
	if err != nil {
		return nil, err
	}
	search.patience = min(search.patience, besidePatience)
	found, err := search.find()
	for _, p := range found.places {
		if p.Id != itself {
			return &delivery.Place{ID: p.Id, At: p.At}, nil
		}
	}
	return nil, err
}

// EndingIn returns the ids of failures that end so (see delivery.IsShortID), at most as many as a page lists.
func (s *Lists) EndingIn(ctx context.Context, end string) ([]string, error) {
	w := pg.NewWhere()
	w.Add(`"right"(r.id::text, 8) = ?`, end)
	w.Add("r.failed_at IS NOT NULL")
	w.In("r.integration", pg.Seen(s.Gorm.WithContext(ctx)))
	ids, err := pg.Read(s.Gorm.WithContext(ctx), pg.Single[string],
		fmt.Sprintf("SELECT r.id::text FROM redrive.deliveries r%s ORDER BY r.id DESC LIMIT %d", w.Sql(), delivery.DefaultPage), w.Args...)
	if err != nil {
		return nil, fmt.Errorf("looking up the end of an id: %w", err)
	}
	return ids, nil
}
