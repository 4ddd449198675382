package cdc

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"redrive/delivery"
)

// session is one stream of changes, from its start to its end.
type session struct {
	*Room
	leader   Leader
	stream   Stream
	position delivery.CapturePosition             // what is durable
	begun    map[string]delivery.SnapshotProgress // what was durable at the start
	snapshot *snapshot
}

// session begins where the last one ended and reads until something fails, ctx ends, or a new snapshot is asked for.
func (r *Room) session(ctx context.Context, l Leader) error {
	r.news.set(statusStarting, "", false)
	position, err := r.begin(ctx, l)
	if err != nil {
		return err
	}
	stream, err := r.cfg.Source.Stream(ctx, position.LSN)
	if err != nil {
		return err
	}
	s := &session{Room: r, leader: l, stream: stream, position: position, begun: position.Snapshot, snapshot: newSnapshot()}
	reading, stop := context.WithCancelCause(ctx)
	var beside sync.WaitGroup
	for _, work := range []func(context.Context) error{s.beat, s.watch, s.snapshots} {
		beside.Go(func() {
			if err := work(reading); err != nil {
				stop(err)
			}
		})
	}
	r.news.set(statusStreaming, "", false)
	err = s.read(reading)
	stop(err)
	beside.Wait()
	if closing := stream.Close(); closing != nil {
		r.log.DebugContext(ctx, "closing the stream", "error", closing)
	}
	if cause := context.Cause(reading); cause != nil {
		return cause
	}
	return err
}

// begin finds out from where to read, and makes what is missing: the first time, or when somebody asked for it.
func (r *Room) begin(ctx context.Context, l Leader) (p delivery.CapturePosition, err error) {
	identity, err := r.cfg.Source.Identify(ctx)
	if err != nil {
		return p, err
	}
	system := identity.SystemIdentifier + "/" + identity.Database
	if p, err = l.CapturePosition(ctx, r.name); err != nil {
		return p, own(err)
	}
	switch {
	case p.ResnapshotAt != nil:
		if err := r.cfg.Source.DropSlot(ctx); err != nil {
			return p, err
		}
		return r.anew(ctx, l, system, p.Changes, true)
	case p.SystemIdentifier == "":
		return r.anew(ctx, l, system, 0, r.source.Snapshot)
	case p.SystemIdentifier != system:
		return p, fmt.Errorf("%w (it was %s and is %s)", errReplaced, p.SystemIdentifier, system)
	}
	return r.resume(ctx, l, p)
}

// anew begins at the slot, which is created where there is none.
func (r *Room) anew(ctx context.Context, l Leader, system string, changes int64, snapshot bool) (p delivery.CapturePosition, err error) {
	r.news.set(statusSettingUp, "publication and slot; a slot waits for every transaction that is open at the source", false)
	done, err := r.cfg.Source.SetUp(ctx)
	for _, text := range done {
		r.log.InfoContext(ctx, "set up", "done", text)
	}
	if err != nil {
		return p, fmt.Errorf("the source is not set up, see redrive cdc setup %s: %w", r.name, err)
	}
	slot, err := r.slot(ctx)
	if err != nil {
		return p, err
	}
	p = delivery.CapturePosition{SystemIdentifier: system, Slot: r.source.Slot, LSN: slot.Confirmed, Changes: changes}
	if snapshot {
		p.Snapshot = map[string]delivery.SnapshotProgress{}
		for _, t := range r.snapshotTables() {
			p.Snapshot[t.name()] = delivery.SnapshotProgress{}
		}
	}
	return p, own(l.ResetCapture(ctx, r.name, p))
}

// resume checks that nothing is missing between what was read and what the slot still has.
func (r *Room) resume(ctx context.Context, l Leader, p delivery.CapturePosition) (delivery.CapturePosition, error) {
	slot, err := r.slot(ctx)
	if err != nil {
		return p, err
	}
	if slot.Confirmed > p.LSN {
		return p, fmt.Errorf("%w (read up to %s, the slot begins at %s)", errGap, p.LSN, slot.Confirmed)
	}
	// the file may name more tables than last time
	if done, err := r.cfg.Source.SetUp(ctx); err != nil {
		r.news.find(fmt.Sprintf("not all tables can be read, see redrive cdc setup %s: %v", r.name, err))
	} else {
		r.news.find("")
		for _, text := range done {
			r.log.InfoContext(ctx, "set up", "done", text)
		}
	}
	if p.Slot == r.source.Slot {
		return p, nil
	}
	p.Slot = r.source.Slot // another one by the file, which has all that is missing
	return p, own(l.ResetCapture(ctx, r.name, p))
}

func (r *Room) slot(ctx context.Context) (delivery.SlotStatus, error) {
	slot, err := r.cfg.Source.Slot(ctx)
	switch {
	case err != nil:
		return slot, err
	case !slot.Exists:
		return slot, fmt.Errorf("%w: %s", delivery.ErrSlotMissing, r.source.Slot)
	case slot.Lost:
		return slot, fmt.Errorf("%w: %s", delivery.ErrSlotLost, slot.Why)
	}
	return slot, nil
}

// beat keeps an idle slot moving while only other databases of its server write.
func (s *session) beat(ctx context.Context) error {
	for delivery.Pause(ctx, s.source.Heartbeat) {
		if err := s.cfg.Source.Beat(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// watch looks whether somebody asked for a new snapshot.
func (s *session) watch(ctx context.Context) error {
	for delivery.Pause(ctx, askEvery) {
		p, err := s.cfg.Store.CapturePosition(ctx, s.name)
		if err == nil && p.ResnapshotAt != nil {
			return errAnew
		}
	}
	return nil
}

// Bounds of one of our transactions and of one statement in it.
const (
	enoughChanges = 1000 // a transaction ends with the source's that reaches them
	chunkMessages = 1000
	chunkBytes    = 4 << 20
	lull          = time.Millisecond // when nothing comes for so long, what is there is committed
)

// read takes what comes and makes it durable, many small transactions of the source in one of ours, a large one as a whole.
func (s *session) read(ctx context.Context) error {
	for {
		event, err := s.stream.Next(ctx)
		if err != nil {
			return err
		}
		if err := s.commit(ctx, event); err != nil {
			return err
		}
	}
}

// commit makes durable what begins with first, then tells the source.
func (s *session) commit(ctx context.Context, first delivery.CaptureEvent) error {
	b := &batch{session: s, position: s.position}
	b.position.Snapshot = maps.Clone(s.position.Snapshot)
	var reading error
	err := s.leader.Capture(ctx, s.name, func(write func([]delivery.Captured) error) (delivery.CapturePosition, error) {
		b.write = write
		reading = b.gather(ctx, first)
		return b.position, reading
	})
	if reading != nil && !b.writing {
		return reading
	}
	if err != nil {
		return own(err)
	}
	s.position = b.position
	if err := s.stream.Acknowledge(s.position.LSN); err != nil {
		return err
	}
	if b.written > 0 {
		s.cfg.Wake()
	}
	s.snapshot.durable(b.chunks)
	return nil
}

// batch is one transaction of ours.
type batch struct {
	*session
	position delivery.CapturePosition // when it is committed
	write    func([]delivery.Captured) error
	writing  bool // the error is of our own database
	pending  []delivery.Captured
	bytes    int
	written  int
	changes  int
	chunks   int  // of a snapshot
	open     bool // inside of a transaction of the source
	changed  bool // by the transaction that is open
}

// gather takes events until a transaction of the source ends and there is enough, or nothing more for now.
func (b *batch) gather(ctx context.Context, event delivery.CaptureEvent) error {
	for {
		if err := b.take(event); err != nil {
			return err
		}
		if !b.open && b.changes >= enoughChanges {
			break
		}
		var err error
		if event, err = b.next(ctx); err != nil {
			return err
		}
		if event == (delivery.CaptureEvent{}) {
			break
		}
	}
	return b.flush()
}

// next answers no event when nothing is under way and nothing comes.
func (b *batch) next(ctx context.Context) (delivery.CaptureEvent, error) {
	if b.open {
		return b.stream.Next(ctx)
	}
	soon, cancel := context.WithTimeout(ctx, lull)
	defer cancel()
	event, err := b.stream.Next(soon)
	if err != nil && soon.Err() != nil && ctx.Err() == nil {
		return delivery.CaptureEvent{}, nil
	}
	return event, err
}

func (b *batch) take(event delivery.CaptureEvent) error {
	switch {
	case event.Change != nil:
		b.open, b.changed = true, true
		b.changes++
		b.position.Changes++
		b.session.snapshot.touch(event.Change)
		return b.add(event.Change)
	case event.Mark != nil:
		b.open = true
		return b.mark(event.Mark)
	case event.Commit != nil:
		b.position.LSN = max(b.position.LSN, event.Commit.LSN)
		if b.changed {
			b.position.CommittedAt = &event.Commit.Time
		}
		b.open, b.changed = false, false
		b.session.snapshot.committed(event.Commit.XID)
	default:
		b.position.LSN = max(b.position.LSN, event.Idle)
	}
	return nil
}

// mark is a bound of a snapshot's chunk: behind the upper one come its rows.
func (b *batch) mark(mark *delivery.CaptureMark) error {
	c := b.session.snapshot.mark(mark.Content)
	if c == nil {
		return nil
	}
	b.chunks++
	for i := range c.rows {
		c.rows[i].LSN, c.rows[i].Index = mark.LSN, i
		if err := b.add(&c.rows[i]); err != nil {
			return err
		}
	}
	if b.position.Snapshot == nil {
		b.position.Snapshot = map[string]delivery.SnapshotProgress{}
	}
	b.position.Snapshot[c.table.name()] = c.progress
	b.news.snapshot(b.position.Snapshot)
	return nil
}

// add maps one change and writes what is enough for a statement.
func (b *batch) add(change *delivery.Change) error {
	for _, c := range b.mapper.Map(change) {
		b.pending = append(b.pending, c)
		b.bytes += len(c.Message.Payload) * max(len(c.To), 1)
	}
	if len(b.pending) < chunkMessages && b.bytes < chunkBytes {
		return nil
	}
	return b.flush()
}

func (b *batch) flush() error {
	if len(b.pending) == 0 {
		return nil
	}
	if err := b.write(b.pending); err != nil {
		b.writing = true
		return err
	}
	b.written += len(b.pending)
	b.pending, b.bytes = b.pending[:0], 0
	return nil
}
