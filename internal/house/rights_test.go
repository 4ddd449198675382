package house

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redrive/delivery"
)

// The page on rights has the table of roles as it is.
func TestThePageOfRightsIsTheTable(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "docs", "rights.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(raw), "\n")
	head := "| permission | is to |"
	for _, r := range delivery.Roles {
		head += " " + string(r) + " |"
	}
	at := 0
	for at < len(lines) && lines[at] != head {
		at++
	}
	if len(lines) < at+2+len(delivery.Permissions) {
		t.Fatalf("there is no table that begins with %s", head)
	}
	for n, p := range delivery.Permissions {
		row := lines[at+2+n]
		cells := strings.Split(strings.Trim(row, "|"), "|")
		if len(cells) != 2+len(delivery.Roles) || strings.TrimSpace(cells[0]) != "`"+string(p)+"`" {
			t.Errorf("%s is not the row of %s", row, p)
			continue
		}
		for i, r := range delivery.Roles {
			if (strings.TrimSpace(cells[2+i]) == "x") != r.Permits(p) {
				t.Errorf("%s of %s: the page says %q", p, r, cells[2+i])
			}
		}
	}
	if rest := lines[at+2+len(delivery.Permissions)]; strings.HasPrefix(rest, "|") {
		t.Errorf("%s is no permission", rest)
	}
}
