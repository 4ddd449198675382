package delivery

import (
	"net/url"
	"time"
)

// TableDestination is a table of another Postgres database. A file's rows go into it in one transaction, once.
type TableDestination struct {
	URL       string
	Schema    string // empty: where the database looks for the table
	Table     string
	Key       []string     // columns of a unique constraint: a row that is there is replaced
	Columns   []FileColumn // Name in the table, From in the query; empty: every column of the query
	Overrides bool         // values go into columns that are GENERATED ALWAYS AS IDENTITY, instead of those that the table would make
	Timeout   time.Duration
}

// Kind implements Target.
func (d *TableDestination) Kind() string { return "table" }

// Address implements Target.
func (d *TableDestination) Address() string {
	name := TableName(d.Schema, d.Table)
	u, err := url.Parse(d.URL)
	if err != nil {
		return name
	}
	return u.Host + u.Path + " " + name
}

// Limit implements Target.
func (d *TableDestination) Limit() time.Duration { return d.Timeout }

// Traits implements Target: which files are in the table is noted beside it, in the transaction that puts them there.
func (d *TableDestination) Traits() Traits { return Traits{Settles: true, Bare: true} }

// Rows implements RowTarget.
func (d *TableDestination) Rows() FileFormat {
	return FileFormat{Kind: FileJSON, Columns: d.Columns, Text: true}
}

// ValueColumn says what the values of one column of a file for a table are. They stand in it as text, in the form in which Postgres
// writes their type, and nothing of them is lost on the way.
type ValueColumn struct {
	Name string `json:"name"` // in the table
	Type string `json:"type"` // as SQL names it, with its schema, e.g. pg_catalog.int4; or one of the two below
}

// Types of values that are not a column's of a query.
const (
	TypeMessageValue   = "message value"   // what a path names in a message: one JSON value
	TypeMessagePayload = "message payload" // the message's bytes, in the form of bytea
)
