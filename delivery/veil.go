package delivery

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// leastVeiled is how long a value must be, in bytes, to be looked for: shorter ones are in every text, and no secrets.
const leastVeiled = 4

// Veil keeps values that people do not see, with what they see instead: what ${…} of the integrations file stood for. nil hides nothing.
type Veil struct {
	pairs    [][2]string
	replacer *strings.Replacer
}

// Add hides a value; shown stands in its place.
func (v *Veil) Add(value, shown string) {
	quoted := strconv.Quote(value)
	for _, form := range []string{value, strings.TrimSpace(value), quoted[1 : len(quoted)-1], url.QueryEscape(value), url.PathEscape(value)} {
		if len(form) >= leastVeiled && !slices.ContainsFunc(v.pairs, func(p [2]string) bool { return p[0] == form }) {
			v.pairs = append(v.pairs, [2]string{form, shown})
		}
	}
	slices.SortStableFunc(v.pairs, func(a, b [2]string) int { return len(b[0]) - len(a[0]) }) // where both would fit, the longer one
	var list []string
	for _, p := range v.pairs {
		list = append(list, p[0], p[1])
	}
	v.replacer = strings.NewReplacer(list...)
}

// In returns a text without the values.
func (v *Veil) In(text string) string {
	if v == nil || v.replacer == nil {
		return text
	}
	return v.replacer.Replace(text)
}
