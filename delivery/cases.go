package delivery

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Case is what people keep about a failure beside its state.
type Case struct {
	Version        int // 0: nobody has kept anything
	AcknowledgedAt *time.Time
	AcknowledgedBy string // as they are called now, see Actor…
	AcknowledgedID string
	Assignee       string // the same
	AssigneeID     string
	Tags           []string
	Ticket         string // identifier, see the setting ticket_url
}

// CaseChange is one change of a person; nil fields stay as they are.
type CaseChange struct {
	ID          string // delivery
	Version     int    // of the case, -1: whatever it is
	Actor       string
	Reason      string
	Acknowledge *bool   // dead letters only
	Assignee    *string // id or present name
	Tags        *[]string
	Ticket      *string
	Token       string
}

// Bounds of a case, and of a saved view.
const (
	MaxTags     = 20
	MaxTicket   = 200  // characters
	MaxViewName = 100  // characters
	MaxNote     = 4000 // characters
)

// Checked is the change as it is kept: texts trimmed, tags in lower case, sorted and without repetition.
func (c CaseChange) Checked() (CaseChange, error) {
	if c.Assignee != nil {
		name := strings.TrimSpace(*c.Assignee)
		c.Assignee = &name
	}
	if c.Ticket != nil {
		ticket := strings.TrimSpace(*c.Ticket)
		if n := utf8.RuneCountInString(ticket); n > MaxTicket || strings.ContainsAny(ticket, "\r\n\t") {
			return c, Mistake("bad_ticket", "ticket", "max", MaxTicket)
		}
		c.Ticket = &ticket
	}
	if c.Tags == nil {
		return c, nil
	}
	tags, err := checkedTags(*c.Tags)
	c.Tags = &tags
	return c, err
}

func checkedTags(given []string) ([]string, error) {
	tags := []string{}
	for _, tag := range given {
		tag = strings.ToLower(strings.TrimSpace(tag))
		if !tagShape.MatchString(tag) {
			return nil, Mistake("bad_tag", "tags", "tag", tag)
		}
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	if tags = slices.Compact(tags); len(tags) > MaxTags {
		return nil, Mistake("too_many_tags", "tags", "max", MaxTags)
	}
	return tags, nil
}

// CaseConflictError says that somebody else changed the case first.
type CaseConflictError struct {
	Case Case
	By   string // as they are called now
	ByID string
}

// Phrase says who was faster, and which version is now.
func (e *CaseConflictError) Phrase() Phrase {
	return Say("conflict.case", "actor", e.By, "version", e.Case.Version)
}

func (e *CaseConflictError) Error() string { return e.Phrase().String() }

// Note is what a person wrote about a failure. Notes are never changed.
type Note struct {
	ID     string
	At     time.Time
	Author string // as they are called now
	Text   string

	AuthorID string
}

// SavedView is a search that a person keeps under a name.
type SavedView struct {
	ID     string
	Owner  string // to be saved: the actor; as it is kept: what they are called now
	Name   string
	Search string // as typed into the search bar
	Shared bool   // everybody sees it

	OwnerID string // as it is kept
}

// Within reports whether a view names no integration outside of a scope; one that names none is of whatever its reader sees.
func (v SavedView) Within(seen Scope) bool {
	if seen.All {
		return true
	}
	f, err := ParseSearch(v.Search, time.Now(), time.UTC)
	return err == nil && !slices.ContainsFunc(f.Integrations, func(name string) bool { return !seen.Has(name) })
}

// Checked is the view as it is kept, with its name trimmed. Of a bad one the error is an *InputError.
func (v SavedView) Checked() (SavedView, error) {
	v.Name = strings.TrimSpace(v.Name)
	switch n := utf8.RuneCountInString(v.Name); {
	case n == 0 || n > MaxViewName || strings.ContainsAny(v.Name, "\r\n\t"):
		return v, Mistake("bad_name", "name", "max", MaxViewName)
	case len(v.Search) > MaxSearch:
		return v, Mistake("too_long.search", "search", "max", MaxSearch)
	}
	return v, nil
}
