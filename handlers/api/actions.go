package api

import (
	"time"

	"redrive/delivery"
	"redrive/handlers/web"
)

// ParseAction reads the body of retry, ignore, resolve and reopen.
func ParseAction(action delivery.Action, body []byte, now time.Time) (delivery.ActionRequest, error) {
	a := delivery.ActionRequest{Action: action}
	err := web.DecodeObject(body, web.EndFields(&a.End).And(web.Fields{
		"reason":   web.TextField("reason", delivery.MaxReason, &a.Reason),
		"category": web.TextField("category", delivery.MaxCategory, &a.Category),
		"evidence": web.TextField("evidence", delivery.MaxEvidence, &a.Evidence),
		"version":  web.VersionField(&a.Version),
	}))
	if err != nil {
		return a, err
	}
	return a, web.CheckAction(&a, now)
}
