package views

import "time"

func (p TrafficPage) lead() string {
	if p.Delivered {
		return p.T("Confirmed by the receiver in the last 24 hours, and accepted in the last two days; the last accepted first.")
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
