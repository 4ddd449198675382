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
		return unprocessable("reason_required", "reason", "Say why: whoever reads this later decides by it.")
	case missing == delivery.FieldCategory:
		return unprocessable("category_required", "category", "Choose a category: %s.", strings.Join(delivery.IgnoreCategories, ", "))
	case missing != "":
		return unprocessable(missing+"_required", missing, "Give the %s.", missing)
	case a.Category != "" && !delivery.IsCategory(a.Category):
		return unprocessable("invalid_category", "category", "category must be a word such as %s.", strings.Join(delivery.IgnoreCategories, ", "))
	case a.Until != nil && !a.Until.After(now):
		return unprocessable("invalid_until", "until", "until must be in the future.")
	}
	return nil
}
