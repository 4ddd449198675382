package people

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

// maxViews is how many one owner may have.
const maxViews = 100

var viewColumns = "id::text, " + pg.Called("owner") + " AS owner, owner AS owner_id, name, search, shared"

// SavedViews returns a person's views and the shared ones, by name.
func (s *People) SavedViews(ctx context.Context, owner string) ([]delivery.SavedView, error) {
	list, err := pg.Scan[delivery.SavedView](s.Gorm.WithContext(ctx), "SELECT "+viewColumns+` FROM redrive.saved_views
		WHERE owner = ? OR shared ORDER BY lower(name), name, owner`, owner)
	if err != nil {
		return nil, fmt.Errorf("reading saved views: %w", err)
	}
	seen := pg.Seen(s.Gorm.WithContext(ctx))
	return slices.DeleteFunc(list, func(v delivery.SavedView) bool { return v.OwnerID != owner && !v.Within(seen) }), nil
}

// SaveView keeps a view. With an id it changes that view of its owner, else one of the same owner and name is replaced.
func (s *People) SaveView(ctx context.Context, v delivery.SavedView) (saved delivery.SavedView, err error) {
	if v.ID != "" && !delivery.IsUUID(v.ID) {
		return saved, delivery.ErrNotFound
	}
	if v, err = v.Checked(); err != nil {
		return saved, err
	}
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		if r, acts := delivery.RightOf(tx.Statement.Context); acts && v.Shared && !r.Rights.May(delivery.PermitTriage) {
			return &delivery.RightError{Right: r, Missing: delivery.PermitTriage}
		}
		saved, err = saveView(tx, v)
		return err
	})
	return saved, err
}

func saveView(tx *gorm.DB, v delivery.SavedView) (saved delivery.SavedView, err error) {
	// one owner's views are counted and changed by one transaction at a time
	if err := tx.Exec("SELECT pg_advisory_xact_lock(hashtextextended('redrive views ' || ?, 0))", v.Owner).Error; err != nil {
		return v, fmt.Errorf("locking the views: %w", err)
	}
	mine, err := pg.Scan[delivery.SavedView](tx, "SELECT "+viewColumns+" FROM redrive.saved_views WHERE owner = ?", v.Owner)
	if err != nil {
		return v, fmt.Errorf("reading saved views: %w", err)
	}
	was, err := replaced(mine, v)
	if err != nil {
		return v, err
	}
	if v.ID = was.ID; v.ID != "" && v.Name == was.Name && v.Search == was.Search && v.Shared == was.Shared {
		return was, nil
	}
	if v.ID == "" {
		saved, err = pg.ScanOne[delivery.SavedView](tx,
			"INSERT INTO redrive.saved_views (owner, name, search, shared) VALUES (?, ?, ?, ?) RETURNING "+viewColumns,
			v.Owner, v.Name, v.Search, v.Shared)
	} else {
		saved, err = pg.ScanOne[delivery.SavedView](tx,
			"UPDATE redrive.saved_views SET name = ?, search = ?, shared = ? WHERE id = ? RETURNING "+viewColumns, v.Name,
			v.Search, v.Shared, v.ID)
	}
	if err != nil {
		return saved, err
	}
	return saved, audit.Record(tx, viewEntry("view.save", saved.OwnerID, saved))
}

// replaced returns the view that v takes the place of; the zero view when it is new.
func replaced(mine []delivery.SavedView, v delivery.SavedView) (was delivery.SavedView, err error) {
	for _, m := range mine {
		if m.ID == v.ID || v.ID == "" && m.Name == v.Name {
			was = m
		}
	}
	for _, m := range mine {
		if m.Name == v.Name && m.ID != was.ID && v.ID != "" {
			return was, delivery.Mistake("name_taken.view", "name")
		}
	}
	switch {
	case v.ID != "" && was.ID == "":
		return was, delivery.ErrNotFound
	case was.ID == "" && len(mine) >= maxViews:
		return was, delivery.Mistake("too_many.views", "", "max", maxViews)
	}
	return was, nil
}

func viewEntry(action, actor string, v delivery.SavedView) delivery.AuditEntry {
	return delivery.AuditEntry{Actor: actor, Action: action, SubjectType: audit.SubjectView, Subject: v.ID,
		Details: audit.Details(map[string]any{"name": v.Name, "owner": v.Owner, "owner_id": v.OwnerID, "search": v.Search, "shared": v.Shared})}
}

// DeleteView forgets a view. Others' views can be deleted by nobody but an admin; those that are not shared are not told of.
func (s *People) DeleteView(ctx context.Context, id, actor string) error {
	if !delivery.IsUUID(id) {
		return delivery.ErrNotFound
	}
	return s.Transact(ctx, func(tx *gorm.DB) error {
		r, _ := delivery.RightOf(tx.Statement.Context)
		admin := r.Rights.May(delivery.PermitAdminister)
		v, err := pg.ScanOne[delivery.SavedView](tx,
			"SELECT "+viewColumns+" FROM redrive.saved_views WHERE id = ? FOR UPDATE", id)
		switch {
		case err != nil:
			return err
		case v.OwnerID != actor && !admin && v.Shared:
			return delivery.Mistake("not_yours", "", "owner", v.Owner)
		case v.OwnerID != actor && !admin:
			return delivery.ErrNotFound
		}
		if err := tx.Exec("DELETE FROM redrive.saved_views WHERE id = ?", id).Error; err != nil {
			return err
		}
		return audit.Record(tx, viewEntry("view.delete", actor, v))
	})
}
