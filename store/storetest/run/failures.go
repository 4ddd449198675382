package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// failures are the tests of a run that failed, each with what it said itself.
type failures struct {
	list []failure
	open bool // what comes belongs to the last one
}

// failure is a test, or a package that did not come to its end.
type failure struct {
	name string
	said []string
}

const (
	saidLines = 6   // of each failure: the last ones
	saidWidth = 400 // bytes of a line
)

var (
	failedTest = regexp.MustCompile(`^ *--- FAIL: (\S+)`)
	nextTest   = regexp.MustCompile(`^ *(--- (PASS|SKIP|BENCH): |=== |FAIL\b|ok  |PASS$|\?   |exit status )`)
	endOfAll   = regexp.MustCompile(`^(panic: |fatal error: |signal: |WARNING: DATA RACE)`)
	ownWords   = regexp.MustCompile(`^ +\w+(_test)?\.go:\d+: `)
	running    = regexp.MustCompile(`^\t+Test\S+ \(`) // below "running tests:" of a package whose time was over
)

// note reads a line of go test in either form.
func (f *failures) note(line string) {
	var event struct{ Output string }
	if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &event) == nil {
		line = strings.TrimSuffix(event.Output, "\n")
	}
	switch found := failedTest.FindStringSubmatch(line); {
	case found != nil:
		f.list, f.open = append(f.list, failure{name: found[1]}), true
	case endOfAll.MatchString(line):
		f.list, f.open = append(f.list, failure{name: line}), true
	case nextTest.MatchString(line):
		f.open = false
	case f.open && (ownWords.MatchString(line) || running.MatchString(line)):
		last := &f.list[len(f.list)-1]
		last.said = append(last.said, strings.TrimSpace(line))
	}
}

// report lists them, without the tests whose subtests say why.
func (f *failures) report(to io.Writer) {
	for n, test := range f.list {
		if len(test.said) == 0 && n+1 < len(f.list) && strings.HasPrefix(f.list[n+1].name, test.name+"/") {
			continue
		}
		fmt.Fprintf(to, "tests: failed: %s\n", cut(test.name))
		for _, line := range test.said[max(len(test.said)-saidLines, 0):] {
			fmt.Fprintf(to, "tests:     %s\n", cut(line))
		}
	}
}

func cut(line string) string { return line[:min(len(line), saidWidth)] }
