package delivery

import "slices"

// Action is what a person, an operation or a policy decides about a failure. Each is a row of Decisions.
type Action string

// Actions.
const (
	ActionRetry         Action = "retry"
	ActionIgnore        Action = "ignore"
	ActionResolve       Action = "resolve"
	ActionReopen        Action = "reopen"
	ActionWithdraw      Action = "withdraw"      // takes back a retry that no worker has begun
	ActionAcknowledge   Action = "acknowledge"   // somebody looks after it, so that it is not counted as red
	ActionUnacknowledge Action = "unacknowledge" // takes that back
	ActionEdit          Action = "edit"          // a retry of another version, see EditRequest
	ActionRedirect      Action = "redirect"      // a retry by another integration, see RedirectRequest
)

// Names of what a decision can be given beside the failures, as the API and the console's forms call them.
const (
	FieldReason   = "reason"
	FieldCategory = "category" // one of IgnoreCategories or a word of the caller's own
	FieldUntil    = "until"    // the end of an ignore, one of four; see End
	FieldCount    = "count"
	FieldGrows    = "grows"
	FieldForGood  = "for_good"
	FieldEvidence = "evidence" // link or text
)

// Asked is a field that a form asks for.
type Asked struct {
	Field    string
	Required bool // by the API, operations and the command line as well
}

// Transition is one row of the table of decisions: where an action leads, what it requires and what goes with it.
type Transition struct {
	Action Action
	From   []State // in which it is allowed
	To     State   // one of From: the state, version and time of change stay
	Needs  Permission
	Asks   []Asked // in the order of the form; fields that are not asked for may be given all the same

	Unexpired    bool // the message must not have expired
	Active       bool // the integration must be in the integrations file
	Queues       bool // it is sent again: its message must exist, a head keeps its lane, it has a pace, and an operation waits for its outcome
	Withdraws    bool // it waits because somebody asked for a retry, no worker has it, and it leaves the queue
	FreesLane    bool // the next delivery of its lane may be sent
	Acknowledged bool // afterwards; every other decision ends an acknowledgement

	Alone bool // on one failure by a route, a form and a command of its own
	Many  bool // on many, by an operation
}

// Needs are the permissions that a decision takes: ignoring takes another one where it has no end.
func Needs(a Action, ends bool) []Permission {
	if a == ActionIgnore && !ends {
		return []Permission{PermitIgnore, PermitIgnoreForGood}
	}
	return []Permission{a.Row().Needs}
}

// BulkNeeds are the permissions that an operation takes for each of its integrations.
func BulkNeeds(a Action, ends bool) []Permission {
	return append([]Permission{PermitBulk}, Needs(a, ends)...)
}

// Table is a table of decisions.
type Table []Transition

// Decisions is the table of what can be decided about a failure. The store's statements, the routes and checks of the API, the
// console's buttons and forms, the commands and the operations follow it.
var Decisions = Table{
	{
		Action:    ActionRetry,
		From:      []State{StateDead},
		To:        StatePending,
		Needs:     PermitRetry,
		Unexpired: true,
		Active:    true,
		Queues:    true,
		Alone:     true,
		Many:      true,
	},
	{
		Action:    ActionIgnore,
		From:      []State{StateDead},
		To:        StateIgnored,
		Needs:     PermitIgnore,
		FreesLane: true,
		Alone:     true,
		Many:      true,
		Asks:      []Asked{{FieldCategory, true}, {FieldReason, true}, {FieldUntil, false}},
	},
	{
		Action:    ActionResolve,
		From:      []State{StateDead},
		To:        StateResolved,
		Needs:     PermitResolve,
		FreesLane: true,
		Alone:     true,
		Many:      true,
		Asks:      []Asked{{FieldReason, true}, {FieldEvidence, false}},
	},
	{Action: ActionReopen, From: []State{StateIgnored, StateResolved}, To: StateDead, Needs: PermitResolve, Alone: true, Many: true,
		Asks: []Asked{{FieldReason, false}}},
	{Action: ActionWithdraw, From: []State{StatePending}, To: StateDead, Needs: PermitRetry, Withdraws: true, Alone: true,
		Asks: []Asked{{FieldReason, false}}},
	{Action: ActionAcknowledge, From: []State{StateDead}, To: StateDead, Needs: PermitTriage, Acknowledged: true, Many: true},
	{
		Action: ActionUnacknowledge,
		From:   []State{StateDead},
		To:     StateDead,
		Needs:  PermitTriage,
	}, // this one and the two below have forms of their own
	{
		Action:    ActionEdit,
		From:      []State{StateDead},
		To:        StatePending,
		Needs:     PermitEdit,
		Unexpired: true,
		Active:    true,
		Queues:    true,
		Asks:      []Asked{{FieldReason, true}},
	},
	{Action: ActionRedirect, From: []State{StateDead}, To: StatePending, Needs: PermitRedirect, Unexpired: true, Queues: true,
		Asks: []Asked{{FieldReason, true}}}, // its integration may have left the file, so Active is not asked for
}

// Row returns the transition of an action, the zero one for a word that is none.
func (t Table) Row(a Action) Transition {
	for _, row := range t {
		if row.Action == a {
			return row
		}
	}
	return Transition{}
}

// Where returns the rows that fit.
func (t Table) Where(fits func(Transition) bool) Table {
	var out Table
	for _, row := range t {
		if fits(row) {
			out = append(out, row)
		}
	}
	return out
}

// Alone returns what is decided about one failure by a route, a form and a command of its own.
func (t Table) Alone() Table { return t.Where(func(row Transition) bool { return row.Alone }) }

// Many returns what an operation can do.
func (t Table) Many() Table { return t.Where(func(row Transition) bool { return row.Many }) }

// In returns what is allowed in a state.
func (t Table) In(s State) Table {
	return t.Where(func(row Transition) bool { return slices.Contains(row.From, s) })
}

// Actions returns the actions of the rows.
func (t Table) Actions() []Action {
	var out []Action
	for _, row := range t {
		out = append(out, row.Action)
	}
	return out
}

// Stays reports whether the state stays as it is.
func (t Transition) Stays() bool { return slices.Contains(t.From, t.To) }

// Required returns how many fields are required.
func (t Transition) Required() (n int) {
	for _, asked := range t.Asks {
		if asked.Required {
			n++
		}
	}
	return n
}

// Missing returns the first required field that given lacks, in the order of their names' constants; empty when there is none.
func (t Transition) Missing(given map[string]string) string {
	for _, field := range []string{FieldReason, FieldCategory, FieldUntil, FieldEvidence} {
		if slices.Contains(t.Asks, Asked{field, true}) && given[field] == "" {
			return field
		}
	}
	return ""
}

// Row returns the row of an action in Decisions.
func (a Action) Row() Transition { return Decisions.Row(a) }

// From returns the states in which an action is allowed.
func (a Action) From() []State { return a.Row().From }

// To returns the state that an action leads to.
func (a Action) To() State { return a.Row().To }

// OperationActions lists what an operation can do.
var OperationActions = Decisions.Many().Actions()

// Settled reports whether nothing more happens to a delivery by itself: it has a time of settlement.
func (s State) Settled() bool {
	return s == StateDelivered || s == StateIgnored || s == StateResolved
}
