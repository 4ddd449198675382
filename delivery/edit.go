package delivery

import "time"

// EditRequest makes a new version of what is sent for a dead letter, and retries it.
type EditRequest struct {
	ID      string
	Version int // of the delivery; 0: whatever it is
	Actor   string
	Reason  string // required
	Payload []byte
	Headers map[string]string // all of them; nil: as they are
	Token   string            // see ActionRequest
}

// Edit is one immutable version of what is sent. Number 1 is the message as it was accepted.
type Edit struct {
	Number       int
	Payload      []byte
	Headers      map[string]string
	Actor        string // empty for number 1
	Reason       string
	CreatedAt    time.Time
	AfterAttempt int // later attempts, up to the next version's, sent this one
}

// RedirectRequest retries a dead letter by another integration with the same kind of destination.
type RedirectRequest struct {
	ID          string
	Version     int
	Actor       string
	Reason      string // required
	Integration string // to go to
	Token       string
}
