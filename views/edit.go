package views

import (
	"time"

	"redrive/delivery"
)

// Version is one version of what is sent, as people may see it.
type Version struct {
	Number        int
	Actor, Reason string
	At            time.Time
	SHA256        string // of the payload; empty where fields are masked
	Size          int
	Null          bool       // it has no payload
	Compared      bool       // Payload says what changed; else it is too large, too old, or not kept
	Payload       []DiffLine // against the version before
	Headers       []DiffLine
}

// DiffLine is one line of the difference between two texts.
type DiffLine struct {
	Kind  string // old, new, same or gap
	Text  string
	Marks [][]int // bytes of Text that are other ones than in the line beside it, from and to; nil: all or nothing
}

// EditPage edits what is sent for a dead letter: typing first, then the difference, then the retry.
type EditPage struct {
	DeliveryPage
	Typed     EditForm
	Number    int    // of the version that is being made
	Fixed     string // why the payload cannot be edited here; empty when it can
	Kept      bool   // there are headers or properties that cannot be typed, or have types
	Protected []ProtectedHeader
	Review    *EditReview // nil: it is being typed
}

// EditForm is what a person typed.
type EditForm struct {
	Payload        string
	Base64         bool // Payload is written in base64
	Null           bool // there shall be no payload
	Headers        []Header
	Reason         string
	Token          string
	Version        int    // of the delivery as it was shown
	Field, Problem string // what is wrong, and where
}

// EditReview is what an edit would change.
type EditReview struct{ Payload, Headers []DiffLine }

// ProtectedHeader is a header that cannot be edited, and why.
type ProtectedHeader struct{ Name, Value, Why string }

// RedirectPage sends a dead letter by another integration.
type RedirectPage struct {
	DeliveryPage
	Targets                             []string
	About                               map[string]Target // by name
	Lost                                []TargetLosses    // of targets that do not get everything as it is
	Integration, Reason, Field, Problem string
}

// Target is what an integration is, that a failure may be redirected to.
type Target struct {
	Address string
	Other   bool // it takes messages of other types than this one
}

// targetName is a target with where it sends.
func (p RedirectPage) targetName(name string) string {
	about := p.About[name]
	text := p.T("%s → %s", name, orDash(about.Address))
	if about.Other {
		return p.T("%s (takes other messages than %s)", text, p.D.Type)
	}
	return text
}

// TargetLosses is what the destination of an integration does not get as it is.
type TargetLosses struct {
	Name   string
	Losses []delivery.Loss
}

// sentVersion is the version that an attempt sent, where there is more than one.
func (p DeliveryPage) sentVersion(a delivery.Attempt) int {
	if len(p.Versions) < 2 || a.Number == 0 {
		return 0
	}
	return versionAt(p.D.Edits, a.Number)
}

// versionAt is the number of the last version that was made before an attempt.
func versionAt(edits []delivery.Edit, attempt int) int {
	number := 1
	for _, e := range edits {
		if e.AfterAttempt < attempt {
			number = max(number, e.Number)
		}
	}
	return number
}

// unchanged reports whether two texts are the same.
func unchanged(lines []DiffLine) bool {
	for _, line := range lines {
		if line.Kind == "old" || line.Kind == "new" {
			return false
		}
	}
	return true
}

// diffWord is what a screen reader says before a line.
func (l Locale) diffWord(kind string) string {
	switch kind {
	case "old":
		return l.T("removed: ")
	case "new":
		return l.T("added: ")
	case "gap":
		return l.T("unchanged lines left out")
	}
	return ""
}

// diffSign is what an eye sees before a line.
func diffSign(kind string) string {
	switch kind {
	case "old":
		return "−"
	case "new":
		return "+"
	case "gap":
		return "⋯"
	}
	return " "
}

// blank is how many empty rows the form for headers has.
const blank = 3

// headerRows are the headers of the form and some empty rows.
func (p EditPage) headerRows() []Header {
	return append(append([]Header{}, p.Typed.Headers...), make([]Header, blank)...)
}

// wrong is the problem of a field.
func (f EditForm) wrong(field string) string {
	if f.Field == field {
		return f.Problem
	}
	return ""
}

// loose is a problem that belongs to no field of the form.
func (f EditForm) loose() string {
	if f.Field == "payload" || f.Field == "headers" || f.Field == "reason" {
		return ""
	}
	return f.Problem
}

// cautions are what a person should know before sending another content.
func (p EditPage) cautions() (out []string) {
	if p.D.MayHaveHadEffect() {
		out = append(out,
			p.T("No answer arrived to the last try, so it may have had its effect. This version may come on top of it."))
	}
	if p.Idempotent {
		out = append(out, p.T("The receiver drops duplicates by idempotency key, and the key stays the same: if it "+
			"has taken an earlier version, it will drop this one."))
	}
	return out
}

func (p RedirectPage) reasonProblem() string {
	if p.Field == "reason" {
		return p.Problem
	}
	return ""
}
