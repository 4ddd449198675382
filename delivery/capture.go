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
	LSN        LSN                        // end of the transaction
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
