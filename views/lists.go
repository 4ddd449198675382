package views

import (
	"encoding/hex"
	"encoding/json"
	"time"

	"redrive/delivery"
)

func (p TrafficPage) lead() string {
	if p.Delivered {
		return p.T("Confirmed by the receiver in the last 24 hours, and accepted in the last two days; the last accepted first.")
	}
	switch p.State {
	case delivery.StatePending:
		return p.T("What waits, in the order of its turn.")
	case delivery.StateSending:
		return p.T("What is being sent at this moment.")
	}
	return p.T("In the order of their turn.")
}

func (p TrafficPage) none() string {
	if p.Delivered {
		return p.T("Nothing was delivered in the last 24 hours.")
	}
	return p.T("Nothing waits: all of it is settled.")
}

func (p TrafficPage) turn() string {
	if p.Delivered {
		return p.T("Delivered")
	}
	return p.T("Due")
}

func hash(e delivery.AuditEntry) string { return hex.EncodeToString(e.Hash) }

// subjectURL is the page of what an entry is about; empty where it has none.
func subjectURL(e delivery.AuditEntry) string {
	switch e.SubjectType {
	case "delivery":
		return Failure(e.Subject)
	case "operation":
		return Operation(e.Subject)
	case "message":
		return Message(e.Subject)
	case "integration":
		return Integration(e.Subject)
	}
	return ""
}

func shortSubject(e delivery.AuditEntry) string {
	switch e.SubjectType {
	case "delivery", "operation", "message", "view":
		return Short(e.Subject)
	}
	return e.Subject
}

func details(e delivery.AuditEntry) string {
	var members map[string]json.RawMessage
	if !e.Why().IsZero() && json.Unmarshal(e.Details, &members) == nil { // why is said as the reason
		delete(members, "why")
		e.Details, _ = json.Marshal(members)
	}
	if text := string(e.Details); text != "{}" && text != "null" {
		return Excerpt(text, 300)
	}
	return ""
}

// MonthForm is how an address names a month.
const MonthForm = "2006-01"

// months lead to what was ignored in this month or the last one, by the reader's calendar.
func (p IgnoredPage) months() []StateTab {
	now := p.Now.In(p.zone())
	this := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, p.zone())
	tabs := []StateTab{{Name: p.T("all of it")}, {Name: p.T("this month")}, {Name: p.T("last month")}}
	for n, month := range []string{"", this.Format(MonthForm), this.AddDate(0, -1, 0).Format(MonthForm)} {
		tabs[n].Href, tabs[n].Current, tabs[n].Count.Unknown = IgnoredIn(p.Integration, month), month == p.Month, true
	}
	return tabs
}
