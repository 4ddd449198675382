package find

import (
	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// scoped is a filter that selects nothing but what whoever asks may see. The statements of this room are made of nothing else, so that none
// of them forgets it. Whoever sees everything has the filter as it was.
type scoped struct{ delivery.Filter }

// scopedGroups is the same of groups.
type scopedGroups struct {
	delivery.GroupFilter
	seen scoped
}

// within puts the scope into a filter: into its integrations, for which all lists have indexes. Payloads are searched where they may be
// looked at.
func within(db *gorm.DB, f delivery.Filter) scoped {
	needs := []delivery.Permission{delivery.PermitView}
	if f.Words != "" || len(f.Paths) > 0 {
		needs = append(needs, delivery.PermitViewPayload)
	}
	scope := pg.Scope(db, needs...)
	if scope.All {
		return scoped{f}
	}
	names := append([]string{}, scope.Names...)
	if len(f.Integrations) > 0 {
		names = nil
		for _, name := range f.Integrations {
			if scope.Has(name) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		names = []string{""} // none is called so
	}
	f.Integrations = names
	return scoped{f}
}
