package starter_test

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"redrive/store/storetest/starter"
)

func TestMain(m *testing.M) {
	starter.Require()
	os.Exit(m.Run())
}

func TestWithoutTheStarterOneLineSaysWhatToRun(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, starter.Variable+"=") })
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), "make test") {
		t.Errorf("%v: it said %q", err, out)
	}
}
