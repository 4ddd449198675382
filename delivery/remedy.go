package delivery

import "time"

// Remedy is how failures of a group were settled before: one decision, or several alike in a row.
type Remedy struct {
	ID         string // the operation, else the delivery that was decided on last
	Action     Action
	Operation  bool   // it was a bulk operation
	Actor      string // as they are called now
	ActorID    string
	Reason     string
	Category   string
	Evidence   string
	Ticket     string
	Deliveries int // of the group
	At         time.Time
	Sent       int // of what was sent again: the deliveries that Confirmed counts, of an operation all to the same integration
	Confirmed  int // delivered since
}

// MaxRemedies is how many remedies of a group a page tells.
const MaxRemedies = 5

// Remedies puts those together that are alike, and returns the first of them.
func Remedies(list []Remedy) (out []Remedy) {
	for _, r := range list {
		if n := len(out) - 1; n >= 0 && out[n].alike(r) {
			out[n].Deliveries, out[n].Sent, out[n].Confirmed = out[n].Deliveries+r.Deliveries, out[n].Sent+r.Sent, out[n].Confirmed+r.Confirmed
			continue
		}
		if len(out) == MaxRemedies {
			break
		}
		out = append(out, r)
	}
	return out
}

func (r Remedy) alike(o Remedy) bool {
	return !r.Operation && !o.Operation && r.Action == o.Action && r.ActorID == o.ActorID && r.Reason == o.Reason &&
		r.Category == o.Category && r.Evidence == o.Evidence && r.Ticket == o.Ticket
}
