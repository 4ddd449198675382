package sso

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"redrive/delivery"
)

// Roles are the roles of groups, in the order of the setting.
type Roles []GroupRole

// GroupRole is the role of a group.
type GroupRole struct {
	Role  delivery.Role
	Group string
}

var errNoGroups = errors.New("no group has a role, such as in admin=GROUP; operator=GROUP")

// ParseRoles reads "admin=GROUP; operator=GROUP; operator=ANOTHER". The name of a group may have an equals sign.
func ParseRoles(text string) (Roles, error) {
	var roles Roles
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		role, group, _ := strings.Cut(part, "=")
		its := GroupRole{delivery.Role(strings.TrimSpace(role)), strings.TrimSpace(group)}
		switch {
		case its.Group == "" || its.Role.Check() != nil:
			return nil, fmt.Errorf("%q is not ROLE=GROUP with one of the roles %s", part, delivery.Roles)
		case slices.ContainsFunc(roles, func(r GroupRole) bool { return r.Group == its.Group }):
			return nil, fmt.Errorf("group %q has two roles", its.Group)
		}
		roles = append(roles, its)
	}
	if len(roles) == 0 {
		return nil, errNoGroups
	}
	return roles, nil
}

// of is the role of somebody who is in these groups: the first that fits, or none.
func (r Roles) of(groups []string) delivery.Role {
	for _, its := range r {
		if slices.Contains(groups, its.Group) {
			return its.Role
		}
	}
	return ""
}
