package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// Bounds of what strangers can write into the audit: of each kind one entry at once, then one a minute with how many more there were.
const (
	tallyEvery     = time.Minute
	talliedSources = 8 // addresses that an entry names
)

// unknownName stands for what was typed as a name or sent as a token: it may be somebody's password.
const unknownName = "unknown"

// refusal is a kind of failure: what was tried, and for whom; by is who tried it, empty: nobody that is known.
type refusal struct{ action, subjectType, subject, by string }

// tally is how many more there were of one kind since the entry of the first.
type tally struct {
	since     time.Time
	count     int
	addresses map[string]bool
}

// refusals writes down who was not let in.
type refusals struct {
	now    func() time.Time
	record func(ctx context.Context, e delivery.AuditEntry) error

	mu sync.Mutex
	of map[refusal]*tally
}

func newRefusals(now func() time.Time, record func(context.Context, delivery.AuditEntry) error) *refusals {
	return &refusals{now: now, record: record, of: map[refusal]*tally{}}
}

// note writes the first of a kind down and counts the others of the same minute.
func (r *refusals) note(ctx context.Context, what refusal, address string) error {
	r.mu.Lock()
	before, now := r.of[what], r.now()
	if before != nil && now.Sub(before.since) < tallyEvery {
		before.count++
		if len(before.addresses) < talliedSources {
			before.addresses[address] = true
		}
		r.mu.Unlock()
		return nil
	}
	r.of[what] = &tally{since: now, addresses: map[string]bool{}}
	r.mu.Unlock()
	details, err := json.Marshal(map[string]string{"from": address})
	if err == nil {
		err = r.record(ctx, what.entry(details))
	}
	return errors.Join(r.recordTally(ctx, what, before), err)
}

// flush writes down the counts of minutes that are over; all of them at the end.
func (r *refusals) flush(ctx context.Context, all bool) error {
	r.mu.Lock()
	over := map[refusal]*tally{}
	for what, t := range r.of {
		if all || r.now().Sub(t.since) >= tallyEvery {
			over[what] = t
			delete(r.of, what)
		}
	}
	r.mu.Unlock()
	var errs []error
	for what, t := range over {
		errs = append(errs, r.recordTally(ctx, what, t))
	}
	return errors.Join(errs...)
}

func (r *refusals) recordTally(ctx context.Context, what refusal, t *tally) error {
	if t == nil || t.count == 0 {
		return nil
	}
	details, err := json.Marshal(map[string]any{"count": t.count, "since": t.since.UTC().Format(time.RFC3339),
		"addresses": slices.Sorted(maps.Keys(t.addresses))})
	if err != nil {
		return err
	}
	return r.record(ctx, what.entry(details))
}

func (what refusal) entry(details json.RawMessage) delivery.AuditEntry {
	return delivery.AuditEntry{Actor: cmp.Or(what.by, delivery.ActorAnonymous), Action: what.action, SubjectType: what.subjectType, Subject: what.subject,
		Details: details}
}

// refused writes down that somebody was not let in.
func (s *Core) refused(c echo.Context, what refusal) error {
	return s.refusals.note(c.Request().Context(), what, c.RealIP())
}

// lacks writes down that somebody who is signed in asked for what they have no right to, by the route: of each route once at once, then once a
// minute with the count. What cannot be written down is logged, and refused all the same.
func (s *Core) lacks(c echo.Context, who string) {
	what := refusal{"access.refused", "route", c.Request().Method + " " + c.Path(), who}
	if err := s.refused(c, what); err != nil {
		s.Config.Log.ErrorContext(c.Request().Context(), "a refusal is missing in the audit", "error", err)
	}
}

// KeepCounts writes down how often somebody was refused, and when tokens were used, until ctx ends, then the last of it within grace.
func (s *Core) KeepCounts(ctx, grace context.Context) {
	ticks := time.NewTicker(tallyEvery)
	defer ticks.Stop()
	for ended := false; !ended; {
		work := ctx
		select {
		case <-ctx.Done():
			ended, work = true, grace
		case <-ticks.C:
		}
		if err := s.refusals.flush(work, ended); err != nil {
			s.Config.Log.ErrorContext(work, "refusals are missing in the audit", "error", err)
		}
		if err := s.uses.flush(work); err != nil {
			s.Config.Log.ErrorContext(work, "when tokens were used last is not kept", "error", err)
		}
	}
}
