package store

import "redrive/delivery"

// searchNarrowings are the conditions on error text and payload.
func searchNarrowings(f delivery.Filter) (list []narrowing, err error) {
	if f.Query != "" {
		list = append(list, narrowing{walk: "EXISTS (SELECT FROM redrive.failure_details f WHERE f.delivery_id = r.id AND f.error ILIKE ?)",
			walkArgs: []any{"%" + escapeLike(f.Query) + "%"}})
	}
	return list, nil
}
