package delivery

import "encoding/json"

// Extract returns the value at a path such as $.a.b or $.a[0] of a JSON payload, in its own bytes; $ is the payload itself. ok is
// false where there is none, the payload is not JSON, or the path names more than one place.
func Extract(payload []byte, path string) (value json.RawMessage, ok bool) {
	value = payload
	if path == "$" {
		return value, json.Valid(payload)
	}
	steps, ok := parsePath(path)
	for _, s := range steps {
		if !ok || s.any || s.deep {
			return nil, false
		}
		value, ok = s.into(value)
	}
	return value, ok
}

func (s step) into(value json.RawMessage) (json.RawMessage, bool) {
	if s.index >= 0 {
		var list []json.RawMessage
		if json.Unmarshal(value, &list) != nil || s.index >= len(list) {
			return nil, false
		}
		return list[s.index], true
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(value, &object) != nil {
		return nil, false
	}
	found, ok := object[s.name]
	return found, ok
}
