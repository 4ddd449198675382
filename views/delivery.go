package views

import "redrive/delivery"

func (p DeliveryPage) actionVerb(a delivery.Action) string {
	switch a {
	case delivery.ActionRetry:
		return p.T("Send again")
	case delivery.ActionIgnore:
		return p.T("Ignore this failure")
	case delivery.ActionResolve:
		return p.T("Mark as resolved")
	default:
		return p.T("Reopen")
	}
}

func (p DeliveryPage) idempotencyKey() string {
	if key := p.D.Message.IdempotencyKey; key != "" {
		return key
	}
	return p.D.ID
}

func attemptShape(a delivery.Attempt) string {
	switch a.Outcome {
	case delivery.OutcomeOK:
		return "good"
	case delivery.OutcomeUnknown, delivery.OutcomeLate:
		return "warn"
	default:
		return "bad"
	}
}

func (p MessagePage) sentence() string {
	if len(p.Deliveries) == 0 {
		return p.T("Accepted %s; no integration subscribes to %s, so it goes nowhere.", p.Relative(p.Message.CreatedAt), p.Message.Type)
	}
	return p.T("Accepted %s, ", p.Relative(p.Message.CreatedAt)) + p.N(len(p.Deliveries), "%s delivery.", "%s deliveries.")
}
