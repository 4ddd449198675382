package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"redrive/store/storetest/hostile"
)

func TestNothingReachesTheTerminalThatItWouldObey(t *testing.T) {
	for text, want := range map[string]string{"plain äß한🙂": "plain äß한🙂", "\x1b[2Jgone": `\x1b[2Jgone`, "a\nb\tc\r": `a\nb\tc\r`, "bell\a": `bell\a`,
		"\u009b31m": `\u009b31m`, "a\u202eb": `a\u202eb`, "\xff\xfe": `\xff\xfe`, "\x7f": `\x7f`, "\uFFFD": `\ufffd`, "\u2028": `\u2028`} {
		if got := visible(text); got != want {
			t.Errorf("%q becomes %s, want %s", text, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		got := lines(string(raw), "")
		for _, r := range got {
			if r == '\n' || r == '\t' {
				continue
			}
			if r < ' ' || r >= 0x7f && r < 0xa0 || !utf8.ValidRune(r) {
				t.Fatalf("%q becomes %q", raw, got)
			}
		}
		if !utf8.ValidString(got) {
			t.Fatalf("%q becomes %q", raw, got)
		}
	})
}

// What is piped may be shown as well.
func TestJSONStaysTheSameJSON(t *testing.T) {
	const raw = "{\"a\":\"\u009b31m \u202e é \U000e0001\x7f\"}\n"
	var out bytes.Buffer
	(&Terminal{Out: &out}).json([]byte(raw))
	if out.String() != `{"a":"\u009b31m \u202e é \udb40\udc01\u007f"}`+"\n" {
		t.Errorf("%q", out.String())
	}
	for _, text := range hostile.Texts() {
		out.Reset()
		(&Terminal{Out: &out}).json(fmt.Appendf(nil, "%s\n", must(json.Marshal(text))))
		var same string
		if err := json.Unmarshal(out.Bytes(), &same); err != nil || same != text {
			t.Errorf("%q becomes %s: %v", text, out.String(), err)
		}
		wantsInert(t, out.String())
	}
}

func must(raw []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return raw
}

// wantsInert fails the test over what a terminal would obey.
func wantsInert(t *testing.T, text string) {
	t.Helper()
	if at := strings.IndexFunc(text, func(r rune) bool { return !isPlain(r) }); at >= 0 {
		t.Errorf("%q reaches the terminal of %q", text[at:min(at+4, len(text))], text)
	}
}

func TestAGuardLetsLinesThroughAndNothingElse(t *testing.T) {
	var out bytes.Buffer
	for _, text := range hostile.Texts() {
		out.Reset()
		if n, err := fmt.Fprintf(Guard(&out), "a\tb %s\n", text); err != nil || n != len("a\tb \n")+len(text) || !strings.HasPrefix(out.String(), "a\tb ") || !strings.HasSuffix(out.String(), "\n") {
			t.Errorf("%q: %d %v", out.String(), n, err)
		}
		wantsInert(t, out.String())
	}
	for _, raw := range hostile.Bytes {
		out.Reset()
		fmt.Fprintf(Guard(&out), "%s", raw)
		wantsInert(t, out.String())
	}
}

func TestATableFitsTheScreen(t *testing.T) {
	x := &table{head: []string{"ID", "KEY", "ERROR"}, least: []int{0, 6, 12}}
	x.add("0192f0c1-0000-7000-8000-000000000000", "order-4711-of-yesterday", strings.Repeat("answered 503 ", 20))
	for screen, longest := range map[int]int{80: 80, 60: 60, 0: 1000} {
		var out bytes.Buffer
		(&Terminal{Out: &out, Width: screen}).table(x)
		for _, line := range strings.Split(out.String(), "\n") {
			if utf8.RuneCountInString(line) > longest {
				t.Errorf("%d columns on a screen of %d: %s", utf8.RuneCountInString(line), screen, line)
			}
		}
		if !strings.Contains(out.String(), "0192f0c1-0000-7000-8000-000000000000") || (screen > 0) != strings.Contains(out.String(), "…") {
			t.Errorf("%d: %s", screen, out.String())
		}
	}
}

func TestTimesAreRelativeAndExact(t *testing.T) {
	now := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
	for back, want := range map[time.Duration]string{time.Second: "now", 90 * time.Second: "90s ago", 5 * time.Minute: "5m ago", 30 * time.Hour: "30h ago",
		100 * time.Hour: "4d ago", -time.Hour: "in 60m"} {
		at := now.Add(-back)
		if got := ago(&at, now); !strings.HasPrefix(got, want+", ") || !strings.HasSuffix(got, at.Format("15:04:05Z")) {
			t.Errorf("%v: %s", back, got)
		}
	}
	if ago(nil, now) != "" {
		t.Error("no time is something")
	}
}

func TestAnEditorsAddedLineEndIsNoChange(t *testing.T) {
	for _, c := range [][3]string{{"{}", "{}\n", "{}"}, {"{}\n", "{}\n", "{}\n"}, {"{}", "{1}", "{1}"}, {"", "\n", ""}, {"a", "a\n\n", "a\n"}} {
		if got := string(withoutAddedNewline([]byte(c[0]), []byte(c[1]))); got != c[2] {
			t.Errorf("%q edited to %q is %q, want %q", c[0], c[1], got, c[2])
		}
	}
}
