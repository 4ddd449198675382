package delivery

import (
	"database/sql/driver"
	"encoding/json"
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
}

// Say makes a phrase. The arguments alternate between the name of a placeholder and its value; times become RFC 3339 in UTC, lists are
// joined by commas.
func Say(key string, args ...any) Phrase {
	p := Phrase{Key: key}
	for i := 0; i+1 < len(args); i += 2 {
		if p.Args == nil {
			p.Args = make(map[string]string, len(args)/2)
		}
		p.Args[args[i].(string)] = argument(args[i+1])
	}
	return p
}

// Verbatim is a phrase of words that are nobody's to translate.
func Verbatim(text string) Phrase { return Say("verbatim", "text", text) }

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
		return strings.Join(texts, ", ")
	}
	return fmt.Sprint(value)
}

// IsZero reports whether the phrase says nothing.
func (p Phrase) IsZero() bool { return p.Key == "" }

// Equal reports whether two phrases say the same.
func (p Phrase) Equal(q Phrase) bool { return reflect.DeepEqual(p, q) }

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

// Scan reads a phrase that is stored.
func (p *Phrase) Scan(stored any) error {
	switch raw := stored.(type) {
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

// Mistake is an InputError with a phrase: its code is the key up to the first dot. For the arguments see Say.
func Mistake(key, field string, args ...any) *InputError {
	code, _, _ := strings.Cut(key, ".")
	return &InputError{Code: code, Field: field, Says: Say(key, args...)}
}
