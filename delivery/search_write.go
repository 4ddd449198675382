package delivery

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// SearchText writes the filter as ParseSearch reads it. After and Limit are left out.
func (f Filter) SearchText() string {
	w := &searchWriter{}
	w.query(f.Query)
	if slices.Equal(f.States, States) {
		w.values("state", AnyState)
	} else {
		w.values("state", texts(f.States)...)
	}
	w.values("integration", f.Integrations...)
	w.values("method", texts(f.Methods)...)
	w.values("destination", f.Destinations...)
	w.values("class", f.ErrorClasses...)
	w.values("group", f.Groups...)
	w.values("groupmessage", f.GroupMessages...)
	w.value("key", f.Key)
	w.value("message", f.MessageID)
	w.values("id", f.IDs...)
	w.values("type", f.Types...)
	w.value("attempts", f.Attempts.String())
	w.time("since", f.From)
	w.time("until", f.To)
	w.value("payload", f.Words)
	for _, p := range f.Paths {
		w.path(p)
	}
	w.values("by", f.Actors...)
	w.values("assignee", f.Assignees...)
	w.values("tag", f.Tags...)
	w.value("ticket", f.Ticket)
	w.acknowledged(f.Acknowledged)
	w.value("sort", string(f.Sort))
	return strings.Join(w.parts, " ")
}

// String writes the range as the search bar reads it; empty without ends.
func (r Range) String() string {
	switch {
	case r.Min == nil && r.Max == nil:
		return ""
	case r.Max == nil:
		return fmt.Sprintf(">=%d", *r.Min)
	case r.Min == nil:
		return fmt.Sprintf("<=%d", *r.Max)
	case *r.Min == *r.Max:
		return fmt.Sprint(*r.Min)
	}
	return fmt.Sprintf("%d..%d", *r.Min, *r.Max)
}

func texts[T ~string](words []T) []string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	return list
}

type searchWriter struct{ parts []string }

// query is written without quotes where it reads the same.
func (w *searchWriter) query(text string) {
	if text == "" {
		return
	}
	const behind = "sort:" + string(SortOldest) // a quote that is not closed would swallow what follows, a bracket what closes it
	f, err := ParseSearch(text+" "+behind, time.Time{}, time.UTC)
	if err != nil || f.Query != text || f.besides() != behind || strings.Contains(text, "[") {
		text = quoted(text)
	}
	w.parts = append(w.parts, text)
}

// besides is all of a filter but the error text.
func (f Filter) besides() string {
	f.Query = ""
	return f.SearchText()
}

func (w *searchWriter) value(field, value string) {
	if value != "" {
		w.parts = append(w.parts, field+":"+plainOrQuoted(value))
	}
}

func (w *searchWriter) values(field string, values ...string) {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = plainOrQuoted(v)
	}
	if len(list) > 0 {
		w.parts = append(w.parts, field+":"+strings.Join(list, ","))
	}
}

func (w *searchWriter) time(field string, at *time.Time) {
	if at != nil {
		w.parts = append(w.parts, field+":"+at.UTC().Format(time.RFC3339Nano))
	}
}

func (w *searchWriter) acknowledged(yes *bool) {
	switch {
	case yes == nil:
	case *yes:
		w.value("is", isAcknowledged)
	default:
		w.value("is", isUnacknowledged)
	}
}

func (w *searchWriter) path(p PathValue) {
	path := strings.TrimPrefix(p.Path, "$")
	if steps, ok := parsePath(p.Path); ok {
		path = pathText(steps)[1:]
	}
	w.parts = append(w.parts, "payload"+path+":"+plainOrQuoted(p.Value))
}

func plainOrQuoted(value string) string {
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-./@+*=<>#%$:", r)
	}
	if value != "" && strings.IndexFunc(value, func(r rune) bool { return !plain(r) }) < 0 {
		return value
	}
	return quoted(value)
}

func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// pathText writes a path as Mask and the search bar read it.
func pathText(steps []step) string {
	var b strings.Builder
	b.WriteString("$")
	for _, s := range steps {
		dot, bracket := ".", ""
		if s.deep {
			dot, bracket = "..", ".."
		}
		switch {
		case s.any && s.bracket:
			b.WriteString(bracket + "[*]")
		case s.any:
			b.WriteString(dot + "*")
		case s.index >= 0:
			fmt.Fprintf(&b, "%s[%d]", bracket, s.index)
		case plainName(s.name):
			b.WriteString(dot + s.name)
		case strings.Contains(s.name, "']"):
			b.WriteString(bracket + `["` + s.name + `"]`)
		default:
			b.WriteString(bracket + "['" + s.name + "']")
		}
	}
	return b.String()
}

func plainName(name string) bool {
	plain := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '-' }
	return name != "" && strings.IndexFunc(name, func(r rune) bool { return !plain(r) }) < 0
}

// used are the fields of the search bar that a filter has.
func (f Filter) used() (names []string) {
	f.Query, f.Paths = "", nil
	for rest := f.SearchText(); rest != ""; rest = skipSpace(rest) {
		name, value, _ := strings.Cut(rest, ":")
		names = append(names, name)
		_, rest = fieldValues(value, true)
	}
	return names
}
