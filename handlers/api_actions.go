package handlers

import (
	"strings"
	"time"

	"redrive/delivery"
)

// parseAction reads the body of retry, ignore, resolve and reopen.
func parseAction(action delivery.Action, body []byte, now time.Time) (delivery.ActionRequest, error) {
	a := delivery.ActionRequest{Action: action}
	err := decodeObject(body, fields{
		"reason":   textField("reason", delivery.MaxReason, &a.Reason),
		"category": textField("category", delivery.MaxCategory, &a.Category),
		"evidence": textField("evidence", delivery.MaxEvidence, &a.Evidence),
		"until":    timeField("until", &a.Until),
		"version":  versionField(&a.Version),
	})
	if err != nil {
		return a, err
	}
	return a, checkAction(&a, now)
}

// checkAction says what a decision lacks; the console's forms go through it as well.
func checkAction(a *delivery.ActionRequest, now time.Time) error {
	a.Reason, a.Evidence = strings.TrimSpace(a.Reason), strings.TrimSpace(a.Evidence)
	given := map[string]string{delivery.FieldReason: a.Reason, delivery.FieldCategory: a.Category, delivery.FieldEvidence: a.Evidence}
	switch missing := a.Action.Row().Missing(given); {
	case missing == delivery.FieldReason:
		return unprocessable("reason_required.decision", "reason")
	case missing == delivery.FieldCategory:
		return unprocessable("category_required.form", "category", "categories", delivery.IgnoreCategories)
	case missing != "":
		return unprocessable(missing+"_required", missing)
	case a.Category != "" && !delivery.IsCategory(a.Category):
		return unprocessable("invalid_category", "category", "categories", delivery.IgnoreCategories)
	case a.Until != nil && !a.Until.After(now):
		return unprocessable("invalid_until", "until")
	}
	return nil
}
