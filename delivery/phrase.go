package delivery

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Phrase is something to say to a person, as a key of the catalogue (package views/words) and arguments. So it is returned, stored and
// logged; what it reads like in a language is said where somebody reads it. The zero phrase says nothing.
type Phrase struct {
	Key  string            `json:"key"`
	Args map[string]string `json:"args,omitempty"` // by the name of the placeholder
	Of   map[string]Phrase `json:"of,omitempty"`   // phrases within this one, likewise
}

// Say makes a phrase. The arguments alternate between the name of a placeholder and its value; times become RFC 3339 in UTC, lists are
// joined by commas, phrases and what errors say stand within it.
func Say(key string, args ...any) Phrase {
	p := Phrase{Key: key}
	for i := 0; i+1 < len(args); i += 2 {
		name := args[i].(string)
		switch value := args[i+1].(type) {
		case Phrase:
			p.within(name, value)
		case error:
			p.within(name, Heard(value))
		default:
			if p.Args == nil {
				p.Args = make(map[string]string, len(args)/2)
			}
			p.Args[name] = argument(value)
		}
	}
	return p
}

// About returns the name of the integration that a phrase tells of, empty when it tells of none.
func (p Phrase) About() string { return p.Args["integration"] }

func (p *Phrase) within(name string, q Phrase) {
	if p.Of == nil {
		p.Of = map[string]Phrase{}
	}
	p.Of[name] = q
}

// Verbatim is a phrase of words that are nobody's to translate; the zero phrase where there are none.
func Verbatim(text string) Phrase {
	if text == "" {
		return Phrase{}
	}
	return Say("verbatim", "text", text)
}

// SayTime is a phrase of a time as such, in RFC 3339 and UTC.
func SayTime(at time.Time) Phrase { return Verbatim(argument(at)) }

// Heard is what an error says to people: its phrase, else its text: the words of a driver, a server or a library.
// What others wrote around a phrase stays around it. Nil says nothing.
func Heard(err error) Phrase {
	var spoken Spoken
	switch {
	case err == nil:
		return Phrase{}
	case !errors.As(err, &spoken):
		return Verbatim(err.Error())
	}
	text, says := err.Error(), spoken.Phrase()
	before, after, found := strings.Cut(text, spoken.Error())
	if !found || text == spoken.Error() {
		return says
	}
	return Say("error.around", "before", before, "what", says, "after", after)
}

// Listed are phrases one behind the other, as one.
func Listed(list []Phrase) (all Phrase) {
	for _, p := range list {
		if all.IsZero() {
			all = p
			continue
		}
		all = Say("list.phrases", "list", all, "next", p)
	}
	return all
}

// Comma stands between the items of an argument that is a list.
const Comma = ", "

func argument(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	}
	if list := reflect.ValueOf(value); list.Kind() == reflect.Slice {
		texts := make([]string, list.Len())
		for i := range texts {
			texts[i] = argument(list.Index(i).Interface())
		}
		return strings.Join(texts, Comma)
	}
	return fmt.Sprint(value)
}

// IsZero reports whether the phrase says nothing.
func (p Phrase) IsZero() bool { return p.Key == "" }

// Equal reports whether two phrases say the same.
func (p Phrase) Equal(q Phrase) bool { return reflect.DeepEqual(p, q) }

// Holds reports whether a phrase is q, or says it within itself.
func (p Phrase) Holds(q Phrase) bool {
	if q.IsZero() || p.Equal(q) {
		return !q.IsZero()
	}
	for _, part := range p.Of {
		if part.Holds(q) {
			return true
		}
	}
	return false
}

// Short is the phrase as people and metrics read it, and as it can be stored, see ShortReason.
func (p Phrase) Short() Phrase { return p.With(ShortReason) }

// Storable is the phrase as it can be stored, see Storable.
func (p Phrase) Storable() Phrase { return p.With(Storable) }

// With is the phrase with each of its arguments changed, such as one that hides secrets.
func (p Phrase) With(change func(string) string) Phrase {
	changed := Phrase{Key: p.Key}
	for name, value := range p.Args {
		if changed.Args == nil {
			changed.Args = make(map[string]string, len(p.Args))
		}
		changed.Args[name] = change(value)
	}
	for name, part := range p.Of {
		changed.within(name, part.With(change))
	}
	return changed
}

// InEnglish says a phrase as the catalogue has it in English. The catalogue (package views/words) sets it; where nobody loaded it,
// a phrase is its key and its arguments.
var InEnglish = Phrase.String

// English is the phrase in the language of the API, of logs and of errors of attempts, which are text.
func (p Phrase) English() string { return InEnglish(p) }

// String is the phrase for logs: the key and its arguments in the order of their names, such as bad_pace.ramp max=30.
func (p Phrase) String() string {
	out := p.Key
	for _, name := range slices.Sorted(maps.Keys(p.Args)) {
		value := p.Args[name]
		if value == "" || strings.ContainsAny(value, " \t\r\n\"=") {
			value = strconv.Quote(value)
		}
		out += " " + name + "=" + value
	}
	for _, name := range slices.Sorted(maps.Keys(p.Of)) {
		out += " " + name + "=(" + p.Of[name].String() + ")"
	}
	return out
}

// JSON is the phrase as it is stored; nil for one that says nothing.
func (p Phrase) JSON() *string {
	if p.IsZero() {
		return nil
	}
	raw, _ := json.Marshal(p) // of texts only
	text := string(raw)
	return &text
}

// Value is the phrase as it is stored, for a statement.
func (p Phrase) Value() (driver.Value, error) {
	if text := p.JSON(); text != nil {
		return *text, nil
	}
	return nil, nil
}

// Scan reads a phrase that is stored; null says nothing.
func (p *Phrase) Scan(stored any) error {
	switch raw := stored.(type) {
	case nil:
		*p = Phrase{}
		return nil
	case string:
		return json.Unmarshal([]byte(raw), p)
	case []byte:
		return json.Unmarshal(raw, p)
	}
	return fmt.Errorf("a stored phrase is a %T", stored)
}

// Spoken is an error that has a phrase for people.
type Spoken interface {
	error
	Phrase() Phrase
}

// FaultError is what goes wrong in a room, as people see it; in logs it is the phrase in English.
type FaultError struct {
	Says Phrase
	Err  error // of which it tells; may be nil
}

// Phrase is what it says.
func (e *FaultError) Phrase() Phrase { return e.Says }

func (e *FaultError) Error() string { return e.Says.English() }

func (e *FaultError) Unwrap() error { return e.Err }

// Fault is a FaultError. For the arguments see Say; errors among them are what it tells of.
func Fault(key string, args ...any) error {
	fault := &FaultError{Says: Say(key, args...)}
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			if fault.Err != nil {
				err = errors.Join(fault.Err, err)
			}
			fault.Err = err
		}
	}
	return fault
}

// Mistake is an InputError with a phrase: its code is the key up to the first dot. For the arguments see Say.
func Mistake(key, field string, args ...any) *InputError {
	code, _, _ := strings.Cut(key, ".")
	return &InputError{Code: code, Field: field, Says: Say(key, args...)}
}
