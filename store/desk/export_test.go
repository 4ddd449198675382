package desk

import (
	"context"

	"gorm.io/gorm"

	"redrive/delivery"
)

// Decide carries out a row of a table of decisions, whether or not it is one of the program's.
func (s *Desk) Decide(ctx context.Context, id, actor string, t delivery.Transition) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		d := decision{Transition: t, actor: actor, reason: "r"}
		one, err := permittedOne(tx, id, 0, d)
		if err != nil {
			return err
		}
		return carryOut(tx, []lockedDelivery{one}, d)
	})
}
