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
)
