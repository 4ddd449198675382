package delivery

import (
	"bytes"
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// MaskRule is what one integration hides of the messages that it gets.
type MaskRule struct {
	Integration string
	Subscribe   []string // the types of events that it gets
	Paths       []string // JSON paths and other rules, see Mask
	Subject     string   // where a message says whose data it is, see CheckSubject; empty: nowhere
	Gone        bool     // it left the integrations file: what it would hide today is not known
}

// Differs reports whether a change from r to next hides or shows something else.
func (r MaskRule) Differs(next MaskRule) bool {
	return r.Gone != next.Gone || r.Subject != next.Subject || !slices.Equal(r.Paths, next.Paths) ||
		len(r.Paths) > 0 && !slices.Equal(r.Subscribe, next.Subscribe)
}

// Masks are the rules of all integrations. Whoever stores, shows, indexes or counts what may repeat a payload asks them.
type Masks struct{ rules []MaskRule }

// Hides reports whether one of them hides anything.
func (m Masks) Hides() bool {
	return slices.ContainsFunc(m.rules, func(r MaskRule) bool { return r.Gone || len(r.Paths) > 0 })
}

// NewMasks takes rules as they are; an integration has one.
func NewMasks(rules []MaskRule) Masks { return Masks{rules: rules} }

// MasksOf are the rules of an integrations file.
func MasksOf(list []Integration) Masks {
	var m Masks
	for _, in := range list {
		m.rules = append(m.rules, MaskRule{Integration: in.Name, Subscribe: in.Subscribe, Paths: in.Mask, Subject: in.Subject})
	}
	return m
}

// Rules returns them by the name of the integration.
func (m Masks) Rules() map[string]MaskRule {
	byName := make(map[string]MaskRule, len(m.rules))
	for _, r := range m.rules {
		byName[r.Integration] = r
	}
	return byName
}

// Or is m, or where there are no rules in it those of an integrations file.
func (m Masks) Or(list []Integration) Masks {
	if len(m.rules) == 0 {
		return MasksOf(list)
	}
	return m
}

// For decides what is hidden of a message in the context of the integrations named, empty names aside: what any integration hides
// that gets the message, is its addressee, or subscribes to its type. What one of them hides is not shown by way of another.
func (m Masks) For(message Message, integrations ...string) Masking {
	var k Masking
	names := append(slices.Clone(integrations), message.Integration)
	slices.Sort(names)
	names = slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "" })
	known := 0
	for _, r := range m.rules {
		gets := slices.Contains(names, r.Integration)
		if gets && !r.Gone {
			known++
		}
		if gets || message.Kind == KindEvent && slices.Contains(r.Subscribe, message.Type) {
			k.Paths = append(k.Paths, r.Paths...)
		}
	}
	if message.Type == TypeBatchFile && len(k.Paths) > 0 {
		k.Paths = append(k.Paths, fileDigests...)
	}
	k.Unknown = known < len(names) || message.Withheld
	if len(k.Paths) > 0 {
		k.headers = headerValues(message.Headers, k.Paths)
	}
	return k
}

// headerValues are the values of the headers that rules hide.
func headerValues(headers map[string]string, rules []string) (values []string) {
	r, _ := readRules(rules)
	for name, value := range headers {
		if slices.Contains(r.headers, strings.ToLower(name)) && value != "" {
			values = append(values, value)
		}
	}
	return values
}

// Masking is what is hidden of one message. The zero value hides nothing.
type Masking struct {
	Paths   []string // and other rules, see Mask
	headers []string // values of the message's headers that are hidden

	Unknown bool // an integration that gets it left the file, and its paths with it, or payloads are not shown: all of the payload is hidden
}

// Hides reports whether something may be hidden.
func (k Masking) Hides() bool { return k.Unknown || len(k.Paths) > 0 }

// Payload is what may be shown of a payload, see Mask; without ok nothing of it.
func (k Masking) Payload(payload []byte) (shown []byte, ok bool) {
	switch {
	case k.Unknown:
		return nil, false
	case len(k.Paths) == 0:
		return payload, true
	}
	return Mask(payload, k.Paths)
}

// HiderOf hides what texts may repeat of a message.
func (k Masking) HiderOf(m Message) Hider {
	if m.Dropped && k.Hides() {
		return Hider{blind: true}
	}
	h := k.Hider(m.Payload)
	h.blind = h.blind || m.Withheld
	return h
}

// Hider hides what texts may repeat of a payload, which may be nil for none.
func (k Masking) Hider(payload []byte) (h Hider) {
	if !k.Hides() {
		return h
	}
	r, _ := readRules(k.Paths)
	h.find, h.headers = r.find, r.headers
	for _, value := range k.headers {
		h.hides(value)
	}
	if payload != nil {
		h.blind = k.Unknown || describesFile(payload)
		m, ok := mask(payload, k.Paths)
		if !ok || k.Unknown {
			h.raw = [][]byte{payload}
		} else {
			h.values, h.short = append(h.values, m.hidden...), m.short
		}
	}
	h.values = inAddresses(h.values)
	return h
}

// hides adds a value.
func (h *Hider) hides(value string) {
	m := masker{short: h.short}
	m.keep(value)
	h.values, h.short = append(h.values, m.hidden...), m.short
}

// inAddresses are values also as an address has them, longest first.
func inAddresses(values []string) []string {
	for _, v := range values {
		for _, form := range []string{url.QueryEscape(v), url.PathEscape(v)} {
			if form != v {
				values = append(values, form)
			}
		}
	}
	return slices.Compact(longestFirst(values))
}

// Hider takes out of texts what is masked of the payloads that they are about. The zero value hides nothing.
type Hider struct {
	values  []string        // wherever they stand, longest first
	short   map[string]bool // where they are a word of their own
	raw     [][]byte        // payloads of which nobody knows what is masked: any word of them
	blind   bool            // the masked values are not in the payloads, so nothing can be compared: all is hidden
	find    finder          // what is hidden wherever it is found
	headers []string        // names, in lower case, of those that are hidden
}

// none reports whether h hides nothing.
func (h Hider) none() bool {
	return !h.blind && len(h.raw) == 0 && len(h.values) == 0 && len(h.short) == 0 && len(h.headers) == 0 && h.find.empty()
}

// HidesHeader reports whether the value of a header is hidden by its name.
func (h Hider) HidesHeader(name string) bool {
	return IsCredential(name) || slices.Contains(h.headers, strings.ToLower(name))
}

// And hides what h hides and what others hide.
func (h Hider) And(others ...Hider) Hider {
	all := Hider{values: slices.Clone(h.values), raw: slices.Clone(h.raw), short: map[string]bool{}, blind: h.blind,
		find: h.find, headers: slices.Clone(h.headers)}
	for _, o := range append([]Hider{h}, others...) {
		for word := range o.short {
			all.short[word] = true
		}
	}
	for _, o := range others {
		all.values, all.raw, all.blind = append(all.values, o.values...), append(all.raw, o.raw...), all.blind || o.blind
		all.headers, all.find = append(all.headers, o.headers...), all.find.and(o.find)
	}
	all.values = slices.Compact(longestFirst(all.values))
	return all
}

// Text is for what a producer wrote beside the payload, such as a header.
func (h Hider) Text(text string) string {
	text = HideValues(text, h.values)
	if len(h.short) > 0 {
		text = eachWord(text, func(word string) bool { return h.short[word] })
	}
	for _, payload := range h.raw {
		text = hideRepeated(text, payload)
	}
	return h.find.hide(text)
}

// Error is for the error text of a delivery or attempt: short values are hidden in what the other side said, not in our sentence.
func (h Hider) Error(class, text string) string {
	text = h.find.hide(HideValues(text, h.values))
	cause := Cause(class, text)
	return strings.TrimSuffix(text, cause) + h.Text(cause)
}

// Answer is for the excerpt of an answer, as text. Where the payload cannot be masked nobody knows what to look for.
func (h Hider) Answer(text string) string {
	if (h.blind || len(h.raw) > 0) && text != "" {
		return Hidden
	}
	if len(text) >= MaxAnswer {
		text = HideCut(text, h.values)
	}
	return h.Text(text)
}

// Header is for a header of an answer, of which the beginning is kept. Where the payload cannot be masked none of it is shown, as of answers.
func (h Hider) Header(value string) string {
	if (h.blind || len(h.raw) > 0) && value != "" {
		return Hidden
	}
	if kept, isCut := strings.CutSuffix(value, cutSign); isCut {
		value = HideCut(kept, h.values) + cutSign
	}
	return h.Text(value)
}

// Sent is a header as it was sent, beside those of the message, and Answered one of the answer.
func (h Hider) Sent(line HeaderLine) HeaderLine { return h.line(line, h.Text) }

// Answered is a header of an answer.
func (h Hider) Answered(line HeaderLine) HeaderLine { return h.line(line, h.Header) }

func (h Hider) line(line HeaderLine, hide func(string) string) HeaderLine {
	if h.HidesHeader(line[0]) {
		return HeaderLine{line[0], Hidden}
	}
	return HeaderLine{line[0], hide(line[1])}
}

// Exchange is what may be kept and seen of one.
func (h Hider) Exchange(e *Exchange) *Exchange {
	if e == nil || h.none() {
		return e
	}
	c := *e
	c.Address = h.Text(e.Address)
	c.Sent, c.Answered, c.Facts = slices.Clone(e.Sent), slices.Clone(e.Answered), slices.Clone(e.Facts)
	for n := range c.Sent {
		c.Sent[n] = h.Sent(c.Sent[n])
	}
	for n := range c.Answered {
		c.Answered[n] = h.Answered(c.Answered[n])
	}
	for n, fact := range c.Facts {
		c.Facts[n][1] = h.Text(fact[1])
	}
	return &c
}

// Attempt is an attempt that was kept while less was hidden, without what is hidden now.
func (h Hider) Attempt(a Attempt) (shown Attempt, changed bool) {
	shown = a
	shown.Response, shown.Exchange = h.response(a.Response), h.Exchange(a.Exchange)
	if a.ErrorClass == ClassForeign {
		shown.Error = h.Foreign(a.Error)
	} else {
		shown.Error = h.Error(a.ErrorClass, a.Error)
	}
	return shown, !reflect.DeepEqual(shown, a)
}

// response is what may be kept of the excerpt of an answer.
func (h Hider) response(excerpt []byte) []byte {
	if len(excerpt) == 0 || h.none() {
		return excerpt
	}
	text := strings.ToValidUTF8(string(excerpt), "\uFFFD")
	shown := h.Answer(text)
	if shown == text {
		return excerpt
	}
	return []byte(FirstBytes(shown, MaxExcerpt))
}

// Foreign is for an error that somebody else wrote, all of it.
func (h Hider) Foreign(text string) string {
	if text == "" || h.none() {
		return text
	}
	return h.words(text)
}

// words is what may be shown of the other side's words, in one line of bounded length.
func (h Hider) words(heard string) string {
	isCut := len(heard) > maxHeard
	if isCut {
		heard = heard[:maxHeard]
	}
	words := OneLine(strings.ToValidUTF8(heard, "\uFFFD"))
	if h.blind && words != "" {
		return Withheld
	}
	h.values = oneLines(h.values)
	if isCut {
		words = HideCut(words, h.values)
	}
	return cut(strings.TrimSpace(h.Text(words)), maxWords)
}

// oneLines are values in the form that OneLine gives to words.
func oneLines(values []string) []string {
	list := make([]string, 0, len(values))
	for _, v := range values {
		if v = OneLine(v); v != "" {
			list = append(list, v)
		}
	}
	return list
}

func longestFirst(values []string) []string {
	slices.SortStableFunc(values, func(a, b string) int { return len(b) - len(a) })
	return values
}

// describesFile reports whether a message stands for a file, whose rows are not in it.
func describesFile(payload []byte) bool {
	var f BatchFile
	return bytes.Contains(payload, []byte(`"sha256"`)) && json.Unmarshal(payload, &f) == nil && f.ID != "" && f.SHA256 != ""
}
