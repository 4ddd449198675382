package delivery

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestUnmaskPutsBackWhatBelongsThere(t *testing.T) {
	for _, tc := range []struct{ name, base, path, edited, want string }{
		{"bytes", `{"n":12345678901234567890,"c":1.0e400}`, "$.c", `{"n":12345678901234567890, "c":"•••"}`, `{"n":12345678901234567890, "c":1.0e400}`},
		{"escapes", `{"c":"\u00e9\/ü\ud83d"}`, "$.c", `{"c":"•••"}`, `{"c":"\u00e9\/ü\ud83d"}`},
		{"a whole object", `{"card":{"n":[1, 2]},"a":1}`, "$.card", `{"a":2,"card":"•••"}`, `{"a":2,"card":{"n":[1, 2]}}`},
		{"typed", `{"c":"old","d":"x"}`, "$.c", `{"c":"new","d":"x"}`, `{"c":"new","d":"x"}`},
		{"typed, of another kind", `{"c":"old"}`, "$.c", `{"c":{"a":["•••"]}}`, `{"c":{"a":["•••"]}}`},
		{"removed", `{"c":"old","d":1}`, "$.c", `{"d":2}`, `{"d":2}`},
		{"duplicate keys", `{"c":1,"c":2}`, "$.c", `{"c":"•••","c":"•••"}`, `{"c":1,"c":2}`},
		{"written as an escape", `{"c":1}`, "$.c", `{"c":"\u2022\u2022\u2022"}`, `{"c":1}`},
		{"it says so itself", `{"c":1,"d":"•••"}`, "$.c", `{"d":"•••","c":"•••"}`, `{"d":"•••","c":1}`},
		{"rows edited in place", `[{"n":1,"c":"a"},{"n":2,"c":"b"}]`, "$[*].c", `[{"n":9,"c":"•••"},{"n":2,"c":"•••"}]`, `[{"n":9,"c":"a"},{"n":2,"c":"b"}]`},
		{"rows moved", `[{"n":1,"c":"a"},{"n":2,"c":"b"}]`, "$[*].c", `[{"n":2,"c":"•••"},{"c":"•••"},{"n":1,"c":"•••"}]`, ""},
		{"rows swapped", `[{"n":1,"c":"a"},{"n":2,"c":"b"}]`, "$[*].c", `[{"n":2,"c":"•••"},{"n":1,"c":"•••"}]`, `[{"n":2,"c":"b"},{"n":1,"c":"a"}]`},
		{"a row removed", `[{"n":1,"c":"a"},{"n":2,"c":"b"},{"n":3,"c":"c"}]`, "$[*].c", `[{"n":1,"c":"•••"},{"n":3, "c":"•••"}]`, `[{"n":1,"c":"a"},{"n":3, "c":"c"}]`},
		{"a row added", `[{"n":1,"c":"a"}]`, "$[*].c", `[{"n":0,"c":"new"},{"n":1,"c":"•••"}]`, `[{"n":0,"c":"new"},{"n":1,"c":"a"}]`},
		{"rows alike", `["a","b"]`, "$[*]", `["•••","•••"]`, `["a","b"]`},
		{"rows alike, one typed", `["a","b"]`, "$[*]", `["•••","c"]`, `["a","c"]`},
		{"a row that now looks like another", `[{"n":1,"c":"a"},{"n":2,"c":"b"}]`, "$[*].c", `[{"n":1,"c":"•••"},{"n":1,"c":"•••"}]`, `[{"n":1,"c":"a"},{"n":1,"c":"b"}]`},
	} {
		got, err := Unmask([]byte(tc.edited), []byte(tc.base), []string{tc.path})
		if tc.want == "" && err == nil || tc.want != "" && string(got) != tc.want {
			t.Errorf("%s: %s, %v; want %s", tc.name, got, err, tc.want)
		}
	}
}

func TestUnmaskNamesWhatCannotComeBack(t *testing.T) {
	for _, tc := range []struct{ name, base, path, edited, at string }{
		{"a field added", `{"a":{"c":1}}`, "$..c", `{"a":{"c":"•••"},"b":{"c":"•••"}}`, "$.b.c:"},
		{"a field renamed", `{"c":1}`, "$.c", `{"phone":"•••"}`, "$.phone:"},
		{"a row added", `[{"n":1,"c":"a"}]`, "$[*].c", `[{"n":1,"c":"•••"},{"n":2,"c":"•••"}]`, "$[1].c:"},
		{"a row copied", `[{"n":1,"c":"a"}]`, "$[*].c", `[{"n":1,"c":"•••"},{"n":1,"c":"•••"}]`, "$[1].c:"},
		{"one of two that are alike removed", `["a","a"]`, "$[*]", `["•••"]`, "$[0]:"},
		{"one of two that look alike removed", `["a","b"]`, "$[*]", `["•••"]`, "$[0]:"},
		{"a row removed, another edited", `[{"n":1,"c":"a"},{"n":2,"c":"b"}]`, "$[*].c", `[{"n":3,"c":"•••"}]`, "$[0].c:"},
		{"odd names", `{}`, "$['a b'][*]", `{"a b":["•••"]}`, "$['a b'][0]:"},
		{"the base is no JSON", `hello`, "$.c", `{"c":"•••"}`, "$.c:"},
		{"duplicate added", `{"c":1}`, "$.c", `{"c":"•••","c":"•••"}`, "$.c:"},
	} {
		got, err := Unmask([]byte(tc.edited), []byte(tc.base), []string{tc.path})
		var input *InputError
		if !errors.As(err, &input) || input.Code != "masked_value" || !strings.HasPrefix(InEnglish(input.Phrase()), tc.at) {
			t.Errorf("%s: %s, %v", tc.name, got, err)
		}
	}
	var input *InputError
	if _, err := Unmask([]byte(`{`), []byte(`{}`), nil); !errors.As(err, &input) || input.Code != "invalid_json" {
		t.Error(err)
	}
	if _, err := Unmask([]byte(`{}`), []byte(`{}`), []string{"c"}); !errors.As(err, &input) || input.Code != "bad_mask" {
		t.Error(err)
	}
}

func TestAFormShowsAndTakes(t *testing.T) {
	for _, tc := range []struct{ name, base, change, to, want string }{
		{"compact JSON stays compact", `{"n":12345678901234567890,"a":[1.0e400,{"a":1,"a":2}],"phone":"secret"}`, "1.0e400", "2", `{"n":12345678901234567890,"a":[2,{"a":1,"a":2}],"phone":"secret"}`},
		{"with what stands around it", "\n{\"a\":1}\n", "1", "2", "\n{\"a\":2}\n"},
		{"other JSON is taken as typed", `{"a": 1}`, "1", "2", "{\n  \"a\": 2\n}"},
		{"other line ends", "{\"a\":\r\n1}", "1", "2", "{\r\n  \"a\": 2\r\n}"},
		{"text", "a=1\nb=2\n", "2", "3", "a=1\nb=3\n"},
		{"text with other line ends", "a=1\r\nb=2\r\n", "2", "3", "a=1\r\nb=3\r\n"},
		{"a lone number", "12", "12", "hello", "hello"},
		{"empty", "", "", "x", "x"},
		{"binary", "\x00\xff", "AP8=", "AP9 =", "\x00\xff"[:1] + "\x7f"},
		{"a lone carriage return", "a\rb", "YQ1i", "YQ1j", "a\rc"},
	} {
		paths := []string(nil)
		if strings.Contains(tc.base, "phone") {
			paths = []string{"$.phone"}
		}
		text, ok := EditText([]byte(tc.base), paths)
		if !ok || !strings.Contains(text, tc.change) || strings.Contains(text, "secret") {
			t.Errorf("%s: shown as %q, %t", tc.name, text, ok)
			continue
		}
		for _, sent := range []string{text, strings.ReplaceAll(newlines(text), "\n", "\r\n")} { // as browsers send it
			if got, err := FromEditText(sent, []byte(tc.base), paths); err != nil || string(got) != tc.base {
				t.Errorf("%s: unchanged text became %q, %v", tc.name, got, err)
			}
			changed := strings.Replace(sent, tc.change, tc.to, 1)
			if tc.name == "binary" {
				changed = "AH 8="
			}
			if got, err := FromEditText(changed, []byte(tc.base), paths); err != nil || string(got) != tc.want {
				t.Errorf("%s: became %q, %v; want %q", tc.name, got, err, tc.want)
			}
		}
	}
}

func TestAFormRefusesWithASentence(t *testing.T) {
	for _, tc := range []struct{ base, text, code, says string }{
		{`{"a":1}`, "{\n  \"a\": 1,\n  ü }", "invalid_json", "line 3, column 3"},
		{`{"a":1}`, "", "invalid_json", "line 1, column 1"},
		{`{"a":1}`, "hello", "invalid_json", "line 1"},
		{"\x00", "???", "invalid_base64", "base64"},
		{"hello", "\xff", "invalid_text", "UTF-8"},
	} {
		_, err := FromEditText(tc.text, []byte(tc.base), nil)
		var input *InputError
		if !errors.As(err, &input) || input.Code != tc.code || !strings.Contains(InEnglish(input.Phrase()), tc.says) {
			t.Errorf("%q: %v", tc.text, err)
		}
	}
}

func TestWhatIsHiddenWholeIsNotShown(t *testing.T) {
	for _, base := range []string{"code=4711", "\x00\xff", "{\"code\":\"\xff\"}"} {
		if text, ok := EditText([]byte(base), []string{"$.code"}); ok || text != "" {
			t.Errorf("%q is shown as %q", base, text)
		}
	}
	if got, err := FromEditText("code=12", []byte("code=4711"), []string{"$.code"}); err != nil || string(got) != "code=12" {
		t.Errorf("replaced by %q, %v", got, err)
	}
}

func TestDeepJSONIsNotLaidOut(t *testing.T) {
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	if text, ok := EditText([]byte(deep), nil); !ok || len(text) != len(deep) {
		t.Errorf("%d bytes became %d", len(deep), len(text))
	}
}

// spaces and scalars that a decoder would change.
var (
	someSpace  = rapid.SampledFrom([]string{"", "", "", " ", "\n\t", " \r\n"})
	someName   = rapid.SampledFrom([]string{`"a"`, `"b"`, `"c"`, `"\u0063"`, `"a b"`, `""`, `"•••"`})
	someScalar = rapid.SampledFrom([]string{"12345678901234567890", "1.0e400", "-0", "1.10", `"x"`, `"\u00e9"`, `"é"`, `"\/"`, `"\ud800"`, `"•"`,
		"true", "null", `""`, `"a\"b\\"`, "7"})
	somePath = rapid.SampledFrom([]string{"$.a", "$..c", "$[*].b", "$.*", "$['a b']", "$.a[*].c", "$[0]", "$..b[1]", "$[*]"})
)

func someJSON(t *rapid.T, depth int) string {
	space := someSpace.Draw(t, "space")
	kind := rapid.IntRange(0, 4).Draw(t, "kind")
	if depth == 0 || kind > 2 {
		return space + someScalar.Draw(t, "scalar") + space
	}
	parts := make([]string, rapid.IntRange(0, 4).Draw(t, "size"))
	for i := range parts {
		parts[i] = someJSON(t, depth-1)
		if kind > 0 {
			parts[i] = space + someName.Draw(t, "name") + space + ":" + parts[i]
		}
	}
	body := strings.Join(parts, ",") + space
	if kind > 0 {
		return space + "{" + body + "}" + space
	}
	return space + "[" + body + "]" + space
}

func TestWhatWasHiddenComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := []byte(someJSON(t, 4))
		paths := rapid.SliceOfN(somePath, 0, 3).Draw(t, "paths")
		masked, ok := Mask(base, paths)
		if !ok {
			t.Fatalf("%s is not masked", base)
		}
		if got, err := Unmask(masked, base, paths); err != nil || !bytes.Equal(got, base) {
			t.Fatalf("%s masked by %v became %s: %v", base, paths, got, err)
		}
		text, ok := EditText(base, paths)
		if !ok {
			t.Skip("hidden whole")
		}
		if EditFormat(base) == EditJSON { // laid out, everything comes back but spaces
			got, err := Unmask([]byte(text), base, paths)
			if err != nil || compacted(got) != compacted(base) {
				t.Fatalf("%s shown as %s became %s: %v", base, text, got, err)
			}
		}
		sent := strings.ReplaceAll(newlines(text), "\n", "\r\n")
		if got, err := FromEditText(sent, base, paths); err != nil || !bytes.Equal(got, base) {
			t.Fatalf("%s sent back as %q became %s: %v", base, sent, got, err)
		}
	})
}

func TestAnEditChangesNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inner := compacted([]byte(someJSON(t, 3)))
		base := fmt.Sprintf(`{"before":%s,"edit":"ME","after":%s}`, inner, compacted([]byte(someJSON(t, 3))))
		paths := []string{"$.before", "$.after..c", "$.after[*].b"}
		text, ok := EditText([]byte(base), paths)
		if !ok {
			t.Fatalf("%s is not shown", base)
		}
		got, err := FromEditText(strings.Replace(text, `"edit": "ME"`, `"edit": 1e999`, 1), []byte(base), paths)
		if want := strings.Replace(base, `"edit":"ME"`, `"edit":1e999`, 1); err != nil || string(got) != want {
			t.Fatalf("%s became %s: %v", base, got, err)
		}
	})
}

// Whatever is done to rows, each keeps its own hidden value, or the person is asked.
func TestNoRowGetsTheValueOfAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfNDistinct(rapid.IntRange(1, 50), 1, 6, rapid.ID).Draw(t, "ids")
		order := rapid.Permutation(ids).Draw(t, "order")[:rapid.IntRange(1, len(ids)).Draw(t, "kept")]
		row := func(id int, hidden string) string { return fmt.Sprintf(`{"id":%d,"c":"%s"}`, id, hidden) }
		var base, edited, want []string
		for _, id := range ids {
			base = append(base, row(id, fmt.Sprint("secret of ", id)))
		}
		for _, id := range order {
			edited, want = append(edited, row(id, Hidden)), append(want, row(id, fmt.Sprint("secret of ", id)))
		}
		got, err := Unmask([]byte("["+strings.Join(edited, ",")+"]"), []byte("["+strings.Join(base, ",")+"]"), []string{"$[*].c"})
		if err != nil || string(got) != "["+strings.Join(want, ",")+"]" {
			t.Fatalf("%v of %v: %s, %v", order, ids, got, err)
		}
	})
}

func TestProtectedHeadersStay(t *testing.T) {
	base := map[string]string{"Traceparent": "00-1", "Webhook-Id": "7", "tenant": "north", "b": "2"}
	got, err := EditHeaders(map[string]string{"Tenant": "south", "traceparent": "00-1"}, base)
	if err != nil || fmt.Sprint(got) != "map[Tenant:south Traceparent:00-1 Webhook-Id:7]" {
		t.Errorf("%v, %v", got, err)
	}
	for _, given := range []map[string]string{{"traceparent": "00-2"}, {"Idempotency-Key": "x"}, {"redrive-attempt": "1"}, {"Host": "x"}} {
		var input *InputError
		if _, err := EditHeaders(given, base); !errors.As(err, &input) || input.Code != "protected_header" {
			t.Errorf("%v: %v", given, err)
		}
	}
}

// Whether rows that look alike hide the same is for nobody to learn: one of them cannot be removed either way.
func TestRowsThatLookAlikeDoNotTellWhatTheyHide(t *testing.T) {
	for _, base := range []string{`[{"p":"1234"},{"p":"1234"}]`, `[{"p":"1234"},{"p":"9999"}]`} {
		if _, err := Unmask([]byte(`[{"p":"•••"}]`), []byte(base), []string{"$[*].p"}); err == nil {
			t.Errorf("of %s one could be removed", base)
		}
	}
}
