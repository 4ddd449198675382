package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"redrive/delivery/config"
)

var update = flag.Bool("update", false, "write the generated parts of docs/settings.md")

const settingsPage = "../../docs/settings.md"

// generated is what stands between the marks of the page.
func generated(t *testing.T) string {
	t.Helper()
	var c commands
	parser, err := kong.New(&c, helpVars(""))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	out.WriteString("\n## The program\n\n| variable | flag of `serve` | default | meaning |\n|---|---|---|---|\n")
	for _, node := range parser.Model.Children {
		if node.Name != "serve" {
			continue
		}
		for _, f := range node.Flags {
			if len(f.Envs) > 0 {
				fmt.Fprintf(&out, "| `%s` | `--%s` | %s | %s |\n", f.Envs[0], f.Name, standard(f), f.Help)
			}
		}
	}
	return out.String() + "\n## The integrations file\n" + config.SettingsTable() + "\n"
}

func standard(f *kong.Flag) string {
	switch {
	case f.Default != "":
		return "`" + f.Default + "`"
	case f.IsBool():
		return "off"
	}
	return "empty"
}

var betweenMarks = regexp.MustCompile(`(?s)(<!-- generated: [^\n]* -->\n).*(<!-- end of what is generated -->)`)

// The page of all settings is made from the code: go test -run TestThePageOfSettings ./internal/cli -update writes it anew.
func TestThePageOfSettingsIsTheProgram(t *testing.T) {
	page, err := os.ReadFile(settingsPage)
	if err != nil {
		t.Fatal(err)
	}
	want := betweenMarks.ReplaceAllFunc(page, func(part []byte) []byte {
		ends := betweenMarks.FindSubmatch(part)
		return bytes.Join([][]byte{ends[1], []byte(generated(t)), ends[2]}, nil)
	})
	if bytes.Equal(page, want) && betweenMarks.Match(page) {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the program has: run go test -run TestThePageOfSettings ./internal/cli -update", settingsPage)
	}
	if err := os.WriteFile(settingsPage, want, 0o644); err != nil { // documentation is for everybody
		t.Fatal(err)
	}
}

// The README names the same variables with the same defaults.
func TestTheREADMEKnowsTheSettings(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(generated(t), "\n") {
		cells := strings.Split(line, " | ")
		if len(cells) != 4 || !strings.HasPrefix(cells[0], "| `") {
			continue
		}
		name := strings.TrimPrefix(cells[0], "| ")
		found := false
		for _, row := range strings.Split(string(readme), "\n") {
			if strings.HasPrefix(row, "| ") && strings.Contains(row, name) {
				own := strings.Split(row, " | ")
				found = found || len(own) == 3 && (own[1] == cells[2] || strings.HasPrefix(own[1], "random") && cells[2] == "empty")
			}
		}
		if !found {
			t.Errorf("the README does not have %s with default %s", name, cells[2])
		}
	}
}
