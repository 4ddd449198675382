package views

import "time"

// RevealPage asks for one masked value of what is sent, or shows it.
type RevealPage struct {
	DeliveryPage
	Edit           int      // number of the version
	Places         []string // where something is masked
	Path, Reason   string   // as they were typed
	Field, Problem string
	Shown, AuditID string     // the value, and the entry of the audit; without an entry there is none
	Until          *time.Time // it is shown again without a reason
}

// FailureReveal is where masked values of a failure are asked for.
func FailureReveal(id string) string { return Failure(id) + "/reveal" }

func (p RevealPage) wrong(field string) string {
	if p.Field == field {
		return p.Problem
	}
	return ""
}
