package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestPackagesWithTheMostTestsBegin(t *testing.T) {
	got := slowestFirst(strings.Fields("go test -p 3 -run . redrive/store/storetest/... -v"))
	if !slices.Equal(got[:5], strings.Fields("go test -p 3 -run")) || got[5] != "." || got[len(got)-1] != "-v" {
		t.Errorf("the command became %q", got)
	}
	packages := got[6 : len(got)-1]
	at := func(name string) int { return slices.Index(packages, "redrive/store/storetest"+name) }
	if len(packages) < 8 || at("/run") < 0 || at("/run") > at("/patience") || at("") < 0 {
		t.Errorf("the packages came as %q", packages)
	}
	for _, command := range []string{"go vet ./...", "go test", "sh -c ./...", "go test ./nowhere"} {
		if got := slowestFirst(strings.Fields(command)); strings.Join(got, " ") != command {
			t.Errorf("%q became %q", command, got)
		}
	}
}

func TestTheSlowestPackagesAreNamed(t *testing.T) {
	const text = "ok  \tredrive/a\t2.345s\n--- FAIL: TestX (50.00s)\nFAIL\tredrive/b\t61.2s\nok  \tredrive/c\t0.999s\n?   \tredrive/d\t[no test files]\n" +
		`{"Action":"pass","Package":"redrive/e","Test":"TestY","Elapsed":9}` + "\n" + `{"Action":"output","Package":"redrive/e","Output":"ok  \tredrive/e\t8s\n"}` + "\n" +
		`{"Action":"pass","Package":"redrive/e","Elapsed":7.5}` + "\n" + `{"Action":"fail","Package":"redrive/f","Elapsed":3}` + "\n"
	var passed, said bytes.Buffer
	packages := newTimes(&passed)
	for piece := range slices.Chunk([]byte(text), 7) {
		if n, err := packages.Write(piece); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	packages.report(&said)
	const want = "tests:    61.2 s  redrive/b\ntests:     7.5 s  redrive/e\ntests:     3.0 s  redrive/f\ntests:     2.3 s  redrive/a\ntests: failed: TestX\n"
	if said.String() != want || passed.String() != text {
		t.Errorf("it says\n%s", said.String())
	}
}

// Whoever sees only the end of the output sees which tests failed and what each of them said, not what the program logged.
func TestTheEndSaysWhatFailed(t *testing.T) {
	const text = `--- FAIL: TestA (1.20s)
    time=2026-01-01T00:00:00Z level=WARN msg="not connected"
    a_test.go:7: not within 6m0s: connected
        and what it was
    main_test.go:9: log of process 3:
--- FAIL: TestB (0.10s)
    --- FAIL: TestB/of_one (0.10s)
        b_test.go:12: 3 requests, want 4
    --- PASS: TestB/of_two (0.00s)
        b_test.go:12: seen
FAIL
FAIL	redrive/a	61.2s
panic: test timed out after 30m0s
	running tests:
		TestC (29m3s)

goroutine 1 [running]:
FAIL	redrive/b	1800.2s
`
	const want = `tests: failed: TestA
tests:     a_test.go:7: not within 6m0s: connected
tests:     main_test.go:9: log of process 3:
tests: failed: TestB/of_one
tests:     b_test.go:12: 3 requests, want 4
tests: failed: panic: test timed out after 30m0s
tests:     TestC (29m3s)
`
	asJSON := ""
	for line := range strings.Lines(text) {
		raw, err := json.Marshal(map[string]string{"Action": "output", "Output": line})
		if err != nil {
			t.Fatal(err)
		}
		asJSON += string(raw) + "\n"
	}
	for form, text := range map[string]string{"text": text, "-json": asJSON} {
		var said bytes.Buffer
		var f failures
		for line := range strings.Lines(text) {
			f.note(strings.TrimSuffix(line, "\n"))
		}
		if f.report(&said); said.String() != want {
			t.Errorf("%s: it says\n%s", form, said.String())
		}
	}
}
