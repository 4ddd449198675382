package pg

import (
	"gorm.io/gorm"

	"redrive/delivery"
)

// Scope is where whoever acts or asks may do all of what is named. In a transaction that acts it is what that read of them by id; where
// the program acts by itself it is everywhere.
func Scope(tx *gorm.DB, needs ...delivery.Permission) delivery.Scope {
	return delivery.ScopeOf(tx.Statement.Context, needs...)
}

// Seen is the scope of what is shown.
func Seen(tx *gorm.DB) delivery.Scope { return Scope(tx, delivery.PermitView) }

// See returns delivery.ErrNotFound for an integration that is not shown: what nobody may know of is not there.
func See(tx *gorm.DB, integration string) error {
	if !Seen(tx).Has(integration) {
		return delivery.ErrNotFound
	}
	return nil
}

// MayFor refuses whoever acts, if one of the permissions is missing for the integration. The error is an *delivery.RightError, and
// delivery.ErrNotFound where the integration is not even shown.
func MayFor(tx *gorm.DB, integration string, needs ...delivery.Permission) error {
	r, acts := delivery.RightOf(tx.Statement.Context)
	if !acts {
		return nil
	}
	missing := r.Rights.MissingFor(integration, needs...)
	if missing == "" {
		return nil
	}
	if err := See(tx, integration); err != nil && r.Rights.May(delivery.PermitView) {
		return err
	}
	return &delivery.RightError{Right: r, Missing: missing, Integration: integration}
}

// Names are those of a scope that is not everything, for a statement. None is an empty list and not null, which would refuse nothing.
func Names(scope delivery.Scope) *[]string {
	names := append([]string{}, scope.Names...)
	return &names
}

// In puts in that a column has the name of an integration of the scope.
func (w *Where) In(column string, scope delivery.Scope) {
	if !scope.All {
		w.Add(column+" = ANY(?)", Names(scope))
	}
}
