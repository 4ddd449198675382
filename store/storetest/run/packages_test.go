package main

import (
	"bytes"
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
	const want = "tests:    61.2 s  redrive/b\ntests:     7.5 s  redrive/e\ntests:     3.0 s  redrive/f\ntests:     2.3 s  redrive/a\n"
	if said.String() != want || passed.String() != text {
		t.Errorf("it says\n%s", said.String())
	}
}
