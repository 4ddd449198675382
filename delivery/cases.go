package delivery

import "time"

// Case is what people keep about a failure beside its state.
type Case struct {
	Version        int // 0: nobody has kept anything
	AcknowledgedAt *time.Time
	AcknowledgedBy string
	Assignee       string
	Tags           []string
	Ticket         string // identifier, see the setting ticket_url
}

// CaseChange is one change of a person; nil fields stay as they are.
type CaseChange struct {
	ID          string // delivery
	Version     int    // of the case, -1: whatever it is
	Actor       string
	Reason      string
	Acknowledge *bool // dead letters only
	Assignee    *string
	Tags        *[]string
	Ticket      *string
	Token       string
}

// CaseConflictError says that somebody else changed the case first.
type CaseConflictError struct {
	Case Case
	By   string
}

func (e *CaseConflictError) Error() string { return e.By + " changed this case in the meantime" }

// Note is what a person wrote about a failure. Notes are never changed.
type Note struct {
	ID     string
	At     time.Time
	Author string
	Text   string
}

// SavedView is a search that a person keeps under a name.
type SavedView struct {
	ID     string
	Owner  string
	Name   string
	Search string // as typed into the search bar
	Shared bool   // everybody sees it
}
