package outbox

import (
	"context"
	"time"
)

// maintain makes and drops partitions when it is time to. That somebody was in the way is no failure: it is tried again soon.
func (t *leaderTerm) maintain(ctx context.Context) error {
	if time.Now().Before(t.maintainAt) {
		return nil
	}
	done, err := t.session.MaintainLog(ctx, t.cfg.Retention)
	if err != nil {
		return err
	}
	t.maintainAt = time.Now().Add(t.cfg.Maintain)
	if len(done.Busy) > 0 {
		t.maintainAt = time.Now().Add(min(retryAfter, t.cfg.Maintain))
	}
	if len(done.Made)+len(done.Dropped)+len(done.Kept)+len(done.Busy) > 0 {
		t.cfg.Log.Info("days of the log", "made", done.Made, "dropped", done.Dropped, "kept", done.Kept,
			"later", done.Busy, "moved", done.Moved)
	}
	return nil
}
