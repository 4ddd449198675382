package delivery

import (
	"net/url"
	"time"
)

// TableDestination is a table of another Postgres database. A file's rows go into it in one transaction, once.
type TableDestination struct {
	URL     string
	Table   string       // with its schema, if that is not public
	Key     []string     // columns of a unique constraint: a row that is there is replaced
	Columns []FileColumn // Name in the table, From in the query; empty: every column of the query
	Timeout time.Duration
}

func (d *TableDestination) kind() string           { return "table" }
func (d *TableDestination) timeout() time.Duration { return d.Timeout }

// settles: which files are in the table is noted beside it, in the transaction that puts them there.
func (d *TableDestination) settles() bool { return true }
func (d *TableDestination) address() string {
	u, err := url.Parse(d.URL)
	if err != nil {
		return d.Table
	}
	return u.Host + u.Path + " " + d.Table
}
