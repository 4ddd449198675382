package views

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"redrive/delivery"
)

// Where the program writes entries of the audit, and where it names half of an action.
var (
	wholeAction = regexp.MustCompile(`(?:Action:\s+|[aA]ction := |Record\(c, [^"]*|takeAway\(c, |refusal\{|recordProvided\(c, |viewEntry\(|entry\.Action, .* = )"([a-z]+\.[a-z-]+)"`)
	halfAction  = regexp.MustCompile(`(operation|secret|token|operator)Entry\("([a-z-]+)"`)
)

// Every action that the program writes down has words.
func TestEveryDeedOfTheAuditHasWords(t *testing.T) {
	actions := map[string]bool{}
	for _, row := range delivery.Decisions {
		actions["delivery."+string(row.Action)] = true
	}
	yes, no, text, role := true, false, "x", delivery.RoleViewer
	for _, c := range []delivery.OperatorChange{{Name: &text}, {Role: &role}, {Grant: &delivery.Grant{}}, {Withdraw: &text}, {PasswordHash: &text},
		{Disabled: &yes}, {Disabled: &no}, {RemoveCodes: true}, {}} {
		actions["operator."+c.What()] = true
	}
	for _, root := range []string{"../store", "../handlers"} {
		err := filepath.WalkDir(root, func(name string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.Contains(name, "storetest") {
				return err
			}
			source, err := os.ReadFile(name)
			for _, m := range wholeAction.FindAllStringSubmatch(string(source), -1) {
				actions[m[1]] = true
			}
			for _, m := range halfAction.FindAllStringSubmatch(string(source), -1) {
				actions[m[1]+"."+m[2]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for action := range actions {
		if deeds[action].name == "" || deeds[action].told == "" {
			t.Errorf("%s has no words", action)
		}
	}
	if len(actions) < 40 {
		t.Errorf("only %d actions are found", len(actions))
	}
}
