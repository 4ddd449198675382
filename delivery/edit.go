package delivery

import (
	"slices"
	"strings"
	"time"
)

// EditRequest makes a new version of what is sent for a dead letter, and retries it.
type EditRequest struct {
	ID          string
	Version     int // of the delivery; 0: whatever it is
	Actor       string
	Reason      string            // required
	Payload     []byte            // nil: as it is
	Typed       []byte            // Payload as it was typed, with Hidden where a hidden value was left alone; nil: nothing is hidden
	PayloadNull bool              // no payload instead; Payload is nil
	Headers     map[string]string // all of them, see EditHeaders; nil: as they are
	Token       string            // see ActionRequest
}

// Edit is one immutable version of what is sent. Number 1 is the message as it was accepted.
type Edit struct {
	Number       int
	Size         int // of the payload
	Payload      []byte
	Null         bool // it has no payload
	Omitted      bool // the payload was not read: all versions together are too large; ask for it by its number
	Dropped      bool // it was older than what is kept: payload and headers are gone
	Headers      map[string]string
	Actor        string // as they are called now; empty for number 1
	ActorID      string
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

// Sent is the message as its latest version is sent: with the payload and headers of the last edit, if there is one.
func (d Detail) Sent() Message {
	m := d.Message
	if n := len(d.Edits); n > 0 {
		m.Payload, m.Headers, m.Dropped = d.Edits[n-1].Payload, d.Edits[n-1].Headers, d.Edits[n-1].Dropped
	}
	return m
}

// SentVersions notes on attempts which version each sent.
func SentVersions(attempts []Attempt, edits []Edit) {
	for i := range attempts {
		attempts[i].Edit = 1
		for _, e := range edits {
			if e.Number > 1 && attempts[i].Number > e.AfterAttempt {
				attempts[i].Edit = e.Number
			}
		}
	}
}

// protected are headers of a message's trace or signature, beside those that ReservedHeader names.
var protected = []string{"traceparent", "tracestate", "baggage", "b3", "signature", "signature-input"}

// ProtectedHeader reports whether an edit must leave a header as it is.
func ProtectedHeader(name string) bool {
	lower := strings.ToLower(name)
	return ReservedHeader(name) || slices.Contains(protected, lower) || strings.HasPrefix(lower, "x-b3-")
}

// EditHeaders returns the headers of a new version: those given, with the protected ones of base. Protected ones may be left out;
// given with another value, or where base has none, they are an *InputError.
func EditHeaders(given, base map[string]string) (map[string]string, error) {
	old := map[string]string{}
	for name, value := range base {
		old[strings.ToLower(name)] = value
	}
	out := map[string]string{}
	for name, value := range given {
		before, had := old[strings.ToLower(name)]
		if ProtectedHeader(name) && (!had || before != value) {
			return nil, Mistake("protected_header", "headers."+name, "header", name)
		}
		if !ProtectedHeader(name) {
			out[name] = value
		}
	}
	for name, value := range base {
		if ProtectedHeader(name) {
			out[name] = value
		}
	}
	return out, nil
}

// Proposed is the version that a request would make of what is sent now.
func (d Detail) Proposed(r EditRequest, at time.Time) Edit {
	now := d.Sent()
	e := Edit{Number: max(len(d.Edits), 1) + 1, Payload: r.Payload, Null: r.PayloadNull, Headers: now.Headers, Reason: r.Reason, CreatedAt: at}
	if r.Payload == nil && !r.PayloadNull {
		e.Payload, e.Null = now.Payload, now.Payload == nil
	}
	if r.Headers != nil {
		if headers, err := EditHeaders(r.Headers, now.Headers); err == nil {
			e.Headers = headers
		}
	}
	e.Size = len(e.Payload)
	return e
}
