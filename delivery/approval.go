package delivery

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"
)

// FourEyes says what of one integration a second person approves before it happens. Zero: nothing.
type FourEyes struct {
	BulkOver      *int          `json:"bulk_over,omitempty"`       // an operation on more of its failures; nil: of any size goes alone
	Edit          bool          `json:"edit,omitempty"`            // another payload or other headers
	IgnoreForGood bool          `json:"ignore_for_good,omitempty"` // ignoring without an end
	Resend        bool          `json:"resend,omitempty"`          // what may have had its effect, and what was delivered
	Expires       time.Duration `json:"expires,omitempty"`         // how long a request is open; 0: StandardApproval
}

// StandardApproval is how long a request is open where no setting says otherwise, MaxApproval how long one can be.
const (
	StandardApproval = 24 * time.Hour
	MaxApproval      = 30 * 24 * time.Hour
)

// Scan reads what the store answers (sql.Scanner).
func (f *FourEyes) Scan(stored any) error { return scanJSON(stored, f) }

// Open is how long a request is open.
func (f FourEyes) Open() time.Duration {
	if f.Expires == 0 {
		return StandardApproval
	}
	return f.Expires
}

// Deed is what is about to happen to some failures of one integration, as far as it matters to FourEyes.
type Deed struct {
	Integration string
	Count       int  // failures of an operation; 0: it is none
	Edits       bool // another payload or other headers
	ForGood     bool // ignored without an end
	Resends     bool // it may have had its effect, or was delivered
}

// Rule is a reason for which a second person is asked.
type Rule string

// Rules, as they are called in the integrations file. They are part of the public interface.
const (
	RuleBulk          Rule = "bulk_over"
	RuleEdit          Rule = "edit"
	RuleIgnoreForGood Rule = "ignore_for_good"
	RuleResend        Rule = "resend"
)

// Phrase is what a rule says.
func (r Rule) Phrase() Phrase { return Say("four_eyes." + string(r)) }

// Needs lists the rules that a deed falls under.
func (f FourEyes) Needs(d Deed) (rules []Rule) {
	if f.BulkOver != nil && d.Count > *f.BulkOver {
		rules = append(rules, RuleBulk)
	}
	if f.Edit && d.Edits {
		rules = append(rules, RuleEdit)
	}
	if f.IgnoreForGood && d.ForGood {
		rules = append(rules, RuleIgnoreForGood)
	}
	if f.Resend && d.Resends {
		rules = append(rules, RuleResend)
	}
	return rules
}

// ApprovalState is where a request for approval stands.
type ApprovalState string

// States of a request. It leaves the first one once.
const (
	ApprovalOpen      ApprovalState = "open"      // another person has to say something
	ApprovalApproved  ApprovalState = "approved"  // and was carried out in the same transaction
	ApprovalRejected  ApprovalState = "rejected"  // another person said no
	ApprovalWithdrawn ApprovalState = "withdrawn" // who asked does not want it any more
	ApprovalVoid      ApprovalState = "void"      // what was asked for is not what there is any more
	ApprovalExpired   ApprovalState = "expired"   // nobody said anything in time
)

// ApprovalStates lists them in the order in which they are offered.
var ApprovalStates = []ApprovalState{ApprovalOpen, ApprovalApproved, ApprovalRejected, ApprovalWithdrawn, ApprovalVoid, ApprovalExpired}

// ApprovalKind is what is carried out by an approval.
type ApprovalKind string

// Kinds, each with what is kept of the request.
const (
	ApprovalAct       ApprovalKind = "act"       // ActionRequest
	ApprovalEdit      ApprovalKind = "edit"      // EditRequest
	ApprovalRedirect  ApprovalKind = "redirect"  // RedirectRequest
	ApprovalOperation ApprovalKind = "operation" // OperationRequest
	ApprovalSteer     ApprovalKind = "steer"     // Steer
	ApprovalRun       ApprovalKind = "run"       // RunRequest, of a batch
	ApprovalSnapshot  ApprovalKind = "snapshot"  // RunRequest, of a capture
	ApprovalRule      ApprovalKind = "rule"      // of ignoring
)

// RunRequest asks for a run of a batch, or for tables of a capture to be read anew.
type RunRequest struct {
	Integration string
	Date        string // business date of a batch's run; empty: now
	Snapshot    bool   // of a capture
	Table       string // of a snapshot; empty: all of it
	Actor       string
	Reason      string
}

// Bound is what an approval holds for: all of it is hashed when somebody asks, and again, from what is there then, when somebody approves.
// A field that is another one voids the request.
type Bound struct {
	ID       string            `json:"id"`
	Asker    string            `json:"asker"`    // id of the person or token
	Person   string            `json:"person"`   // id of the person whose it is; empty: a robot's
	Kind     ApprovalKind      `json:"kind"`     //
	Action   string            `json:"action"`   //
	Target   string            `json:"target"`   // id of the failure or operation, or name of the integration
	Request  string            `json:"request"`  // SHA-256 of the parameters, a payload among them
	Items    string            `json:"items"`    // SHA-256 of ids, versions and states, in order
	Count    int               `json:"count"`    // of items
	Settings map[string]string `json:"settings"` // of each integration: SHA-256 of its part of the file, destination and four_eyes among it
	Expires  time.Time         `json:"expires"`  //
}

// Bytes are the canonical bytes of b: JSON with the fields in their order, names sorted, times in UTC.
func (b Bound) Bytes() []byte {
	b.Expires = b.Expires.UTC()
	raw, _ := json.Marshal(b) // texts, numbers and a time
	return raw
}

// Hash is the SHA-256 of the canonical bytes, in hex.
func (b Bound) Hash() string { return HashOf(b.Bytes()) }

// HashOf is SHA-256 in hex.
func HashOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// Differs is the phrase of the first thing that is another one in now; zero where nothing is.
func (b Bound) Differs(now Bound) Phrase {
	switch {
	case b.Items != now.Items || b.Count != now.Count:
		return Say("approval.void.items")
	case !sameSettings(b.Settings, now.Settings):
		return Say("approval.void.settings")
	case b.Hash() != now.Hash():
		return Say("approval.void.request")
	}
	return Phrase{}
}

func sameSettings(a, b map[string]string) bool {
	same := len(a) == len(b)
	for name, hash := range a {
		same = same && b[name] == hash
	}
	return same
}

// Approval is a request that another person approves or not.
type Approval struct {
	ID           string
	State        ApprovalState
	Kind         ApprovalKind
	Action       string
	Target       string
	Actor        string // who asks, as they are called now
	ActorID      string
	Person       string // id; empty: a robot
	Reason       string
	Rules        []Rule // why somebody is asked
	Integrations []string
	Count        int    // failures that it is about
	Hash         string // see Bound
	CreatedAt    time.Time
	ExpiresAt    time.Time
	DecidedAt    *time.Time
	Decider      string // who approved, rejected or withdrew, as they are called now
	DeciderID    string
	Comment      string
	Void         Phrase // why it is void
	Result       string // id of the operation or run that an approval began; else of the failure
	Request      []byte // parameters as JSON; nil where they are not read or not kept
}

// Mine reports whether a person asked for it, by whatever token or session.
func (a Approval) Mine(person string) bool { return person != "" && a.Person == person }

// Decode reads the parameters of a request. Those that are not kept any more leave into as it is.
func (a Approval) Decode(into any) error {
	if a.Request == nil {
		return nil
	}
	return json.Unmarshal(a.Request, into)
}

// ApprovalItem is one failure that a request is about.
type ApprovalItem struct {
	N           int
	DeliveryID  string
	Integration string
	Key         string // as it is known now
	Version     int    // when it was asked for
	Now         int    // version now; 0: it is gone
	State       State  // now
}

// ApprovalFilter selects requests, newest first.
type ApprovalFilter struct {
	States []ApprovalState
	ToDo   string // id of a person: those that somebody else asked for
	Mine   string // id of a person: those that they asked for
	After  string
	Limit  int // 1..500, default 50
}

// ApprovalDecision is what somebody says to a request.
type ApprovalDecision struct {
	ID      string
	Actor   string
	Comment string
}

// AskedError says that nothing was done yet: another person was asked to approve it, and that is kept.
type AskedError struct{ Approval Approval }

func (e *AskedError) Error() string { return e.Phrase().String() }

// Phrase says what happens next.
func (e *AskedError) Phrase() Phrase {
	return Say("approval.asked", "at", e.Approval.ExpiresAt)
}

// VoidError says that a request cannot be approved any more, and that this is kept.
type VoidError struct{ Why Phrase }

func (e *VoidError) Error() string { return e.Phrase().String() }

// Phrase says why.
func (e *VoidError) Phrase() Phrase { return Say("approval_void", "why", e.Why) }

// Looser reports whether a pace goes faster or stops later than another one: who approved that one did not approve this.
func (p Pace) Looser(than Pace) bool {
	faster := func(now, before float64) bool { return before != 0 && (now == 0 || now > before) }
	return faster(p.Rate, than.Rate) || faster(max(p.Rate, p.RampTo), max(than.Rate, than.RampTo)) || p.RampTo > 0 && p.RampOver < than.RampOver ||
		faster(float64(p.Canary), float64(than.Canary)) || faster(p.StopAbove, than.StopAbove)
}

// FourEyesOf are the rules of those of the integrations that have some, by name.
func FourEyesOf(list []Integration) map[string]FourEyes {
	of := map[string]FourEyes{}
	for _, i := range list {
		if i.FourEyes != (FourEyes{}) {
			of[i.Name] = i.FourEyes
		}
	}
	return of
}

// RulesOf lists the rules that deeds fall under, each once, in the order of the constants.
func RulesOf(of map[string]FourEyes, deeds []Deed) (rules []Rule) {
	for _, d := range deeds {
		rules = append(rules, of[d.Integration].Needs(d)...)
	}
	order := []Rule{RuleBulk, RuleEdit, RuleIgnoreForGood, RuleResend}
	return slices.DeleteFunc(order, func(r Rule) bool { return !slices.Contains(rules, r) })
}

// Parameters are what a request is to be carried out with, as the public interface calls it: without a payload and without headers, of
// which it says only that there are other ones.
type Parameters struct {
	Reason      string     `json:"reason,omitempty"`
	Category    string     `json:"category,omitempty"`
	Until       *time.Time `json:"until,omitempty"`
	Count       int        `json:"count,omitempty"`
	Grows       float64    `json:"grows,omitempty"`
	ForGood     bool       `json:"for_good,omitempty"`
	Search      string     `json:"search,omitempty"` // condition of a rule
	Evidence    string     `json:"evidence,omitempty"`
	Integration string     `json:"integration,omitempty"`
	Date        string     `json:"business_date,omitempty"`
	Table       string     `json:"table,omitempty"`
	Payload     bool       `json:"payload_edited,omitempty"`
	Headers     bool       `json:"headers_edited,omitempty"`
	Rate        float64    `json:"rate_per_second,omitempty"`
	RampTo      float64    `json:"ramp_to,omitempty"`
	RampSeconds float64    `json:"ramp_seconds,omitempty"`
	Canary      *int       `json:"canary,omitempty"`
	StopAbove   float64    `json:"stop_above_failure_ratio,omitempty"`
}

// asked is what any kind of request is kept as: names that a kind does not have stay empty.
type asked struct {
	Reason, Category, Evidence, Integration, Date, Table string
	End
	Payload     []byte
	PayloadNull bool
	Headers     map[string]string
	Filter      *Filter
	Pace        *Pace
	Canary      *int
}

// ParametersOf reads what a request is to be carried out with; nil where it is not kept any more.
func ParametersOf(a Approval) *Parameters {
	var r asked
	if a.Request == nil || a.Decode(&r) != nil {
		return nil
	}
	p := &Parameters{
		Reason:      r.Reason,
		Category:    r.Category,
		Until:       r.Until,
		Count:       r.Count,
		Grows:       r.Grows,
		ForGood:     r.ForGood,
		Evidence:    r.Evidence,
		Integration: r.Integration,
		Date:        r.Date,
		Table:       r.Table,
		Payload:     r.Payload != nil || r.PayloadNull,
		Headers:     r.Headers != nil,
		Canary:      r.Canary,
	}
	if a.Kind == ApprovalRule && r.Filter != nil {
		p.Search = r.Filter.SearchText()
	}
	if r.Pace != nil {
		p.Rate, p.RampTo, p.RampSeconds, p.StopAbove = r.Pace.Rate, r.Pace.RampTo, r.Pace.RampOver.Seconds(), r.Pace.StopAbove
		if r.Pace.Canary > 0 {
			p.Canary = &r.Pace.Canary
		}
	}
	return p
}
