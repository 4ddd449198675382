package delivery

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Operator is a person: a local one with a password, or one of single sign-on.
type Operator struct {
	ID           string
	Name         string
	Role         Role   // for all integrations; empty: only what Grants say
	Grants       Grants // beside the role
	PasswordHash string // argon2id, PHC string; empty: none fits
	Issuer       string // of single sign-on; empty: a local person
	Subject      string // what the issuer calls them
	Language     string // that they chose for themselves; empty: none
	HasCodes     bool   // the codes of an app are asked for beside the password
	Generation   int    // of sessions: those of an earlier one have ended
	CreatedAt    time.Time
	DisabledAt   *time.Time
}

// IsLocal reports whether the person signs in here, and not at a provider.
func (o Operator) IsLocal() bool { return o.Issuer == "" }

// OperatorChange changes one thing about a person; nil fields stay as they are.
type OperatorChange struct {
	ID           string
	Actor        string
	Name         *string
	Role         *Role   // empty: none for all integrations
	Grant        *Grant  // is added
	Withdraw     *string // id of the grant that is taken away
	PasswordHash *string
	Disabled     *bool
	RemoveCodes  bool // codes of an app are not asked for any more
	Since        int  // the generation whose session asks for it, 0: any; with another one that session has ended
	Seen         int  // the generation that was looked at when the change was decided, 0: any; another one is a conflict
}

// What says in one word what changes, for the audit and in addresses.
func (c OperatorChange) What() string {
	switch {
	case c.Name != nil:
		return "rename"
	case c.Role != nil:
		return "role"
	case c.Grant != nil:
		return "grant"
	case c.Withdraw != nil:
		return "withdraw"
	case c.PasswordHash != nil:
		return "password"
	case c.Disabled != nil && *c.Disabled:
		return "disable"
	case c.Disabled != nil:
		return "enable"
	case c.RemoveCodes:
		return "remove-code"
	}
	return "sign-out"
}

// Rights is what a person may do now.
func (o Operator) Rights() Rights { return RightsOf(o.Role, o.Grants) }

// FirstOperator is what the first person is called.
const FirstOperator = "admin"

// MaxName is the longest name of an operator or a token, in characters.
const MaxName = 64

var (
	operatorName = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._@-]*$`)
	tokenName    = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N} ._-]*$`)
	// reservedNames are actors that are no people, and words that stand for others where people are named.
	reservedNames = []string{ActorPolicy, ActorEngine, ActorAnonymous, ActorProgram, "system", "unknown", AssigneeMe, NoAssignee}
)

func isNameOf(text string, shape *regexp.Regexp) bool {
	return utf8.RuneCountInString(text) <= MaxName && shape.MatchString(text)
}

// Check refuses a name or a role that no operator can have. The error is an *InputError.
func (o Operator) Check() error {
	if err := CheckOperatorName(o.Name); err != nil {
		return err
	}
	return checkGranted(o.Role, o.Grants)
}

// CheckOperatorName refuses a name that no operator can have; one that looks like an id could be taken for somebody. The error is an
// *InputError.
func CheckOperatorName(name string) error {
	if !isNameOf(name, operatorName) || IsUUID(name) || slices.Contains(reservedNames, strings.ToLower(name)) {
		return Mistake("invalid_name.operator", "name", "max", MaxName, "reserved", reservedNames)
	}
	return nil
}

// checkGranted refuses a role or a grant that there is not, and neither of them.
func checkGranted(role Role, grants Grants) error {
	if role != "" || len(grants) == 0 {
		if err := role.Check(); err != nil {
			return err
		}
	}
	for _, g := range grants {
		if err := g.Check(); err != nil {
			return err
		}
	}
	return nil
}
