package audit

import (
	"encoding/json"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// inScopeSQL is whether an entry was made by somebody or is about one of some integrations: of decisions and of what is done to integrations
// the name stands there, of operations and messages it is looked up. What is about people, tokens and views is about no integration.
const inScopeSQL = `(details ->> '` + actorMember + `' = ? OR CASE subject_type
    WHEN 'integration' THEN subject = ANY(?)
    WHEN 'operation' THEN EXISTS (SELECT FROM redrive.operation_parts p WHERE p.operation_id = subject::uuid AND p.integration = ANY(?))
    WHEN 'message' THEN EXISTS (SELECT FROM redrive.deliveries r WHERE r.message_id = subject::uuid AND r.integration = ANY(?))
    ELSE coalesce(details ->> 'integration' = ANY(?), false)
        OR action = 'delivery.redirect' AND ARRAY[details ->> 'from', details ->> 'to'] && ? END)`

// seenEntries puts the scope of whoever asks into a question for entries. Whoever sees everything asks as before.
func seenEntries(db *gorm.DB, q *pg.Where) {
	scope := pg.Scope(db, delivery.PermitAudit)
	if scope.All {
		return
	}
	r, _ := delivery.RightOf(db.Statement.Context)
	names := append([]string{}, scope.Names...)
	q.Add(inScopeSQL, r.Actor, &names, &names, &names, &names, &names)
}

// SubjectView is the type of the subject of entries about saved views.
const SubjectView = "view"

// view is what entries about saved views say of them.
type view struct {
	Owner   string `json:"owner"`
	OwnerID string `json:"owner_id"`
	Shared  bool   `json:"shared"`
}

// keepPrivate takes out of entries what is somebody else's alone: name and text of a view that is not shared. The hash is of what is kept.
func keepPrivate(db *gorm.DB, entries []delivery.AuditEntry) {
	r, asks := delivery.RightOf(db.Statement.Context)
	for i := range entries {
		var v view
		if asks && entries[i].SubjectType == SubjectView && json.Unmarshal(entries[i].Details, &v) == nil && !v.Shared && v.OwnerID != r.Actor {
			entries[i].Details = Details(map[string]any{"owner": v.Owner, "owner_id": v.OwnerID, "shared": false})
		}
	}
}
