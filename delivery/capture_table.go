package delivery

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// CapturedTable is what a source says of a table that rules name, as far as its changes depend on it. It is saved with the
// position: what differs afterwards was changed by somebody, also while nobody read.
type CapturedTable struct {
	OID         uint32              `json:"oid"`  // 0: there is none
	Name        string              `json:"name"` // schema.table, which may be another than the one that rules name
	Usable      string              `json:"-"`    // why its changes cannot be in a stream; empty: they can
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
	Number    int    `json:"number"` // which it keeps when it is renamed
	Name      string `json:"name"`
	Sent      bool   `json:"sent"` // by the stream
	Generated bool   `json:"generated,omitempty"`
}

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
	Stopped LSN  // what was committed here or later is not delivered
	Why     string
	Note    string // why a new snapshot that was asked for did not begin
	FoundAt time.Time
	Asked   bool // somebody asked for a new snapshot of the table, and it has not begun
}

// String says what is missing and why.
func (g CaptureGap) String() string {
	to := "now"
	if g.To != nil {
		to = g.To.String()
	}
	text := fmt.Sprintf("%s is stopped: %s. Changes from %s to %s may be missing", g.Table, g.Why, g.From, to)
	if g.Note != "" {
		text += "; a new snapshot did not begin: " + g.Note
	}
	return text
}

// StreamedTable is how a stream describes a table at some place. As long as it stays the same, it is the same pointer.
type StreamedTable struct {
	OID      uint32
	Columns  []string
	Identity string   // d: primary key, i: index, f: whole rows, n: nothing
	Key      []string // what the replica identity marks; with f all columns
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

// Gone says what the table may have lost since it was as known; empty when nothing that matters has changed. It looks at what a
// stream does not tell by itself.
func (known CapturedTable) Gone(now CapturedTable) string {
	for _, why := range []string{known.replaced(now), known.unpublished(now), known.withheld(now), known.unidentified(now)} {
		if why != "" {
			return why
		}
	}
	return ""
}

func (known CapturedTable) replaced(now CapturedTable) string {
	switch {
	case now.OID == 0:
		return "it was dropped"
	case now.OID != known.OID:
		return "another table has taken its name"
	}
	return now.Usable
}

// unpublished is about the publication as a whole. One that was changed and looks as before was changed back.
func (known CapturedTable) unpublished(now CapturedTable) string {
	was, is := known.Publication, now.Publication
	missing := slices.DeleteFunc(slices.Clone(was.Operations),
		func(op RowOperation) bool { return slices.Contains(is.Operations, op) })
	switch {
	case is.OID == 0:
		return "the publication was dropped"
	case is.OID != was.OID:
		return "the publication was dropped and created anew"
	case len(missing) > 0:
		return "the publication no longer sends " + joined(missing)
	case was.ViaRoot && !is.ViaRoot && len(known.Partitions) > 0:
		return "the publication sends partitions under their own names"
	case is.Version != was.Version && is.Owner == was.Owner && len(is.Operations) == len(was.Operations) && is.ViaRoot == was.ViaRoot:
		return "the publication was changed and changed back"
	}
	return ""
}

func joined(operations []RowOperation) string {
	texts := make([]string, len(operations))
	for i, op := range operations {
		texts[i] = string(op)
	}
	return strings.Join(texts, ", ")
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
func (known CapturedTable) withheld(now CapturedTable) string {
	hidden := known.Withdrawn(now)
	outside := slices.DeleteFunc(slices.Clone(now.Outside),
		func(name string) bool { return slices.Contains(known.Outside, name) })
	switch {
	case !now.Covered:
		return "the publication no longer has it"
	case known.Filter != now.Filter && now.Filter != "":
		return "the publication sends only rows with " + now.Filter
	case len(hidden) > 0:
		return "the publication no longer sends its columns " + strings.Join(hidden, ", ")
	case len(known.Members) > 0 && !slices.ContainsFunc(now.Members, func(m uint32) bool { return slices.Contains(known.Members, m) }):
		return "it was taken out of the publication and put back, or put in otherwise"
	case len(outside) > 0:
		return "changes of its partitions " + strings.Join(outside, ", ") + " are not in the log"
	case len(now.Attached) > 0:
		return "rows came with partitions that were attached: " + strings.Join(now.Attached, ", ")
	case len(now.Rejoined) > 0:
		return "its partitions " + strings.Join(now.Rejoined, ", ") + " were detached and attached again"
	}
	return ""
}

func (known CapturedTable) unidentified(now CapturedTable) string {
	var lost []string
	for _, number := range known.Old {
		if c, there := now.column(number); there && !slices.Contains(now.Old, number) {
			lost = append(lost, c.Name)
		}
	}
	switch {
	case len(lost) > 0:
		return "its replica identity no longer tells " + strings.Join(lost, ", ")
	case !slices.Equal(slices.Sorted(slices.Values(known.Key)), slices.Sorted(slices.Values(now.Key))):
		return "other columns identify its rows: " + now.names(now.Key)
	}
	return ""
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

func (t CapturedTable) names(numbers []int) string {
	var names []string
	for _, number := range numbers {
		if c, there := t.column(number); there {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
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
func (known CapturedTable) Altered(s *StreamedTable, at LSN) string {
	switch {
	case at < known.Since:
		return ""
	case known.Identity == "f" && s.Identity != "f":
		return "its replica identity no longer tells whole rows"
	case len(known.Key) > 0 && s.Identity != "f" && len(s.Key) == 0 && known.Identity != "n":
		return "no columns identify its rows any more"
	}
	return ""
}

// Missing says which column that the rule needs of every row is not among those that a stream brings; empty when none is.
func (r CDCRule) Missing(columns []string) string {
	for _, name := range r.Columns {
		if !slices.Contains(columns, name) {
			return fmt.Sprintf("line %d of the integrations file names column %s, which the stream does not bring", r.Line, name)
		}
	}
	for _, use := range r.Uses {
		if use.Of == "row" && !slices.Contains(columns, use.Column) {
			return fmt.Sprintf("line %d of the integrations file: %s: row.%s: the stream does not bring this column",
				r.Line, use.Setting, use.Column)
		}
	}
	return ""
}

// Findings are about expressions that name what a stream of the table does not carry. What can never work is an error, what works
// for some changes a warning.
func (r CDCRule) Findings(t CapturedTable) (list []CaptureFinding) {
	for _, use := range r.Uses {
		text, never := r.lacks(use, t)
		if text == "" {
			continue
		}
		list = append(list, CaptureFinding{
			What:    fmt.Sprintf("line %d of the integrations file: %s: %s", r.Line, use.Setting, use),
			Err:     text,
			Warning: !never,
		})
	}
	return list
}

const wholeRows = "ALTER TABLE … REPLICA IDENTITY FULL sends whole rows"

// TableFindings are what rules cannot see of a table, and what its publication leaves out.
func TableFindings(rules []CDCRule, t CapturedTable) (list []CaptureFinding) {
	for _, r := range rules {
		list = append(list, r.Findings(t)...)
	}
	if len(t.Children) > 0 {
		list = append(list, CaptureFinding{What: "tables that inherit from " + t.Name, Warning: true,
			Err: "rows of " + strings.Join(t.Children, ", ") + " come under their own names: give them rules of their own"})
	}
	if t.Filter != "" {
		list = append(list, CaptureFinding{What: "publication of " + t.Name, Warning: true,
			Err: "it sends only rows with " + t.Filter})
	}
	if len(t.Outside) > 0 {
		list = append(list, CaptureFinding{What: "partitions of " + t.Name, Warning: true,
			Err: "changes of " + strings.Join(t.Outside, ", ") + " are not in the log: they are unlogged or foreign"})
	}
	return list
}

func (r CDCRule) lacks(use ColumnUse, t CapturedTable) (text string, never bool) {
	c, there := t.named(use.Column)
	switch {
	case use.Of == "changed" && t.Identity != "f":
		return "the replica identity does not tell old rows, so that it names nothing but a changed key. " + wholeRows, false
	case use.Of == "changed":
	case !there:
		return "there is no such column: correct the expression", true
	case !c.Sent && c.Generated:
		return "the column is generated, and not in the stream: calculate it from the others", true
	case !c.Sent:
		return "the publication leaves the column out: add it to the publication's list, or leave it out of the expression", true
	case use.Of == "key" && !slices.Contains(t.Key, c.Number):
		return "the column is not part of the key (" + t.names(t.Key) + "): it is always null", true
	case use.Of == "old" && !slices.Contains(t.Old, c.Number):
		return "the replica identity does not tell it of old rows: it is null. " + wholeRows, false
	case use.Of == "row" && r.takes(OpDelete) && !slices.Contains(t.Old, c.Number):
		return "of a deleted row the replica identity does not tell it: there it is null. " + wholeRows, false
	}
	return "", false
}

// takes reports whether the rule takes an operation.
func (r CDCRule) takes(op RowOperation) bool {
	if len(r.Operations) == 0 {
		return op != OpTruncate
	}
	return slices.Contains(r.Operations, op)
}
