package views

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	innermost  = regexp.MustCompile(`\{[^{}]*\}`)
	tag        = regexp.MustCompile(`<[^<>]*(>|$)`)
	goLine     = regexp.MustCompile(`^(package|import|const|var|func|type|templ|if|for|switch|case|default|//|@|\}|\)|"|redrive/|[a-z-]+\??=|[a-z-]+$)`)
	spoken     = regexp.MustCompile(`(title|aria-label|placeholder|alt)="[^"]+"`)
	untouched  = []string{"Redrive", "SHA-256", "HTTP", "· SHA-256", "· Redrive"}
	catalogued = regexp.MustCompile(`\.(T|N)\(`)
)

// Every text of a page passes through the catalogue, so that another language is one more map.
func TestNoTextBypassesTheCatalogue(t *testing.T) {
	names, err := filepath.Glob("*.templ")
	if err != nil || len(names) < 5 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !catalogued.Match(source) {
			t.Errorf("%s asks the catalogue for nothing", name)
		}
		for n, line := range strings.Split(string(source), "\n") {
			if text := bare(line); text != "" {
				t.Errorf("%s:%d: %q bypasses T", name, n+1, text)
			}
			if found := spoken.FindString(line); found != "" {
				t.Errorf("%s:%d: %s bypasses T", name, n+1, found)
			}
		}
	}
}

// bare is what a line of a template says without asking the catalogue.
func bare(line string) string {
	line = strings.TrimSpace(line)
	if goLine.MatchString(line) {
		return ""
	}
	for innermost.MatchString(line) {
		line = innermost.ReplaceAllString(line, "")
	}
	text := strings.TrimSpace(tag.ReplaceAllString(line, ""))
	if slices.Contains(untouched, text) || !regexp.MustCompile(`[A-Za-z]{2}`).MatchString(text) {
		return ""
	}
	return text
}

func TestTheCheckForBareTextSeesIt(t *testing.T) {
	for line, want := range map[string]string{"<p>Hello there</p>": "Hello there", "<p>{ l.T(\"Hello\") }</p>": "", "Hello { x }": "Hello", "if x {": ""} {
		if got := bare(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
