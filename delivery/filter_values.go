package delivery

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Values is the filter as the query of an address: what lists, links and the command line have in common. Fields that select
// everything are left out.
func (f Filter) Values() url.Values {
	v := url.Values{}
	for name, values := range map[string][]string{"state": texts(f.States), "integration": f.Integrations, "method": texts(f.Methods),
		"destination": f.Destinations, "error_class": f.ErrorClasses, "group": f.Groups, "group_message": f.GroupMessages, "id": f.IDs,
		"type": f.Types, "operator": f.Actors, "assignee": f.Assignees, "tag": f.Tags} {
		if len(values) > 0 {
			v[name] = append([]string(nil), values...)
		}
	}
	for _, p := range f.Paths {
		v.Add("path", p.String())
	}
	for name, value := range map[string]string{"key": f.Key, "message": f.MessageID, "q": f.Query, "payload": f.Words, "ticket": f.Ticket,
		"after": f.After, "attempts": rangeValue(f.Attempts), "from": instant(f.From), "to": instant(f.To)} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if f.Acknowledged != nil {
		v.Set("acknowledged", strconv.FormatBool(*f.Acknowledged))
	}
	if f.Sort != "" && f.Sort != SortNewest {
		v.Set("sort", string(f.Sort))
	}
	if f.Limit > 0 {
		v.Set("limit", strconv.Itoa(f.Limit))
	}
	return v
}

func instant(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// rangeValue is "3", "3..", "..5" or "3..5"; empty for every number.
func rangeValue(r Range) string {
	bound := func(n *int) string {
		if n == nil {
			return ""
		}
		return strconv.Itoa(*n)
	}
	low, high := bound(r.Min), bound(r.Max)
	if low == high {
		return low
	}
	return low + ".." + high
}

// ParseRange reads 3, 3.., ..5 and 3..5, and nothing as every number. ok is false for anything else, and for a range that no number is in.
func ParseRange(text string) (r Range, ok bool) {
	low, high, two := strings.Cut(text, "..")
	if !two {
		high = low
	}
	if low == "" && high == "" {
		return Range{}, text == ""
	}
	if r.Min, ok = parseBound(low); !ok {
		return Range{}, false
	}
	if r.Max, ok = parseBound(high); !ok {
		return Range{}, false
	}
	return r, r.Min == nil || r.Max == nil || *r.Min <= *r.Max
}

// maxBound is what an integer column takes.
const maxBound = 1<<31 - 1

func parseBound(text string) (*int, bool) {
	if text == "" {
		return nil, true
	}
	n, err := strconv.Atoi(text)
	return &n, err == nil && n >= 0 && n <= maxBound && text[0] != '+' && text[0] != '-'
}

// String is what ParsePathValue reads: $.customer.id=4711.
func (p PathValue) String() string { return p.Path + "=" + p.Value }

// ParsePathValue reads a path, = and a value. An equals sign may stand in the value, and within the brackets of the path.
func ParsePathValue(text string) (p PathValue, ok bool) {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '=':
			p = PathValue{Path: text[:i], Value: text[i+1:]}
			return p, ValidPath(p.Path)
		case '[':
			end := strings.Index(text[i:], closing(text[i+1:]))
			if end < 0 {
				return PathValue{}, false
			}
			i += end
		}
	}
	return PathValue{}, false
}

// closing is what ends the brackets that begin with text.
func closing(text string) string {
	if text != "" && (text[0] == '\'' || text[0] == '"') {
		return text[:1] + "]"
	}
	return "]"
}
