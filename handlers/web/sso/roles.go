package sso

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"redrive/delivery"
)

// Roles are the roles of groups, in the order of the setting.
type Roles []GroupRole

// GroupRole is the role of a group: for all integrations, or for those of a grant.
type GroupRole struct {
	Role  delivery.Role
	Group string
	Grant *delivery.Grant // nil: for all
}

var errNoGroups = errors.New("no group has a role, such as in admin=GROUP; operator=GROUP; on-call[push, team=shop]=GROUP")

// groupRole is ROLE=GROUP or ROLE[SCOPE]=GROUP. The name of a group may have an equals sign.
var groupRole = regexp.MustCompile(`^([a-z-]*)\s*(?:\[([^\[\]]*)\])?\s*=\s*(.+)$`)

// ParseRoles reads "admin=GROUP; operator=ANOTHER; on-call[push, team=shop]=GROUP": a role, perhaps for the integrations of some names and
// those that have all of some labels, and the group that has it.
func ParseRoles(text string) (Roles, error) {
	var roles Roles
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		its, err := parseRole(part)
		switch {
		case err != nil:
			return nil, err
		case its.Grant == nil && slices.ContainsFunc(roles, func(r GroupRole) bool { return r.Group == its.Group && r.Grant == nil }):
			return nil, fmt.Errorf("group %q has two roles", its.Group)
		}
		roles = append(roles, its)
	}
	if len(roles) == 0 {
		return nil, errNoGroups
	}
	return roles, nil
}

func parseRole(part string) (its GroupRole, err error) {
	found := groupRole.FindStringSubmatch(part)
	if found == nil || delivery.Role(found[1]).Check() != nil {
		return its, fmt.Errorf("%q is neither ROLE=GROUP nor ROLE[integration, label=value]=GROUP with one of the roles %s", part, delivery.Roles)
	}
	its = GroupRole{Role: delivery.Role(found[1]), Group: found[3]}
	if !strings.Contains(part[:len(part)-len(its.Group)], "[") {
		return its, nil
	}
	g := delivery.Grant{Role: its.Role, Provided: true}
	if g.Integrations, g.Labels, err = delivery.ParseScope(found[2]); err != nil {
		return its, fmt.Errorf("%q: %w", part, err)
	}
	if g.Everywhere() {
		return its, fmt.Errorf("%q names no integration and no label; without brackets the role is for all", part)
	}
	its.Grant = &g
	return its, g.Check()
}

// of is what somebody has who is in these groups: the first role for all integrations that fits, or none, and each for some.
func (r Roles) of(groups []string) (role delivery.Role, grants delivery.Grants) {
	for _, its := range r {
		switch {
		case !slices.Contains(groups, its.Group):
		case its.Grant != nil:
			grants = append(grants, *its.Grant)
		case role == "":
			role = its.Role
		}
	}
	return role, grants
}
