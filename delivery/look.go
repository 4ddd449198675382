package delivery

import (
	"strings"
	"time"
)

// Look is until when somebody has seen what fails.
type Look struct {
	Until    time.Time // what comes later is new to them; zero for whoever keeps no mark
	Complete time.Time // a list that was read after this look lacks nothing of before
}

// IsNew reports whether a dead letter came after the look, and nobody looks after it.
func (l Look) IsNew(d Delivery) bool {
	return d.State == StateDead && d.Case.AcknowledgedAt == nil && !l.Until.IsZero() && d.ChangedAt != nil && !d.ChangedAt.Before(l.Until)
}

// Place is where a failure stands in lists, see Sort.
type Place struct {
	ID string
	At time.Time
}

// ShortID is how many characters of an id people compare: its last ones, since the beginning is a time and the same for many.
const ShortID = 8

// IsShortID reports whether a text can be the end of an id.
func IsShortID(text string) bool {
	return len(text) == ShortID && strings.Trim(text, "0123456789abcdef") == ""
}

// Place is where the failure stands in lists.
func (d Delivery) Place() Place {
	p := Place{ID: d.ID, At: d.CreatedAt}
	if d.ChangedAt != nil {
		p.At = *d.ChangedAt
	}
	return p
}
