package views

import (
	"testing"

	"redrive/delivery"
)

// A button says beforehand what the store would refuse.
func TestWhatLostItsMessageOffersNothingThatSends(t *testing.T) {
	p := DeliveryPage{Known: true, D: delivery.Detail{Delivery: delivery.Delivery{State: delivery.StateDead}, Message: delivery.Message{Dropped: true}}}
	for _, row := range delivery.Decisions.In(delivery.StateDead) {
		if said := p.refusal(row.Action) != ""; said != row.Queues {
			t.Errorf("%s: refused %t", row.Action, said)
		}
	}
}
