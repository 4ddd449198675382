package views

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// treeOf is the page of a payload, and all that it says.
func treeOf(t *testing.T, text string, ask OutlineAsk) (page, says string) {
	t.Helper()
	p := Payload{Text: text, Kind: "text", Tree: NewOutline(text), Ask: ask, At: Place{Path: "/failures/0190a0a0-0000-7000-8000-000000000001"}}
	var b strings.Builder
	if err := contentView(Locale{Lang: "en"}, p).Render(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.TextNode {
			says += n.Data
		}
	}
	return b.String(), says
}

// opens are the values of the buttons that ask for more.
func opens(page string) (list []string) {
	for _, m := range regexp.MustCompile(`name="open" value="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		list = append(list, html.UnescapeString(m[1]))
	}
	return list
}

// askFor is what a button asks for.
func askFor(value string) (ask OutlineAsk) {
	path, from, _ := strings.Cut(value, "@")
	_, _ = fmt.Sscan(from, &ask.From)
	ask.Open = path
	return ask
}

func TestEveryTokenIsShownAsItWasWritten(t *testing.T) {
	for text, want := range map[string][]string{
		`{"b":1.10,"a":123456789012345678901234567890,"b":1e400,"n":-0.0,"s":"\\u0000\\u00e9é","z":[],"o":{}}`: {"json", "b1.10", "a123456789012345678901234567890", "b1e400", "n-0.0", `s"\u0000\u00e9é"`, "z[0]", "o{0}"},
		"[1]\n{\"a\":2.50}\n":                   {"ndjson", "a2.50"},
		`<a x="1"><b>1.0</b><!-- c --><d/></a>`: {"xml", `<a x="1">`, "<b>1.0", "<!-- c -->", "<d/>"},
		"a=1%2C2&b=&a=x+y":                      {"form", "a1,2", "b", "ax y"},
		"{\"a\\\"b\":\"\u202e\u200b\"}":         {"json", `a\"b`, "⟨U+202E⟩⟨U+200B⟩"},
	} {
		o := NewOutline(strings.ReplaceAll(text, `\\`, `\`))
		if o == nil || o.Kind != want[0] {
			t.Errorf("%s is %+v, not %s", text, o, want[0])
			continue
		}
		_, says := treeOf(t, o.text, OutlineAsk{})
		for _, token := range want[1:] {
			if !strings.Contains(says, token) {
				t.Errorf("%s: no %q in %q", text, token, says)
			}
		}
	}
	for _, text := range []string{"", "{", `{"a":1,}`, "<a>", "<a></b>", "hello\nworld", "a b=c", "\xff"} {
		if NewOutline(text) != nil {
			t.Errorf("%q is a tree", text)
		}
	}
}

// All of a payload is there to be opened, and no page is large: long lists, deep nesting, long values.
func TestHugeAndDeepPayloadsStayBounded(t *testing.T) {
	many := make([]string, 3000)
	for n := range many {
		many[n] = fmt.Sprintf(`{"no":%d,"name":"<&\"é-%d","lines":[%d,%d]}`, n, n, n, n)
	}
	for name, text := range map[string]string{
		"a list":      "[" + strings.Join(many, ",") + "]",
		"deep":        strings.Repeat(`{"a":[`, 60) + "1" + strings.Repeat("]}", 60),
		"very deep":   strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"a value":     `{"a":"` + strings.Repeat(`<é`, 100_000) + `"}`,
		"a name":      `{"` + strings.Repeat("<", 200_000) + `":1}`,
		"lists":       "[" + strings.Repeat("[],", 20_000) + "[]]",
		"text":        strings.Repeat("no tree <é\n", 20_000),
		"unseen":      strings.Repeat("\u202e", 50_000),
		"unseen JSON": `["` + strings.Repeat("\u202e", 50_000) + `"]`,
		"matches":     "[" + strings.Repeat(`"find",`, 30_000) + `"find"]`,
	} {
		seen := map[string]bool{}
		for queue := []string{""}; len(queue) > 0 && len(seen) < 25; queue = queue[1:] {
			if seen[queue[0]] {
				continue
			}
			seen[queue[0]] = true
			page, _ := treeOf(t, text, askFor(queue[0]))
			if len(page) > 44_000 || !utf8.ValidString(page) {
				t.Errorf("%s, %s: %d bytes", name, queue[0], len(page))
			}
			queue = append(queue, opens(page)...)
		}
		if page, _ := treeOf(t, text, OutlineAsk{Find: "find"}); len(page) > 44_000 {
			t.Errorf("%s, looked for: %d bytes", name, len(page))
		}
	}
	page, _ := treeOf(t, "["+strings.Join(many, ",")+"]", OutlineAsk{})
	var last string
	for range many { // from gap to gap to the end
		next := opens(page)
		if len(next) == 0 || strings.Contains(page, "no</b><span class=\"n\">2999") {
			break
		}
		if last == next[len(next)-1] {
			break
		}
		last = next[len(next)-1]
		page, _ = treeOf(t, "["+strings.Join(many, ",")+"]", askFor(last))
	}
	if !strings.Contains(page, "2999") {
		t.Errorf("the end cannot be reached: %s", last)
	}
}

// What is looked for is counted in all of a payload, marked, and its folds are open, wherever it is.
func TestFinding(t *testing.T) {
	deep := `{"first":[` + strings.Repeat(`{"x":1},`, 4000) + `{"y":{"z":{"u":{"Needle":"a NEEDLE in \u0068ay"}}}}],"caf\u00e9":"Caf\u00e9"}`
	page, says := treeOf(t, deep, OutlineAsk{Find: "needle"})
	if strings.Count(page, "<mark") != 2 || strings.Count(page, `id="match"`) != 1 || !strings.Contains(says, "2 matches") {
		t.Errorf("%s", says)
	}
	before, _, _ := strings.Cut(page, `id="match"`)
	if open, all := strings.Count(before, "<details open"), strings.Count(before, "<details")-strings.Count(before, "</details"); open < all {
		t.Error("a fold around the match is shut")
	}
	if page, _ := treeOf(t, `["Caf\u00e9"]`, OutlineAsk{Find: "café"}); strings.Count(page, "<mark") != 1 {
		t.Error("what an escape stands for is not found")
	}
	if _, says := treeOf(t, deep, OutlineAsk{Find: ".*"}); !strings.Contains(says, "0 matches") {
		t.Error("the text that is looked for is no pattern")
	}
	text := strings.Repeat("no tree at all\n", 4000) + "<needle> here"
	if page, says := treeOf(t, text, OutlineAsk{Find: "NEEDLE"}); strings.Count(page, "<mark") != 1 || !strings.Contains(says, "1 match") {
		t.Errorf("%.500s", says)
	}
}

// The button to copy carries the bytes themselves, or is not there.
func TestWhatIsCopiedIsWhatWasSent(t *testing.T) {
	for text, copies := range map[string]bool{`{"a": 1.0 ,"b":"` + "\u202e" + `<\"\n"}`: true, "a\r\nb": false, strings.Repeat("x", mostCopied+1): false, "line\n  two\t\n": true} {
		page, _ := treeOf(t, text, OutlineAsk{})
		root, err := html.Parse(strings.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for n := range root.Descendants() {
			for _, a := range n.Attr {
				if a.Key == "data-copy" {
					found = true
					if a.Val != text {
						t.Errorf("%q is copied as %q", text, a.Val)
					}
				}
			}
		}
		if found != copies {
			t.Errorf("%.40q: copied %v", text, found)
		}
	}
}

func TestWhatNobodyWouldSeeIsWrittenDown(t *testing.T) {
	for text, want := range map[string]string{
		"plain, é, 한국어, 👩\u200d👩\u200d👧, क्\u200dष, ❤\ufe0f": "plain, é, 한국어, 👩\u200d👩\u200d👧, क्\u200dष, ❤\ufe0f",
		"a\u202eb\u2066c":              "a⟨U+202E⟩b⟨U+2066⟩c",
		"a\u200bb\u200dc\ufeff":        "a⟨U+200B⟩b⟨U+200D⟩c⟨U+FEFF⟩",
		"\x00\x1b[31m\x7f\u0085":       "⟨U+0000⟩⟨U+001B⟩[31m⟨U+007F⟩⟨U+0085⟩",
		"a\tb\r\nc\rd":                 "a\tb\r\nc⟨U+000D⟩d",
		"\u00ad\u3164\u2028\U000e0041": "⟨U+00AD⟩⟨U+3164⟩⟨U+2028⟩⟨U+E0041⟩",
		"a\ufe01b":                     "a⟨U+FE01⟩b",
	} {
		if got := Visible(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	var b strings.Builder
	if err := shown("a\u202e<").Render(context.Background(), &b); err != nil || b.String() != `a<span class="unseen" title="RIGHT-TO-LEFT OVERRIDE">⟨U+202E⟩</span>&lt;` {
		t.Errorf("%s %v", b.String(), err)
	}
	if at := TryPlace("id", "/failures?a=b", 2, TabAnswer); at.Fields[0].Value != "/failures?a=b" {
		t.Error(at)
	}
	if u, err := url.Parse(DeliveryPage{Return: "/failures?a=b#f-1"}.tryAt(1, TabAnswer)); err != nil || u.Query().Get("return") != "/failures?a=b#f-1" || u.Query().Get("try") != "1" {
		t.Error(u, err)
	}
}
