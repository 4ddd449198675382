package views

import "redrive/delivery"

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
