package cdc

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"redrive/delivery"
)

// What this process does for the integration.
const (
	statusWaiting      = "another process reads"
	statusStarting     = "starting"
	statusSettingUp    = "setting up"
	statusStreaming    = "streaming"
	statusReconnecting = "reconnecting"
	statusLost         = "stopped"
)

// roomStatus is what people are told of a room.
type roomStatus struct {
	mu       sync.Mutex
	status   string
	why      string
	alarm    bool      // of the status
	troubled time.Time // since when nothing is read; zero: changes are read, or another process sees to it
	trouble  string    // what failed the last time
	notes    []string  // what a person should see to although changes are read
	hints    []string  // what not every change will carry
	gaps     []delivery.CaptureGap
	progress map[string]delivery.SnapshotProgress
	seen     slotStatus
}

// slotStatus is what was seen of the slot.
type slotStatus struct {
	at       time.Time // zero: not yet
	slot     delivery.SlotStatus
	position delivery.CapturePosition
	err      string // why it could not be seen
	unread   int    // looks in which nobody read
}

// set reports whether the status is new.
func (n *roomStatus) set(status, why string, alarm bool) (changed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	changed = n.status != status || n.why != why
	n.status, n.why, n.alarm = status, why, alarm
	switch {
	case status == statusStreaming || status == statusWaiting:
		n.troubled, n.trouble = time.Time{}, ""
		return changed
	case status == statusReconnecting:
		n.trouble = why
	}
	if n.troubled.IsZero() {
		n.troubled = time.Now()
	}
	return changed
}

// find keeps what a person should see to although changes are read.
func (n *roomStatus) find(notes []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes = notes
}

// hint keeps what not every change will carry; it says whether that is new.
func (n *roomStatus) hint(texts []string) (changed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	changed = !slices.Equal(n.hints, texts)
	n.hints = texts
	return changed
}

// gap shows a gap before the store is asked again.
func (n *roomStatus) gap(g delivery.CaptureGap) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gaps = append(n.gaps, g)
}

func (n *roomStatus) snapshot(progress map[string]delivery.SnapshotProgress) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.progress = make(map[string]delivery.SnapshotProgress, len(progress))
	for name, p := range progress {
		n.progress[name] = p
	}
}

// monitor looks at the slot, whether or not this process reads it, and raises the alarm long before the source's disk is full.
func (r *Room) monitor(ctx context.Context) {
	for {
		r.look(ctx)
		if !delivery.Pause(ctx, r.cfg.Monitor) {
			return
		}
	}
}

func (r *Room) look(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, r.cfg.Monitor)
	defer cancel()
	slot, err := r.cfg.Source.Slot(limited)
	position, positionErr := r.cfg.Store.CapturePosition(limited, r.name)
	gaps, gapsErr := r.cfg.Store.CaptureGaps(limited)
	if ctx.Err() != nil {
		return
	}
	r.news.mu.Lock()
	defer r.news.mu.Unlock()
	seen := &r.news.seen
	if positionErr == nil {
		seen.position = position
	}
	if gapsErr == nil {
		r.news.gaps = r.named(gaps[r.name])
	}
	seen.at, seen.err = time.Now(), ""
	if err != nil {
		seen.err = err.Error()
		return
	}
	seen.slot = slot
	if seen.unread++; slot.Active || !slot.Exists {
		seen.unread = 0
	}
}

// named are the gaps of tables that rules still name.
func (r *Room) named(gaps []delivery.CaptureGap) []delivery.CaptureGap {
	wanted := r.wanted()
	return slices.DeleteFunc(gaps, func(g delivery.CaptureGap) bool { return wanted[g.Table] == nil })
}

// alarm is what a person should look at: a word that stays the same while figures change, and the sentence. news is locked.
func (r *Room) alarm() (kind, text string) {
	n, slot := &r.news, r.news.seen.slot
	switch {
	case n.alarm:
		return n.status, n.why
	case !n.troubled.IsZero() && time.Since(n.troubled) > 2*r.cfg.Monitor:
		return "troubled", fmt.Sprintf("changes have not been read since %s: %s",
			n.troubled.UTC().Format(time.RFC3339), cmp.Or(n.trouble, n.why, n.status))
	case n.seen.at.IsZero():
		return "", ""
	case n.seen.err != "":
		return "unreachable", "the source cannot be asked: " + n.seen.err
	case slot.Lost:
		return "lost", fmt.Sprintf("the slot is lost: %s. Ask for a new snapshot: redrive cdc resnapshot %s", slot.Why, r.name)
	case slot.Retained >= r.source.AlarmBytes:
		return "retained", fmt.Sprintf("the slot holds back %d MB of the source's log, more than %d MB: see whether "+
			"it is read", slot.Retained>>20, r.source.AlarmBytes>>20)
	case slot.SafeBytes != nil && slot.Retained >= *slot.SafeBytes:
		return "unsafe", fmt.Sprintf("the slot holds back half of what max_slot_wal_keep_size allows: %d MB more and "+
			"it is lost", *slot.SafeBytes>>20)
	case n.seen.unread > 1 && n.seen.position.SystemIdentifier != "":
		return "unread", "nobody reads the slot, and the source keeps its log for it"
	case len(n.gaps) > 0:
		return "gap", r.missing()
	case len(n.notes) > 0:
		return "finding", strings.Join(n.notes, "; ")
	}
	return "", ""
}

// Condition is how the source stands: its alarm, which is logged by whoever watches conditions.
func (r *Room) Condition() delivery.Condition {
	n := &r.news
	n.mu.Lock()
	defer n.mu.Unlock()
	c := delivery.Condition{Integration: r.name, Part: delivery.PartSource}
	kind, text := r.alarm()
	switch {
	case kind != "":
		c.State, c.Certain, c.Reason = delivery.ConditionFails, true, text
	case n.status == statusStreaming:
		c.State, c.LastSuccess = delivery.ConditionWorks, time.Now()
	case n.status == statusWaiting, n.why == "" && (n.status == statusStarting || n.status == statusSettingUp):
		// nothing has failed; if it takes too long, that is an alarm
	default:
		c.State, c.Since, c.Reason = delivery.ConditionFails, n.troubled, n.status
		if n.why != "" {
			c.Reason += ": " + n.why
		}
	}
	return c
}

// missing says what is missing of which tables. news is locked.
func (r *Room) missing() string {
	var texts []string
	for _, g := range r.news.gaps {
		texts = append(texts, fmt.Sprintf("%s. Ask for a new snapshot of it: %s", g, r.again(g.Table)))
	}
	return strings.Join(texts, "; ")
}

// Facts are the figures of the integration for people, API and metrics.
func (r *Room) Facts() []delivery.Fact {
	n := &r.news
	n.mu.Lock()
	defer n.mu.Unlock()
	status := delivery.Fact{Name: "connected", Text: n.status, Alarm: n.alarm}
	if n.status == statusStreaming {
		status.Value = 1
	}
	if n.why != "" {
		status.Text += ": " + n.why
	}
	facts := []delivery.Fact{status}
	kind, text := r.alarm()
	if kind != "" && !n.alarm {
		facts = append(facts, delivery.Fact{Name: "alarm", Value: 1, Text: text, Alarm: true})
	} else {
		facts = append(facts, delivery.Fact{Name: "alarm", Value: int64(bit(n.alarm))})
	}
	gaps := delivery.Fact{Name: "gaps", Value: int64(len(n.gaps))}
	if len(n.gaps) > 0 && kind != "gap" {
		gaps.Text, gaps.Alarm = r.missing(), true
	}
	facts = append(facts, gaps)
	if missed := r.missed.Load(); missed > 0 {
		facts = append(facts, delivery.Fact{Name: "missed", Value: missed, Total: true})
	}
	if len(n.hints) > 0 {
		facts = append(facts, delivery.Fact{Name: "findings", Value: int64(len(n.hints)), Text: strings.Join(n.hints, "; ")})
	}
	if n.seen.at.IsZero() {
		return facts
	}
	if rows, total, running := r.snapshotProgress(); running {
		facts = append(facts, delivery.Fact{Name: "snapshot", Value: rows, Limit: total})
	}
	return append(facts, r.positionFacts()...)
}

func bit(on bool) int {
	if on {
		return 1
	}
	return 0
}

// positionFacts are how far changes are read. news is locked.
func (r *Room) positionFacts() []delivery.Fact {
	seen := r.news.seen
	p, slot := seen.position, seen.slot
	retained := delivery.Fact{Name: "retained_bytes", Value: slot.Retained}
	if slot.SafeBytes != nil {
		retained.Limit = slot.Retained + *slot.SafeBytes
	}
	facts := []delivery.Fact{{Name: "lag_bytes", Value: slot.Lag}, {Name: "lag_seconds", Value: r.lagSeconds()}, retained,
		{Name: "changes", Value: p.Changes, Total: true}}
	if p.LSN > 0 {
		facts = append(facts, delivery.Fact{Name: "position", Value: int64(p.LSN), Text: p.LSN.String()})
	}
	if p.CommittedAt != nil {
		facts = append(facts, delivery.Fact{Name: "last_change", Value: p.CommittedAt.Unix(),
			Text: p.CommittedAt.UTC().Format(time.RFC3339)})
	}
	return facts
}

// lagSeconds is for how long nothing was made durable, neither a change nor a sign that there is none, beyond the time between
// two heartbeats.
func (r *Room) lagSeconds() int64 {
	seen := r.news.seen
	if seen.position.UpdatedAt.IsZero() {
		return 0
	}
	return max(int64((seen.at.Sub(seen.position.UpdatedAt)-r.source.Heartbeat)/time.Second), 0)
}

// snapshotProgress is how many rows of all tables are read, of about how many. news is locked.
func (r *Room) snapshotProgress() (rows, total int64, running bool) {
	progress := r.news.progress
	if progress == nil || r.news.status != statusStreaming {
		progress = r.news.seen.position.Snapshot
	}
	for _, p := range progress {
		rows, total = rows+p.Rows, total+max(p.Total, p.Rows)
		running = running || !p.Done
	}
	return rows, max(total, 1), running
}
