package delivery

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Errors of a source's replication slot, for errors.Is.
var (
	// ErrSlotLost says that the log which the slot needs is gone, or that the server gave the slot up.
	ErrSlotLost = Fault("capture.err.slot_lost")
	// ErrSlotMissing says that there is no such slot.
	ErrSlotMissing = Fault("capture.err.slot_missing")
	// ErrSourceRestored says that the source is older than what was read from it.
	ErrSourceRestored = Fault("capture.err.restored")
	// ErrPublicationMissing says that the publication was not there when something was committed that must be read.
	ErrPublicationMissing = Fault("capture.err.publication_missing")
	// ErrSlotActive says that another connection reads the slot.
	ErrSlotActive = errors.New("another process reads the replication slot")
)

// CDCSource is the database whose changes a cdc integration reads, and what becomes of each change.
type CDCSource struct {
	URL         string // Postgres; empty: the database that Redrive itself uses
	Publication string // default redrive_ and the integration's name, hyphens as underscores
	Slot        string // default like Publication
	Snapshot    bool   // the rows that are there already come first, as operation snapshot
	Heartbeat   time.Duration
	AlarmBytes  int64 // write-ahead log that the slot may hold back before people are alarmed
	Rules       []CDCRule
	Veil        *Veil // what Address must not say; nil: nothing
}

// CDCRule makes messages of one table's changes. Several rules may name the same table. The expressions are described in
// docs/cdc.md.
type CDCRule struct {
	Schema, Table string
	Operations    []RowOperation // empty: insert, update and delete, and snapshot where there is one
	Columns       []string       // columns to include; empty: all
	When          string         // expression; empty: always
	Type          string         // message type, with {{ expression }} in it; default schema.table.operation
	Key           string         // expression; default the primary key's values, joined by /
	Payload       string         // expression; default the change itself, see Change
	To            []string       // addressees of commands; empty: the integration itself
	Publish       bool           // an event for all that subscribe to its type, instead of commands
	Uses          []ColumnUse    // columns that the expressions name
	Line          int            // in the integrations file
}

// Name is the rule's table as gaps and positions name it.
func (r CDCRule) Name() string { return r.Schema + "." + r.Table }

// RowOperation is what happened to a row.
type RowOperation string

// Operations of a change.
const (
	OpInsert   RowOperation = "insert"
	OpUpdate   RowOperation = "update"
	OpDelete   RowOperation = "delete"
	OpTruncate RowOperation = "truncate" // of a whole table; it has no row
	OpSnapshot RowOperation = "snapshot" // the row was there before reading began
)

// Change is one row's change as its source tells it.
type Change struct {
	Op         RowOperation
	Schema     string
	Table      string
	Row        map[string]json.RawMessage // new row; for a delete the old one, as far as its replica identity tells
	Old        map[string]json.RawMessage // old row, as far as its replica identity tells; nil when it tells nothing
	Key        []string                   // names of the columns that identify the row
	Unchanged  []string                   // columns that did not change and whose values were not sent (TOAST)
	LSN        LSN                        // where the record of its commit begins, which is before CaptureCommit.LSN
	Index      int                        // place within its transaction, from 0
	XID        uint32
	CommitTime time.Time
	Of         *StreamedTable // how the stream describes the table here; nil for a snapshot's rows
}

// LSN is a place in Postgres's write-ahead log.
type LSN uint64

// String writes it as Postgres does, such as 0/16B3748.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

// ParseLSN reads what String writes.
func ParseLSN(text string) (LSN, error) {
	var high, low uint32
	if n, err := fmt.Sscanf(text, "%X/%X", &high, &low); n != 2 || err != nil {
		return 0, fmt.Errorf("%q is no place in a write-ahead log", text)
	}
	return LSN(high)<<32 | LSN(low), nil
}

// Address is the source as people may see it: no credentials.
func (c CDCSource) Address() string {
	if c.URL == "" {
		return "this database, slot " + c.Slot
	}
	return c.Veil.In(RedactURL(c.URL)) + " slot " + c.Slot
}

// Addresses reports whether a rule makes commands for an integration; own is the one that the rules belong to.
func (r CDCRule) Addresses(integration, own string) bool {
	return !r.Publish && (slices.Contains(r.To, integration) || len(r.To) == 0 && integration == own)
}

// OriginPostgres is the Broker in the origin of a message that was a change of a table.
const OriginPostgres = "postgres"

// Captured is a change that became a message.
type Captured struct {
	Message Message  // kind, type, key, payload and origin are set
	To      []string // addressees of a command, one delivery each
	Error   string   // why the change could not be made a message: the message is then the change itself, and dead from the start
}

// CaptureEvent is what a stream of changes brings. Exactly one field is set.
type CaptureEvent struct {
	Change *Change        // inside a transaction
	Commit *CaptureCommit // the transaction of the changes before it is complete
	Mark   *CaptureMark   // a message that was written into the log, see CaptureMark
	Idle   LSN            // nothing is under way, and everything before this place has been sent
}

// CaptureCommit ends a transaction.
type CaptureCommit struct {
	LSN  LSN // its end: what is acknowledged once its changes are durable
	Time time.Time
	XID  uint32
}

// CaptureMark is a logical message of ours in the source's log: a heartbeat, or the bounds of a snapshot's chunk.
type CaptureMark struct {
	Content string
	LSN     LSN
}

// SourceIdentity tells one source database from another, also after a restore.
type SourceIdentity struct {
	SystemIdentifier string
	Database         string
	Version          int // such as 150000
}

// SlotStatus is how a replication slot stands.
type SlotStatus struct {
	Exists    bool
	Active    bool   // somebody reads
	Lost      bool   // the log that it needs is gone, or it was invalidated
	Why       Phrase // of Lost
	Confirmed LSN    // everything before was acknowledged
	Restart   LSN    // from here on the log is kept
	Current   LSN    // end of the log
	Retained  int64  // bytes of log kept for it
	Lag       int64  // bytes of log that are not acknowledged
	SafeBytes *int64 // bytes that may still be written before the slot can be lost; nil: no limit is set
}

// CaptureFinding is one thing that was checked about a source.
type CaptureFinding struct {
	What    Phrase // e.g. "replica identity of public.content"
	Err     Phrase // zero: it is as it should be; else what is not, and what to do
	SQL     string // what the owner of the source would run; may be empty
	Warning bool   // of Err: changes can be read all the same
}

// Phrase says what is not as it should be.
func (f CaptureFinding) Phrase() Phrase { return Say("error.because", "what", f.What, "why", f.Err) }

// SnapshotProgress is how far the initial snapshot of one table is read. It is stored with the rows.
type SnapshotProgress struct {
	After []string `json:"after,omitempty"` // primary key of the last row, as text, in the key's order
	Rows  int64    `json:"rows"`
	Total int64    `json:"total,omitempty"` // estimated at the start
	Done  bool     `json:"done,omitempty"`
}

// CapturePosition is how far the changes of a source are durable here.
type CapturePosition struct {
	SystemIdentifier string
	Slot             string
	LSN              LSN
	CommittedAt      *time.Time                  // of the last change at its source
	Changes          int64                       // that were read, ever
	Snapshot         map[string]SnapshotProgress // by schema.table; empty: none, or not begun
	ResnapshotAt     *time.Time                  // somebody asked for a new slot and a new snapshot
	Resnapshot       []string                    // tables of which somebody asked for a new snapshot
	Tables           map[string]CapturedTable    // as they were when nothing was missing, by the name that rules use
	Verified         LSN                         // up to here they were so
	UpdatedAt        time.Time
	Gaps             []CaptureGap // that are noted together with the position
}
