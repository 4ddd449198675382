package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"redrive/delivery/form"
	httpsend "redrive/delivery/send/http"
)

// What YAML 1.1 or 1.2 takes for a number, a truth value, a date or nothing.
var numberLike = []string{"01234567", "007", "1.10", "0x1F", "0o17", "0b11", "1_000", "+7", "-0", "1e3", "1E400", ".5", "5.", ".inf", "-.inf", ".NaN",
	"true", "True", "FALSE", "yes", "off", "12:30:45", "2026-01-01", "123456789012345678901234567890", "0.10", "09", "1__0", "=", "0777", "00", "1.0", "-1.50"}

// leaf is one setting: the path to it, how a value is written there, and how it is read back.
type leaf struct {
	path  []string // of mappings and, as "-", list items
	typed reflect.Type
}

// mapping is the struct that stands for a type in the file.
func mapping(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[rawDestination]():
		return destinationType()
	case reflect.TypeFor[rawBroker]():
		return brokerType()
	}
	return t
}

// block is the part of a file with this name, where it is the block of a kind or one of a broker's own settings.
func block(v reflect.Value, name string) (reflect.Value, bool) {
	var list []given
	var first int
	switch raw := v.Interface().(type) {
	case rawDestination:
		list = raw.given
	case rawBroker:
		if name == "dead_letters" {
			return reflect.ValueOf(raw.DeadLetters), true
		}
		if name == "prefetch" {
			return reflect.ValueOf(raw.Prefetch), true
		}
		if name == "on_gap" {
			return reflect.ValueOf(raw.OnGap), true
		}
		list, first = raw.given, len(brokerSettings)
	}
	for _, g := range list {
		if mapping(v.Type()).Field(first+g.kind).Tag.Get("yaml") == name {
			return reflect.ValueOf(g.block), true
		}
	}
	return v, false
}

// leaves are all settings below a type.
func leaves(t reflect.Type, path []string) (out []leaf) {
	t = mapping(t)
	switch {
	case t == reflect.TypeFor[form.Column]() || t == reflect.TypeFor[form.Addresses]():
		return []leaf{{path, t}}
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
			out = append(out, leaves(t.Field(i).Type, append(slices.Clone(path), name))...)
		}
		return out
	case t.Kind() == reflect.Slice:
		return leaves(t.Elem(), append(slices.Clone(path), "-"))
	}
	return []leaf{{path, t}}
}

// file is a file with this value in this place only.
func (l leaf) file(value string) string {
	var out strings.Builder
	for _, part := range l.path {
		if part == "-" {
			out.WriteString("[")
		} else {
			fmt.Fprintf(&out, "{%s: ", part)
		}
	}
	out.WriteString(value)
	for _, part := range slices.Backward(l.path) {
		out.WriteString(map[bool]string{true: "]", false: "}"}[part == "-"])
	}
	return out.String()
}

// value walks to the setting.
func (l leaf) value(raw rawFile) any {
	v := reflect.ValueOf(raw)
	for _, part := range l.path {
		for v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if part == "-" {
			v = v.Index(0)
			continue
		}
		if inside, ok := block(v, part); ok {
			v = inside
			continue
		}
		for i := range v.NumField() {
			if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ","); name == part {
				v = v.Field(i)
				break
			}
		}
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	return v.Interface()
}

// key is a name before a colon. Between braces the parser cannot tell one that has a colon in it; without quotes it is refused.
func key(scalar string) string {
	if strings.Contains(scalar, ":") {
		return "'" + scalar + "'"
	}
	return scalar
}

func TestATextIsTheCharactersThatWereWritten(t *testing.T) {
	texts := 0
	for _, l := range leaves(reflect.TypeFor[rawFile](), nil) {
		for _, scalar := range numberLike {
			var written string
			var want any
			switch {
			case l.typed.Kind() == reflect.String:
				written, want = scalar, scalar
			case l.typed.Kind() == reflect.Map:
				written, want = fmt.Sprintf("{%s: %s}", key(scalar), scalar), map[string]string{scalar: scalar}
			case l.typed == reflect.TypeFor[form.Column]():
				written, want = fmt.Sprintf("{%s: %s}", key(scalar), scalar), form.Column{Name: scalar, From: scalar}
			case l.typed == reflect.TypeFor[form.Addresses]():
				written, want = fmt.Sprintf("[h: %s]", scalar), form.Addresses{"h:" + scalar}
			default:
				continue
			}
			texts++
			raw, err := read("f.yaml", []byte(l.file(written)))
			if err != nil {
				t.Errorf("%s: %v", l.file(written), err)
			} else if got := l.value(raw); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %v", l.file(written), got)
			}
		}
	}
	if texts < 60*len(numberLike) {
		t.Errorf("only %d texts were tried", texts/len(numberLike))
	}
}

func TestANumberIsDecimal(t *testing.T) {
	accepted := map[string]int{"0": 0, "8": 8, "-3": -3, "'12'": 12, "2147483647": 2147483647}
	refused := []string{"010", "00", "0x10", "0o10", "0b1", "1_0", "10.0", "1e1", "+5", "5.5", "four", "true", ".inf", "[1]", "{a: 1}", "99999999999999999999", "'010'", "''"}
	numbers := 0
	for _, l := range leaves(reflect.TypeFor[rawFile](), nil) {
		if l.typed != reflect.TypeFor[form.Whole]() {
			continue
		}
		numbers++
		for scalar, want := range accepted {
			raw, err := read("f.yaml", []byte(l.file(scalar)))
			if err != nil || l.value(raw) != form.Whole(want) {
				t.Errorf("%s: %v", l.file(scalar), err)
			}
		}
		for _, scalar := range refused {
			_, err := read("f.yaml", []byte(l.file(scalar)))
			if want := fmt.Sprintf("f.yaml line 1: %s: ", l.path[len(l.path)-1]); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s: %v, want %s…", l.file(scalar), err, want)
			}
		}
	}
	if numbers < 7 {
		t.Errorf("only %d numbers were tried", numbers)
	}
}

func TestATruthValueIsTrueOrFalse(t *testing.T) {
	for _, l := range leaves(reflect.TypeFor[rawFile](), nil) {
		if l.typed != reflect.TypeFor[form.Truth]() {
			continue
		}
		for scalar, want := range map[string]bool{"true": true, "True": true, "FALSE": false} {
			raw, err := read("f.yaml", []byte(l.file(scalar)))
			if err != nil || l.value(raw) != form.Truth(want) {
				t.Errorf("%s: %v", l.file(scalar), err)
			}
		}
		for _, scalar := range []string{"yes", "on", "1", "''", "[true]"} {
			if _, err := read("f.yaml", []byte(l.file(scalar))); err == nil || !strings.Contains(err.Error(), "neither true nor false") {
				t.Errorf("%s: %v", l.file(scalar), err)
			}
		}
	}
}

const mergeable = `integrations:
  - &base
    name: first
    method: outbox
    destination: &to {http: &http {url: "http://${HOST}/", timeout: 3s, headers: {a: 1.10}}}
    retry: {attempts: 3}
`

func TestMergesAndAliases(t *testing.T) {
	for merge, want := range map[string]string{
		"  - <<: *base\n    name: second\n":                                                                   "second outbox 3 3s",
		"  - name: second\n    <<: *base\n":                                                                   "second outbox 3 3s",
		"  - {name: second, <<: *base}\n":                                                                     "second outbox 3 3s",
		"  - <<: [{name: second}, *base]\n":                                                                   "second outbox 3 3s",
		"  - <<: [*base, {name: third}]\n":                                                                    "first outbox 3 3s",
		"  - {<<: *base, retry: {attempts: 7}, name: second}\n":                                               "second outbox 7 3s",
		"  - {<<: *base, name: second, destination: {http: {<<: *http, timeout: 9s}}}\n":                      "second outbox 3 9s",
		"  - {<<: &again {<<: *base, name: second}}\n":                                                        "second outbox 3 3s",
		"  - {name: second, method: outbox, destination: *to}\n":                                              "second outbox 0 3s",
		"  - {name: second, method: outbox, destination: {http: {<<: *http, headers: {a: 007}}}}\n":           "second outbox 0 3s",
		"  - {name: second, method: outbox, destination: {http: {url: x, timeout: !!str 10}}, retry: null}\n": "second outbox 0 10",
	} {
		raw, err := read("f.yaml", []byte(mergeable+merge))
		if err != nil {
			t.Errorf("%s: %v", merge, err)
			continue
		}
		in := raw.Integrations[1]
		attempts := 0
		if in.Retry.Attempts != nil {
			attempts = int(*in.Retry.Attempts)
		}
		if got := fmt.Sprint(in.Name, " ", in.Method, " ", attempts, " ", in.Destination.given[0].block.(*httpsend.Block).Timeout); got != want {
			t.Errorf("%s: got %s, want %s", merge, got, want)
		}
		if raw.Integrations[0].Name != "first" || raw.Integrations[0].Destination.given[0].block.(*httpsend.Block).Headers["a"] != "1.10" {
			t.Errorf("%s: it changed what it was merged from: %+v", merge, raw.Integrations[0])
		}
	}
}

func TestFilesThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "f.yaml: the file is empty",
		"# nothing yet\n":                   "f.yaml: the file is empty",
		"---\n":                             "f.yaml: the file is empty",
		"~\n":                               "f.yaml: the file is empty",
		"\ufeff":                            "f.yaml: the file is empty",
		"network: {}\n":                     "f.yaml: it names no integrations",
		"integrations:\n":                   "f.yaml: it names no integrations",
		"integrations: []\n---\na: b\n":     "f.yaml: there is more than one YAML document",
		"\n\na: \xff\n":                     "f.yaml line 3: the file is not UTF-8",
		"integrations: [{name: !!int '7'}]": "f.yaml line 1: name: the tag !!int has no meaning here",
		"\ninterations: []\n":               "f.yaml line 2: unknown field \"interations\"",
		"integrations:\n  - {name:seller-push}\n":     "f.yaml line 2: integrations: put a space after the colon",
		"integrations: [{a:b: c}]":                    "f.yaml line 1: integrations: put a space after the colon",
		"integrations:\n  - {<<: *nobody}\n":          "f.yaml line 2: <<: no mapping named &nobody stands before",
		"integrations:\n  - &me {<<: *me, name: a}\n": "f.yaml line 2: <<: no mapping named &me stands before",
		"integrations:\n  - {<<: text}\n":             "f.yaml line 2: <<: << merges mappings",
		"integrations:\n  - {name: a, name: b}\n":     "f.yaml line 2: mapping key \"name\" already defined",
	} {
		_, err := Parse("f.yaml", []byte(text), lookup)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s…", text, err, want)
		}
	}
	for _, text := range []string{"integrations: []", "\ufeffintegrations: []", "---\nintegrations: []\n...\n", "%YAML 1.2\n---\nintegrations: []\n"} {
		if _, err := Parse("f.yaml", []byte(text), lookup); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
