package delivery

import (
	"slices"
	"time"
)

// IgnoreRule ignores new dead letters of an integration as they come. It never changes: who wants another ends it and makes one.
type IgnoreRule struct {
	ID          string
	Integration string
	Filter      Filter // what else must fit; see CheckCondition
	Reason      string
	Category    string
	End
	Rate    int  // how many it would have swallowed in the 24 hours before it was made; of an end that grows
	OfFile  bool // on_failure: ignore of the integrations file, which only the file ends
	MadeAt  time.Time
	MadeBy  string // as they are called now
	MadeID  string
	EndedAt *time.Time // nil: it holds
	EndedBy string
	EndedID string
	Because Phrase // why it ended
	EndedAs string // the reason of who ended it

	Swallowed int        // so far
	LastAt    *time.Time // when it last swallowed something
	Hidden    int        // what is ignored by it now
}

// Holds reports whether a rule has not ended.
func (r IgnoreRule) Holds() bool { return r.EndedAt == nil }

// IgnoreRuleRequest asks for an ignore rule, or for a preview of it.
type IgnoreRuleRequest struct {
	Integration string
	Filter      Filter
	Reason      string
	Category    string
	End
	Actor string
}

// IgnoreRuleFilter selects ignore rules, the last made first.
type IgnoreRuleFilter struct {
	Integrations []string
	Ended        *bool // only those that have ended, or hold
	After        string
	Limit        int // 1..500, default 50
}

// IgnorePreview is what a rule would have swallowed if it had been there.
type IgnorePreview struct {
	From     time.Time
	Looked   int  // failures that were looked at: those of the integration on which the machine gave up
	Whole    bool // all of them; else the latest
	Swallows int
	Retried  int // of these: sent again by somebody, and delivered
	LastDay  int // of these: within the last 24 hours
	Days     []IgnoreDay
	Examples []Delivery
}

// IgnoreDay is one day of a preview, or of what a rule has swallowed.
type IgnoreDay struct {
	Day       time.Time // begins then, UTC
	Swallowed int
	Retried   int
}

// PreviewDays is how far back a preview looks.
const PreviewDays = 30

// Condition is the filter as a rule keeps it: its integration stands beside it, and it is about dead letters anyway.
func (f Filter) Condition(integration string) Filter {
	if len(f.Integrations) == 1 && f.Integrations[0] == integration {
		f.Integrations = nil
	}
	if len(f.States) == 1 && f.States[0] == StateDead {
		f.States = nil
	}
	f.Sort, f.After, f.Limit = "", "", 0
	return f
}

// ConditionFields are the fields of the search bar that the condition of a rule may have; text without a field is of the error.
var ConditionFields = []string{"class", "group", "groupmessage", "key", "type", "payload"}

// CheckCondition refuses in the condition of a rule what is not known of a failure as it fails, or changes later: states, times, attempts,
// ids and what people keep and decide. The error is an *InputError.
func (f Filter) CheckCondition() error {
	for _, field := range f.used() {
		if !slices.Contains(ConditionFields, field) {
			return Mistake("invalid_condition", "filter", "field", field, "fields", ConditionFields)
		}
	}
	return nil
}
