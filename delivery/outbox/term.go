package outbox

import (
	"context"
	"time"

	"redrive/delivery"
)

// leaderTerm is one time of leading.
type leaderTerm struct {
	*Relay
	session    Session
	ahead      []delivery.OutboxFeed // feeds with no events between their position and now
	savedAt    time.Time
	maintainAt time.Time // next time
}

// tick brings every feed up to now, or a page further. busy: there is more to do at once.
func (t *leaderTerm) tick(ctx context.Context) (busy bool, err error) {
	feeds, err := t.session.OutboxFeeds(ctx, t.ahead, t.cfg.Page)
	if err != nil {
		return false, err
	}
	t.ahead = t.ahead[:0]
	made := 0
	for _, f := range feeds {
		n, more, err := t.advance(ctx, f)
		if err != nil {
			return false, err
		}
		made, busy = made+n, busy || more
	}
	if err := t.save(ctx, feeds); err != nil {
		return false, err
	}
	placed, err := t.session.Place(ctx, t.cfg.Page)
	if err != nil {
		return false, err
	}
	if made+placed > 0 {
		t.cfg.Wake()
	}
	return busy || placed >= t.cfg.Page, nil
}

// advance does one step of one feed.
func (t *leaderTerm) advance(ctx context.Context, f delivery.OutboxFeed) (made int, more bool, err error) {
	switch {
	case f.Paging:
		made, err = t.session.FanOutPage(ctx, f.Name, t.cfg.Page)
		return made, true, err
	case f.Rows > t.cfg.Page:
		return 0, true, t.session.BeginPages(ctx, f)
	case f.Rows > 0:
		made, err = t.session.FanOut(ctx, f)
		return made, false, err
	}
	t.ahead = append(t.ahead, f)
	return 0, false, nil
}

// save moves positions that went over nothing: now and then, and at once when a subscriber has caught up.
func (t *leaderTerm) save(ctx context.Context, feeds []delivery.OutboxFeed) error {
	join := false
	for _, f := range feeds {
		still := f.Paging || f.Rows > t.cfg.Page // its position is an earlier one than now
		if f.Name == delivery.OutboxMain && still {
			join = false
			break
		}
		join = join || f.Name != delivery.OutboxMain && !still && !f.Early
	}
	if !join && time.Since(t.savedAt) < saveEvery {
		return nil
	}
	t.savedAt = time.Now()
	return t.session.SaveFeeds(ctx, t.ahead, join)
}
