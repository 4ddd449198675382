package cdc

import (
	"context"

	"redrive/delivery"
)

// Nowhere is the destination of an integration whose rules leave everything to others: what a person retries of it, a change
// that could not be made a message, has nowhere to go.
type Nowhere struct{}

var _ delivery.Sender = Nowhere{}

// Send fails for good.
func (Nowhere) Send(context.Context, delivery.Request) delivery.Result {
	return delivery.Result{
		Outcome:    delivery.OutcomePermanent,
		ErrorClass: delivery.ClassMapping,
		Error:      delivery.ErrorNoDestination,
	}
}

// Close does nothing.
func (Nowhere) Close() error { return nil }
