package web

import (
	"time"

	"redrive/delivery"
)

// CaseJSON is what people keep about a failure. Version 0: nobody has kept anything.
type CaseJSON struct {
	Version        int        `json:"version"`
	AcknowledgedAt *time.Time `json:"acknowledged_at"`
	AcknowledgedBy string     `json:"acknowledged_by"`
	AcknowledgedID string     `json:"acknowledged_by_id"`
	Assignee       string     `json:"assignee"`
	AssigneeID     string     `json:"assignee_id"`
	Tags           []string   `json:"tags"`
	Ticket         string     `json:"ticket"`
}

// CaseJSONOf returns a case as the API shows it.
func CaseJSONOf(k delivery.Case) CaseJSON {
	return CaseJSON{
		Version:        k.Version,
		AcknowledgedAt: Utc(k.AcknowledgedAt),
		AcknowledgedBy: k.AcknowledgedBy,
		AcknowledgedID: k.AcknowledgedID,
		Assignee:       k.Assignee,
		AssigneeID:     k.AssigneeID,
		Tags:           append([]string{}, k.Tags...),
		Ticket:         k.Ticket,
	}
}
