package delivery

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxSearch is the longest text of the search bar, in bytes.
const MaxSearch = 16 << 10

// SearchField is one field of the search bar.
type SearchField struct {
	Name    string
	Example string // name and value
}

// SearchFields lists the fields of the search bar in the order in which they are shown; see ParseSearch.
var SearchFields = listSearchFields()

func listSearchFields() []SearchField {
	list := make([]SearchField, len(searchFields))
	for i, f := range searchFields {
		list[i] = SearchField{Name: f.name, Example: f.name + ":" + f.example}
	}
	return list
}

// ParseSearch reads what was typed into the search bar: words and "quoted text" of the error, and field:value (see SearchFields). A
// value with spaces stands in quotes, in which \" is a quote; alternatives are separated by commas, or the field is repeated.
// Times without a zone are of the zone named, durations such as 2h count back from now. After and Limit of a filter are no part
// of the text. Errors are *InputError with the code bad_search.
func ParseSearch(text string, now time.Time, zone *time.Location) (Filter, error) {
	if len(text) > MaxSearch || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return Filter{}, Mistake("bad_search.text", "", "max", MaxSearch>>10)
	}
	if zone == nil {
		zone = time.UTC
	}
	p := &searchParser{now: now, zone: zone}
	for rest := skipSpace(text); rest != ""; rest = skipSpace(rest) {
		var err error
		if rest, err = p.token(rest); err != nil {
			return Filter{}, err
		}
	}
	p.f.Query, p.f.Words = strings.Join(p.texts, " "), strings.Join(p.words, " ")
	if p.f.From != nil && p.f.To != nil && p.f.To.Before(*p.f.From) {
		return Filter{}, Mistake("bad_search.time_order", "until")
	}
	return p.f, nil
}

type searchParser struct {
	f     Filter
	now   time.Time
	zone  *time.Location
	texts []string // of the error
	words []string // of the payload
	once  map[string]string
}

// token reads what rest, which is not empty and does not begin with a space, begins with, and returns what follows it.
func (p *searchParser) token(rest string) (string, error) {
	if rest[0] == '"' {
		text, after := quotedText(rest)
		if text != "" {
			p.texts = append(p.texts, text)
		}
		return after, nil
	}
	if path, after, ok := pathToken(rest); ok {
		return p.path(path, after)
	}
	word := rest[:wordEnd(rest)]
	name, value, colon := strings.Cut(word, ":")
	if field := fieldNamed(name); colon && field != nil {
		return p.field(field, rest[len(name)+1:])
	}
	if colon && value != "" && !strings.HasPrefix(value, "//") {
		if err := typo(name); err != nil {
			return "", err
		}
	}
	p.texts = append(p.texts, word)
	return rest[len(word):], nil
}

func (p *searchParser) field(field *searchField, rest string) (string, error) {
	values, rest := fieldValues(rest, field.list)
	if len(values) == 0 || slices.Contains(values, "") {
		return "", Mistake("bad_search.no_value", field.name, "field", field.name, "example", field.example)
	}
	return rest, field.set(p, values)
}

func (p *searchParser) path(path, rest string) (string, error) {
	steps, ok := parsePath(path)
	if !ok {
		return "", Mistake("bad_search.path", "payload", "path", path)
	}
	begun := rest != "" && wordEnd(rest) > 0
	values, rest := fieldValues(rest, false)
	if !begun {
		return "", Mistake("bad_search.path_no_value", "payload", "path", path)
	}
	p.f.Paths = append(p.f.Paths, PathValue{Path: pathText(steps), Value: values[0]})
	return rest, nil
}

// single notes the value of a field that has only one.
func (p *searchParser) single(field, value string) error {
	if first, given := p.once[field]; given && first != value {
		return Mistake("bad_search.once", field, "field", field)
	}
	if p.once == nil {
		p.once = map[string]string{}
	}
	p.once[field] = value
	return nil
}

// typo says when a name that is no field was probably meant to be one.
func typo(name string) error {
	near := nearFields(name)
	if near == nil {
		return nil
	}
	name = fieldPart(name)
	return Mistake("bad_search.unknown_field", name, "field", name, "near", near)
}

// nearFields are the fields that a name, or what stands before its first dot, was probably meant to be.
func nearFields(name string) (near []string) {
	name = fieldPart(name)
	for _, f := range searchFields {
		if slices.ContainsFunc(append([]string{f.name}, f.aliases...),
			func(known string) bool { return similar(strings.ToLower(name), known) }) {
			near = append(near, f.name)
		}
	}
	return near
}

// fieldPart is what stands before the first dot or bracket of a path.
func fieldPart(name string) string {
	if cut := strings.IndexAny(name, ".["); cut > 0 {
		return name[:cut]
	}
	return name
}

// similar is careful with short names: host: and port: are not meant to be sort:.
func similar(name, known string) bool {
	if len(name) < 4 || len(name) > 2*len(known) || name[0] != known[0] && len(known) < 7 {
		return false
	}
	allowed := 1
	if len(known) >= 7 {
		allowed = 2
	}
	return editDistance(name, known) <= allowed
}

// editDistance counts the letters to insert, drop, replace or exchange with their neighbour.
func editDistance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

func skipSpace(text string) string { return strings.TrimLeftFunc(text, unicode.IsSpace) }

// wordEnd is where the first space is.
func wordEnd(text string) int {
	if end := strings.IndexFunc(text, unicode.IsSpace); end >= 0 {
		return end
	}
	return len(text)
}

// quotedText reads a text that begins with a quote; one that is not closed goes on to the end.
func quotedText(rest string) (text, after string) {
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '"':
			return b.String(), rest[i+1:]
		case c == '\\' && i+1 < len(rest) && (rest[i+1] == '"' || rest[i+1] == '\\'):
			i++
			b.WriteByte(rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}

// fieldValues reads what stands after a field's colon; list says whether commas separate.
func fieldValues(rest string, list bool) (values []string, after string) {
	var value []byte
	start := true // a quote begins a quoted text
	for rest != "" {
		r, size := utf8.DecodeRuneInString(rest)
		switch {
		case unicode.IsSpace(r):
			return append(values, string(value)), rest
		case r == '"' && start:
			var text string
			text, rest = quotedText(rest)
			value, start = append(value, text...), false
			continue
		case r == ',' && list:
			values, value, start = append(values, string(value)), nil, true
		default:
			value, start = append(value, rest[:size]...), false
		}
		rest = rest[size:]
	}
	return append(values, string(value)), ""
}

// pathToken recognises payload.a.b:value, payload[0]:value and the same with $, and returns the path with $ and what follows the
// colon.
func pathToken(rest string) (path, after string, ok bool) {
	begin := 1
	if len(rest) > 7 && strings.EqualFold(rest[:7], "payload") {
		begin = 7
	} else if rest[0] != '$' {
		return "", "", false
	}
	if len(rest) <= begin || rest[begin] != '.' && rest[begin] != '[' {
		return "", "", false
	}
	end := pathEnd(rest)
	if end == len(rest) || rest[end] != ':' {
		return "", "", false
	}
	return "$" + rest[begin:end], rest[end+1:], true
}

// pathEnd is where the first colon or space outside of a quoted name is.
func pathEnd(text string) int {
	var until string // end of the quoted name
	var opened int
	for i, r := range text {
		switch {
		case until != "":
			if i > opened+1 && strings.HasSuffix(text[:i+1], until) {
				until = ""
			}
		case r == ':' || unicode.IsSpace(r):
			return i
		case (r == '\'' || r == '"') && strings.HasSuffix(text[:i], "["):
			until, opened = string(r)+"]", i
		}
	}
	return len(text)
}
