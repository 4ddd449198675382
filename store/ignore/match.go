package ignore

import (
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/record"
)

// Failing is a delivery on which the machine gives up, as rules look at it.
type Failing struct {
	ID, MessageID, Integration   string
	Class, Error, GroupID, Group string // Group: the normalised text
	Key, Type                    string
	delivery.SearchEntry         // of error and payload, as the search knows them; see read
}

// looksAt reports whether a condition is of error text or payload, and whether it is of the payload.
func looksAt(f delivery.Filter) (text, payload bool) {
	payload = f.Words != "" || len(f.Paths) > 0
	return f.Query != "" || payload, payload
}

// matchSQL selects which of some failures fit a condition. What is searched of error and payload is made as the search makes it.
const matchSQL = `
SELECT s.n FROM (SELECT d.*, ` + record.WordsSQL + ` AS words FROM (
    SELECT g.*, ` + record.DocSQL + ` AS doc
    FROM unnest(?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::bool[]) WITH ORDINALITY
        AS g(class, group_id, message, key, type, error, text, json, n)
    OFFSET 0) d OFFSET 0) s`

// match says which of the failures, all of one integration, fit the condition. A rule and its preview ask it alike.
func match(tx *gorm.DB, f delivery.Filter, list []Failing) ([]bool, error) {
	if text, payload := looksAt(f); text {
		if err := read(tx, list, payload); err != nil {
			return nil, err
		}
	}
	w, err := conditions(f)
	if err != nil {
		return nil, err
	}
	var c struct {
		classes, groups, messages, keys, types, errors, texts []string
		json                                                  []bool
	}
	for _, x := range list {
		c.classes, c.groups, c.messages = append(c.classes, x.Class), append(c.groups, x.GroupID), append(c.messages, x.Group)
		c.keys, c.types, c.errors = append(c.keys, x.Key), append(c.types, x.Type), append(c.errors, x.SearchEntry.Error)
		c.texts, c.json = append(c.texts, x.Text), append(c.json, x.JSON)
	}
	args := []any{&c.classes, &c.groups, &c.messages, &c.keys, &c.types, &c.errors, &c.texts, &c.json}
	found, err := pg.Read(tx, pg.Single[int], matchSQL+w.Sql(), append(args, w.Args...)...)
	if err != nil {
		return nil, pg.DomainError(fmt.Errorf("looking what fits a rule: %w", err))
	}
	fits := make([]bool, len(list))
	for _, n := range found {
		fits[n-1] = true
	}
	return fits, nil
}

func conditions(f delivery.Filter) (*pg.Where, error) {
	w, err := record.SearchConditions(f)
	if err != nil {
		return nil, err
	}
	for _, c := range []struct {
		column string
		values []string
	}{{"class", f.ErrorClasses}, {"group_id", f.Groups}, {"message", f.GroupMessages}, {"type", f.Types}} {
		if len(c.values) > 0 {
			w.Add("s."+c.column+" = ANY(?)", &c.values)
		}
	}
	w.Equal("s.key", f.Key)
	return w, nil
}

// sentSQL reads what is sent of failures, in their order; payloads as far as they are searched, and none where nobody asks.
const sentSQL = `
SELECT coalesce(m.kind, ''), coalesce(m.integration, ''), coalesce(m.type, ''), m.id IS NULL, CASE WHEN ? THEN
    substring(CASE WHEN e.number IS NULL THEN m.payload ELSE e.payload END FROM 1 FOR ?) END
FROM unnest(?::uuid[], ?::uuid[]) WITH ORDINALITY AS g(id, message_id, n)
LEFT JOIN redrive.messages m ON m.id = g.message_id
LEFT JOIN redrive.edits e ON e.delivery_id = g.id AND e.number =
    coalesce((SELECT w.edit FROM redrive.queue w WHERE w.id = g.id), (SELECT r.edit FROM redrive.deliveries r WHERE r.id = g.id))
ORDER BY g.n`

// readAtOnce is of how many failures payloads are read at once.
const readAtOnce = 64

// read fills in what can be searched of failures: what is masked there is found by nobody's condition.
func read(tx *gorm.DB, list []Failing, payload bool) error {
	masks, err := record.ReadMasks(tx)
	if err != nil {
		return err
	}
	for len(list) > 0 {
		some := list[:min(len(list), readAtOnce)]
		list = list[len(some):]
		if err := readSome(tx, some, masks, payload); err != nil {
			return fmt.Errorf("reading what fails: %w", err)
		}
	}
	return nil
}

func readSome(tx *gorm.DB, list []Failing, masks delivery.Masks, payload bool) error {
	ids, messages := make([]string, len(list)), make([]string, len(list))
	for i, x := range list {
		ids[i], messages[i] = x.ID, x.MessageID
		payload = payload || masks.For(delivery.Message{}, x.Integration).Hides() // the error may repeat what is masked
	}
	rows, err := pg.Read(tx, func(s *delivery.Message) []any {
		return []any{&s.Kind, &s.Integration, &s.Type, &s.Dropped, &s.Payload}
	},
		sentSQL, payload, delivery.MaxSearched+1, &ids, &messages)
	if err != nil {
		return err
	}
	for i := range list {
		x, m := &list[i], rows[i]
		u := delivery.Unindexed{DeliveryID: x.ID, ErrorClass: x.Class, Error: x.Error, Type: x.Type, Payload: m.Payload, Masking: masks.For(m, x.Integration)}
		u.Masking.Unknown = u.Masking.Unknown || m.Dropped
		x.SearchEntry = u.Entry()
	}
	return nil
}
