package delivery

import (
	"encoding/json"
	"time"
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
}

// CDCRule makes messages of one table's changes. Several rules may name the same table. The expressions are described in
// docs/cdc.md.
type CDCRule struct {
	Schema, Table string
	Operations    []Operation // empty: insert, update and delete, and snapshot where there is one
	Columns       []string    // columns to include; empty: all
	When          string      // expression; empty: always
	Type          string      // message type, with {{ expression }} in it; default schema.table.operation
	Key           string      // expression; default the primary key's values, joined by /
	Payload       string      // expression; default the change itself, see Change
	To            []string    // addressees of commands; empty: the integration itself
	Publish       bool        // an event for all that subscribe to its type, instead of commands
	Line          int         // in the integrations file
}

// Operation is what happened to a row.
type Operation string

// Operations of a change.
const (
	OpInsert   Operation = "insert"
	OpUpdate   Operation = "update"
	OpDelete   Operation = "delete"
	OpTruncate Operation = "truncate" // of a whole table; it has no row
	OpSnapshot Operation = "snapshot" // the row was there before reading began
)

// Change is one row's change as its source tells it.
type Change struct {
	Op         Operation
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
}

// LSN is a place in Postgres's write-ahead log.
type LSN uint64

// Captured is a change that became a message.
type Captured struct {
	Message Message  // kind, type, key, headers, payload and origin are set
	To      []string // addressees of a command, one delivery each
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
	Why       string // of Lost, in words
	Confirmed LSN    // everything before was acknowledged
	Restart   LSN    // from here on the log is kept
	Current   LSN    // end of the log
	Retained  int64  // bytes of log kept for it
	Lag       int64  // bytes of log that are not acknowledged
	SafeBytes *int64 // bytes that may still be written before the slot can be lost; nil: no limit is set
}

// CaptureFinding is one thing that was checked about a source.
type CaptureFinding struct {
	What    string // e.g. "replica identity of public.content"
	Err     string // empty: it is as it should be; else a sentence that says what to do
	SQL     string // what the owner of the source would run; may be empty
	Warning bool   // of Err: changes can be read all the same
}

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
	UpdatedAt        time.Time
}
