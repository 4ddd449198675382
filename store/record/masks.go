package record

import (
	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// ReadMasks returns what every integration hides that the database knows, with those that left the file.
func ReadMasks(tx *gorm.DB) (delivery.Masks, error) {
	rules, err := pg.Read(tx, func(r *delivery.MaskRule) []any {
		return []any{&r.Integration, &r.Subject, pg.JSON{To: &r.Subscribe}, pg.JSON{To: &r.Paths}, &r.Gone}
	}, "SELECT name, subject, array_to_json(subscribe), array_to_json(mask), NOT active FROM redrive.integrations")
	return delivery.NewMasks(rules), err
}
