package delivery

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Role is what an operator or API token may do.
type Role string

// Roles; each may do what the one before may.
const (
	RoleViewer   Role = "viewer"   // look
	RoleOperator Role = "operator" // and retry, ignore, resolve, reopen, pause, hand over messages
	RoleAdmin    Role = "admin"    // and manage operators and tokens
)

// Roles lists the roles from least to most.
var Roles = []Role{RoleViewer, RoleOperator, RoleAdmin}

// Allows reports whether r includes the rights of need.
func (r Role) Allows(need Role) bool { return r.rank() >= need.rank() && r.rank() > 0 }

func (r Role) rank() int {
	for i, known := range Roles {
		if r == known {
			return i + 1
		}
	}
	return 0
}

// Operator is a person with a password.
type Operator struct {
	ID           string
	Name         string
	Role         Role
	PasswordHash string // argon2id, PHC string
	CreatedAt    time.Time
	DisabledAt   *time.Time
}

// Token is an API token; only its hash is kept.
type Token struct {
	ID        string
	Name      string
	Role      Role
	CreatedAt time.Time
	RevokedAt *time.Time
}

// MaxName is the longest name of an operator or a token, in characters.
const MaxName = 64

var (
	operatorName = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._@-]*$`)
	tokenName    = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N} ._-]*$`)
	// reservedNames are actors that are no people.
	reservedNames = []string{ActorPolicy, "engine", "anonymous", "system", "unknown", "redrive"}
)

func isNameOf(text string, shape *regexp.Regexp) bool {
	return utf8.RuneCountInString(text) <= MaxName && shape.MatchString(text)
}

// Check refuses a name or a role that no operator can have. The error is an *InputError.
func (o Operator) Check() error {
	if !isNameOf(o.Name, operatorName) || slices.Contains(reservedNames, strings.ToLower(o.Name)) {
		return Mistake("invalid_name.operator", "name", "max", MaxName, "reserved", reservedNames)
	}
	return o.Role.Check()
}

// Check refuses a name or a role that no token can have. The error is an *InputError.
func (t Token) Check() error {
	if !isNameOf(t.Name, tokenName) {
		return Mistake("invalid_name.token", "name", "max", MaxName)
	}
	return t.Role.Check()
}

// Check refuses a role that there is not. The error is an *InputError.
func (r Role) Check() error {
	if !slices.Contains(Roles, r) {
		return Mistake("invalid_role", "role")
	}
	return nil
}
