package delivery

import (
	"strconv"
	"strings"
	"time"
)

// longestBack is how far a duration of the search bar reaches.
const longestBack = 100 * 365 * 24 * time.Hour

var backUnits = map[byte]time.Duration{
	's': time.Second,
	'm': time.Minute,
	'h': time.Hour,
	'd': 24 * time.Hour,
	'w': 7 * 24 * time.Hour,
}

// searchLayouts are times without a zone; the first is a day.
var searchLayouts = []string{time.DateOnly, "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateTime}

func setSince(p *searchParser, values []string) error {
	at, _, ok := p.time(values[0])
	p.f.From = &at
	return p.instant("since", values[0], ok)
}

func setUntil(p *searchParser, values []string) error {
	at, day, ok := p.time(values[0])
	if day {
		at = at.In(p.zone).AddDate(0, 0, 1).UTC()
	}
	p.f.To = &at
	return p.instant("until", values[0], ok && at.Year() <= 9999)
}

func setBefore(p *searchParser, values []string) error {
	at, _, ok := p.time(values[0])
	p.f.To = &at
	return p.instant("before", values[0], ok)
}

func (p *searchParser) instant(field, value string, ok bool) error {
	if !ok {
		return Mistake("bad_search.time", field, "field", field)
	}
	if field == "since" {
		return p.single("since", value)
	}
	return p.single("until", field+":"+value)
}

// time reads a point in time; day says that a whole day was named, by its beginning.
func (p *searchParser) time(text string) (at time.Time, day, ok bool) {
	y, m, d := p.now.In(p.zone).Date()
	switch strings.ToLower(text) {
	case "now":
		return p.now.UTC(), false, true
	case "today":
		return time.Date(y, m, d, 0, 0, 0, 0, p.zone).UTC(), true, true
	case "yesterday":
		return time.Date(y, m, d-1, 0, 0, 0, 0, p.zone).UTC(), true, true
	}
	if back, ok := parseBack(text); ok {
		return p.now.Add(-back).UTC(), false, true
	}
	for _, layout := range searchLayouts {
		if at, err := time.ParseInLocation(layout, text, p.zone); err == nil {
			return at.UTC(), layout == time.DateOnly, writable(at)
		}
	}
	at, err := time.Parse(time.RFC3339Nano, strings.ToUpper(text))
	return at.UTC(), false, err == nil && writable(at)
}

// writable reports whether SearchText can write the time.
func writable(at time.Time) bool { return at.UTC().Year() >= 0 && at.UTC().Year() <= 9999 }

// parseBack reads a duration such as 2h, 3d or 1d12h.
func parseBack(text string) (back time.Duration, ok bool) {
	for text != "" {
		digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
		n, err := strconv.Atoi(text[:digits])
		if err != nil || digits == len(text) {
			return 0, false
		}
		unit, known := backUnits[text[digits]|0x20] // in lower case
		if !known || time.Duration(n) > (longestBack-back)/unit {
			return 0, false
		}
		back, ok, text = back+time.Duration(n)*unit, true, text[digits+1:]
	}
	return back, ok
}
