package pool

import (
	"time"

	"redrive/delivery"
)

// hangs is for how long no worker may finish, while all are busy, before somebody should look.
const hangs = 15 * time.Second

// Conditions are how the workers stand.
func (p *Pool) Conditions() (list []delivery.Condition) {
	for name, l := range p.bulkheads {
		list = append(list, l.condition(name, time.Now()))
	}
	return list
}

func (l *bulkhead) condition(name string, now time.Time) delivery.Condition {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := delivery.Condition{Integration: name, Part: delivery.PartPool, State: delivery.ConditionWorks, LastSuccess: l.finished}
	if l.busy < l.workers {
		l.crowded = time.Time{}
		return c
	}
	if l.crowded.IsZero() {
		l.crowded = now
	}
	still := l.crowded
	if l.finished.After(still) {
		still = l.finished
	}
	if now.Sub(still) > hangs {
		c.State, c.Certain, c.Since = delivery.ConditionFails, true, still
		c.Reason = delivery.Say("pool.hangs", "workers", l.workers, "time", hangs)
	}
	return c
}

// Stats is a look at one integration in this process.
type Stats struct {
	Busy, Workers  int   // attempts in flight, and at most
	Queued, Queue  int   // waiting for a worker, and at most (together with those below)
	Waiting        int   // for their retry, without a worker
	Recording      int   // on their way to the store
	Blocked        int   // producers that wait for room
	Rejected       int64 // messages not taken because the pool was full, since the start
	CallerRuns     int64 // attempts that producers made themselves, since the start
	Shelved        int64 // messages that went to the journal because the pool was full, since the start
	JournalEntries int64 // of all integrations: not imported yet
	JournalBytes   int64
}

// Stats looks at one integration; an unknown name answers the zero value.
func (p *Pool) Stats(integration string) Stats {
	l := p.bulkheads[integration]
	if l == nil {
		return Stats{}
	}
	l.mu.Lock()
	s := Stats{
		Busy:       l.busy,
		Workers:    l.workers,
		Queued:     len(l.queue),
		Queue:      l.limit,
		Waiting:    len(l.waiting),
		Recording:  l.recording,
		Blocked:    len(l.blocked),
		Rejected:   l.rejected,
		CallerRuns: l.callers,
		Shelved:    l.shelved,
	}
	l.mu.Unlock()
	s.JournalEntries, s.JournalBytes = p.journal.stats()
	return s
}

// Facts is Stats for people and metrics; nil for an integration of another method.
func (p *Pool) Facts(integration string) []delivery.Fact {
	l := p.bulkheads[integration]
	if l == nil {
		return nil
	}
	s := p.Stats(integration)
	facts := []delivery.Fact{
		{Name: "busy", Value: int64(s.Busy), Limit: int64(s.Workers)},
		{Name: "queued", Value: int64(s.Queued), Limit: int64(s.Queue)},
		{Name: "waiting_retries", Value: int64(s.Waiting)},
		{Name: "recording", Value: int64(s.Recording)},
		{Name: "rejected", Value: s.Rejected, Total: true},
		{Name: "journal_entries", Value: s.JournalEntries},
		{Name: "journal_bytes", Value: s.JournalBytes},
	}
	switch l.in.Pool.WhenFull {
	case delivery.WhenFullCallerRuns:
		return append(facts, delivery.Fact{Name: "caller_runs", Value: s.CallerRuns, Total: true})
	case delivery.WhenFullJournal:
		return append(facts, delivery.Fact{Name: "journaled", Value: s.Shelved, Total: true})
	}
	return append(facts, delivery.Fact{Name: "blocked", Value: int64(s.Blocked)})
}
