package delivery

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMaskHidesValuesAndKeepsEveryOtherByte(t *testing.T) {
	for _, tc := range []struct{ name, in, path, want string }{
		{"top", `{"a":1,"code":"4711"}`, "$.code", `{"a":1,"code":"•••"}`},
		{"number, bool, null", `[{"c":12},{"c":true},{"c":null}]`, "$[*].c", `[{"c":"•••"},{"c":"•••"},{"c":"•••"}]`},
		{"whole object", `{"card":{"n":[1,2,{"x":"}"}]}, "b" : 2}`, "$.card", `{"card":"•••", "b" : 2}`},
		{"nested", `{"a":{"b":"x","c":"y"},"b":"z"}`, "$.a.b", `{"a":{"b":"•••","c":"y"},"b":"z"}`},
		{"duplicate keys", `{"c":"1","c":"2","d":"1"}`, "$.c", `{"c":"•••","c":"•••","d":"1"}`},
		{"long numbers", `{"n":123456789012345678901234567890.10,"c":1}`, "$.c", `{"n":123456789012345678901234567890.10,"c":"•••"}`},
		{"escaped key", `{"\u0063ode":"x"}`, "$.code", `{"\u0063ode":"•••"}`},
		{"escaped quote in the value", `{"c":"a\"b\\","d":1}`, "$.c", `{"c":"•••","d":1}`},
		{"bracket name", `{"a b":1,"a":2}`, "$['a b']", `{"a b":"•••","a":2}`},
		{"double quotes", `{"a.b":1}`, `$["a.b"]`, `{"a.b":"•••"}`},
		{"index", `{"a":[1,2,3]}`, "$.a[1]", `{"a":[1,"•••",3]}`},
		{"each element", `{"a":[{"b":1},{"b":2,"c":3}]}`, "$.a[*].b", `{"a":[{"b":"•••"},{"b":"•••","c":3}]}`},
		{"any name", `{"a":1,"b":[2]}`, "$.*", `{"a":"•••","b":"•••"}`},
		{"any depth", `{"p":1,"a":{"p":{"p":2}},"l":[{"p":3}]}`, "$..p", `{"p":"•••","a":{"p":"•••"},"l":[{"p":"•••"}]}`},
		{"spaces stay", " {\n\t\"c\" : \"x\" ,\r\n \"d\" : [ 1 , 2 ] } ", "$.c", " {\n\t\"c\" : \"•••\" ,\r\n \"d\" : [ 1 , 2 ] } "},
		{"no such field", `{"a":1}`, "$.zip.zap", `{"a":1}`},
		{"a name is no index", `{"0":1,"a":[2]}`, "$[0]", `{"0":1,"a":[2]}`},
		{"an element has no name", `[1,{"":2}]`, "$['']", `[1,{"":2}]`},
		{"the empty name", `{"":1}`, "$['']", `{"":"•••"}`},
		{"scalar document", `42`, "$.a", `42`},
		{"empty containers", `{"a":{},"b":[]}`, "$.a.x", `{"a":{},"b":[]}`},
	} {
		got, ok := Mask([]byte(tc.in), []string{tc.path})
		if !ok || string(got) != tc.want {
			t.Errorf("%s: %s (%t), want %s", tc.name, got, ok, tc.want)
		}
	}
}

func TestMaskRefusesWhatItCannotRead(t *testing.T) {
	for _, payload := range []string{"", "hello", `{"a":1`, `{"a":1} x`, "\xff\xfe", "\x00", `{'a':1}`} {
		if got, ok := Mask([]byte(payload), []string{"$.a"}); ok || got != nil {
			t.Errorf("payload %q: %q, %t", payload, got, ok)
		}
	}
	for _, path := range []string{"", "$", "code", "$code", "$.", "$.a..", "$['a", "$[x]", "$[-1]", "$[1", "$.a]"} {
		if got, ok := Mask([]byte(`{"code":"secret"}`), []string{"$.x", path}); ok {
			t.Errorf("path %q is read: %s", path, got)
		}
	}
}

func TestMaskedValuesAreTakenOutOfAnswers(t *testing.T) {
	payload := []byte(`{"phone":"+82 10 1234","pin":123456,"name":{"first":"J\u00f6rg","x":"Jo"},"ok":true,"shop":"corner"}`)
	values := MaskedValues(payload, []string{"$.phone", "$.pin", "$.name", "$.ok"})
	if want := []string{`J\u00f6rg`, "+82 10 1234", "123456", "Jörg"}; len(values) != len(want) {
		t.Fatalf("values %q, want %q", values, want)
	}
	answer := `no SMS to +82 10 1234 (Jörg, J\u00f6rg), code 123456 is true, corner`
	if got, want := HideValues(answer, values), "no SMS to ••• (•••, •••), code ••• is true, corner"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := MaskedValues([]byte("no json"), []string{"$.a"}); got != nil {
		t.Errorf("values of no JSON: %q", got)
	}
}

// document draws JSON text with everything that a round trip through Go values would change.
func document(t *rapid.T, depth int) string {
	space := rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "space")
	kinds := 3
	if depth > 0 {
		kinds = 5
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return space + rapid.StringMatching(`-?[1-9][0-9]{0,30}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "number")
	case 1:
		text, _ := json.Marshal(rapid.String().Draw(t, "text"))
		return string(text) + space
	case 2:
		return rapid.SampledFrom([]string{"true", "false", "null", `"\u0000"`, `"\ud800"`, `"\/"`}).Draw(t, "word")
	case 3:
		var items []string
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			items = append(items, document(t, depth-1))
		}
		return "[" + space + strings.Join(items, ",") + space + "]"
	default:
		var members []string
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			name := rapid.SampledFrom([]string{"a", "b", "c", `\u0061`, "a b"}).Draw(t, "name")
			members = append(members, `"`+name+`"`+space+":"+document(t, depth-1))
		}
		return "{" + space + strings.Join(members, ",") + space + "}"
	}
}

// maskPaths are paths with their parts spelt out for the reference: a name or index, * for any, ..name at any depth.
var maskPaths = map[string][]string{"$.a": {"a"}, "$.b[*].c": {"b", "*", "c"}, "$['a b'].a": {"a b", "a"}, "$[*][0]": {"*", "0"},
	"$..c": {"..c"}, "$.c.*": {"c", "*"}, "$.b..a": {"b", "..a"}}

// referenceMask does the same on parsed values, the simple way.
func referenceMask(v any, parts []string) any {
	if len(parts) == 0 {
		return Hidden
	}
	deep, isDeep := strings.CutPrefix(parts[0], "..")
	child := func(name string, v any) any {
		if isDeep && name != deep {
			return referenceMask(v, parts)
		}
		if isDeep || name == parts[0] || parts[0] == "*" {
			return referenceMask(v, parts[1:])
		}
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = child(name, v[name])
		}
	case []any:
		for i := range v {
			v[i] = child(strconv.Itoa(i), v[i])
		}
	}
	return v
}

func parsed(t *rapid.T, raw []byte) (v any) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return v
}

func TestMaskProperties(t *testing.T) {
	paths := slices.Sorted(maps.Keys(maskPaths))
	rapid.Check(t, func(t *rapid.T) {
		in := []byte(document(t, 4))
		same, ok := Mask(in, []string{"$.nothing.of.this.name"})
		if !ok || !bytes.Equal(in, same) {
			t.Fatalf("nothing to mask, yet %q became %q (%t)", in, same, ok)
		}
		chosen := rapid.SliceOfDistinct(rapid.SampledFrom(paths), func(s string) string { return s }).Draw(t, "paths")
		masked, ok := Mask(in, chosen)
		if !ok || !json.Valid(masked) {
			t.Fatalf("%q masked by %q is no JSON: %q", in, chosen, masked)
		}
		if again, _ := Mask(masked, chosen); !bytes.Equal(again, masked) {
			t.Fatalf("masking twice: %q, then %q", masked, again)
		}
		want := parsed(t, in)
		for _, path := range chosen {
			want = referenceMask(want, maskPaths[path])
		}
		if got := parsed(t, masked); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q masked by %q is %q, want the value %v", in, chosen, masked, want)
		}
	})
}

func TestConcealHidesWhatAnErrorRepeats(t *testing.T) {
	payload, paths := []byte(`{"phone": "+82 10-5555", "code": 471147, "name": "anna"}`), []string{"$.phone", "$.code"}
	for text, want := range map[string]string{
		"cannot reach +82 10-5555 (471147) of anna": "cannot reach " + Hidden + " (" + Hidden + ") of anna",
		"the receiver answered 503":                 "the receiver answered 503",
	} {
		if got := (Result{Outcome: OutcomePermanent, Error: text}).Conceal(payload, Masking{Paths: paths}).Error; got != want {
			t.Errorf("%q is concealed as %q", text, got)
		}
		if got := (Result{Outcome: OutcomePermanent, Error: text}).Conceal(payload, Masking{}).Error; got != text {
			t.Errorf("%q is changed without a mask to %q", text, got)
		}
	}
}
