package delivery

import (
	"slices"
	"strings"
	"time"
)

// Meant is a text of the search bar that somebody probably meant who typed another.
type Meant struct {
	Search string
	Says   Phrase // how it differs
}

// IsPlain reports whether a filter looks for a text and nothing else.
func (f Filter) IsPlain() bool { return f.Query != "" && f.besides() == "" }

// Named are the filters of all states that a text means if it is a name: a business key, or an id of failures or of a message. See
// also IsShortID.
func Named(text string) (list []Filter) {
	if text != "" && len(text) <= MaxKey && Storable(text) == text {
		list = append(list, Filter{States: States, Key: text})
	}
	if id := strings.ToLower(text); IsUUID(id) {
		list = append(list, Filter{States: States, IDs: []string{id}}, Filter{States: States, MessageID: id})
	}
	return list
}

// MeantBy lists what was probably meant by a text of the search bar that finds nothing, or that cannot be read.
func MeantBy(text string, now time.Time, zone *time.Location) (list []Meant) {
	add := func(search string, says Phrase) {
		if search != text && !slices.ContainsFunc(list, func(m Meant) bool { return m.Search == search }) {
			list = append(list, Meant{Search: search, Says: says})
		}
	}
	for rest := skipSpace(text); rest != ""; rest = skipSpace(rest) {
		word := nextToken(rest, now, zone)
		name, value, _ := strings.Cut(word, ":")
		at := len(text) - len(rest)
		before, behind := text[:at], rest[len(word):]
		if value != "" && name != "" && fieldNamed(name) == nil && !strings.HasPrefix(value, "//") {
			for _, near := range nearFields(name) {
				add(before+near+":"+value+behind, Say("meant.field", "field", near))
			}
			if path := "payload." + word; readable(path, now, zone) {
				add(before+path+behind, Say("meant.path", "path", name, "value", value))
			}
		}
		rest = behind
	}
	f, err := ParseSearch(text, now, zone)
	if err != nil {
		return list
	}
	if f.Query != "" && f.Words == "" {
		inside := f
		inside.Query, inside.Words = "", f.Query
		add(inside.SearchText(), Say("meant.payload"))
	}
	if !slices.Equal(f.States, States) {
		f.States = States
		add(f.SearchText(), Say("meant.any_state"))
	}
	return list
}

// nextToken is what ParseSearch would read next of rest; the next word where it would refuse it.
func nextToken(rest string, now time.Time, zone *time.Location) string {
	p := &searchParser{now: now, zone: zone}
	after, err := p.token(rest)
	if err != nil {
		after = rest[wordEnd(rest):]
	}
	return rest[:len(rest)-len(after)]
}

func readable(text string, now time.Time, zone *time.Location) bool {
	_, err := ParseSearch(text, now, zone)
	return err == nil
}
