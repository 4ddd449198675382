package supply

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/google/licensecheck"
)

var update = flag.Bool("update", false, "write licences.txt and docs/licences.md")

const root = "../.."

type module struct{ Path, Version, Dir string }

// linked are the modules of packages and what they import, as they are on the system that the program is released for.
func linked(t *testing.T, args ...string) (list []module) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}"}, args...)...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range slices.Compact(slices.Sorted(strings.Lines(string(out)))) {
		if part := strings.Fields(line); len(part) == 3 {
			list = append(list, module{part[0], part[1], part[2]})
		}
	}
	return list
}

var licenceFile = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying)([.-].*)?$`)

// licenceOf reads the licence files of a module.
func licenceOf(t *testing.T, m module) string {
	t.Helper()
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() || !licenceFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(m.Dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range licensecheck.Scan(text).Match {
			ids = append(ids, match.ID)
		}
	}
	slices.Sort(ids)
	return strings.Join(slices.Compact(ids), " AND ")
}

// The list of licences is what the modules say, and each of them says something.
func TestTheLicencesAreThoseOfTheModules(t *testing.T) {
	program := linked(t, ".")
	all := linked(t, "-test", "./...")
	var lines []string
	var table strings.Builder
	table.WriteString(`# Licences

What others have made, and its licence (SPDX). Generated: ` + "`go test ./internal/supply -update`" + `. Copyleft is **bold**: of it, only licences that hold for
the single file (MPL-2.0) are used, and no such file is changed. What the tests fetch beside it is pinned by hash in ` +
		"`store/storetest`" + ` and is no part of the program. ` + "`redrive sbom`" + ` prints what is in the program at hand, as CycloneDX.

| component | version | licence | used |
|---|---|---|---|
`)
	row := func(name, version, licence, used string) {
		if Copyleft(licence) {
			licence = "**" + licence + "**"
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", name, version, licence, used)
	}
	for _, m := range all {
		found := licenceOf(t, m)
		used := "tests"
		if slices.Contains(program, m) {
			used = "program"
		}
		if found == "" {
			t.Errorf("nobody knows the licence of %s", m.Path)
		}
		if Copyleft(found) && !strings.Contains(found, "MPL-2.0") {
			t.Errorf("%s is %s", m.Path, found)
		}
		lines = append(lines, m.Path+" "+found+"\n")
		row(m.Path, m.Version, found, used)
	}
	words := map[Scope]string{Required: "program", Optional: "downloaded where the machine has no Postgres", Excluded: "tests"}
	for _, c := range Others() {
		if c.Scope == Optional { // one for each system
			c.Name = path.Join(path.Dir(c.Name), "…")
		}
		row(c.Name, c.Version, c.Licence, words[c.Scope])
	}
	for file, want := range map[string]string{"licences.txt": strings.Join(lines, ""), filepath.Join(root, "docs", "licences.md"): table.String()} {
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s is not what the modules say: go test ./internal/supply -update (%v)", file, err)
		}
	}
}

// What of others lies in the repository is what was published, byte by byte.
func TestWhatIsVendoredIsUnchanged(t *testing.T) {
	jars, err := os.ReadFile(filepath.Join(root, "store", "storetest", "fetch", "jars.sha256"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Others() {
		if c.Name == "Apache Kafka" && !strings.Contains(string(jars), "kafka_2.13-"+c.Version+".jar\n") {
			t.Errorf("the tests use no Kafka %s", c.Version)
		}
		if c.File == "" {
			continue
		}
		content, err := os.ReadFile(filepath.Join(root, c.File))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(content); c.Hash != hex.EncodeToString(sum[:]) {
			t.Errorf("%s is not %s %s", c.File, c.Name, c.Version)
		}
	}
	// scripts and archives that nobody listed
	foreign := regexp.MustCompile(`\.(min\.(js|css)|gz|zip|jar|woff2?|wasm)$`)
	for _, top := range []string{"delivery", "demo", "handlers", "internal", "static", "store", "views"} {
		err := fs.WalkDir(os.DirFS(root), top, func(file string, d fs.DirEntry, err error) error {
			if err == nil && foreign.MatchString(file) && !slices.ContainsFunc(Others(), func(c Component) bool { return c.File == file }) {
				t.Errorf("%s is listed nowhere", file)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The bill names each module with version, hash and licence, and what is no module.
func TestTheBillIsComplete(t *testing.T) {
	info := &debug.BuildInfo{}
	for _, m := range linked(t, ".") {
		info.Deps = append(info.Deps, &debug.Module{Path: m.Path, Version: m.Version, Sum: "h1:aGVsbG8="})
	}
	var out bytes.Buffer
	if err := WriteBill(&out, "1.2.3", info); err != nil {
		t.Fatal(err)
	}
	var b bill
	if err := json.Unmarshal(out.Bytes(), &b); err != nil {
		t.Fatal(err)
	}
	if len(b.Components) != len(info.Deps)+len(Others()) || b.Metadata.Component.Version != "1.2.3" {
		t.Errorf("%d components of %+v", len(b.Components), b.Metadata)
	}
	for _, c := range b.Components {
		if len(c.Licences) != 1 || !strings.HasPrefix(c.Package, "pkg:") || c.Version == "" || len(c.Hashes) == 0 && c.Scope != Excluded {
			t.Errorf("%+v", c)
		}
	}
}
