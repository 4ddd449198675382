package record

import (
	"encoding/json"
	"slices"
	"strings"

	"redrive/delivery"
)

// FilterText is a filter as it is kept: without its empty fields, which begin with a small letter.
func FilterText(f *delivery.Filter) *string {
	if f == nil {
		return nil
	}
	kept := *f
	kept.After, kept.Limit, kept.Sort = "", 0, ""
	raw, _ := json.Marshal(kept)
	var members map[string]json.RawMessage
	_ = json.Unmarshal(raw, &members)
	small := map[string]json.RawMessage{}
	for name, value := range members {
		if !slices.Contains([]string{"null", `""`, "0", "[]", `{"Min":null,"Max":null}`}, string(value)) {
			small[strings.ToLower(name[:1])+name[1:]] = value
		}
	}
	raw, _ = json.Marshal(small)
	text := string(raw)
	return &text
}
