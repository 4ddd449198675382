package tools

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// here makes a directory of the test's own the repository.
func here(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
}

func TestAMissingLanguageIsNamed(t *testing.T) {
	here(t)
	t.Setenv("PATH", t.TempDir())
	for kind, install := range map[string]func(context.Context) (string, error){"python": InstallPython, "node": InstallNode,
		"maven": func(ctx context.Context) (string, error) { return InstallMaven(ctx, "x") }} {
		if _, err := install(t.Context()); err == nil || !strings.Contains(err.Error(), kind+" is not installed") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
