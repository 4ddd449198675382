package sso

import (
	"fmt"
	"slices"
	"strings"

	"redrive/delivery"
)

// Roles are the roles of groups.
type Roles map[string]delivery.Role

// ParseRoles reads "admin=GROUP; operator=GROUP; operator=ANOTHER". The name of a group may have an equals sign.
func ParseRoles(text string) (Roles, error) {
	roles := Roles{}
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		role, group, _ := strings.Cut(part, "=")
		role, group = strings.TrimSpace(role), strings.TrimSpace(group)
		switch {
		case group == "" || delivery.Role(role).Check() != nil:
			return nil, fmt.Errorf("%q is not ROLE=GROUP with one of the roles %s", part, delivery.Roles)
		case roles[group] != "":
			return nil, fmt.Errorf("group %q has two roles", group)
		}
		roles[group] = delivery.Role(role)
	}
	if len(roles) == 0 {
		return nil, fmt.Errorf("no group has a role, such as in admin=GROUP; operator=GROUP")
	}
	return roles, nil
}

// of is the role of somebody who is in these groups: the one that may do most, or none.
func (r Roles) of(groups []string) (role delivery.Role) {
	for group, its := range r {
		if slices.Contains(groups, group) && its.Allows(role) {
			role = its
		}
	}
	return role
}
