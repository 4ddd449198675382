package views

import (
	"strings"

	"redrive/delivery"
)

// CaseForm is what a person typed about a case.
type CaseForm struct {
	What                           string // the form: fields, note, acknowledge, unacknowledge or assign
	Assignee, Tags, Ticket, Reason string
	Note                           string
	Field, Problem                 string // what is wrong, and where
	Conflict                       bool   // somebody else changed it first
}

// wrong is the problem of one field of one form.
func (f CaseForm) wrong(what, field string) string {
	if f.What == what && !f.Conflict && (f.Field == field || f.Field == "" && field == "note") {
		return f.Problem
	}
	return ""
}

// caseFields are what the form shows: what was typed, else what is kept.
func (p DeliveryPage) caseFields() CaseForm {
	if p.Case.What == "fields" {
		return p.Case
	}
	c := p.D.Case
	return CaseForm{Assignee: c.Assignee, Tags: strings.Join(c.Tags, ", "), Ticket: c.Ticket}
}

// typedNote is a note that was not taken.
func (p DeliveryPage) typedNote() string {
	if p.Case.What == "note" {
		return p.Case.Note
	}
	return ""
}

// isTheirs reports whether the reader is the assignee.
func (p DeliveryPage) isTheirs() bool { return p.D.Case.AssigneeID == p.UserID }

// acknowledgeable reports whether there is anything to acknowledge.
func (p DeliveryPage) acknowledgeable() bool {
	return p.D.State == delivery.StateDead && p.D.Case.AcknowledgedAt == nil
}

// token makes a new form token; a form that is sent twice is carried out once.
func (p DeliveryPage) token() string {
	if p.Token == nil {
		return ""
	}
	return p.Token()
}

// device is what a browser calls itself.
func (l Locale) device(s delivery.Session) string {
	if s.Device == "" {
		return l.T("unknown browser")
	}
	return Excerpt(s.Device, 120)
}
