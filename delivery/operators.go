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
