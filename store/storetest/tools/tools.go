// Package tools gives tests the languages of other people's programs: an interpreter with packages at pinned versions, installed once
// by the language's ordinary client. A package that asks for much does so in its TestMain, by the Install functions, where the deadline
// of its tests does not count.
package tools

import (
	"context"
	"path/filepath"
	"testing"

	"redrive/store/storetest/fetch"
)

// Python returns the path of a Python that has these packages, each pinned as name==version.
func Python(t testing.TB, requirements ...string) string { return must(t, InstallPython, requirements) }

// Node returns a node_modules directory with these packages, each pinned as name@version. A script outside of it finds them by NODE_PATH.
func Node(t testing.TB, packages ...string) string { return must(t, InstallNode, packages) }

// Maven returns a class path with these artifacts and what they need, each as group:artifact:version.
func Maven(t testing.TB, artifacts ...string) string { return must(t, InstallMaven, artifacts) }

func must(t testing.TB, install func(context.Context, ...string) (string, error), packages []string) string {
	t.Helper()
	path, err := install(context.Background(), packages...)
	if err != nil {
		t.Fatalf("tools: %v", err)
	}
	return path
}

// InstallPython is Python outside of a test.
func InstallPython(ctx context.Context, requirements ...string) (string, error) {
	probe := []string{"python3", "-c", "import ensurepip, sys; print(sys.executable, sys.version)"}
	dir, err := fetch.Once(ctx, "python", probe, requirements, func(ctx context.Context, dir string) error {
		if err := fetch.Command(ctx, dir, "python3", "-m", "venv", dir); err != nil {
			return err
		}
		pip := []string{"-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"}
		return fetch.Command(ctx, dir, filepath.Join(dir, "bin", "python"), append(pip, requirements...)...)
	})
	return filepath.Join(dir, "bin", "python"), err
}

// InstallNode is Node outside of a test.
func InstallNode(ctx context.Context, packages ...string) (string, error) {
	dir, err := fetch.Once(ctx, "node", []string{"node", "--version"}, packages, func(ctx context.Context, dir string) error {
		npm := []string{"install", "--prefix", dir, "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"}
		return fetch.Command(ctx, dir, "npm", append(npm, packages...)...)
	})
	return filepath.Join(dir, "node_modules"), err
}

// InstallMaven is Maven outside of a test.
func InstallMaven(ctx context.Context, artifacts ...string) (string, error) {
	return fetch.Maven(ctx, artifacts...)
}
