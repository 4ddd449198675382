package house

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// levelTwo is how many requirements of levels 1 and 2 each section of ASVS 5.0 has: by chapter, a section after the other.
var levelTwo = map[int][]int{
	1: {2, 9, 11, 3, 2}, 2: {3, 3, 4, 1}, 3: {0, 2, 4, 6, 5, 0, 2}, 4: {3, 1, 2, 4}, 5: {1, 3, 2, 3}, 6: {3, 12, 4, 4, 5, 3, 0, 4}, 7: {3, 4, 2, 5, 2, 2}, 8: {2, 3, 1, 1},
	9: {3, 4}, 10: {2, 2, 4, 11, 5, 2, 3}, 11: {2, 3, 3, 4, 1, 1}, 12: {3, 2, 4}, 13: {1, 5, 2, 5}, 14: {2, 4, 3}, 15: {3, 3, 7}, 16: {1, 5, 4, 3, 3}, 17: {1, 4, 2},
}

var (
	item     = regexp.MustCompile(`(?m)^\| ((?:\d+\.\d+\.\d+ )+)\|`)
	itsTests = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	itsFiles = regexp.MustCompile("\\]\\(([^)#]+)[)#]|`((?:[a-z]+/)+[a-z_]+\\.[a-z]+)`")
	aTest    = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
)

// What the page on security says is held by a test that there is, its files are there, and no requirement is passed over.
func TestThePageOfSecurityIsTrue(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "docs/security.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	eachTest(t, func(text string) {
		for _, found := range aTest.FindAllStringSubmatch(text, -1) {
			tests[found[1]] = true
		}
	})
	page := string(raw)
	for _, cited := range itsTests.FindAllStringSubmatch(page, -1) {
		if !tests[cited[1]] {
			t.Errorf("there is no test %s", cited[1])
		}
	}
	for _, cited := range itsFiles.FindAllStringSubmatch(page, -1) {
		name := filepath.Join("docs", cited[1])
		if cited[1] == "" {
			name = cited[2]
		}
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Errorf("there is no %s", name)
		}
	}
	said := map[string]int{} // by section
	seen := map[string]bool{}
	for _, row := range item.FindAllStringSubmatch(page, -1) {
		for _, number := range strings.Fields(row[1]) {
			if seen[number] {
				t.Errorf("%s is there twice", number)
			}
			seen[number] = true
			said[number[:strings.LastIndex(number, ".")]]++
		}
	}
	for chapter, sections := range levelTwo {
		for i, want := range sections {
			section := strconv.Itoa(chapter) + "." + strconv.Itoa(i+1)
			if said[section] != want {
				t.Errorf("of section %s there are %d requirements, not %d", section, said[section], want)
			}
		}
	}
}

// eachTest visits the text of all tests.
func eachTest(t *testing.T, visit func(text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "data" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		raw, err := os.ReadFile(path)
		visit(string(raw))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
