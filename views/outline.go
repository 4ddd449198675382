package views

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Outline is a text as a tree: JSON, several of them in lines, XML, or a form. Every token of it is shown as it was written.
type Outline struct {
	Kind  string // json, ndjson, xml or form
	text  string
	parts []twig // each before those within it
}

// twig is a value, or one with others within it.
type twig struct {
	kind   byte // see the constants
	key    span // its name as it is shown: without quotes; of an element its tag
	value  span // of one that has nothing within it
	parent int32
	next   int32 // the part after all that is within it
	count  int32 // of parts right within it
}

type span struct{ from, to int32 }

// Kinds of parts.
const (
	partObject  = 'o'
	partList    = 'a'
	partString  = 's'
	partNumber  = 'n'
	partWord    = 'w' // true, false, null
	partElement = 'e'
	partText    = 't' // of XML
)

func (p twig) holds() bool {
	return p.kind == partObject || p.kind == partList || p.kind == partElement
}

// MaxOutline is how large a text may be to be shown as a tree.
const MaxOutline = 2 << 20

// NewOutline returns a text as a tree; nil where it is none.
func NewOutline(text string) *Outline {
	if len(text) > MaxOutline {
		return nil
	}
	for _, read := range []func(*Outline) bool{(*Outline).readJSON, (*Outline).readLines, (*Outline).readXML, (*Outline).readForm} {
		if o := (&Outline{text: text}); read(o) {
			return o
		}
	}
	return nil
}

func (o *Outline) add(p twig) int32 {
	at := int32(len(o.parts))
	p.next = at + 1
	o.parts = append(o.parts, p)
	if at > 0 {
		o.parts[p.parent].count++
	}
	return at
}

func (o *Outline) close(at int32) { o.parts[at].next = int32(len(o.parts)) }

func (o *Outline) in(s span) string { return o.text[s.from:s.to] }

func (o *Outline) readJSON() bool {
	o.Kind = "json"
	if !json.Valid([]byte(o.text)) {
		return false
	}
	o.json(0, 0, span{})
	return true
}

// readLines reads JSON in lines.
func (o *Outline) readLines() bool {
	o.Kind = "ndjson"
	var starts []int
	at := 0
	for line := range strings.Lines(o.text) {
		if strings.TrimSpace(line) != "" {
			if !json.Valid([]byte(line)) {
				return false
			}
			starts = append(starts, at)
		}
		at += len(line)
	}
	if len(starts) < 2 {
		return false
	}
	o.add(twig{kind: partList})
	for _, start := range starts {
		o.json(start, 0, span{})
	}
	o.close(0)
	return true
}

// json reads a value of valid JSON and returns where it ends.
func (o *Outline) json(pos int, parent int32, key span) int {
	pos = o.space(pos)
	switch c := o.text[pos]; c {
	case '{', '[':
		return o.jsonWithin(pos, parent, key)
	case '"':
		end := o.quoted(pos)
		o.add(twig{kind: partString, key: key, value: span{int32(pos), int32(end)}, parent: parent})
		return end
	default:
		end := pos
		for end < len(o.text) && !strings.ContainsRune(",]} \t\r\n", rune(o.text[end])) {
			end++
		}
		kind := byte(partWord)
		if c == '-' || c >= '0' && c <= '9' {
			kind = partNumber
		}
		o.add(twig{kind: kind, key: key, value: span{int32(pos), int32(end)}, parent: parent})
		return end
	}
}

// jsonWithin reads an object or a list.
func (o *Outline) jsonWithin(pos int, parent int32, key span) int {
	kind := byte(partList)
	if o.text[pos] == '{' {
		kind = partObject
	}
	self := o.add(twig{kind: kind, key: key, parent: parent})
	for pos = o.space(pos + 1); o.text[pos] != '}' && o.text[pos] != ']'; {
		var name span
		if kind == partObject {
			end := o.quoted(pos)
			name = span{int32(pos) + 1, int32(end) - 1}
			pos = o.space(end) + 1
		}
		if pos = o.space(o.json(pos, self, name)); o.text[pos] == ',' {
			pos = o.space(pos + 1)
		}
	}
	o.close(self)
	return pos + 1
}

func (o *Outline) space(pos int) int {
	for pos < len(o.text) && strings.IndexByte(" \t\r\n", o.text[pos]) >= 0 {
		pos++
	}
	return pos
}

// quoted returns the end of a string.
func (o *Outline) quoted(pos int) int {
	for pos++; o.text[pos] != '"'; pos++ {
		if o.text[pos] == '\\' {
			pos++
		}
	}
	return pos + 1
}

// readXML reads elements; what is not well formed is none.
func (o *Outline) readXML() bool {
	o.Kind = "xml"
	if !strings.HasPrefix(strings.TrimSpace(o.text), "<") {
		return false
	}
	d := xml.NewDecoder(strings.NewReader(o.text))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // it is UTF-8 by now
	o.add(twig{kind: partList})
	open, elements := []int32{0}, 0
	for {
		from := d.InputOffset()
		token, err := d.Token()
		if err != nil {
			o.close(0)
			return errors.Is(err, io.EOF) && elements > 0
		}
		at := span{int32(from), int32(d.InputOffset())}
		top := open[len(open)-1]
		switch token.(type) {
		case xml.StartElement:
			elements++
			open = append(open, o.add(twig{kind: partElement, key: at, parent: top}))
		case xml.EndElement:
			o.closeElement(top)
			open = open[:len(open)-1]
		default:
			if strings.TrimSpace(o.in(at)) != "" {
				o.add(twig{kind: partText, value: at, parent: top})
			}
		}
	}
}

// closeElement ends an element; one with a single text has it as its value.
func (o *Outline) closeElement(at int32) {
	p := &o.parts[at]
	if last := int32(len(o.parts)) - 1; p.count == 1 && last == at+1 && o.parts[last].kind == partText || p.count == 0 {
		if p.count == 1 {
			p.value = o.parts[last].value
		}
		p.kind, p.count, o.parts = partText, 0, o.parts[:at+1]
	}
	o.close(at)
}

var formShape = regexp.MustCompile(`^[A-Za-z0-9_.~%+*\[\]-]+=[^&\s=]*(&[A-Za-z0-9_.~%+*\[\]-]+=[^&\s=]*)*$`)

// readForm reads what a form of a page sends.
func (o *Outline) readForm() bool {
	o.Kind = "form"
	if !formShape.MatchString(o.text) {
		return false
	}
	o.add(twig{kind: partObject})
	at := 0
	for pair := range strings.SplitSeq(o.text, "&") {
		name, _, _ := strings.Cut(pair, "=")
		middle, end := at+len(name), at+len(pair)
		o.add(twig{kind: partText, key: span{int32(at), int32(middle)}, value: span{int32(middle) + 1, int32(end)}})
		at = end + 1
	}
	o.close(0)
	return true
}

// key is the name of a part as it is shown.
func (o *Outline) key(p twig) string { return o.decoded(o.in(p.key)) }

// value is what a part says, as it is shown.
func (o *Outline) value(p twig) string { return o.decoded(o.in(p.value)) }

// decoded is a text of a form as it was typed, any other as it is.
func (o *Outline) decoded(text string) string {
	if o.Kind == "form" {
		if plain, err := url.QueryUnescape(text); err == nil && Visible(plain) == plain {
			return plain
		}
	}
	return text
}

// path names a part by its places: /2/0 is the first within the third.
func (o *Outline) path(at int32) string {
	var places []string
	for at > 0 {
		parent, n := o.parts[at].parent, 0
		for c := parent + 1; c < at; c = o.parts[c].next {
			n++
		}
		places = append(places, "/"+strconv.Itoa(n))
		at = parent
	}
	slices.Reverse(places)
	return strings.Join(places, "")
}

// at is the part that a path names; the root where there is none.
func (o *Outline) at(path string) int32 {
	at := int32(0)
	for place := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		n, err := strconv.Atoi(place)
		p := o.parts[at]
		if err != nil || n < 0 || n >= int(p.count) {
			break
		}
		c := at + 1
		for ; n > 0; n-- {
			c = o.parts[c].next
		}
		at = c
	}
	return at
}
