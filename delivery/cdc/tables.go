package cdc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"redrive/delivery"
)

// The tables are promised by name and known by number. The catalogue tells whether the publication still sends them, the stream
// tells how it describes them; whatever neither can have sent is a gap, which stops that table and no other.

// watchedTable is one table that rules name.
type watchedTable struct {
	name, schema, table string
	rules               []delivery.CDCRule
	known               delivery.CapturedTable
	stopped             delivery.LSN            // changes committed at this position or later are not delivered; 0: not stopped
	seen                *delivery.StreamedTable // the description compared last
}

// tables are those of one session, between who reads the stream and who looks at the catalogue.
type tables struct {
	mu       sync.Mutex
	byName   map[string]*watchedTable
	byOID    map[uint32]*watchedTable
	verified delivery.LSN               // up to here they were as known
	last     *delivery.CaptureCatalogue // look that may become verified
	missed   *atomic.Int64              // changes that came and were not delivered
}

// wanted are the tables that rules name, each once.
func (r *Room) wanted() map[string]*watchedTable {
	list := map[string]*watchedTable{}
	for _, rule := range r.source.Rules {
		t := table{schema: rule.Schema, table: rule.Table}
		w := list[t.name()]
		if w == nil {
			w = &watchedTable{name: t.name(), schema: rule.Schema, table: rule.Table}
			list[w.name] = w
		}
		w.rules = append(w.rules, rule)
	}
	return list
}

// watch binds the tables to what is known of them.
func (r *Room) watch(p delivery.CapturePosition, gaps []delivery.CaptureGap) *tables {
	t := &tables{byName: r.wanted(), byOID: map[uint32]*watchedTable{}, verified: p.Verified, missed: &r.missed}
	for name, w := range t.byName {
		if w.known = p.Tables[name]; w.known.OID != 0 {
			t.byOID[w.known.OID] = w
		}
	}
	for _, g := range gaps {
		if w := t.byName[g.Table]; w != nil {
			w.stopped = g.Stopped
		}
	}
	return t
}

// admit reports whether a change is to be delivered, and gives it the name that rules know. A table that the stream describes in a way
// that cannot be right stops there: the gap must be noted together with the position.
func (t *tables) admit(c *delivery.Change) (yes bool, gap *delivery.CaptureGap) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w, bound := t.byOID[c.Of.OID]
	if !bound {
		w = t.byName[c.Schema+"."+c.Table]
	}
	if w == nil || w.known.OID == 0 || c.LSN < w.known.From {
		return false, nil // of others, or a snapshot has it
	}
	switch {
	case !bound:
		gap = w.stop(min(c.LSN, t.verified), c.LSN, delivery.Say(delivery.GapNameTaken))
	case w.seen != c.Of:
		w.seen = c.Of
		if why := w.altered(c); !why.IsZero() {
			gap = w.stop(min(c.LSN, t.verified), c.LSN, why)
		}
	}
	if w.stopped != 0 && c.LSN >= w.stopped {
		t.missed.Add(1)
		return false, gap
	}
	c.Schema, c.Table = w.schema, w.table
	return bound, gap
}

func (w *watchedTable) altered(c *delivery.Change) (why delivery.Phrase) {
	if why = w.known.Altered(c.Of, c.LSN); !why.IsZero() {
		return why
	}
	for _, rule := range w.rules {
		if why = rule.Missing(c.Of.Columns); !why.IsZero() {
			return why
		}
	}
	return why
}

// stop returns the gap that begins; none when the table had stopped already. What cannot be right stops it earlier all the same.
func (w *watchedTable) stop(from, at delivery.LSN, why delivery.Phrase) *delivery.CaptureGap {
	if w.stopped != 0 {
		w.stopped = min(w.stopped, at)
		return nil
	}
	w.stopped = max(at, 1)
	return &delivery.CaptureGap{Table: w.name, From: from, Stopped: w.stopped, Why: why}
}

// compare takes a look in: what is gone stops, what has only grown is known from now on. It returns the gaps that begin, and what a
// person should know although nothing is missing.
func (t *tables) compare(now delivery.CaptureCatalogue) (gaps []delivery.CaptureGap, notes []delivery.Phrase) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(t.byName)) {
		w, is := t.byName[name], now.Tables[name]
		if w.stopped != 0 || w.known.OID == 0 {
			continue
		}
		why := w.known.Gone(is)
		if why.IsZero() {
			why = w.unmappable(is)
		}
		if !why.IsZero() {
			gaps = append(gaps, *w.stop(t.verified, now.LSN, why))
			continue
		}
		w.learn(is, now.LSN)
		notes = append(notes, w.notes(is)...)
	}
	t.verify(now)
	return gaps, notes
}

func (w *watchedTable) notes(is delivery.CapturedTable) (notes []delivery.Phrase) {
	if is.Name != w.name {
		notes = append(notes, delivery.Say("capture.renamed", "table", w.name, "name", is.Name))
	}
	if len(is.Bare) > 0 &&
		slices.ContainsFunc(is.Publication.Operations,
			func(op delivery.RowOperation) bool { return op == delivery.OpUpdate || op == delivery.OpDelete }) {
		notes = append(notes, delivery.Say("capture.bare", "tables", is.Bare))
	}
	return notes
}

// unmappable says which column that rules need has gone.
func (w *watchedTable) unmappable(now delivery.CapturedTable) (why delivery.Phrase) {
	columns, before := now.Sent(), w.known.Sent()
	for _, rule := range w.rules {
		if missing := rule.Missing(columns); !missing.IsZero() && rule.Missing(before).IsZero() {
			return missing
		}
	}
	return why
}

// learn keeps what a table has become. t is locked.
func (w *watchedTable) learn(now delivery.CapturedTable, at delivery.LSN) {
	now.From, now.Since = w.known.From, w.known.Since
	if w.known.Refines(now) || w.known.Identity != now.Identity {
		now.Since = at
	}
	w.known = now
}

// verify moves on the place up to which nothing is missing: that of an earlier look, once every transaction is over that may have
// been committed before it without being seen.
func (t *tables) verify(now delivery.CaptureCatalogue) {
	if t.last == nil {
		t.last = &now
		return
	}
	if now.XMin >= t.last.XMax {
		t.verified = max(t.verified, t.last.LSN)
		t.last = &now
	}
}

// state is what is to be saved.
func (t *tables) state() (known map[string]delivery.CapturedTable, verified delivery.LSN) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known = map[string]delivery.CapturedTable{}
	for name, w := range t.byName {
		if w.known.OID != 0 {
			known[name] = w.known
		}
	}
	return known, t.verified
}

// unknown are the tables that are not read yet, and running those that are and go on.
func (t *tables) unknown() []string {
	return t.chosen(func(w *watchedTable) bool { return w.known.OID == 0 })
}

func (t *tables) running() []string {
	return t.chosen(func(w *watchedTable) bool { return w.stopped == 0 })
}

// readable reports whether rows of a table can be read by the name that rules use.
func (t *tables) readable(name string) bool {
	return len(t.chosen(func(w *watchedTable) bool { return w.name == name && w.stopped == 0 && w.known.Name == name })) > 0
}

func (t *tables) chosen(which func(*watchedTable) bool) (names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(t.byName)) {
		if which(t.byName[name]) {
			names = append(names, name)
		}
	}
	return names
}

// unfit says which table cannot be read as it is, and why.
func (t *tables) unfit(name string, now delivery.CaptureCatalogue) delivery.Phrase {
	return delivery.Say("error.because", "what", delivery.Verbatim(name), "why", t.byName[name].fit(now.Tables[name]))
}

// fit says why a table cannot be read as it is; nothing when it can.
func (w *watchedTable) fit(is delivery.CapturedTable) (why delivery.Phrase) {
	switch {
	case is.OID == 0 || is.Name != w.name:
		return delivery.Say("table.none")
	case !is.Usable.IsZero():
		return is.Usable
	case !is.Covered:
		return delivery.Say("table.unpublished")
	}
	for _, rule := range w.rules {
		for _, f := range rule.Findings(is) {
			if !f.Warning {
				return f.Phrase()
			}
		}
	}
	return why
}

// begin takes in the tables that are not known yet and can be read.
func (t *tables) begin(now delivery.CaptureCatalogue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, w := range t.byName {
		if is := now.Tables[name]; w.known.OID == 0 && w.fit(is).IsZero() {
			is.Since = now.LSN
			w.known, t.byOID[is.OID] = is, w
		}
	}
}

// mistakes refuses rules that can never work as the tables are. A table that has stopped has said why.
func (t *tables) mistakes(now delivery.CaptureCatalogue) error {
	for _, name := range t.running() {
		w, is := t.byName[name], now.Tables[name]
		if w.known.OID == 0 {
			continue // set-up refuses it
		}
		for _, rule := range w.rules {
			for _, f := range rule.Findings(is) {
				if !f.Warning {
					return delivery.Fault("table.rule", "table", name, "finding", f.Phrase())
				}
			}
		}
	}
	return nil
}

// findings are what expressions will not see of some changes.
func (r *Room) findings(ctx context.Context, now delivery.CaptureCatalogue) {
	var hints []delivery.Phrase
	wanted := r.wanted()
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		for _, f := range delivery.TableFindings(wanted[name].rules, now.Tables[name]) {
			if f.Warning {
				hints = append(hints, f.Phrase())
			}
		}
	}
	if r.news.hint(hints) {
		for _, hint := range hints {
			r.log.WarnContext(ctx, "not every change will carry what the rules name", "finding", hint.English())
		}
	}
}

// rename follows a table whose new name the file has taken over: its number is the same.
func (r *Room) rename(ctx context.Context, l Leader, p *delivery.CapturePosition, now delivery.CaptureCatalogue) error {
	wanted := r.wanted()
	for name := range wanted {
		if p.Tables[name].OID != 0 {
			continue
		}
		for old, known := range p.Tables {
			if is := now.Tables[name]; is.OID == 0 || is.OID != known.OID || wanted[old] != nil {
				continue
			}
			r.log.InfoContext(ctx, "a table has another name", "was", old, "is", name)
			p.Tables[name] = known
			delete(p.Tables, old)
			if progress, begun := p.Snapshot[old]; begun {
				p.Snapshot[name] = progress
				delete(p.Snapshot, old)
			}
			if err := l.RenameTable(ctx, r.name, old, name, *p); err != nil {
				return own(err)
			}
		}
	}
	return nil
}

// lookout compares the catalogue with what is known while changes are read.
func (s *session) lookout(ctx context.Context) error {
	for delivery.Pause(ctx, s.cfg.Watch) {
		if err := s.lookOnce(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

func (s *session) lookOnce(ctx context.Context) error {
	p := s.identity
	p.Tables, _ = s.tables.state()
	now, err := s.cfg.Source.Look(ctx, p.Tables)
	if err != nil {
		return err
	}
	var notes []delivery.Phrase
	p.Gaps, notes = s.tables.compare(now)
	for _, name := range s.tables.unknown() {
		if s.tables.byName[name].fit(now.Tables[name]).IsZero() {
			return errTable // it can be read by now
		}
	}
	s.news.find(append(notes, s.refused...))
	s.announce(ctx, p.Gaps)
	p.Tables, p.Verified = s.tables.state()
	return own(s.cfg.Store.SaveTables(ctx, s.name, p))
}

// announce says loudly that changes of a table are missing.
func (r *Room) announce(ctx context.Context, gaps []delivery.CaptureGap) {
	for _, g := range gaps {
		r.news.gap(g)
		r.log.ErrorContext(ctx, "changes of a table are missing: it is stopped until it is read again",
			"table", g.Table, "because", g.Why.English(), "from", g.From.String(), "to_read_it_again", r.again(g.Table))
	}
}

func (r *Room) again(table string) string {
	return fmt.Sprintf("redrive cdc resnapshot %s --table %s", r.name, table)
}

// repair prepares tables, of which somebody asked for a new snapshot, to go on: what the publication lacks is added, and every
// transaction that may have met it without is waited for.
func (s *session) repair(ctx context.Context, names []string) (list []ready, err error) {
	refused := map[string]delivery.Phrase{}
	for _, name := range names {
		if refused[name] = delivery.Say("table.no_rule"); s.tables.byName[name] == nil {
			continue
		}
		refused[name] = delivery.Heard(s.setUp(ctx, name))
	}
	now, err := s.cfg.Source.Look(ctx, nil)
	if err != nil {
		return nil, err // it was no refusal
	}
	to, err := s.cfg.Source.Settled(ctx, now)
	if err != nil {
		return nil, err
	}
	running := s.tables.running()
	for _, name := range names {
		t := ready{table: name, why: refused[name], known: now.Tables[name], to: to}
		if t.why.IsZero() {
			t.why = s.tables.byName[name].fit(t.known)
		}
		if t.why.IsZero() {
			t.why = s.unready(name, t.known)
		}
		if t.known.From, t.known.Since = now.LSN, now.LSN; t.why.IsZero() && slices.Contains(running, name) {
			t.known = s.tables.byName[name].known // nothing is missing: what the stream brings meanwhile is delivered as well
		}
		list = append(list, t)
	}
	return list, nil
}

// unready says why a table cannot be read again, although it could be read on; nothing when it can.
func (s *session) unready(name string, is delivery.CapturedTable) (why delivery.Phrase) {
	before := s.tables.byName[name].known.Outside
	outside := slices.DeleteFunc(slices.Clone(is.Outside), func(part string) bool { return slices.Contains(before, part) })
	switch {
	case len(outside) > 0:
		return delivery.Say("table.partitions", "partitions", outside)
	case !is.Ordered && s.snapshotted(name):
		return delivery.Say("table.no_key")
	}
	return why
}

// snapshotted reports whether rules of a table take what is there already.
func (r *Room) snapshotted(name string) bool {
	return slices.ContainsFunc(r.snapshotTables(), func(t table) bool { return t.name() == name })
}

// ready is a table that can go on, or why it cannot.
type ready struct {
	table string
	why   delivery.Phrase
	known delivery.CapturedTable
	to    delivery.LSN // where its gap ends
}

// goOn begins the tables that were asked for, before a session reads on.
func (r *Room) goOn(ctx context.Context, l Leader, p *delivery.CapturePosition) error {
	list := r.ready
	r.ready = nil
	for _, t := range list {
		if !t.why.IsZero() {
			r.log.WarnContext(ctx, "a table cannot be read again", "table", t.table, "because", t.why.English())
			if err := l.RefuseTable(ctx, r.name, t.table, t.why); err != nil {
				return own(err)
			}
			continue
		}
		if p.Tables == nil {
			p.Tables = map[string]delivery.CapturedTable{}
		}
		if p.Snapshot == nil {
			p.Snapshot = map[string]delivery.SnapshotProgress{}
		}
		p.Tables[t.table] = t.known
		delete(p.Snapshot, t.table)
		if r.snapshotted(t.table) {
			p.Snapshot[t.table] = delivery.SnapshotProgress{}
		}
		if err := l.BeginTable(ctx, r.name, t.table, t.to, *p); err != nil {
			return own(err)
		}
		r.log.InfoContext(ctx, "a table is read again, as somebody asked for", "table", t.table, "the_gap_ends_at", t.to.String())
	}
	return nil
}

// errTable ends a session so that a table can begin.
var errTable = errors.New("a table begins anew")
