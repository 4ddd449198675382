package delivery

import "time"

// OutboxSettings say from where on a new subscriber gets events. They count once, when the integration is first seen.
type OutboxSettings struct {
	Start     OutboxStart
	StartTime time.Time // StartAt only
}

// OutboxStart is where a new subscriber starts.
type OutboxStart string

// Where a new subscriber starts.
const (
	StartNow       OutboxStart = "now"       // with what is committed from now on; the default
	StartBeginning OutboxStart = "beginning" // with all that is retained
	StartAt        OutboxStart = "at"        // with what was accepted at a time or later
	StartContinue  OutboxStart = "continue"  // only of a copied database: with what was not fanned out when it was copied
)

// ParseOutboxStart reads a start as people write it: its name, or the time of StartAt (RFC 3339).
func ParseOutboxStart(text string) (s OutboxSettings, ok bool) {
	switch start := OutboxStart(text); start {
	case StartNow, StartBeginning, StartContinue:
		return OutboxSettings{Start: start}, true
	}
	moment, err := time.Parse(time.RFC3339, text)
	return OutboxSettings{Start: StartAt, StartTime: moment.UTC()}, err == nil
}

// OutboxMain is the feed of every subscriber that has caught up.
const OutboxMain = "outbox"

// OutboxFeed is how far one feed reads the log, and what lies between there and now. Snapshots are Postgres's own, as text.
type OutboxFeed struct {
	Name   string // OutboxMain, or OutboxMain/INTEGRATION of a subscriber that has not caught up
	Saved  string // the snapshot in the database
	From   string // everything that this snapshot shows is fanned out; later than Saved when nothing was in between
	To     string // now
	Paging bool   // a window too large for one transaction is being read
	Rows   int    // events between From and To, counted up to a limit; 0 while paging
	Early  bool   // it passes over everything until a time to come
}

// OutboxLag is how far an outbox integration is behind the log. Any process can tell.
type OutboxLag struct {
	Integration string
	Rows        int           // events that it subscribes to and that are not fanned out yet
	Capped      bool          // there are more than Rows
	Age         time.Duration // of the oldest of these; 0 when there is none
	Led         bool          // some process leads the relay
	Position    string        // of its feed: the same text while it does not move
	Refused     Phrase        // why the relay does not work on this database; zero: it does
}

// Adopted is what was done to make a copied database's log one of its own.
type Adopted struct {
	Saved, Current string // the databases, by system identifier and number
	Deliveries     int    // made of events that were in the copy
}

// CopiedError says that the outbox's positions belong to another database than the one that they lie in.
type CopiedError struct{ Saved, Current string }

// Phrase says what to do.
func (e *CopiedError) Phrase() Phrase { return Say("relay.copied") }

func (e *CopiedError) Error() string { return e.Phrase().English() }

// LogMaintenance is what was done to the days of the log, by name of the partition.
type LogMaintenance struct {
	Made    []string
	Dropped []string
	Kept    map[string]string // older than the retention, and why it is still there
	Busy    []string          // somebody used them: later
	Moved   int               // rows of dropped days that are still needed
}
