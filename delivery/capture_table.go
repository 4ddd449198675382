package delivery

import (
	"slices"
	"strings"
	"time"
)

// CapturedTable is what a source says of a table that rules name, as far as its changes depend on it. It is saved with the
// position: what differs afterwards was changed by somebody, also while nobody read.
type CapturedTable struct {
	OID         uint32              `json:"oid"`  // 0: there is none
	Name        string              `json:"name"` // schema.table, which may be another than the one that rules name
	Usable      Phrase              `json:"-"`    // why its changes cannot be in a stream; zero: they can
	Identity    string              `json:"identity"`
	Columns     []CapturedColumn    `json:"columns"`           // all of them
	Key         []int               `json:"key,omitempty"`     // numbers of the columns that identify a row
	Old         []int               `json:"old,omitempty"`     // numbers of the columns that an old row carries
	Members     []uint32            `json:"members,omitempty"` // rows of the catalogue that make it part of the publication
	Filter      string              `json:"filter,omitempty"`  // the publication sends only such rows
	Covered     bool                `json:"covered"`           // the publication sends it, under its own name
	Partitions  []uint32            `json:"partitions,omitempty"`
	Links       []string            `json:"links,omitempty"`   // of each partition, another one after it was attached anew
	Attached    []string            `json:"-"`                 // partitions that came with rows since it was looked at before
	Rejoined    []string            `json:"-"`                 // partitions that were detached since, and attached again
	Outside     []string            `json:"outside,omitempty"` // partitions whose changes are not in the log
	Bare        []string            `json:"-"`                 // parts whose updates and deletes the source refuses
	Ordered     bool                `json:"-"`                 // a snapshot can be read by its key
	Children    []string            `json:"-"`                 // tables that inherit from it
	Publication CapturedPublication `json:"publication"`
	Since       LSN                 `json:"since,omitempty"` // from here on an old row carries what Old says
	From        LSN                 `json:"from,omitempty"`  // what was committed before is not delivered: a new snapshot has it
}

// CapturedColumn is a column of a captured table.
type CapturedColumn struct {
	Number    int    `json:"number"` // its number in the table; a renamed column keeps it
	Name      string `json:"name"`
	Sent      bool   `json:"sent"` // by the stream
	Generated bool   `json:"generated,omitempty"`
}

// GapNameTaken is why a table is stopped whose name another one has.
const GapNameTaken = "gap.name_taken"

// CapturedPublication is what decides of all tables at once.
type CapturedPublication struct {
	OID        uint32         `json:"oid"`     // 0: there is none
	Version    string         `json:"version"` // another one after each change
	Owner      uint32         `json:"owner"`
	Operations []RowOperation `json:"operations"`
	ViaRoot    bool           `json:"via_root"`
}

// CaptureCatalogue is one look at the tables of a source.
type CaptureCatalogue struct {
	LSN        LSN                      // read before the look: whatever it does not show was committed later, unless it was still being committed
	XMin, XMax uint64                   // transactions before XMin were over at the look; XMax had not begun at LSN
	Tables     map[string]CapturedTable // by the name that rules use
}

// Publication is the publication as every table tells it; the zero one when there is no table.
func (c CaptureCatalogue) Publication() CapturedPublication {
	for _, t := range c.Tables {
		return t.Publication
	}
	return CapturedPublication{}
}

// CaptureGap is what is missing of one table: what was committed from From to To may not have been delivered.
type CaptureGap struct {
	Table   string // as rules name it
	From    LSN
	To      *LSN // nil: it goes on
	Stopped LSN  // changes committed at this position or later are not delivered
	Why     Phrase
	Note    Phrase // why a new snapshot that was asked for did not begin
	FoundAt time.Time
	Asked   bool // somebody asked for a new snapshot of the table, and it has not begun
}

// Phrase says what is missing and why.
func (g CaptureGap) Phrase() Phrase {
	to := Say("gap.now")
	if g.To != nil {
		to = Verbatim(g.To.String())
	}
	gap := Say("gap.table", "table", g.Table, "why", g.Why, "from", g.From, "to", to)
	if !g.Note.IsZero() {
		return Say("gap.table.refused", "gap", gap, "note", g.Note)
	}
	return gap
}

// StreamedTable is how a stream describes a table at some place. As long as it stays the same, it is the same pointer.
type StreamedTable struct {
	OID      uint32
	Columns  []string
	Identity string   // d: primary key, i: index, f: whole rows, n: nothing
	Key      []string // columns of the replica identity; all columns when it is FULL (f)
}

// ColumnUse is one place where an expression of a rule names a column.
type ColumnUse struct {
	Setting string // when, key, payload or type
	Of      string // row, old, key or changed
	Column  string // empty for changed, which is of all
}

func (u ColumnUse) String() string {
	if u.Column == "" {
		return u.Of
	}
	return u.Of + "." + u.Column
}

// Gone says what the table may have lost since it was as known; nothing when nothing that matters has changed. It looks at what a
// stream does not tell by itself.
func (known CapturedTable) Gone(now CapturedTable) (why Phrase) {
	for _, why := range []Phrase{known.replaced(now), known.unpublished(now), known.withheld(now), known.unidentified(now)} {
		if !why.IsZero() {
			return why
		}
	}
	return why
}

func (known CapturedTable) replaced(now CapturedTable) Phrase {
	switch {
	case now.OID == 0:
		return Say("gap.dropped")
	case now.OID != known.OID:
		return Say(GapNameTaken)
	}
	return now.Usable
}

// unpublished is about the publication as a whole. One that was changed and looks as before was changed back.
func (known CapturedTable) unpublished(now CapturedTable) (why Phrase) {
	was, is := known.Publication, now.Publication
	missing := slices.DeleteFunc(slices.Clone(was.Operations),
		func(op RowOperation) bool { return slices.Contains(is.Operations, op) })
	switch {
	case is.OID == 0:
		return Say("gap.publication.dropped")
	case is.OID != was.OID:
		return Say("gap.publication.created_anew")
	case len(missing) > 0:
		return Say("gap.publication.operations", "operations", missing)
	case was.ViaRoot && !is.ViaRoot && len(known.Partitions) > 0:
		return Say("gap.publication.partitions")
	case is.Version != was.Version && is.Owner == was.Owner && len(is.Operations) == len(was.Operations) && is.ViaRoot == was.ViaRoot:
		return Say("gap.publication.changed_back")
	}
	return why
}

// Withdrawn are the columns that are there and that the publication no longer sends.
func (known CapturedTable) Withdrawn(now CapturedTable) (names []string) {
	for _, c := range now.Columns {
		if was, there := known.column(c.Number); there && was.Sent && !c.Sent {
			names = append(names, c.Name)
		}
	}
	return names
}

// withheld is about this table in the publication.
func (known CapturedTable) withheld(now CapturedTable) (why Phrase) {
	hidden := known.Withdrawn(now)
	outside := slices.DeleteFunc(slices.Clone(now.Outside),
		func(name string) bool { return slices.Contains(known.Outside, name) })
	switch {
	case !now.Covered:
		return Say("gap.withheld.table")
	case known.Filter != now.Filter && now.Filter != "":
		return Say("gap.withheld.rows", "filter", now.Filter)
	case len(hidden) > 0:
		return Say("gap.withheld.columns", "columns", hidden)
	case len(known.Members) > 0 && !slices.ContainsFunc(now.Members, func(m uint32) bool { return slices.Contains(known.Members, m) }):
		return Say("gap.withheld.put_back")
	case len(outside) > 0:
		return Say("gap.withheld.partitions", "partitions", outside)
	case len(now.Attached) > 0:
		return Say("gap.withheld.attached", "partitions", now.Attached)
	case len(now.Rejoined) > 0:
		return Say("gap.withheld.rejoined", "partitions", now.Rejoined)
	}
	return why
}

func (known CapturedTable) unidentified(now CapturedTable) (why Phrase) {
	var lost []string
	for _, number := range known.Old {
		if c, there := now.column(number); there && !slices.Contains(now.Old, number) {
			lost = append(lost, c.Name)
		}
	}
	switch {
	case len(lost) > 0:
		return Say("gap.identity.columns", "columns", lost)
	case !slices.Equal(slices.Sorted(slices.Values(known.Key)), slices.Sorted(slices.Values(now.Key))):
		return Say("gap.identity.key", "columns", now.names(now.Key))
	}
	return why
}

func (t CapturedTable) column(number int) (CapturedColumn, bool) {
	n := slices.IndexFunc(t.Columns, func(c CapturedColumn) bool { return c.Number == number })
	if n < 0 {
		return CapturedColumn{}, false
	}
	return t.Columns[n], true
}

func (t CapturedTable) named(name string) (CapturedColumn, bool) {
	n := slices.IndexFunc(t.Columns, func(c CapturedColumn) bool { return c.Name == name })
	if n < 0 {
		return CapturedColumn{}, false
	}
	return t.Columns[n], true
}

func (t CapturedTable) names(numbers []int) Phrase {
	var names []string
	for _, number := range numbers {
		if c, there := t.column(number); there {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return Say("none")
	}
	return Verbatim(strings.Join(names, ", "))
}

// Sent are the columns that a stream brings.
func (t CapturedTable) Sent() (names []string) {
	for _, c := range t.Columns {
		if c.Sent {
			names = append(names, c.Name)
		}
	}
	return names
}

// Refines reports whether now tells of old rows more than known did, so that a stream which is still behind may tell less.
func (known CapturedTable) Refines(now CapturedTable) bool {
	return slices.ContainsFunc(now.Old, func(number int) bool { return !slices.Contains(known.Old, number) })
}

// Altered says what a stream that describes the table so, at a place, does not tell any more although it should.
func (known CapturedTable) Altered(s *StreamedTable, at LSN) (why Phrase) {
	switch {
	case at < known.Since:
	case known.Identity == "f" && s.Identity != "f":
		return Say("gap.identity.whole")
	case len(known.Key) > 0 && s.Identity != "f" && len(s.Key) == 0 && known.Identity != "n":
		return Say("gap.identity.none")
	}
	return why
}

// Missing says which column that the rule needs of every row is not among those that a stream brings; nothing when none is.
func (r CDCRule) Missing(columns []string) (why Phrase) {
	for _, name := range r.Columns {
		if !slices.Contains(columns, name) {
			return Say("gap.rule.column", "line", r.Line, "column", name)
		}
	}
	for _, use := range r.Uses {
		if use.Of == "row" && !slices.Contains(columns, use.Column) {
			return Say("gap.rule.use", "line", r.Line, "setting", use.Setting, "column", use.Column)
		}
	}
	return why
}

// Findings are about expressions that name what a stream of the table does not carry. What can never work is an error, what works
// for some changes a warning.
func (r CDCRule) Findings(t CapturedTable) (list []CaptureFinding) {
	for _, use := range r.Uses {
		lacks, never := r.lacks(use, t)
		if lacks.IsZero() {
			continue
		}
		what := Say("finding.use", "line", r.Line, "setting", use.Setting, "use", use)
		list = append(list, CaptureFinding{What: what, Err: lacks, Warning: !never})
	}
	return list
}

// TableFindings are what rules cannot see of a table, and what its publication leaves out.
func TableFindings(rules []CDCRule, t CapturedTable) (list []CaptureFinding) {
	for _, r := range rules {
		list = append(list, r.Findings(t)...)
	}
	if len(t.Children) > 0 {
		list = append(list, CaptureFinding{What: Say("finding.children", "table", t.Name), Warning: true,
			Err: Say("finding.children.why", "tables", t.Children)})
	}
	if t.Filter != "" {
		list = append(list, CaptureFinding{What: Say("finding.filter", "table", t.Name), Warning: true,
			Err: Say("finding.filter.why", "filter", t.Filter)})
	}
	if len(t.Outside) > 0 {
		list = append(list, CaptureFinding{What: Say("finding.partitions", "table", t.Name), Warning: true,
			Err: Say("finding.partitions.why", "partitions", t.Outside)})
	}
	return list
}

func (r CDCRule) lacks(use ColumnUse, t CapturedTable) (why Phrase, never bool) {
	c, there := t.named(use.Column)
	switch {
	case use.Of == "changed" && t.Identity != "f":
		return Say("finding.use.changed"), false
	case use.Of == "changed":
	case !there:
		return Say("finding.use.no_column"), true
	case !c.Sent && c.Generated:
		return Say("finding.use.generated"), true
	case !c.Sent:
		return Say("finding.use.left_out"), true
	case use.Of == "key" && !slices.Contains(t.Key, c.Number):
		return Say("finding.use.no_key", "key", t.names(t.Key)), true
	case use.Of == "old" && !slices.Contains(t.Old, c.Number):
		return Say("finding.use.old"), false
	case use.Of == "row" && r.takes(OpDelete) && !slices.Contains(t.Old, c.Number):
		return Say("finding.use.deleted"), false
	}
	return why, false
}

// takes reports whether the rule takes an operation.
func (r CDCRule) takes(op RowOperation) bool {
	if len(r.Operations) == 0 {
		return op != OpTruncate
	}
	return slices.Contains(r.Operations, op)
}
