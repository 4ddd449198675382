package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// isGoTest reports whether the command is go test.
func isGoTest(args []string) bool {
	return len(args) > 1 && filepath.Base(args[0]) == "go" && args[1] == "test"
}

// patterns returns those arguments of go test that name packages.
func patterns(args []string) (found []string) {
	for n, arg := range args {
		if arg == "-args" {
			break // what follows is for the tests
		}
		ofFlag := n > 0 && slices.Contains([]string{"-run", "-bench", "-skip"}, args[n-1])
		if !ofFlag && (strings.HasPrefix(arg, ".") || strings.HasPrefix(arg, "redrive/")) {
			found = append(found, arg)
		}
	}
	return found
}

// slowestFirst names the packages one by one, those with the most tests first: go test begins in the order given, and what takes long
// and begins late is waited for alone. How much text the tests are says nearly as well as a clock who takes long.
func slowestFirst(args []string) []string {
	named := patterns(args)
	if !isGoTest(args) || len(named) == 0 {
		return args
	}
	format := "{{.ImportPath}}\t{{.Dir}}\t{{range .TestGoFiles}}{{.}}\t{{end}}{{range .XTestGoFiles}}{{.}}\t{{end}}"
	list := append([]string{"list", "-f", format}, named...)
	out, err := exec.Command(args[0], list...).Output()
	if err != nil {
		return args // go test will report the error
	}
	size := map[string]int64{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		for _, name := range fields[min(2, len(fields)):] {
			if info, err := os.Stat(filepath.Join(fields[1], name)); err == nil {
				size[fields[0]] += info.Size()
			}
		}
		size[fields[0]] += 0 // also without tests: it is built
	}
	at := slices.Index(args, named[0])
	rest := slices.DeleteFunc(slices.Clone(args[at:]), func(arg string) bool { return slices.Contains(named, arg) })
	return slices.Concat(args[:at], descending(size), rest)
}

// descending returns the keys, those with the largest values first.
func descending[V cmp.Ordered](of map[string]V) []string {
	return slices.SortedFunc(maps.Keys(of),
		func(a, b string) int { return cmp.Or(cmp.Compare(of[b], of[a]), strings.Compare(a, b)) })
}

// times passes the output of go test on and takes note of how long each package takes, and of what failed why.
type times struct {
	out    io.Writer
	line   []byte
	took   map[string]time.Duration
	failed failures
}

func newTimes(out io.Writer) *times { return &times{out: out, took: map[string]time.Duration{}} }

func (t *times) Write(text []byte) (int, error) {
	t.line = append(t.line, text...)
	for {
		line, rest, whole := bytes.Cut(t.line, []byte("\n"))
		if !whole {
			break
		}
		t.note(line)
		t.failed.note(string(line))
		t.line = rest
	}
	return t.out.Write(text)
}

var verdict = regexp.MustCompile(`^(?:ok  |FAIL)\t(\S+)\t([0-9.]+)s`)

// note reads a line in either form: of -json or not.
func (t *times) note(line []byte) {
	var event struct {
		Action, Package, Test string
		Elapsed               float64
	}
	if found := verdict.FindSubmatch(line); found != nil {
		event.Package = string(found[1])
		event.Elapsed, _ = strconv.ParseFloat(string(found[2]), 64) // the pattern is one of a number
	} else if !bytes.HasPrefix(line, []byte("{")) || json.Unmarshal(line, &event) != nil || event.Test != "" || event.Action != "pass" && event.Action != "fail" {
		return
	}
	t.took[event.Package] = time.Duration(event.Elapsed * float64(time.Second))
}

// report lists the packages that took over a second, slowest first; then what failed, so that it is read where only the end is shown.
func (t *times) report(to io.Writer) {
	for _, name := range descending(t.took) {
		if t.took[name] > time.Second {
			fmt.Fprintf(to, "tests: %7.1f s  %s\n", t.took[name].Seconds(), name)
		}
	}
	t.failed.report(to)
}
