package delivery

import "time"

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
	Generation   int    // of sessions: those of an earlier one have ended
	CreatedAt    time.Time
	DisabledAt   *time.Time
}

// OperatorChange changes one thing about a person; nil fields stay as they are.
type OperatorChange struct {
	ID           string
	Actor        string
	Name         *string
	Role         *Role
	PasswordHash *string
	Disabled     *bool
	Since        int // the generation that the change was made for, 0: whichever it is
}

// What says in one word what changes, for the audit and in addresses.
func (c OperatorChange) What() string {
	switch {
	case c.Name != nil:
		return "rename"
	case c.Role != nil:
		return "role"
	case c.PasswordHash != nil:
		return "password"
	case c.Disabled != nil && *c.Disabled:
		return "disable"
	case c.Disabled != nil:
		return "enable"
	}
	return "sign-out"
}

// Token is an API token; only its hash is kept.
type Token struct {
	ID        string
	Name      string
	Role      Role
	CreatedAt time.Time
	RevokedAt *time.Time
}
