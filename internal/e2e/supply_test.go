package e2e

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// The program as it is built says what it is made of: each module with its licence.
func TestTheProgramSaysWhatItIsMadeOf(t *testing.T) {
	t.Parallel()
	path, err := built.path()
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), path, "sbom").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules, err := exec.CommandContext(t.Context(), "go", "version", "-m", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		Components []struct {
			Name, Version string
			Licenses      []struct{ Expression string }
		}
	}
	if err := json.Unmarshal(said, &bill); err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, c := range bill.Components {
		named[c.Name+" "+c.Version] = len(c.Licenses) == 1 && c.Licenses[0].Expression != ""
	}
	n := 0
	for line := range strings.Lines(string(modules)) {
		if part := strings.Fields(line); len(part) > 2 && part[0] == "dep" {
			n++
			if !named[part[1]+" "+part[2]] {
				t.Errorf("the bill has no licence of %s %s", part[1], part[2])
			}
		}
	}
	if n < 50 || !named["htmx.org 2.0.11"] {
		t.Errorf("%d modules, and %d components", n, len(bill.Components))
	}
}
