package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"redrive/delivery/form"
	"redrive/delivery/kinds"
)

// listed are the settings of a block by their names; blocks within it are listed on their own.
func listed(of reflect.Type) (names []string) {
	for i := range of.NumField() {
		t := of.Field(i).Type
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct && t.Elem() != reflect.TypeFor[form.Column]() {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			names = append(names, of.Field(i).Tag.Get("yaml"))
		}
	}
	return names
}

func TestEverySettingIsListed(t *testing.T) {
	known := map[reflect.Type]bool{}
	for _, b := range pages() {
		known[b.Of] = true
		var names []string
		for _, s := range b.Settings {
			names = append(names, s.Name)
			if s.Required && s.Standard != "" {
				t.Errorf("%s, %s: required, and with a default", b.Where, s.Name)
			}
		}
		want := listed(b.Of)
		slices.Sort(names)
		slices.Sort(want)
		if !slices.Equal(names, want) {
			t.Errorf("%s: listed are %v, there are %v", b.Where, names, want)
		}
	}
	for _, l := range leaves(reflect.TypeFor[rawFile](), nil) {
		if parent := l.parent(); !known[parent] {
			t.Errorf("%v: no list of %s", l.path, parent)
		}
	}
}

// parent is the type in which the setting stands.
func (l leaf) parent() reflect.Type {
	t := reflect.TypeFor[rawFile]()
	for n, part := range l.path {
		t = mapping(t)
		if part == "-" {
			t = t.Elem()
			continue
		}
		if n == len(l.path)-1 || slices.Equal(l.path[n+1:], []string{"-"}) {
			return t
		}
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("yaml") == part {
				t = t.Field(i).Type
				break
			}
		}
	}
	return mapping(t)
}

// bases are files in which each block stands with nothing but what it needs.
func bases() []string {
	list := []string{
		"network: {}\nintegrations: []",
		`integrations: [{name: a, method: outbox, subscribe: [e], outbox: {}, retry: {}, destination: {http: {url: "http://h"}}}]`,
		`integrations: [{name: a, method: outbox, ordered: true, destination: {http: {url: "http://h"}}}]`,
		`integrations: [{name: a, method: pool, pool: {}, destination: {http: {url: "http://h"}}}]`,
		`integrations: [{name: a, method: cdc, cdc: {tables: [{table: p.t}]}, destination: {http: {url: "http://h"}}}]`,
		`integrations: [{name: a, method: batch, batch: {schedule: "0 0 * * *", query: SELECT 1, acknowledgement: {dir: /in}}, destination: {file: {format: csv, to: {dir: /out}}}}]`,
		`{four_eyes: {bulk_over: 10}, integrations: [{name: a, method: outbox, subscribe: [e], four_eyes: {}, destination: {http: {url: "http://h"}}}]}`,
	}
	for _, kind := range kinds.Destinations() {
		method := "method: outbox"
		if kind.Batch.Only != "" {
			method = `method: batch, batch: {schedule: "0 0 * * *", query: SELECT 1}`
		}
		list = append(list, fmt.Sprintf("integrations: [{name: a, %s, destination: {%s: %s}}]", method, kind.Name, kind.Least))
	}
	for _, kind := range kinds.Sources() {
		list = append(list, fmt.Sprintf(`integrations: [{name: a, method: broker, broker: {%s: %s}, destination: {http: {url: "http://h"}}}]`, kind.Name, kind.Least))
	}
	return list
}

// Whoever writes a default down changes nothing.
func TestTheListedDefaultsAreTrue(t *testing.T) {
	for _, b := range pages() {
		for _, s := range b.Settings {
			if s.Standard == "" {
				continue
			}
			tried := 0
			for _, base := range bases() {
				for _, l := range leaves(reflect.TypeFor[rawFile](), nil) {
					if strings.TrimSuffix(strings.Join(l.path, "."), ".-") == "" || l.parent() != b.Of || l.name() != s.Name {
						continue
					}
					changed, ok := l.put(t, base, s.Standard)
					if !ok {
						continue
					}
					want, err := Parse("f.yaml", []byte(base), lookup)
					if err != nil {
						t.Fatalf("%s: %v", base, err)
					}
					got, err := Parse("f.yaml", []byte(changed), lookup)
					if err != nil {
						continue // not in this place: a source has no timeout
					}
					tried++
					want.data, got.data = nil, nil
					forgetLines(want)
					forgetLines(got)
					if !reflect.DeepEqual(got, want) {
						t.Errorf("%s, %s: %s is not the default: got %+v, want %+v", b.Where, s.Name, s.Standard, got, want)
					}
				}
			}
			if tried == 0 {
				t.Errorf("%s, %s: no file takes it with %s", b.Where, s.Name, s.Standard)
			}
		}
	}
}

// name is the setting without the items of its list.
func (l leaf) name() string {
	parts := slices.DeleteFunc(slices.Clone(l.path), func(part string) bool { return part == "-" })
	return parts[len(parts)-1]
}

// put writes a value into a file that has the setting's block.
func (l leaf) put(t *testing.T, base, value string) (string, bool) {
	t.Helper()
	var file, written any
	if err := yaml.Unmarshal([]byte(base), &file); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(value), &written); err != nil {
		t.Fatal(err)
	}
	path := l.path
	if path[len(path)-1] == "-" {
		path = path[:len(path)-1]
	}
	at := file
	for _, part := range path[:len(path)-1] {
		switch v := at.(type) {
		case map[string]any:
			at = v[part]
		case []any:
			if len(v) == 0 {
				return "", false
			}
			at = v[0]
		}
	}
	mapping, ok := at.(map[string]any)
	if _, there := mapping[path[len(path)-1]]; !ok || there {
		return "", false
	}
	mapping[path[len(path)-1]] = written
	changed, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(changed), true
}

func forgetLines(f *File) {
	for n, in := range f.Integrations {
		f.Integrations[n].Settings = "" // as it is written
		if in.CDC != nil {
			for i := range in.CDC.Rules {
				in.CDC.Rules[i].Line = 0
			}
		}
	}
}
