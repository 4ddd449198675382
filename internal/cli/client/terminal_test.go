package client

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
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

func TestJSONOnAScreenStaysTheSameJSON(t *testing.T) {
	const raw = "{\"a\":\"\u009b31m \u202e é\"}\n"
	var out bytes.Buffer
	(&Terminal{Out: &out, Moves: true}).json([]byte(raw))
	if out.String() != `{"a":"\u009b31m \u202e é"}`+"\n" {
		t.Errorf("on a screen %q", out.String())
	}
	out.Reset()
	(&Terminal{Out: &out}).json([]byte(raw))
	if out.String() != raw {
		t.Errorf("in a pipe %q", out.String())
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
