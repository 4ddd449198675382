package audit

import (
	"encoding/json"
	"maps"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// aboutSQL is whether an entry is about one of some integrations: of decisions and of what is done to integrations the name stands there, of
// operations and messages it is looked up. What is about people, tokens and views is about no integration.
const aboutSQL = `CASE subject_type
    WHEN 'integration' THEN subject = ANY(?)
    WHEN 'operation' THEN EXISTS (SELECT FROM redrive.operation_parts p WHERE p.operation_id = subject::uuid AND p.integration = ANY(?))
    WHEN 'message' THEN EXISTS (SELECT FROM redrive.deliveries r WHERE r.message_id = subject::uuid AND r.integration = ANY(?))
    ELSE coalesce(details ->> 'integration' = ANY(?), false)
        OR action = 'delivery.redirect' AND ARRAY[details ->> 'from', details ->> 'to'] && ? END`

// about puts in that entries are about one of some integrations.
func about(q *pg.Where, names *[]string) { q.Add(aboutSQL, names, names, names, names, names) }

// seenEntries puts the scope of whoever asks into a question for entries: what is about their integrations, and what they did themselves.
// Whoever sees everything asks as before.
func seenEntries(db *gorm.DB, q *pg.Where) {
	scope := pg.Scope(db, delivery.PermitAudit)
	if scope.All {
		return
	}
	r, _ := delivery.RightOf(db.Statement.Context)
	names := pg.Names(scope)
	q.Add("(details ->> '"+actorMember+"' = ? OR "+aboutSQL+")", r.Actor, names, names, names, names, names)
}

// keepInScope takes out of entries about operations what they tell of integrations that are not shown. The hash is of what is kept.
func keepInScope(scope delivery.Scope, entries []delivery.AuditEntry) {
	for i := range entries {
		if e := &entries[i]; e.SubjectType == SubjectOperation && !scope.All {
			e.Details = detailsWithin(scope, e.Details)
		}
	}
}

func detailsWithin(scope delivery.Scope, details json.RawMessage) json.RawMessage {
	var said struct {
		Integrations map[string]int
		Why          delivery.Phrase
	}
	members := map[string]any{}
	if json.Unmarshal(details, &said) != nil || json.Unmarshal(details, &members) != nil {
		return []byte("{}")
	}
	seen := maps.Clone(said.Integrations)
	maps.DeleteFunc(seen, func(name string, _ int) bool { return !scope.Has(name) })
	if len(seen) < len(said.Integrations) {
		members["integrations"] = seen
		for _, all := range []string{"filter", "selected", "excluded"} {
			delete(members, all)
		}
	}
	if name := said.Why.About(); name != "" && !scope.Has(name) {
		delete(members, "why")
	}
	return Details(members)
}

// SubjectOperation is the type of the subject of entries about operations.
const SubjectOperation = "operation"

// SubjectDelivery is the type of the subject of entries about failures.
const SubjectDelivery = "delivery"

// SubjectMessage is the type of the subject of entries about messages.
const SubjectMessage = "message"

// SubjectIgnoreRule is the type of the subject of entries about ignore rules.
const SubjectIgnoreRule = "ignore-rule"

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
