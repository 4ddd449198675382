package cdc

import (
	"context"
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
	position delivery.CapturePosition             // durable: stored with its messages
	begun    map[string]delivery.SnapshotProgress // progress of snapshots when the session began
	snapshot *snapshot
	tables   *tables
	identity delivery.CapturePosition // source and slot only
	refused  []delivery.Phrase        // why tables that rules name are not read yet
}

// session begins where the last one ended and reads until something fails, ctx ends, or a new snapshot is asked for.
func (r *Room) session(ctx context.Context, l Leader) error {
	r.news.set(statusStarting, delivery.Phrase{}, false)
	s, err := r.begin(ctx, l)
	if err != nil {
		return err
	}
	stream, err := r.cfg.Source.Stream(ctx, s.position.LSN)
	if err != nil {
		return err
	}
	s.stream = stream
	reading, stop := context.WithCancelCause(ctx)
	var beside sync.WaitGroup
	for _, work := range []func(context.Context) error{s.beat, s.asked, s.lookout, s.snapshots} {
		beside.Go(func() {
			if err := work(reading); err != nil {
				stop(err)
			}
		})
	}
	r.news.set(statusStreaming, delivery.Phrase{}, false)
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
func (r *Room) begin(ctx context.Context, l Leader) (*session, error) {
	identity, err := r.cfg.Source.Identify(ctx)
	if err != nil {
		return nil, err
	}
	system := identity.SystemIdentifier + "/" + identity.Database
	p, err := l.CapturePosition(ctx, r.name)
	if err != nil {
		return nil, own(err)
	}
	switch {
	case p.ResnapshotAt != nil:
		if err := r.cfg.Source.DropSlot(ctx); err != nil {
			return nil, err
		}
		return r.anew(ctx, l, system, p.Changes, true)
	case p.SystemIdentifier == "":
		return r.anew(ctx, l, system, 0, r.source.Snapshot)
	case p.SystemIdentifier != system:
		return nil, delivery.Fault("capture.replaced.where", "what", errReplaced, "was", p.SystemIdentifier, "now", system)
	}
	return r.resume(ctx, l, p)
}

func (r *Room) begun(l Leader, p delivery.CapturePosition, t *tables) *session {
	return &session{Room: r, leader: l, position: p, begun: p.Snapshot, snapshot: newSnapshot(), tables: t,
		identity: delivery.CapturePosition{SystemIdentifier: p.SystemIdentifier, Slot: p.Slot}}
}

// anew begins at the slot, which is created where there is none.
func (r *Room) anew(ctx context.Context, l Leader, system string, changes int64, snapshot bool) (*session, error) {
	r.news.set(statusSettingUp, delivery.Say("capture.setting_up.what"), false)
	if err := r.setUp(ctx); err != nil {
		return nil, delivery.Fault("capture.not_set_up", "integration", r.name, "why", err)
	}
	slot, err := r.slot(ctx)
	if err != nil {
		return nil, err
	}
	p := delivery.CapturePosition{
		SystemIdentifier: system,
		Slot:             r.source.Slot,
		LSN:              slot.Confirmed,
		Verified:         slot.Confirmed,
		Changes:          changes,
	}
	if snapshot {
		p.Snapshot = map[string]delivery.SnapshotProgress{}
		for _, t := range r.snapshotTables() {
			p.Snapshot[t.name()] = delivery.SnapshotProgress{}
		}
	}
	now, err := r.cfg.Source.Look(ctx, nil)
	if err != nil {
		return nil, err
	}
	t := r.watch(p, nil)
	t.begin(now)
	if left := t.unknown(); len(left) > 0 { // changed by somebody since it was set up
		return nil, &delivery.FaultError{Says: t.unfit(left[0], now)}
	}
	p.Tables, _ = t.state()
	r.findings(ctx, now)
	return r.begun(l, p, t), own(l.ResetCapture(ctx, r.name, p))
}

func (r *Room) setUp(ctx context.Context, tables ...string) error {
	done, err := r.cfg.Source.SetUp(ctx, tables...)
	for _, text := range done {
		r.log.InfoContext(ctx, "set up", "done", text)
	}
	return err
}

// resume checks that nothing is missing between what was read and what the slot still has, and notes what is missing of single
// tables. It repairs nothing of those that were read before: only what the file names newly is set up.
func (r *Room) resume(ctx context.Context, l Leader, p delivery.CapturePosition) (*session, error) {
	slot, err := r.slot(ctx)
	if err != nil {
		return nil, err
	}
	if slot.Confirmed > p.LSN {
		return nil, delivery.Fault("capture.slot_moved.where", "what", errGap, "read", p.LSN, "from", slot.Confirmed)
	}
	if p.Slot != r.source.Slot { // another one by the file, which has all that is missing
		if err := l.ChangeSlot(ctx, r.name, r.source.Slot); err != nil {
			return nil, own(err)
		}
		p.Slot = r.source.Slot
	}
	if err := r.goOn(ctx, l, &p); err != nil {
		return nil, err
	}
	now, err := r.cfg.Source.Look(ctx, p.Tables)
	if err != nil {
		return nil, err
	}
	if err := r.rename(ctx, l, &p, now); err != nil {
		return nil, err
	}
	gaps, err := l.CaptureGaps(ctx, r.name)
	if err != nil {
		return nil, own(err)
	}
	if len(p.Tables) == 0 { // read by a version that knew of no tables
		p.Verified = p.LSN
	}
	s := r.begun(l, p, r.watch(p, gaps))
	return s, s.check(ctx, now)
}

// check compares the catalogue with what was known at the end, and takes in what the file names newly.
func (s *session) check(ctx context.Context, now delivery.CaptureCatalogue) error {
	first := len(s.position.Tables) == 0
	p := s.identity
	var notes []delivery.Phrase
	p.Gaps, notes = s.tables.compare(now)
	if err := s.tables.mistakes(now); err != nil {
		return err
	}
	if running := s.tables.running(); len(running) > 0 && (first || now.Publication().OID != 0) {
		if err := s.setUp(ctx, running...); err != nil {
			s.refused = []delivery.Phrase{delivery.Say("capture.not_all", "integration", s.name, "why", err)}
		}
	}
	if len(s.tables.unknown()) > 0 {
		known, _ := s.tables.state()
		var err error
		if now, err = s.cfg.Source.Look(ctx, known); err != nil {
			return err
		}
		s.tables.begin(now)
		if left := s.tables.unknown(); len(left) > 0 && len(s.refused) == 0 {
			s.refused = []delivery.Phrase{s.tables.unfit(left[0], now)}
		}
	}
	s.news.find(append(notes, s.refused...))
	s.findings(ctx, now)
	s.announce(ctx, p.Gaps)
	p.Tables, p.Verified = s.tables.state()
	return own(s.cfg.Store.SaveTables(ctx, s.name, p))
}

func (r *Room) slot(ctx context.Context) (delivery.SlotStatus, error) {
	slot, err := r.cfg.Source.Slot(ctx)
	switch {
	case err != nil:
		return slot, err
	case !slot.Exists:
		return slot, delivery.Fault("error.said", "what", delivery.ErrSlotMissing, "words", r.source.Slot)
	case slot.Lost:
		return slot, delivery.Fault("error.because", "what", delivery.ErrSlotLost, "why", slot.Why)
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

// asked looks whether somebody asked for a new snapshot, of everything or of a table.
func (s *session) asked(ctx context.Context) error {
	for delivery.Pause(ctx, askEvery) {
		p, err := s.cfg.Store.CapturePosition(ctx, s.name)
		if err != nil {
			continue
		}
		if p.ResnapshotAt != nil {
			return errAnew
		}
		if len(p.Resnapshot) == 0 {
			continue
		}
		if s.Room.ready, err = s.repair(ctx, p.Resnapshot); err != nil {
			return err
		}
		return errTable
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
	b := &changeSet{session: s, position: s.position}
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
	s.announce(ctx, b.position.Gaps)
	b.position.Gaps = nil
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

// changeSet is one transaction of ours.
type changeSet struct {
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
func (b *changeSet) gather(ctx context.Context, event delivery.CaptureEvent) error {
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

// next returns no event when nothing is under way and nothing comes.
func (b *changeSet) next(ctx context.Context) (delivery.CaptureEvent, error) {
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

func (b *changeSet) take(event delivery.CaptureEvent) error {
	switch {
	case event.Change != nil:
		b.open, b.changed = true, true
		b.changes++
		b.position.Changes++
		wanted, gap := b.session.tables.admit(event.Change)
		if gap != nil {
			b.position.Gaps = append(b.position.Gaps, *gap)
		}
		if !wanted {
			return nil
		}
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
func (b *changeSet) mark(mark *delivery.CaptureMark) error {
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
func (b *changeSet) add(change *delivery.Change) error {
	for _, c := range b.mapper.Map(change) {
		b.pending = append(b.pending, c)
		b.bytes += len(c.Message.Payload) * max(len(c.To), 1)
	}
	if len(b.pending) < chunkMessages && b.bytes < chunkBytes {
		return nil
	}
	return b.flush()
}

func (b *changeSet) flush() error {
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
