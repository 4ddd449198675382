package cdc

import (
	"context"
	"slices"
	"sync"
	"time"

	"redrive/delivery"
)

// What this process does for the integration.
const (
	statusWaiting      = "capture.waiting"
	statusStarting     = "capture.starting"
	statusSettingUp    = "capture.setting_up"
	statusStreaming    = "capture.streaming"
	statusReconnecting = "source.status.reconnecting"
	statusLost         = "source.status.stopped"
)

// roomStatus is what people are told of a room.
type roomStatus struct {
	mu       sync.Mutex
	status   string // a phrase
	why      delivery.Phrase
	alarm    bool              // of the status
	troubled time.Time         // since when nothing is read; zero: changes are read, or another process sees to it
	trouble  delivery.Phrase   // the latest failure
	notes    []delivery.Phrase // findings that need a person although changes are read
	hints    []delivery.Phrase // columns that some changes lack, and why
	gaps     []delivery.CaptureGap
	progress map[string]delivery.SnapshotProgress
	seen     slotStatus
}

// slotStatus is what was seen of the slot.
type slotStatus struct {
	at       time.Time // zero: not yet
	slot     delivery.SlotStatus
	position delivery.CapturePosition
	err      delivery.Phrase // why it could not be seen
	unread   int             // looks in which nobody read
}

// set reports whether the status is new.
func (n *roomStatus) set(status string, why delivery.Phrase, alarm bool) (changed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	changed = n.status != status || !n.why.Equal(why)
	n.status, n.why, n.alarm = status, why, alarm
	switch {
	case status == statusStreaming || status == statusWaiting:
		n.troubled, n.trouble = time.Time{}, delivery.Phrase{}
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
func (n *roomStatus) find(notes []delivery.Phrase) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes = notes
}

// hint keeps what not every change will carry; it says whether that is new.
func (n *roomStatus) hint(hints []delivery.Phrase) (changed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	changed = !slices.EqualFunc(n.hints, hints, delivery.Phrase.Equal)
	n.hints = hints
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
	seen.at, seen.err = time.Now(), delivery.Heard(err)
	if err != nil {
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

// says is what this process does, and why. n is locked.
func (n *roomStatus) says() delivery.Phrase {
	if n.why.IsZero() {
		return delivery.Say(n.status)
	}
	return delivery.Say("error.because", "what", delivery.Say(n.status), "why", n.why)
}

// alarm is what a person should look at: a word that stays the same while figures change, and what to say. news is locked.
func (r *Room) alarm() (kind string, says delivery.Phrase) {
	n, slot := &r.news, r.news.seen.slot
	switch {
	case n.alarm:
		return n.status, n.why
	case !n.troubled.IsZero() && time.Since(n.troubled) > 2*r.cfg.Monitor:
		return "troubled", delivery.Say("capture.unread", "since", n.troubled, "why", n.troubles())
	case n.seen.at.IsZero():
		return "", says
	case !n.seen.err.IsZero():
		return "unreachable", delivery.Say("capture.unreachable", "why", n.seen.err)
	case slot.Lost:
		return "lost", delivery.Say("capture.slot_lost", "why", slot.Why, "integration", r.name)
	case slot.Retained >= r.source.AlarmBytes:
		return "retained", delivery.Say("capture.retained", "size", slot.Retained>>20, "most", r.source.AlarmBytes>>20)
	case slot.SafeBytes != nil && slot.Retained >= *slot.SafeBytes:
		return "unsafe", delivery.Say("capture.unsafe", "size", *slot.SafeBytes>>20)
	case n.seen.unread > 1 && n.seen.position.SystemIdentifier != "":
		return "unread", delivery.Say("capture.slot_unread")
	case len(n.gaps) > 0:
		return "gap", r.missing()
	case len(n.notes) > 0:
		return "finding", delivery.Listed(n.notes)
	}
	return "", says
}

// troubles is what failed, else what is under way. n is locked.
func (n *roomStatus) troubles() delivery.Phrase {
	switch {
	case !n.trouble.IsZero():
		return n.trouble
	case !n.why.IsZero():
		return n.why
	}
	return delivery.Say(n.status)
}

// Condition is how the source stands: its alarm, which is logged by whoever watches conditions.
func (r *Room) Condition() delivery.Condition {
	n := &r.news
	n.mu.Lock()
	defer n.mu.Unlock()
	c := delivery.Condition{Integration: r.name, Part: delivery.PartSource}
	kind, says := r.alarm()
	switch {
	case kind != "":
		c.State, c.Certain, c.Reason = delivery.ConditionFails, true, says
	case n.status == statusStreaming:
		c.State, c.LastSuccess = delivery.ConditionWorks, time.Now()
	case n.status == statusWaiting, n.why.IsZero() && (n.status == statusStarting || n.status == statusSettingUp):
		// nothing has failed; if it takes too long, that is an alarm
	default:
		c.State, c.Since, c.Reason = delivery.ConditionFails, n.troubled, n.says()
	}
	return c
}

// missing says what is missing of which tables. news is locked.
func (r *Room) missing() delivery.Phrase {
	var list []delivery.Phrase
	for _, g := range r.news.gaps {
		list = append(list, delivery.Say("capture.missing", "gap", g.Phrase(), "command", r.again(g.Table)))
	}
	return delivery.Listed(list)
}

// Facts are the figures of the integration for people, API and metrics.
func (r *Room) Facts() []delivery.Fact {
	n := &r.news
	n.mu.Lock()
	defer n.mu.Unlock()
	status := delivery.Fact{Name: "connected", Says: n.says(), Alarm: n.alarm}
	if n.status == statusStreaming {
		status.Value = 1
	}
	facts := []delivery.Fact{status}
	kind, says := r.alarm()
	if kind != "" && !n.alarm {
		facts = append(facts, delivery.Fact{Name: "alarm", Value: 1, Says: says, Alarm: true})
	} else {
		facts = append(facts, delivery.Fact{Name: "alarm", Value: int64(bit(n.alarm))})
	}
	gaps := delivery.Fact{Name: "gaps", Value: int64(len(n.gaps))}
	if len(n.gaps) > 0 && kind != "gap" {
		gaps.Says, gaps.Alarm = r.missing(), true
	}
	facts = append(facts, gaps)
	if missed := r.missed.Load(); missed > 0 {
		facts = append(facts, delivery.Fact{Name: "missed", Value: missed, Total: true})
	}
	if len(n.hints) > 0 {
		facts = append(facts, delivery.Fact{Name: "findings", Value: int64(len(n.hints)), Says: delivery.Listed(n.hints)})
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
		facts = append(facts, delivery.Fact{Name: "position", Value: int64(p.LSN), Says: delivery.Verbatim(p.LSN.String())})
	}
	if p.CommittedAt != nil {
		facts = append(facts, delivery.Fact{Name: "last_change", Value: p.CommittedAt.Unix(), Says: delivery.SayTime(*p.CommittedAt)})
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
