package delivery

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// Permission is one thing that a person or a token may do.
type Permission string

// What may be done. Each route says which of them it needs.
const (
	PermitView          Permission = "view"            // see failures, groups, integrations, operations: without payloads
	PermitViewPayload   Permission = "view-payload"    // see payloads and headers, with what is masked hidden
	PermitReveal        Permission = "reveal"          // see what is masked
	PermitTriage        Permission = "triage"          // acknowledge, assign, tag and note failures, share views
	PermitRetry         Permission = "retry"           // send again as it is
	PermitEdit          Permission = "edit"            // change a payload or headers and send that
	PermitRedirect      Permission = "redirect"        // send to another integration
	PermitResend        Permission = "resend"          // run a batch and read tables anew
	PermitIgnore        Permission = "ignore"          // ignore until an end
	PermitIgnoreForGood Permission = "ignore-for-good" // ignore without an end
	PermitIgnoreRules   Permission = "ignore-rules"    // make and end rules that ignore what is to come
	PermitResolve       Permission = "resolve"         // say that it is done, or reopen it
	PermitBulk          Permission = "bulk"            // do to many at once what is permitted for one
	PermitSkipCanary    Permission = "skip-canary"     // let an operation that has a canary go on without one
	PermitPause         Permission = "pause"           // pause and resume integrations
	PermitReview        Permission = "review"          // accept or send back what others ignored
	PermitApprove       Permission = "approve"         // agree to what needs a second person
	PermitAudit         Permission = "audit"           // read who did what
	PermitExport        Permission = "export"          // take files and exact bytes away
	PermitSend          Permission = "send"            // hand over messages
	PermitAdminister    Permission = "administer"      // manage people, tokens and their rights: never for some integrations only
)

// Permissions lists all of them, in the order in which they are shown.
var Permissions = []Permission{
	PermitView, PermitViewPayload, PermitReveal, PermitTriage, PermitRetry, PermitEdit, PermitRedirect, PermitResend, PermitIgnore,
	PermitIgnoreForGood, PermitIgnoreRules, PermitResolve, PermitBulk, PermitSkipCanary, PermitPause, PermitReview, PermitApprove, PermitAudit, PermitExport, PermitSend,
	PermitAdminister,
}

// fresh are the permissions for which a person has to have signed in just now: a browser that was left open does nothing of it.
var fresh = []Permission{PermitReveal, PermitEdit, PermitBulk, PermitApprove, PermitAdminister}

// AskFresh reports whether one of the permissions asks for a sign-in of just now.
func AskFresh(need []Permission) bool {
	return slices.ContainsFunc(need, func(p Permission) bool { return slices.Contains(fresh, p) })
}

// Phrase is what a permission is called: in English as it is written everywhere.
func (p Permission) Phrase() Phrase { return Say("permission." + string(p)) }

// Role is a set of permissions with a name.
type Role string

// Roles that there are.
const (
	RoleViewer   Role = "viewer"
	RoleOnCall   Role = "on-call"
	RoleOperator Role = "operator"
	RoleReviewer Role = "reviewer"
	RoleAuditor  Role = "auditor"
	RoleAdmin    Role = "admin"
)

// Roles lists them in the order in which they are offered.
var Roles = []Role{RoleViewer, RoleOnCall, RoleOperator, RoleReviewer, RoleAuditor, RoleAdmin}

var (
	looking = []Permission{PermitView, PermitViewPayload, PermitAudit}
	calling = append(slices.Clone(looking), PermitTriage, PermitRetry, PermitResend, PermitIgnore, PermitResolve, PermitBulk, PermitPause)
)

// rolePermissions is the table of roles.
var rolePermissions = map[Role][]Permission{
	RoleViewer: looking,
	RoleOnCall: calling,
	RoleOperator: append(slices.Clone(calling), PermitEdit, PermitRedirect, PermitIgnoreForGood, PermitIgnoreRules, PermitSkipCanary, PermitExport,
		PermitSend),
	RoleReviewer: append(slices.Clone(looking), PermitTriage, PermitReview, PermitApprove),
	RoleAuditor:  {PermitView, PermitAudit, PermitExport},
	RoleAdmin:    Permissions,
}

// Permits reports whether a role has a permission; one that there is not has none.
func (r Role) Permits(p Permission) bool { return slices.Contains(rolePermissions[r], p) }

// Permissions lists what a role permits.
func (r Role) Permissions() []Permission { return slices.Clone(rolePermissions[r]) }

// Check refuses a role that there is not. The error is an *InputError.
func (r Role) Check() error {
	if !slices.Contains(Roles, r) {
		return Mistake("invalid_role", "role")
	}
	return nil
}

// Grant is what somebody may do for some integrations: those of the names, and those that have all of the labels. Without names and
// labels it is for all integrations, also for those to come.
type Grant struct {
	ID           string            `json:"id"`
	Role         Role              `json:"role"`         // empty: only Permissions
	Permissions  []Permission      `json:"permissions"`  // beside those of the role
	Integrations []string          `json:"integrations"` // names
	Labels       map[string]string `json:"labels"`
	Within       []string          `json:"within"`             // names of the integrations that it is for now, as the store found them
	Provided     bool              `json:"provided,omitempty"` // follows from a group at the provider, and goes with it
}

// Everywhere reports whether a grant is for all integrations.
func (g Grant) Everywhere() bool { return len(g.Integrations) == 0 && len(g.Labels) == 0 }

// permissions of the role and beside it. What concerns all integrations is not given for some.
func (g Grant) permissions() []Permission {
	all := slices.Concat(rolePermissions[g.Role], g.Permissions)
	return slices.DeleteFunc(all, func(p Permission) bool { return p == PermitAdminister && !g.Everywhere() })
}

// MaxScope is how many names or labels one grant has at most.
const MaxScope = 100

// Check refuses a grant that nobody can have. The error is an *InputError.
func (g Grant) Check() error {
	if g.Role != "" || len(g.Permissions) == 0 {
		if err := g.Role.Check(); err != nil {
			return err
		}
	}
	for _, p := range g.Permissions {
		if !slices.Contains(Permissions, p) {
			return Mistake("invalid_permission", "permissions", "permission", p, "permissions", Permissions)
		}
	}
	if len(g.permissions()) == 0 {
		return Mistake("invalid_grant.empty", "role")
	}
	return g.checkScope()
}

// ParseScope reads names of integrations and labels (key=value) with commas or blanks between. A label that is none is an *InputError.
func ParseScope(text string) (names []string, labels map[string]string, err error) {
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		key, value, isLabel := strings.Cut(part, "=")
		if !isLabel {
			names = append(names, part)
			continue
		}
		if labels == nil {
			labels = map[string]string{}
		}
		labels[key] = value
	}
	return names, labels, CheckLabels(labels)
}

func (g Grant) checkScope() error {
	for _, name := range g.Integrations {
		if !IsName(name) {
			return Mistake("invalid_grant.name", "integrations", "name", name)
		}
	}
	if len(g.Integrations) > MaxScope || len(g.Labels) > MaxScope {
		return Mistake("invalid_grant.too_many", "integrations", "max", MaxScope)
	}
	return CheckLabels(g.Labels)
}

// CheckLabels refuses what is no label: a key as integrations are named, and a value as tokens are. The error is an *InputError.
func CheckLabels(labels map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		value := labels[key]
		if !IsName(key) || !isNameOf(value, tokenName) {
			return Mistake("invalid_label", "labels", "label", key+"="+value, "max", MaxName)
		}
	}
	return nil
}

// Grants are all that one person or token was given.
type Grants []Grant

// Provided are those that follow from groups at the provider.
func (g Grants) Provided() Grants {
	return slices.DeleteFunc(slices.Clone(g), func(one Grant) bool { return !one.Provided })
}

// Has reports whether the grant of an id is among them.
func (g Grants) Has(id string) bool {
	return slices.ContainsFunc(g, func(one Grant) bool { return one.ID == id })
}

// Lacking are those of wanted that give what none of g gives, each once.
func (g Grants) Lacking(wanted Grants) (lacking Grants) {
	for _, w := range wanted {
		if !slices.ContainsFunc(append(slices.Clone(g), lacking...), w.isLike) {
			lacking = append(lacking, w)
		}
	}
	return lacking
}

// isLike reports whether two grants give the same for the same.
func (g Grant) isLike(other Grant) bool {
	sorted := func(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
	return g.Role == other.Role && slices.Equal(g.Permissions, other.Permissions) && maps.Equal(g.Labels, other.Labels) &&
		slices.Equal(sorted(g.Integrations), sorted(other.Integrations))
}

// Scan reads what the store answers (sql.Scanner).
func (g *Grants) Scan(stored any) error { return scanJSON(stored, g) }

// scanJSON reads a column of JSON, which may be null.
func scanJSON(stored, into any) error {
	switch raw := stored.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(raw), into)
	case []byte:
		return json.Unmarshal(raw, into)
	}
	return fmt.Errorf("what is to be JSON is a %T", stored)
}

// Scope is for which integrations something holds.
type Scope struct {
	All   bool
	Names []string // sorted; of no meaning with All
}

// Everywhere is the scope of all integrations.
var Everywhere = Scope{All: true}

// Has reports whether an integration is in the scope.
func (s Scope) Has(integration string) bool {
	if s.All {
		return true
	}
	_, found := slices.BinarySearch(s.Names, integration)
	return found
}

// IsEmpty reports whether no integration is in it.
func (s Scope) IsEmpty() bool { return !s.All && len(s.Names) == 0 }

// and is what is in both.
func (s Scope) and(other Scope) Scope {
	if s.All {
		return other
	}
	if other.All {
		return s
	}
	return Scope{Names: slices.DeleteFunc(slices.Clone(s.Names), func(name string) bool { return !other.Has(name) })}
}

// or is what is in one of them.
func (s Scope) or(other Scope) Scope {
	if s.All || other.All {
		return Everywhere
	}
	names := slices.Concat(s.Names, other.Names)
	slices.Sort(names)
	return Scope{Names: slices.Compact(names)}
}

// Rights are what somebody may do now: each permission with its scope. A grant without a present integration gives none.
type Rights map[Permission]Scope

// RightsOf adds up a role that is held everywhere, which may be empty, and grants.
func RightsOf(role Role, grants Grants) Rights {
	rights := Rights{}
	for _, g := range append(Grants{{Role: role}}, grants...) {
		scope := Everywhere
		if !g.Everywhere() {
			scope = Scope{}.or(Scope{Names: g.Within})
		}
		for _, p := range g.permissions() {
			if now := rights[p].or(scope); !now.IsEmpty() {
				rights[p] = now
			}
		}
	}
	return rights
}

// May reports whether all of the permissions are there, each for at least one integration.
func (r Rights) May(need ...Permission) bool {
	return !slices.ContainsFunc(need, func(p Permission) bool { return r[p].IsEmpty() })
}

// MayFor reports whether all of the permissions are there for one integration.
func (r Rights) MayFor(integration string, need ...Permission) bool {
	return !slices.ContainsFunc(need, func(p Permission) bool { return !r[p].Has(integration) })
}

// Scope is where all of the permissions are there at once.
func (r Rights) Scope(need ...Permission) Scope {
	scope := Everywhere
	for _, p := range need {
		scope = scope.and(r[p])
	}
	return scope
}

// And is what r and other have in common: a token of a person never does more than the person.
func (r Rights) And(other Rights) Rights {
	both := Rights{}
	for p, scope := range r {
		if common := scope.and(other[p]); !common.IsEmpty() {
			both[p] = common
		}
	}
	return both
}

// within are the rights of r as far as a scope goes.
func (r Rights) within(limit Scope) Rights {
	some := Rights{}
	for p, scope := range r {
		if common := scope.and(limit); !common.IsEmpty() {
			some[p] = common
		}
	}
	return some
}

// Missing is the first of the permissions that is nowhere, empty when none is.
func (r Rights) Missing(need ...Permission) Permission {
	for _, p := range need {
		if r[p].IsEmpty() {
			return p
		}
	}
	return ""
}

// MissingFor is the first of the permissions that is not there for an integration, empty when all are.
func (r Rights) MissingFor(integration string, need ...Permission) Permission {
	for _, p := range need {
		if !r[p].Has(integration) {
			return p
		}
	}
	return ""
}
